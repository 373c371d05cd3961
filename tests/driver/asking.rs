//! `blocking::get_values`: each way in which a server is up, or is not.

use std::net::TcpListener;
use std::time::Duration;

use mio_fcgi::wire::{self, DecodeError, RecordType};
use mio_fcgi::{Address, ConnectError, ProtocolError, RequestError, TimeoutKind, blocking};

use crate::peer::{self, Listener, PATIENCE, Peer};

/// Answers one question.
fn answer(listener: Listener) {
    let mut connection = listener.accept();
    assert!(connection.request().is_none(), "a question, not a request");
    let mut said = Vec::new();
    wire::write_pair(&mut said, b"FCGI_MPXS_CONNS", b"0").expect("a short pair");
    let mut octets = Vec::new();
    wire::write_record(&mut octets, RecordType::GetValuesResult, 0, &said).expect("a short record");
    connection.send(&octets);
    connection.rest();
}

/// Why there is no answer.
fn failure(address: &Address, limit: Duration) -> RequestError {
    let error = blocking::get_values(address, limit).expect_err("no answer");
    error.failure().expect("it was asked").error.clone()
}

#[test]
fn a_server_that_answers_is_up() {
    let peer = Peer::unix(answer);
    let said = blocking::get_values(&peer.address(), PATIENCE).expect("an answer");
    assert_eq!((said.multiplexes, said.max_conns), (Some(false), None));
    peer.join();
}

#[test]
fn a_server_without_a_process_to_spare_is_told_from_one_that_is_down() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = Address::Tcp(listener.local_addr().expect("it is bound"));
    // The system accepts, nobody else does.
    let busy = failure(&address, Duration::from_millis(200));
    assert_eq!(busy, RequestError::TimedOut(TimeoutKind::Probe));
    let (address, _socket) = peer::refusing();
    let down = failure(&Address::Tcp(address), PATIENCE);
    let refused = ConnectError::Failed(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(down, RequestError::Connect(refused));
}

#[test]
fn an_http_server_is_told_as_such() {
    let peer = Peer::tcp(|listener| {
        let mut connection = listener.accept();
        assert!(connection.request().is_none(), "a question, not a request");
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        connection.rest();
    });
    let http = ProtocolError::Decode(DecodeError::Http);
    let found = failure(&peer.address(), PATIENCE);
    assert_eq!(found, RequestError::Protocol(http));
    peer.join();
}
