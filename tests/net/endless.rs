//! `blocking::call` and an application that goes on with output that nobody gets.

use mio_fcgi::blocking;
use mio_fcgi::cgi::{Collector, Completeness};
use mio_fcgi::wire::{self, RecordType};
use mio_fcgi::{Request, RequestError};

use crate::peer::{Peer, TIME_LIMIT};

// case 176
#[test]
fn a_call_ends_although_the_application_goes_on_for_ever() {
    for (method, head) in [
        ("HEAD", &b"Content-Length: 4\n\n"[..]),
        ("HEAD", b"A: b\n\n"),
        ("GET", b"Status: 204\n\n"),
        ("GET", b"Status: 304\n\n"),
    ] {
        let peer = Peer::tcp(move |listener| {
            let (mut connection, request) = listener.accept_request();
            let mut head_record = Vec::new();
            wire::write_stream(&mut head_record, RecordType::Stdout, request.id, head);
            let mut record = Vec::new();
            wire::write_stream(&mut record, RecordType::Stdout, request.id, &[b'x'; 8000]);
            let mut sent = connection.try_send(&head_record);
            while sent.is_ok() {
                sent = connection.try_send(&record);
            }
        });
        let collector = Collector::default().with_method(method);
        let request = Request::responder();
        let response = blocking::call_with(&peer.address(), request, TIME_LIMIT, collector)
            .expect("a response");
        assert_eq!(response.completeness, Completeness::LengthReached);
        let error = response.outcome.expect_err("it was not waited for").error;
        assert_eq!(error, RequestError::Aborted, "{method}");
        peer.join();
    }
}
