//! Files that are open for clients: how many there may be, and that they leave descriptors to everything else.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::harness::{HttpClient, Proxy, get, pattern};
use super::program::example;
use super::witness::witness;

/// A document root with a script, a short file and one that is longer than what the system buffers.
fn root() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (name, len) in [
        ("a.php", 0),
        ("short.bin", 64 * 1024),
        ("long.bin", 12_000_000),
    ] {
        fs::write(root.path().join(name), pattern(len)).expect("a file");
    }
    root
}

/// Starts the proxy with a limit of descriptors.
fn with_limit(limit: u32, upstream: &str, root: &TempDir) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c");
    command.arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\""));
    command.arg(example("proxy").get_program());
    let root = root.path().to_str().expect("UTF-8");
    command.args(["--upstream", upstream, "--root", root]);
    command.args(["--keepalive-timeout", "600", "--idle-timeout", "0.001"]);
    command
}

/// A client that does not read its response beyond the first bytes.
fn slow(proxy: &Proxy, target: &str) -> (HttpClient, bool) {
    let mut client = proxy.connect_narrow();
    client.send(get(target));
    let mut start = [0; 12];
    client.stream.peek(&mut start).expect("an answer");
    let is_served = start.ends_with(b"200");
    if !is_served {
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("retry-after")),
            (503, Some("1"))
        );
    }
    (client, is_served)
}

// case 179
// edge: 200 slow downloads of a long file | memory bounded: what they do not take is not read
#[cfg(target_os = "linux")]
#[test]
fn slow_downloads_cost_little_memory() {
    let root = root();
    let path = root.path().to_str().expect("UTF-8");
    let arguments = ["--upstream", "127.0.0.1:9", "--root", path];
    let mut command = example("proxy");
    command.args([&arguments[..], &["--client-timeout", "600"]].concat());
    let proxy = Proxy::launch(command);
    assert_eq!(proxy.get("/long.bin").body.len(), 12_000_000);
    let before = proxy.resident();
    let mut clients: Vec<HttpClient> = (0..200).map(|_| slow(&proxy, "/long.bin").0).collect();
    assert_eq!(proxy.get("/short.bin").status, 200);
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 4_000_000, "{grown} bytes");
    for client in clients.iter_mut().step_by(67) {
        assert!(client.answer().body == pattern(12_000_000));
    }
}

// case 178
// edge: slow downloads, as many as there are descriptors for files and more | 503 beyond; the application and short files are served
#[test]
fn downloads_leave_descriptors_to_the_application() {
    let (address, _told) = witness(|_| b"Content-Length: 3\r\n\r\nran".to_vec());
    let root = root();
    let proxy = Proxy::launch(with_limit(64, &address, &root));
    proxy.wait_for_log("serving 24 clients at a time instead of 8192, with 7 files open for them");
    let mut clients: Vec<_> = (0..20).map(|_| slow(&proxy, "/long.bin")).collect();
    let served = clients.iter().filter(|client| client.1).count();
    assert_eq!(served, 7);
    for _ in 0..3 {
        assert_eq!(proxy.get("/a.php").text(), "ran");
        assert!(proxy.get("/short.bin").body == pattern(64 * 1024));
    }
    let head = proxy.ask("HEAD /long.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    // Whoever has got a file gives the next one its place, and so does whoever goes away.
    let first = clients.iter_mut().find(|client| client.1).expect("one");
    assert!(first.0.answer().body == pattern(12_000_000));
    assert!(proxy.get("/long.bin").is_whole);
    clients.clear();
    let again: Vec<_> = (0..7).map(|_| slow(&proxy, "/long.bin")).collect();
    assert!(again.iter().any(|client| client.1));
}

// case 178
// edge: a client that reads a short file slowly | the file is not kept open
#[cfg(target_os = "linux")]
#[test]
fn a_short_file_is_not_kept_open() {
    let root = root();
    let is_open = |proxy: &Proxy, name: &str| {
        let folder = fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("it lives");
        let mut targets = folder
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| target.ends_with(name))
    };
    let proxy = Proxy::launch(with_limit(1024, "unix:/nonexistent/fcgi.sock", &root));
    let (mut client, _) = slow(&proxy, "/short.bin");
    assert!(!is_open(&proxy, "short.bin"));
    assert!(client.answer().body == pattern(64 * 1024));
    let (mut client, _) = slow(&proxy, "/long.bin");
    assert!(is_open(&proxy, "long.bin"));
    assert!(client.answer().body == pattern(12_000_000));
}

// edge: a limit of descriptors that leaves no client or no file | an error that says what to do
#[test]
fn a_limit_that_is_too_low_is_an_error() {
    let root = root();
    for (limit, is_enough) in [(34, false), (35, true)] {
        let mut command = with_limit(limit, "unix:/nonexistent/fcgi.sock", &root);
        if is_enough {
            let proxy = Proxy::launch(command);
            assert!(proxy.get("/long.bin").is_whole);
            continue;
        }
        let ended = command.output().expect("a shell");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("lower --max-conns or --threads"),
            "{stderr}"
        );
    }
}
