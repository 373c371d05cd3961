//! `get` and an application that is not listening yet, or not at each of its addresses.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio_fcgi::Address;
use mio_fcgi::wire::{self, RecordType};

use crate::peer::{self, Listener, Peer, TIME_LIMIT};
use crate::program::{Ended, example, run};

fn get(address: &str, arguments: &[&str]) -> Ended {
    let connect = ["--connect", address, "--timeout", "45"];
    run(example("get").args(connect).args(arguments), b"")
}

const PAGE: &[&str] = &["--script", "/x.php"];
const VALUES: &[&str] = &["--values"];

/// Answers one request, or one `FCGI_GET_VALUES`.
fn serve(listener: Listener) {
    let mut connection = listener.accept();
    match connection.request() {
        Some(request) => connection.answer(request.id, b"up"),
        None => {
            let mut said = Vec::new();
            wire::write_pair(&mut said, wire::MPXS_CONNS.as_bytes(), b"0").expect("a short pair");
            let mut bytes = Vec::new();
            wire::write_record(&mut bytes, RecordType::GetValuesResult, 0, &said)
                .expect("a short record");
            connection.send(&bytes);
        }
    }
    connection.rest();
}

fn start_late(path: std::path::PathBuf) -> JoinHandle<()> {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let listener = UnixListener::bind(&path).expect("the directory is ours");
        serve(Listener::Unix(listener));
        std::fs::remove_file(path).expect("the socket is still there");
    })
}

#[test]
fn an_application_that_is_starting_is_retried_if_requested() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("late.sock");
    let address = format!("unix:{}", path.display());
    for (arguments, shown) in [(PAGE, "up"), (VALUES, "FCGI_MPXS_CONNS=0\n")] {
        get(&address, arguments).failed(7, &["no such socket"]);
        let starting = start_late(path.clone());
        let ended = get(&address, &[arguments, &["--connect-retry", "45"]].concat());
        ended.succeeded();
        assert_eq!(ended.text(), shown);
        starting.join().expect("no panic");
    }
}

#[test]
fn an_application_that_does_not_start_is_reported_after_that_time() {
    let (address, _socket) = peer::refusing();
    for arguments in [PAGE, VALUES] {
        let began = Instant::now();
        let wait = ["--connect-retry", "0.3"];
        let ended = get(&address.to_string(), &[arguments, &wait].concat());
        ended.failed(7, &["refused"]);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < TIME_LIMIT / 2,
            "{took:?}"
        );
    }
}

// case 131
#[test]
fn each_address_of_a_name_is_tried() {
    for arguments in [PAGE, VALUES] {
        let name = "localhost".to_owned();
        let resolved = Address::Host { name, port: 0 }.resolve();
        let last = resolved.expect("every system knows it").pop();
        let Some(Address::Tcp(last)) = last else {
            panic!("numeric addresses");
        };
        let listener = TcpListener::bind(last).expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let peer = Peer::run(Listener::Tcp(listener), last.into(), None, serve);
        get(&format!("localhost:{port}"), arguments).succeeded();
        peer.join();
    }
}

#[test]
fn a_name_without_an_address_has_its_own_status_whatever_is_asked() {
    for arguments in [PAGE, VALUES] {
        let ended = get("no-such-host.invalid:9000", arguments);
        ended.failed(6, &["no-such-host.invalid"]);
    }
}

#[test]
fn a_socket_path_that_no_system_accepts_is_reported_as_too_long() {
    let address = format!("unix:/tmp/{}.sock", "a".repeat(120));
    get(&address, PAGE).failed(2, &["too long", "at most"]);
}
