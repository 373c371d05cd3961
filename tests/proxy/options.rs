//! The command line.

use super::harness::{Proxy, get, run};
use crate::program::example;

#[test]
fn an_invalid_option_is_reported_in_one_line() {
    // A label of more than 63 bytes is no name: no resolver is asked.
    let nowhere = format!("{}:9000", "a".repeat(64));
    let long = format!("unix:/{}", "a".repeat(108));
    let long_name = format!("unix:@{}", "a".repeat(108));
    let cases: &[(&[&str], &str)] = &[
        (&["--nonsense"], "--nonsense"),
        (&["nonsense"], "nonsense"),
        (&["-x"], "-x"),
        (&["--listen"], "--listen expects a value"),
        (&["--listen", "here"], "--listen expects HOST:PORT"),
        (&["--listen", "127.0.0.1:0,proxy"], "'proxy' is neither"),
        (&["--listen", "127.0.0.1:0,mode=0660"], "'mode=0660' is"),
        (
            &["--listen", "unix:/a,mode=0999"],
            "--listen expects a mode",
        ),
        (
            &["--listen", "unix:/a,mode=01000"],
            "--listen expects a mode",
        ),
        (&["--listen", "unix:a"], "--listen expects unix:/PATH"),
        (&["--listen", &long], "--listen expects unix:/PATH"),
        (&["--listen", "systemd:"], "--listen expects HOST:PORT"),
        (
            &["--listen", "127.0.0.1:0,proxy-protocol"],
            "needs --trusted-proxy",
        ),
        (
            &["--trusted-proxy", "10.0.0.0/33"],
            "--trusted-proxy expects",
        ),
        (&["--trusted-proxy", "localhost"], "--trusted-proxy expects"),
        (
            &["--max-per-address", "-1"],
            "--max-per-address expects a number",
        ),
        (
            &["--listen", "127.0.0.1:99999"],
            "--listen expects HOST:PORT",
        ),
        (&["--threads", "0"], "--threads expects a number from 1"),
        (&["--threads", "many"], "'many'"),
        (&["--max-conns", "-1"], "--max-conns expects a number"),
        (&["--max-body", "10x"], "--max-body expects a size"),
        (
            &["--buffer-response", "-1"],
            "--buffer-response expects a size",
        ),
        (
            &["--buffer-request", "yes"],
            "--buffer-request expects on, off or a size",
        ),
        (&["--min-rate", "-1"], "--min-rate expects a size"),
        (&["--max-body", "99999999999g"], "--max-body expects a size"),
        (&["--max-head", "65k"], "--max-head expects a size from"),
        (&["--max-request-line", "9"], "a size from"),
        (&["--max-fields", "257"], "--max-fields expects a number"),
        (&["--read-timeout", "0"], "--read-timeout expects seconds"),
        (&["--read-timeout", "nan"], "--read-timeout expects seconds"),
        (
            &["--read-timeout", "1e99"],
            "--read-timeout expects seconds",
        ),
        (&["--multiplex", "maybe"], "auto, on, off"),
        (&["--multiplex", "on:0"], "on:N with N from 1 to 65535"),
        (&["--multiplex", "on:65536"], "on:N with N from 1"),
        (&["--multiplex", "on:"], "on:N with N from 1"),
        (&["--index", "a/b"], "--index expects a file's name"),
        (&["--index", ".."], "--index expects a file's name"),
        (&["--threads", "1\n2"], "not '1\\n2'"),
        (&["--two\nlines"], "--two\\nlines"),
        (&["--listen", &nowhere], &format!("--listen {nowhere}: ")),
        (&["--upstream", &long, "--root", "/"], "is too long"),
        (&["--upstream", &long_name, "--root", "/"], "is too long"),
        (&["--upstream", "127.0.0.1:0", "--root", "/"], "port 0"),
        (&["--upstream", "nowhere:0", "--root", "/"], "port 0"),
        (
            &["--connect-retry-timeout", "-1"],
            "--connect-retry-timeout expects seconds",
        ),
        (
            &["--upstream", "nowhere", "--root", "/"],
            "--upstream nowhere: ",
        ),
        (&["--upstream", "127.0.0.1:9000"], "--root DIR"),
        (
            &["--upstream", "127.0.0.1:9000", "--root", "/nonexistent"],
            "--remote",
        ),
        (
            &[
                "--upstream",
                "127.0.0.1:9000",
                "--root",
                "/",
                "--fallback",
                "x.php",
            ],
            "--fallback expects a path",
        ),
        (&["--root", "/"], "--upstream"),
        (&["--allow-symlinks-into", "/usr"], "--upstream"),
        (&["--extension", ".cgi"], "--upstream"),
        (&["--extension", ".a/b"], "--extension expects a dot"),
        (&["--extension", "php"], "such as .cgi, or '', not 'php'"),
        (&["--param", "A"], "--param expects NAME=VALUE"),
        (&["--param", "=b"], "--param expects NAME=VALUE"),
        (&["--param", "A B=c"], "--param expects NAME=VALUE"),
        (&["--param", "A=b\nc"], "--param expects NAME=VALUE"),
        (&["--threads", "9"], "--max-conns 8"),
        (&["--status=yes"], "--status"),
    ];
    for (arguments, expected) in cases {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let proxy = Proxy::start(&[]);
    let output = run(&["--listen", &proxy.address().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("cannot listen at 127.0.0.1:"), "{said}");
}

// Only threads of the same process share the port.
#[cfg(unix)]
#[test]
fn a_port_that_another_proxy_shares_among_its_threads_is_taken() {
    let proxy = Proxy::start(&["--threads", "2"]);
    let output = run(&["--threads", "2", "--listen", &proxy.address().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen at 127.0.0.1:"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_path_is_any_bytes_and_other_values_are_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let odd = OsStr::from_bytes(b"odd\xff");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join(odd);
    // Some file systems accept only text.
    if std::fs::create_dir(&root).is_ok() {
        std::fs::write(root.join("a.txt"), "there").expect("a file");
        let mut command = example("proxy");
        command.args(["--upstream", "127.0.0.1:1", "--root"]);
        command.arg(&root);
        assert_eq!(Proxy::launch(command).get("/a.txt").text(), "there");
    }
    let output = example("proxy").arg("--threads").arg(odd).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("not UTF-8"), "{said}");
}

#[test]
fn the_version_is_printed() {
    for option in ["--version", "-V"] {
        let output = run(&[option]);
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(said, concat!("proxy ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn the_retry_time_for_refused_connections_can_be_set() {
    // A port that was free a moment ago: connections to it are refused.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let failures = |retry_time| {
        let arguments = [
            "--connect-retry-timeout",
            retry_time,
            "--max-conns",
            "1",
            "--status",
        ];
        let proxy = Proxy::in_front_of(&address, &arguments);
        assert_eq!(proxy.get("/a.php").status, 502);
        proxy.figure("pool.connect_failures")
    };
    assert_eq!(failures("0"), 1);
    assert!(failures("0.3") > 1);
}

#[test]
fn an_upstream_that_is_not_found_is_named() {
    // A label of more than 63 bytes is no name: no resolver is asked.
    let nowhere = format!("{}:9000", "a".repeat(64));
    let output = run(&["--upstream", &nowhere, "--root", "/", "--remote"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("--upstream {nowhere}: ")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn help_names_every_option() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    for option in [
        "listen",
        "upstream",
        "root",
        "script-root",
        "realpath",
        "mount",
        "no-exec",
        "fpm-status",
        "resolve",
        "index",
        "multiplex",
        "max-conns",
        "max-idle",
        "idle-timeout",
        "connect-timeout",
        "connect-retry-timeout",
        "read-timeout",
        "write-timeout",
        "request-timeout",
        "queue",
        "max-body",
        "max-head",
        "max-request-line",
        "max-fields",
        "threads",
        "trusted-proxy",
        "max-per-address",
        "half-close",
        "fallback",
        "allow-symlinks-into",
        "extension",
        "send-sources",
        "cache-lookups",
        "no-local-redirects",
        "param",
        "underscores",
        "pass-authorization",
        "remote",
        "status",
        "no-access-log",
        "max-clients",
        "keepalive-timeout",
        "header-timeout",
        "client-timeout",
        "buffer-response",
        "shutdown-timeout",
        #[cfg(target_os = "linux")]
        "user",
        "version",
    ] {
        let is_there = |end| help.contains(&format!("--{option}{end}"));
        assert!(is_there(' ') || is_there('\n'), "{option}");
    }
    assert!(help.lines().all(|line| line.len() <= 110), "{help}");
}

#[test]
fn the_pages_name_only_options_that_there_are() {
    let output = run(&["--help"]);
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    for (page, least) in [
        (include_str!("../../examples/proxy/IN_PRODUCTION.md"), 21),
        (include_str!("../../examples/proxy/COMPARED.md"), 11),
        (SECURITY, 21),
    ] {
        let words = page.split(|sign: char| !(sign.is_ascii_lowercase() || sign == '-'));
        let options = words.filter(|word| word.starts_with("--") && !word.ends_with('-'));
        let mut count = 0;
        for option in options.filter(|option| !["--help", "--unix-socket"].contains(option)) {
            let is_there = |end| help.contains(&format!("{option}{end}"));
            assert!(is_there(' ') || is_there('\n'), "{option}");
            count += 1;
        }
        assert!(count >= least, "{count} options");
    }
}

#[test]
fn the_page_about_security_has_the_defaults_of_the_limits() {
    let output = run(&["--help"]);
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let texts: Vec<&str> = help.split("\n      --").collect();
    let mut count = 0;
    for line in SECURITY.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, _, option, default, ..] = cells[..] else {
            continue;
        };
        let Some(option) = option.strip_prefix("`--") else {
            continue;
        };
        let name = format!("{} ", option.trim_end_matches('`'));
        let text = texts.iter().find(|text| text.starts_with(&name));
        let text = text.unwrap_or_else(|| panic!("{name}"));
        let default = default.split(' ').next().unwrap_or_default();
        assert!(text.contains(&format!("({default})")), "{name}{text}");
        count += 1;
    }
    assert!(count > 10, "{count} limits");
}

const SECURITY: &str = include_str!("../../examples/proxy/SECURITY.md");

#[test]
fn every_thread_serves() {
    let proxy = Proxy::start(&["--threads", "3"]);
    for _ in 0..20 {
        let mut client = proxy.connect();
        client.send(get("/tag?tag=a"));
        assert_eq!(client.answer().text(), "a");
    }
}

#[test]
fn every_way_to_multiplex_works() {
    for choice in ["auto", "on", "on:1", "on:65535", "off"] {
        let proxy = Proxy::start(&["--multiplex", choice]);
        for index in 0..5 {
            assert_eq!(
                proxy.get(&format!("/tag?tag=n{index}")).text(),
                format!("n{index}")
            );
        }
    }
}
