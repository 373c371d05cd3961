//! Files below the document root.

use std::fs;
use std::net::Shutdown;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::harness::{Answer, Proxy, get, pattern};

struct Site {
    proxy: Proxy,
    root: TempDir,
}

/// A document root with some files. No application is running.
fn site(arguments: &[&str]) -> Site {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    fs::write(path("page.html"), "<p>page</p>").expect("a file");
    fs::write(path("digits.txt"), "0123456789").expect("a file");
    fs::write(path("large.bin"), pattern(3_000_001)).expect("a file");
    fs::write(path("empty.css"), "").expect("a file");
    fs::write(path(".htpasswd"), "secret").expect("a file");
    fs::write(path("index.php"), "<?php").expect("a file");
    fs::create_dir(path("sub")).expect("a directory");
    fs::write(path("sub/index.html"), "sub index").expect("a file");
    fs::create_dir(path("bare")).expect("a directory");
    let root_path = root.path().to_str().expect("UTF-8");
    let fixed = [
        "--upstream",
        "unix:/nonexistent/fcgi.sock",
        "--root",
        root_path,
    ];
    let proxy = Proxy::start(&[&fixed[..], arguments].concat());
    Site { proxy, root }
}

fn with(proxy: &Proxy, target: &str, fields: &str) -> Answer {
    proxy.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

// case 187
#[test]
fn files_are_sent_with_their_type() {
    let site = site(&[]);
    let mut client = site.proxy.connect();
    for (target, kind, body) in [
        ("/page.html", "text/html; charset=utf-8", "<p>page</p>"),
        (
            "/digits.txt?query",
            "text/plain; charset=utf-8",
            "0123456789",
        ),
        ("/empty.css", "text/css; charset=utf-8", ""),
        ("/sub/", "text/html; charset=utf-8", "sub index"),
    ] {
        client.send(get(target));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, body));
        assert_eq!(answer.field("content-type"), Some(kind));
        assert_eq!(answer.field("accept-ranges"), Some("bytes"));
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    }
    client.send(get("/large.bin"));
    let answer = client.answer();
    assert_eq!(
        answer.field("content-type"),
        Some("application/octet-stream")
    );
    assert!(answer.body == pattern(3_000_001));
    client.send("HEAD /digits.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("10"));
    client.send(get("/digits.txt"));
    assert_eq!(client.answer().text(), "0123456789");
}

// edge: `..` and dot files, encoded or not | 403; scripts are never sent as they are
#[test]
fn what_is_not_a_file_is_not_sent() {
    let site = site(&[]);
    let proxy = &site.proxy;
    for (target, status) in [
        ("/nothing", 404),
        ("/digits.txt/", 404),
        ("/digits.txt/x.php", 404),
        ("/.htpasswd", 403),
        ("/%2ehtpasswd", 403),
        ("/../secret", 403),
        ("/%2e%2e/secret", 403),
        ("/sub/..%2f..%2fsecret", 403),
        ("/bare/", 403),
        ("/%00", 400),
        ("/%zz", 400),
    ] {
        assert_eq!(proxy.get(target).status, status, "{target}");
    }
    let answer = proxy.get("/sub?a=b");
    assert_eq!(
        (answer.status, answer.field("location")),
        (301, Some("/sub/?a=b"))
    );
    let answer = proxy.ask("DELETE /digits.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (answer.status, answer.field("allow")),
        (405, Some("GET, HEAD"))
    );
    // A script is never sent as it is.
    assert_eq!(proxy.get("/index.php").status, 502);
    assert_eq!(proxy.get("/INDEX.PHP").status, 404);
}

// edge: a symbolic link out of the root | 403
#[cfg(unix)]
#[test]
fn a_link_out_of_the_root_is_not_followed() {
    let site = site(&[]);
    std::os::unix::fs::symlink("/etc/passwd", site.root.path().join("link.txt")).expect("a link");
    let answer = site.proxy.get("/link.txt");
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("leads out of the document root"));
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_root_is_followed_if_allowed() {
    let shared = tempfile::tempdir().expect("a directory");
    fs::write(shared.path().join("a.js"), "shared").expect("a file");
    let site = site(&[
        "--allow-symlinks-into",
        shared.path().to_str().expect("UTF-8"),
    ]);
    std::os::unix::fs::symlink(shared.path(), site.root.path().join("lib")).expect("a link");
    assert_eq!(site.proxy.get("/lib/a.js").text(), "shared");
}

// case 182
// edge: a link out of the root, to nothing | the same 403 as for a file
#[cfg(unix)]
#[test]
fn the_answer_does_not_tell_what_is_outside() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("a.txt"), "secret").expect("a file");
    for arguments in [&[][..], &["--fallback", "/index.php"]] {
        let site = site(arguments);
        symlink(outside.path(), site.root.path().join("out")).expect("a link");
        let told = |target: &str| {
            let answer = site.proxy.get(target);
            (answer.status, answer.text())
        };
        for target in [
            "/out/none.txt",
            "/out/none/",
            "/out/none.php",
            "/out",
            "/out/",
        ] {
            assert_eq!(told(target), told("/out/a.txt"), "{target}");
        }
        assert_eq!(told("/out/a.txt").0, 403);
    }
}

// case 187
// edge: a link to a dot file, to a script; copies of scripts, files that others run or include | 403
#[cfg(unix)]
#[test]
fn no_other_name_shows_a_hidden_file_or_a_source() {
    use std::os::unix::fs::symlink;
    let names = ["a.phtml", "a.inc", "index.php.bak", "index.php~"];
    let write = |site: &Site| {
        for name in names {
            fs::write(site.root.path().join(name), "source").expect("a file");
        }
    };
    let site = site(&[]);
    write(&site);
    for (to, from) in [(".htpasswd", "password.txt"), ("index.php", "index.txt")] {
        symlink(to, site.root.path().join(from)).expect("a link");
        assert_eq!(site.proxy.get(&format!("/{from}")).status, 403, "{from}");
    }
    for name in names {
        assert_eq!(site.proxy.get(&format!("/{name}")).status, 403, "{name}");
    }
    let site = self::site(&["--send-sources"]);
    write(&site);
    for name in names {
        assert_eq!(
            site.proxy.get(&format!("/{name}")).text(),
            "source",
            "{name}"
        );
    }
}

// edge: ranges, right and wrong ones | 206, 416 or the whole
#[test]
fn a_part_of_a_file_is_sent() {
    let site = site(&[]);
    for (range, status, content_range, body) in [
        ("bytes=0-3", 206, Some("bytes 0-3/10"), "0123"),
        ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-2", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=5-100", 206, Some("bytes 5-9/10"), "56789"),
        ("bytes=-100", 206, Some("bytes 0-9/10"), "0123456789"),
        ("Bytes=0-3", 206, Some("bytes 0-3/10"), "0123"),
        (
            "bytes=8-99999999999999999999",
            206,
            Some("bytes 8-9/10"),
            "89",
        ),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=99999999999999999999-", 416, Some("bytes */10"), ""),
        ("bytes=-0", 416, Some("bytes */10"), ""),
        ("bytes=3-2", 200, None, "0123456789"),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("lines=0-1", 200, None, "0123456789"),
        ("bytes=+1-2", 200, None, "0123456789"),
        ("bytes=-", 200, None, "0123456789"),
    ] {
        let answer = with(&site.proxy, "/digits.txt", &format!("Range: {range}\r\n"));
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.field("content-range"), content_range, "{range}");
        assert_eq!(answer.text(), body, "{range}");
    }
    // A suffix range of an empty file is the whole file.
    for (range, status) in [("bytes=-5", 200), ("bytes=0-", 416)] {
        let answer = with(&site.proxy, "/empty.css", &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{range}");
    }
}

// edge: If-Match and If-Unmodified-Since, also in several lines | 412 when they do not hold
#[test]
fn a_version_that_the_client_did_not_ask_for_is_not_sent() {
    let site = site(&[]);
    let first = site.proxy.get("/digits.txt");
    let etag = first.field("etag").expect("a tag");
    let modified = first.field("last-modified").expect("a date");
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (fields, status) in [
        (format!("If-Match: {etag}\r\n"), 200),
        (format!("If-Match: \"x\", {etag}\r\n"), 200),
        (format!("If-Match: \"x\"\r\nIf-Match: {etag}\r\n"), 200),
        ("If-Match: *\r\n".to_owned(), 200),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        // If-Match compares strongly: a weak tag never matches.
        (format!("If-Match: W/{etag}\r\n"), 412),
        (format!("If-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"), 412),
        (format!("If-Unmodified-Since: {modified}\r\n"), 200),
        (format!("If-Unmodified-Since: {old}\r\n"), 412),
        (
            format!("If-Unmodified-Since: {old}\r\nIf-Match: {etag}\r\n"),
            200,
        ),
        ("If-Unmodified-Since: yesterday\r\n".to_owned(), 200),
        ("If-Match: \"x\"\r\nRange: bytes=0-1\r\n".to_owned(), 412),
    ] {
        let answer = with(&site.proxy, "/digits.txt", &fields);
        assert_eq!(answer.status, status, "{fields}");
    }
}

// edge: a FIFO that takes the place of a file | 404 without waiting for a writer
#[cfg(target_os = "linux")]
#[test]
fn a_fifo_in_the_place_of_a_file_does_not_stop_the_loop() {
    use rustix::fs::{CWD, FileType, Mode};
    // So that it is taken for a file until it is opened.
    let site = site(&["--cache-lookups", "1000"]);
    let path = site.root.path().join("digits.txt");
    assert_eq!(site.proxy.get("/digits.txt").status, 200);
    fs::remove_file(&path).expect("a file");
    let fifo = FileType::Fifo;
    rustix::fs::mknodat(CWD, &path, fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    assert_eq!(site.proxy.get("/digits.txt").status, 404);
    assert_eq!(site.proxy.get("/page.html").status, 200);
}

// edge: a client that ends its side of the stream, and reads on | gets its file whole
#[test]
fn a_file_is_sent_to_a_client_that_has_ended_its_stream() {
    let site = site(&[]);
    // More than the system buffers on both sides.
    let content = pattern(30_000_000);
    fs::write(site.root.path().join("large.bin"), &content).expect("a file");
    let mut client = site.proxy.connect_narrow();
    client.send(get("/large.bin"));
    client.stream.peek(&mut [0]).expect("an answer");
    client
        .stream
        .shutdown(Shutdown::Write)
        .expect("a connection");
    let answer = client.answer();
    assert!(answer.is_whole && answer.body == content);
    client.assert_closed();
}

// edge: a file that shrinks while it is sent | the connection closes before the end of the body
#[test]
fn a_file_that_shrinks_while_it_is_sent_is_cut() {
    let site = site(&[]);
    let mut client = site.proxy.connect_narrow();
    let path = site.root.path().join("large.bin");
    fs::write(&path, pattern(30_000_000)).expect("a file");
    client.send(get("/large.bin"));
    client.stream.peek(&mut [0]).expect("an answer");
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(1_000_000))
        .expect("a file");
    let answer = client.answer();
    assert_eq!(answer.field("content-length"), Some("30000000"));
    assert!(!answer.is_whole);
    site.proxy.wait_for_log("a file is cut short");
}

#[test]
fn a_version_that_the_client_has_is_not_sent_again() {
    let site = site(&[]);
    let first = site.proxy.get("/digits.txt");
    let etag = first.field("etag").expect("a tag");
    let modified = first.field("last-modified").expect("a date");
    for fields in [
        format!("If-None-Match: {etag}\r\n"),
        format!("If-None-Match: \"x\", W/{etag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
        format!("If-Modified-Since: {modified}\r\n"),
        format!("If-None-Match: {etag}\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
    ] {
        let answer = with(&site.proxy, "/digits.txt", &fields);
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{fields}");
        assert_eq!(answer.field("etag"), Some(etag));
    }
    for fields in [
        "If-None-Match: \"x\"\r\n".to_owned(),
        format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"),
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(),
        "If-Modified-Since: yesterday\r\n".to_owned(),
    ] {
        assert_eq!(
            with(&site.proxy, "/digits.txt", &fields).status,
            200,
            "{fields}"
        );
    }
    // A part of another version than the client's would not fit.
    for (condition, status) in [(etag, 206), (modified, 206), ("\"x\"", 200)] {
        let fields = format!("Range: bytes=0-1\r\nIf-Range: {condition}\r\n");
        assert_eq!(
            with(&site.proxy, "/digits.txt", &fields).status,
            status,
            "{condition}"
        );
    }
    let file = fs::File::options()
        .append(true)
        .open(site.root.path().join("digits.txt"));
    let later = SystemTime::now() + Duration::from_secs(10);
    file.and_then(|file| file.set_modified(later))
        .expect("a file");
    let answer = with(
        &site.proxy,
        "/digits.txt",
        &format!("If-None-Match: {etag}\r\n"),
    );
    assert_eq!(answer.status, 200);
}

/// RFC 9110, 8.8.2.1. With such a date, a client would consider its copy current until then.
// edge: a file that was modified in the future | its date is that of the response, and no range is served by it
#[test]
fn no_file_is_newer_than_its_response() {
    let site = site(&[]);
    let file = fs::File::options()
        .append(true)
        .open(site.root.path().join("digits.txt"));
    let future = SystemTime::now() + Duration::from_secs(86_400);
    file.and_then(|file| file.set_modified(future))
        .expect("a file");
    let first = site.proxy.get("/digits.txt");
    let modified = first.field("last-modified").expect("a date");
    assert_eq!(first.field("date"), Some(modified));
    let range = format!("Range: bytes=0-1\r\nIf-Range: {modified}\r\n");
    for (fields, status) in [
        (
            format!("If-None-Match: {}\r\n", first.field("etag").expect("a tag")),
            304,
        ),
        (format!("If-Modified-Since: {modified}\r\n"), 200),
        (range, 200),
    ] {
        let answer = with(&site.proxy, "/digits.txt", &fields);
        assert_eq!(answer.status, status, "{fields}");
        assert_eq!(answer.field("last-modified"), answer.field("date"));
    }
}

#[test]
fn a_front_controller_gets_paths_that_are_not_files() {
    let site = site(&["--fallback", "/index.php"]);
    for (target, status) in [("/page.html", 200), ("/.htpasswd", 403)] {
        assert_eq!(site.proxy.get(target).status, status, "{target}");
    }
    // No application is running, so 502 or 503 shows that the request was meant for it.
    for target in ["/news/2024", "/bare/"] {
        assert!(site.proxy.get(target).status >= 502, "{target}");
    }
}

#[test]
fn a_remote_root_has_no_files_here() {
    let site = site(&["--remote"]);
    assert_eq!(site.proxy.get("/page.html").status, 404);
    let site = self::site(&["--remote", "--fallback", "/index.php"]);
    assert_eq!(site.proxy.get("/page.html").status, 502);
}
