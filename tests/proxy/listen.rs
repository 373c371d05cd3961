//! Where the proxy listens: several addresses, Unix sockets, sockets that systemd hands over.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use super::harness::{Proxy, TIME_LIMIT, run};
use crate::program::example;

/// The answer to a request on a connection of its own.
fn ask(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("room");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

const CLOSING: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn unix(path: &Path, settings: &str) -> String {
    format!("unix:{}{settings}", path.display())
}

/// What the program says if it cannot start.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

// edge: `--listen` several times, several threads | every thread serves each address; a line for each
#[test]
fn it_listens_at_several_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("http.sock");
    let places = ["127.0.0.1:0", "127.0.0.2:0", &unix(&path, "")];
    let mut proxy = Proxy::listening(&places, &["--threads", "3"]);
    let said = proxy.places().to_vec();
    assert_eq!(said.len(), 3);
    assert!(said[1].starts_with("127.0.0.2:") && !said[1].ends_with(":0"));
    assert_eq!(said[2], unix(&path, ""));
    for _ in 0..10 {
        assert_eq!(proxy.get("/tag?tag=a").text(), "a");
        let second = said[1].parse().expect("an address");
        assert!(ask_at(second).starts_with("HTTP/1.1 200 "));
        assert!(ask(&path, CLOSING).starts_with("HTTP/1.1 200 "));
    }
    proxy.terminate();
    assert!(proxy.wait().success());
    assert!(!path.exists());
}

// edge: `0.0.0.0` and `[::]` with the same port | both, each for its own kind of address; `[::]` alone serves both kinds
#[test]
fn all_addresses_of_both_kinds_can_be_listened_at() {
    if TcpListener::bind("[::1]:0").is_err() {
        return; // A machine without IPv6.
    }
    // The system gives none of these to a connection of another test.
    let is_free = |port: &u16| TcpListener::bind(("::", *port)).is_ok();
    let from = 20_000 + u16::try_from(std::process::id() % 10_000).expect("a number");
    let port = (from..32_000).find(is_free).expect("a port");
    let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    for places in [&[&*v4, &v6], &[&*v6, &v4]] {
        for threads in ["1", "2"] {
            let _proxy = Proxy::listening(places, &["--threads", threads]);
            for address in ["127.0.0.1", "[::1]"] {
                let address = format!("{address}:{port}").parse().expect("an address");
                assert!(ask_at(address).starts_with("HTTP/1.1 200 "));
            }
        }
    }
    let _proxy = Proxy::listening(&[&v6], &[]);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(ask_at(address).starts_with("HTTP/1.1 200 "));
}

// edge: a client on a Unix socket | REMOTE_ADDR `unix:`, as in nginx, and the port of the scheme
#[test]
fn a_client_of_a_unix_socket_has_no_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("http.sock");
    let places = ["127.0.0.1:0", &unix(&path, "")];
    let proxy = Proxy::listening(&places, &["--status", "--trusted-proxy", "unix:"]);
    let page = ask(&path, CLOSING);
    let cell = |name: &str| {
        let line = page.lines().find(|line| line.contains(name));
        line.unwrap_or_default().to_owned()
    };
    assert!(cell("REMOTE_ADDR").contains("unix:"), "{page}");
    assert_eq!(cell("REMOTE_PORT"), "");
    assert_eq!(cell("SERVER_ADDR"), "");
    assert!(cell("SERVER_PORT").contains("80"), "{page}");
    proxy.wait_for_log("unix: - - [");
    // The other end is a proxy that is trusted.
    let fields = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https";
    let page = ask(
        &path,
        &CLOSING.replace("Host: a", &format!("Host: a\r\n{fields}")),
    );
    for text in ["192.0.2.7", "HTTPS", "443"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    proxy.wait_for_log("192.0.2.7 - - [");
    let status = CLOSING
        .replace("GET /", "GET /-/status.json")
        .replace("Host: a", "Host: localhost");
    assert!(ask(&path, &status).contains("\"clients\":"));
}

#[test]
fn the_mode_of_a_unix_socket_is_set() {
    let folder = tempfile::tempdir().expect("a folder");
    for (settings, mode) in [(",mode=0660", 0o660), (",mode=777", 0o777), (",mode=0", 0)] {
        let path = folder.path().join("http.sock");
        let _proxy = Proxy::listening(&["127.0.0.1:0", &unix(&path, settings)], &[]);
        let permissions = fs::metadata(&path).expect("a socket").permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{settings}");
    }
}

// edge: a Unix socket that a killed proxy has left | replaced; one that is in use, and any other file | an error
#[test]
fn a_socket_that_nobody_listens_at_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("http.sock");
    let place = unix(&path, "");
    let places = ["127.0.0.1:0", &place];
    // As after SIGKILL.
    drop(UnixListener::bind(&path).expect("a socket"));
    let mut first = Proxy::listening(&places, &[]);
    assert!(ask(&path, CLOSING).starts_with("HTTP/1.1 200 "));
    let said = refused(&["--listen", &place]);
    assert!(said.contains("another process listens there"), "{said}");
    assert!(ask(&path, CLOSING).starts_with("HTTP/1.1 200 "));
    // Somebody else has taken the path meanwhile.
    fs::remove_file(&path).expect("a file");
    let _other = UnixListener::bind(&path).expect("a socket");
    first.terminate();
    assert!(first.wait().success());
    assert!(path.exists());
    let file = folder.path().join("file");
    fs::write(&file, "precious").expect("a file");
    let said = refused(&["--listen", &unix(&file, "")]);
    assert!(
        said.contains("no socket") && said.contains("remove it"),
        "{said}"
    );
    assert_eq!(fs::read(&file).expect("a file"), b"precious");
    let said = refused(&["--listen", &unix(&folder.path().join("none/x"), "")]);
    assert!(said.contains("cannot listen at unix:/"), "{said}");
    // The one that could be opened leaves no file behind.
    let left = folder.path().join("left");
    refused(&["--listen", &unix(&left, ""), "--listen", &unix(&file, "")]);
    assert!(!left.exists());
}

/// A proxy that got two sockets as from systemd: the shell moves them to where systemd puts them. Killed when dropped.
struct Activated {
    child: Child,
    addresses: [SocketAddr; 2],
    log: NamedTempFile,
}

impl Activated {
    /// `names` are the values of `FileDescriptorName=`.
    fn start(names: &str, arguments: &[&str]) -> Self {
        let proxy = example("proxy");
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let addresses = [0, 1].map(|at: usize| sockets[at].local_addr().expect("an address"));
        let [first, second] = sockets.map(OwnedFd::from);
        let log = NamedTempFile::new().expect("a file");
        let script = "exec 3<&0 4<&2 0</dev/null 2>>\"$LOG\"; export LISTEN_PID=$$; exec \"$@\"";
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(proxy.get_program())
            .args(arguments)
            .env("LOG", log.path())
            .env("LISTEN_FDS", "2")
            .env("LISTEN_FDNAMES", names)
            .stdin(first)
            .stderr(second)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        Self {
            child,
            addresses,
            log,
        }
    }

    /// The first lines of stdout, or fewer if it ends.
    fn lines(&mut self, count: usize) -> Vec<String> {
        let stdout = self.child.stdout.take().expect("it is piped");
        let lines = BufReader::new(stdout).lines().take(count);
        lines.map(|line| line.expect("a line")).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).expect("the log")
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask_at(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
    stream.write_all(CLOSING.as_bytes()).expect("room");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

// edge: sockets handed over by systemd, several threads | all of them, or those of a name, are served by every thread
#[test]
fn sockets_of_systemd_are_served() {
    let arguments = ["--threads", "2", "--listen", "systemd"];
    let mut proxy = Activated::start("web:admin", &arguments);
    let places = proxy
        .addresses
        .map(|it| format!("listening on http://{it}"));
    assert_eq!(proxy.lines(2), places, "{}", proxy.log());
    for _ in 0..10 {
        for address in proxy.addresses {
            assert!(ask_at(address).starts_with("HTTP/1.1 200 "));
        }
    }
    let arguments = ["--listen", "127.0.0.1:0", "--listen", "systemd:admin"];
    let mut proxy = Activated::start("web:admin", &arguments);
    let lines = proxy.lines(2);
    let admin = proxy.addresses[1];
    assert_eq!(lines[1], format!("listening on http://{admin}"));
    assert!(ask_at(admin).starts_with("HTTP/1.1 200 "));
    let said = "sockets of systemd that no --listen takes: 1; add --listen systemd";
    assert!(proxy.log().contains(said), "{}", proxy.log());
}

// edge: `--listen systemd` without a socket of it | an error that says what to do
#[test]
fn sockets_that_were_not_handed_over_are_an_error() {
    for place in ["systemd", "systemd:web"] {
        let said = refused(&["--listen", place]);
        assert!(said.contains(&format!("--listen {place}: ")), "{said}");
        assert!(said.contains("socket unit"), "{said}");
    }
    let mut proxy = Activated::start("web:admin", &["--listen", "systemd:other"]);
    assert_eq!(proxy.lines(1), [""; 0]);
    assert!(proxy.log().contains("no such socket"), "{}", proxy.log());
}
