//! FastCGI applications that misbehave, record by record.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};

use super::harness::TIME_LIMIT;

/// Starts an application that handles its connections one after the other with `serve`. Its thread ends with the test's
/// process.
pub(crate) fn application(
    serve: impl Fn(usize, TcpStream) + Send + 'static,
) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let thread = std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let stream = stream.expect("a connection");
            stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
            serve(index, stream);
        }
    });
    (address, thread)
}

/// Reads records until an empty STDIN: the end of a request.
pub(crate) fn read_request(stream: &mut TcpStream) -> bool {
    loop {
        let mut header = [0; 8];
        if stream.read_exact(&mut header).is_err() {
            return false;
        }
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut content = vec![0; len + usize::from(header[6])];
        if stream.read_exact(&mut content).is_err() {
            return false;
        }
        if header[1] == 5 && len == 0 {
            return true;
        }
    }
}

/// The records of a complete response to the request with this ID.
pub(crate) fn whole_for(id: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, RecordType::Stdout, id, content);
    let end = EndRequest {
        app_status: 0,
        protocol_status: ProtocolStatus::RequestComplete,
    };
    wire::write_end_request(&mut bytes, id, end);
    bytes
}

/// STDOUT records with this content for request 1.
pub(crate) fn stdout(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, RecordType::Stdout, 1, content);
    bytes
}

/// An `FCGI_END_REQUEST` record for request 1 with this protocol status.
pub(crate) fn end(protocol_status: ProtocolStatus) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = EndRequest {
        app_status: 0,
        protocol_status,
    };
    wire::write_end_request(&mut bytes, 1, end);
    bytes
}
