//! A request as a Web server has it, and the response to it.

use std::hint::black_box;

use mio_fcgi::Params;
use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};

/// 25 parameters.
pub(crate) const PARAMS: [(&str, &str); 25] = [
    ("GATEWAY_INTERFACE", "CGI/1.1"),
    ("SERVER_SOFTWARE", "bench/1.0"),
    ("QUERY_STRING", "id=4711&sort=up"),
    ("REQUEST_METHOD", "GET"),
    ("CONTENT_TYPE", ""),
    ("CONTENT_LENGTH", ""),
    ("SCRIPT_FILENAME", "/srv/www/shop/index.php"),
    ("SCRIPT_NAME", "/index.php"),
    ("REQUEST_URI", "/list/shoes?id=4711&sort=up"),
    ("DOCUMENT_URI", "/index.php"),
    ("DOCUMENT_ROOT", "/srv/www/shop"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("REQUEST_SCHEME", "https"),
    ("REMOTE_ADDR", "192.0.2.17"),
    ("REMOTE_PORT", "52614"),
    ("SERVER_ADDR", "192.0.2.1"),
    ("SERVER_PORT", "443"),
    ("SERVER_NAME", "shop.example.org"),
    ("REDIRECT_STATUS", "200"),
    ("HTTP_HOST", "shop.example.org"),
    (
        "HTTP_USER_AGENT",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "HTTP_ACCEPT",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("HTTP_ACCEPT_ENCODING", "gzip, deflate, br, zstd"),
    ("HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.8,de;q=0.5,fr;q=0.3"),
    (
        "HTTP_COOKIE",
        "session=0123456789abcdef0123456789abcdef; theme=light; cart=9f86d081884c7d65",
    ),
];

pub(crate) fn push_all(params: &mut Params) {
    for (name, value) in black_box(&PARAMS) {
        params.push(name, value);
    }
}

/// A whole response of one record of content.
pub(crate) fn response(request_id: u16) -> Vec<u8> {
    let content = b"Content-Type: text/plain\r\nContent-Length: 16\r\n\r\nxxxxxxxxxxxxxxxx";
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, RecordType::Stdout, request_id, content);
    wire::write_stream_end(&mut bytes, RecordType::Stdout, request_id);
    let end = EndRequest {
        app_status: 0,
        protocol_status: ProtocolStatus::RequestComplete,
    };
    wire::write_end_request(&mut bytes, request_id, end);
    bytes
}

/// An application's answers to rounds of N requests at a time on one connection, in their order. The request IDs take
/// turns; there is one ID more than requests at a time.
pub(crate) struct Answers {
    /// The answers for all IDs in their order, twice.
    bytes: Vec<u8>,
    /// The length of the answers until the IDs begin again, and the length of one round.
    cycle: usize,
    round: usize,
    next: usize,
}

impl Answers {
    /// `response` returns a response of the same length for each ID. A request with ID 1 has been answered before.
    pub(crate) fn new(at_a_time: u16, response: impl Fn(u16) -> Vec<u8>) -> Self {
        let all: Vec<u8> = (1..=at_a_time + 1).flat_map(response).collect();
        let len = all.len() / usize::from(at_a_time + 1);
        Self {
            bytes: [&all[..], &all[..]].concat(),
            cycle: all.len(),
            round: all.len() - len,
            next: len,
        }
    }

    pub(crate) fn next_round(&mut self) -> &[u8] {
        let start = self.next;
        let end = start + self.round;
        self.next = if end < self.cycle {
            end
        } else {
            end - self.cycle
        };
        &self.bytes[start..end]
    }
}
