//! curl, wrk, ab and git in front of the proxy: each uses HTTP in its own way, and none may report an error.

use std::fs;
use std::path::Path;

use crate::harness::{App, PhpFpm, Program, Tool, Transport, pattern};
use crate::http::Proxy;

/// What curl prints for these targets and options, without its progress.
fn curl(proxy: &Proxy, target: &str, arguments: &[&str]) -> String {
    let fixed = ["-sS", "--fail", "--max-time", "120"];
    Tool::new("curl")
        .args(fixed)
        .args(arguments.iter().copied())
        .args([&*url(proxy, target)])
        .run()
}

fn url(proxy: &Proxy, target: &str) -> String {
    format!("http://{}{target}", proxy.address())
}

#[test]
#[ignore = "needs curl; run tests/run"]
fn curl_gets_what_it_asks_for() {
    let proxy = Proxy::start(&[]);
    for version in ["--http1.1", "--http1.0", "--http2"] {
        // The upgrade that HTTP/2 asks for is not taken up, which curl accepts.
        assert_eq!(curl(&proxy, "/tag?tag=a", &[version]), "a", "{version}");
        let streamed = curl(&proxy, "/stream?n=3&ms=1", &[version]);
        assert_eq!(streamed, "line 1 of 3\nline 2 of 3\nline 3 of 3\n");
    }
    let head = curl(&proxy, "/tag?tag=abc", &["--head"]);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 3\r\n"), "{head}");
    // With --fail curl would exit with 22 for this status, so only the status code is looked at.
    let code = ["--no-fail", "-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&proxy, "/status?code=503", &code), "503");
}

#[test]
#[ignore = "needs curl; run tests/run"]
fn curl_uses_one_connection_for_many_requests() {
    let proxy = Proxy::start(&[]);
    let mut targets: Vec<String> = (0..20)
        .map(|index| url(&proxy, &format!("/tag?tag=n{index}")))
        .collect();
    targets.push("-w".to_owned());
    targets.push("%{num_connects}\n".to_owned());
    let arguments: Vec<&str> = targets.iter().map(String::as_str).collect();
    let printed = curl(&proxy, "/tag?tag=last", &arguments);
    let connects: Vec<&str> = printed
        .lines()
        .map(|line| &line[line.len() - 1..])
        .collect();
    assert_eq!(connects.len(), 21, "{printed}");
    assert_eq!(connects[0], "1");
    assert!(connects[1..].iter().all(|new| *new == "0"), "{printed}");
}

#[test]
#[ignore = "needs curl; run tests/run"]
fn curl_sends_bodies_of_every_kind() {
    let proxy = Proxy::start(&[]);
    let form = curl(&proxy, "/form", &["-d", "name=Ada&number=7"]);
    assert!(form.contains("<td>Ada</td>"), "{form}");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let (sent, came) = (path("sent"), path("came"));
    fs::write(&sent, pattern(3, 5_000_001)).expect("a file");
    let sent_path = sent.to_str().expect("UTF-8");
    let came_path = came.to_str().expect("UTF-8");
    let data = format!("@{sent_path}");
    let ways: [&[&str]; 4] = [
        // Above 1 MiB, curl waits for 100 Continue.
        &["--data-binary", &data],
        &["-T", sent_path],
        &["-T", sent_path, "-H", "Transfer-Encoding: chunked"],
        &["-T", sent_path, "-H", "Expect:"],
    ];
    for way in ways {
        curl(&proxy, "/echo", &[way, &["-o", came_path]].concat());
        assert!(
            fs::read(&came).ok() == fs::read(&sent).ok(),
            "{way:?} came back otherwise"
        );
    }
    let field = format!("file={data}");
    let page = curl(&proxy, "/upload", &["-F", &field]);
    assert!(page.contains("bytes arrived"), "{page}");
}

#[test]
#[ignore = "needs curl; run tests/run"]
fn curl_fetches_parts_and_goes_on_where_it_stopped() {
    let root = tempfile::tempdir().expect("a directory");
    let whole = pattern(0, 1_000_003);
    fs::write(root.path().join("file.bin"), &whole).expect("a file");
    let fixed = ["--upstream", "unix:/nonexistent", "--root"];
    let proxy = Proxy::start(&[&fixed[..], &[root.path().to_str().expect("UTF-8")]].concat());
    let came = root.path().join("came");
    let came_path = came.to_str().expect("UTF-8");
    curl(&proxy, "/file.bin", &["-r", "1000-1999", "-o", came_path]);
    assert_eq!(fs::read(&came).expect("a file"), whole[1000..2000]);
    fs::write(&came, &whole[..400_000]).expect("a file");
    curl(&proxy, "/file.bin", &["-C", "-", "-o", came_path]);
    assert!(fs::read(&came).expect("a file") == whole);
    let again = ["-z", came_path, "-w", "%{http_code}", "-o", "/dev/null"];
    assert_eq!(curl(&proxy, "/file.bin", &again), "304");
}

#[test]
#[ignore = "needs wrk; run tests/run"]
fn wrk_sees_no_error() {
    for arguments in [&["--threads", "2"][..], &["--multiplex", "off"]] {
        let proxy = Proxy::start(&[arguments, &["--no-access-log", "--status"]].concat());
        for target in [
            "/bench",
            "/tag?tag=abc&size=100000",
            "/stream?n=2&ms=1",
            "/",
        ] {
            let load = ["-t", "2", "-c", "32", "-d", "1s", "--timeout", "60s"];
            let url = url(&proxy, target);
            let printed = Tool::new("wrk").args(load).args([&*url]).run();
            assert!(printed.contains("Requests/sec:"), "{printed}");
            for complaint in ["Socket errors", "Non-2xx"] {
                assert!(!printed.contains(complaint), "{target}: {printed}");
            }
        }
        // wrk closes in the middle of its last requests.
        proxy.wait_for_figure("requests.in_flight", 0);
    }
}

#[test]
#[ignore = "needs ab; run tests/run"]
fn ab_sees_no_error() {
    let proxy = Proxy::start(&["--no-access-log"]);
    let body = tempfile::NamedTempFile::new().expect("a file");
    fs::write(body.path(), "name=Ada").expect("a file");
    let body = body.path().to_str().expect("UTF-8").to_owned();
    let form = ["-p", &body, "-T", "application/x-www-form-urlencoded"];
    let ways: [(&str, &[&str]); 4] = [
        ("/bench", &["-k"]),
        ("/tag?tag=abc&size=100000", &[]),
        ("/form", &form),
        ("/echo", &["-k", "-u", &body]),
    ];
    for (target, way) in ways {
        assert_all_complete(&proxy, target, way, 2000);
    }
}

#[test]
#[ignore = "needs ab and php-fpm; run tests/run"]
fn ab_sees_no_error_from_php() {
    let root = tempfile::tempdir().expect("a directory");
    let script = "<?php print str_repeat('0123456789', 1000);";
    fs::write(root.path().join("ten.php"), script).expect("a file");
    let fpm = PhpFpm::builder().max_children(4).start();
    let address = fpm.listen().to_string();
    let root = root.path().to_str().expect("UTF-8");
    let arguments = ["--upstream", &address, "--root", root, "--max-conns", "4"];
    let proxy = Proxy::start(&[&arguments[..], &["--no-access-log"]].concat());
    // Without a length from PHP there is no -k: ab speaks HTTP/1.0.
    assert_all_complete(&proxy, "/ten.php", &[], 2000);
}

/// ab counts an answer as failed if it is cut, or not as long as the first answer.
fn assert_all_complete(proxy: &Proxy, target: &str, way: &[&str], count: usize) {
    let number = count.to_string();
    let printed = Tool::new("ab")
        .args(["-q", "-s", "120", "-n", &number, "-c", "16"])
        .args(way.iter().copied())
        .args([&*url(proxy, target)])
        .run();
    let figure = |name: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<usize>().ok())
    };
    assert_eq!(figure("Complete requests:"), Some(count), "{printed}");
    assert_eq!(figure("Failed requests:"), Some(0), "{printed}");
    assert_eq!(figure("Non-2xx responses:"), None, "{printed}");
    if way.contains(&"-k") {
        let kept = figure("Keep-Alive requests:").unwrap_or(0);
        assert!(kept >= count - 16, "{printed}");
    }
}

/// To `git http-backend`, a CGI program that fcgiwrap runs: bodies of each kind that git sends; the trace shows which.
#[test]
#[ignore = "needs git and fcgiwrap; run tests/run"]
fn git_pushes_and_clones() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let (here, there) = (path("here"), path("there"));
    let programs = git(directory.path(), &["--exec-path"]);
    let projects = format!("GIT_PROJECT_ROOT={}", directory.path().display());
    let wrap = App::start(Program::Fcgiwrap { workers: 4 }, Transport::Unix);
    let address = wrap.listen().to_string();
    let fixed = [
        "--upstream",
        &address,
        "--remote",
        "--root",
        programs.trim(),
    ];
    let params = [
        "--param",
        "REMOTE_USER=ada",
        "--param",
        "GIT_HTTP_EXPORT_ALL=",
    ];
    let own = ["--extension", "", "--param", &projects];
    let mut proxy = Proxy::start(&[&fixed[..], &params, &own].concat());
    let remote = url(&proxy, "/git-http-backend/project.git");

    let init = ["init", "-q", "-b", "main"];
    git(
        directory.path(),
        &[&init[..], &["--bare", "project.git"]].concat(),
    );
    git(directory.path(), &[&init[..], &["here"]].concat());
    // A commit of its own for each branch, so that the request is longer than git sends uncompressed.
    for number in 0..40 {
        git(&here, &["commit", "-q", "--allow-empty", "-m", "empty"]);
        git(&here, &["branch", &format!("b{number}")]);
    }
    let trace = git(&here, &["push", &remote, "--all"]);
    assert!(trace.contains("=> Send header: Content-Length:"), "{trace}");
    // Longer than http.postBuffer, which is 1 MiB: the body is sent in chunks, after a request with a body of four
    // bytes.
    let waits = "http.extraHeader=Expect: 100-continue";
    for (seed, options) in [(1, &[][..]), (2, &["-c", waits])] {
        fs::write(here.join("file"), noise(seed, 3_000_001)).expect("a file");
        git(&here, &["add", "file"]);
        git(&here, &["commit", "-q", "-m", "a file"]);
        let trace = git(&here, &[options, &["push", &remote, "main"]].concat());
        let (chunks, goes_on) = (
            "=> Send header: Transfer-Encoding: chunked",
            " 100 Continue",
        );
        assert!(trace.contains(chunks), "{trace}");
        assert_eq!(trace.contains(goes_on), !options.is_empty(), "{trace}");
    }
    let trace = git(directory.path(), &["clone", &remote, "there"]);
    assert!(
        trace.contains("=> Send header: Content-Encoding: gzip"),
        "{trace}"
    );
    git(&there, &["fsck", "--strict"]);
    assert!(fs::read(there.join("file")).ok() == fs::read(here.join("file")).ok());
    let branches = git(&there, &["branch", "--remotes"]);
    assert!(branches.contains("origin/b39"), "{branches}");
    // The log is complete then.
    proxy.terminate();
    assert!(proxy.wait().success());
    let log = proxy.log();
    let mut lines = log
        .lines()
        .filter(|line| !line.starts_with("proxy: running as root"));
    assert!(lines.all(|line| line.contains(" HTTP/1.1\" 200 ")), "{log}");
}

/// What git prints, with its trace of HTTP.
fn git(directory: &Path, arguments: &[&str]) -> String {
    let directory = directory.to_str().expect("UTF-8");
    let fixed = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    Tool::new("git")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_TRACE_CURL", "1")
        .env("GIT_TRACE_CURL_NO_DATA", "1")
        .args(["-C", directory])
        .args(fixed)
        .args(arguments.iter().copied())
        .run()
}

/// Bytes that cannot be compressed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
