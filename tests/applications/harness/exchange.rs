//! One FastCGI request on blocking sockets, as small as it can be: proof that an application answers, independent of
//! the library under test. The records are well-formed, padded to 8 bytes, and no name-value pair is split.

use std::io::{self, Read};

use super::{Listen, Stream};

/// A request to a Responder.
#[derive(Debug)]
pub(crate) struct Request {
    params: Vec<(String, String)>,
    body: Vec<u8>,
    keep: bool,
}

/// All that an application sent up to its `FCGI_END_REQUEST`.
#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) app_status: u32,
    pub(crate) protocol_status: u8,
}

impl Request {
    /// A GET of `uri`, path and query.
    pub(crate) fn get(uri: &str) -> Self {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let params = [
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", uri),
            ("SCRIPT_NAME", path),
            ("QUERY_STRING", query),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", "80"),
            ("HTTP_HOST", "localhost"),
        ];
        Self {
            params: params
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            body: Vec::new(),
            keep: false,
        }
    }

    /// A POST of `body` to `uri`.
    pub(crate) fn post(uri: &str, body: Vec<u8>) -> Self {
        let mut request = Self::get(uri).param("CONTENT_LENGTH", &body.len().to_string());
        request.params[0].1 = "POST".into();
        request.body = body;
        request.param("CONTENT_TYPE", "application/octet-stream")
    }

    pub(crate) fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Asks the application to keep the connection (`FCGI_KEEP_CONN`).
    pub(crate) fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Exchanges the request for a response on a connection of its own.
    pub(crate) fn send(&self, listen: &Listen) -> io::Result<Response> {
        let mut stream = listen.connect()?;
        self.send_on(stream.as_mut())
    }

    /// Exchanges the request for a response. The body is written before anything is read.
    pub(crate) fn send_on(&self, stream: &mut dyn Stream) -> io::Result<Response> {
        stream.write_all(&self.encode())?;
        read_response(stream)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        record(
            &mut bytes,
            BEGIN_REQUEST,
            &[0, 1, self.keep.into(), 0, 0, 0, 0, 0],
        );
        for (name, value) in &self.params {
            let mut pair = Vec::new();
            for part in [name, value] {
                let len = u32::try_from(part.len()).expect("a test's parameter is short");
                pair.extend((len | 1 << 31).to_be_bytes());
            }
            pair.extend(name.bytes().chain(value.bytes()));
            record(&mut bytes, PARAMS, &pair);
        }
        record(&mut bytes, PARAMS, &[]);
        for piece in self.body.chunks(65_528) {
            record(&mut bytes, STDIN, piece);
        }
        record(&mut bytes, STDIN, &[]);
        bytes
    }
}

impl Response {
    /// The body: what follows the head's empty line.
    pub(crate) fn body(&self) -> &[u8] {
        let head = self
            .stdout
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        let head = head.unwrap_or_else(|| {
            panic!(
                "no end of a head: {:?}",
                String::from_utf8_lossy(&self.stdout)
            )
        });
        &self.stdout[head + 4..]
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(self.body()).expect("a body that is text")
    }

    /// The value of a field of the head.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let head = &self.stdout[..self.stdout.len() - self.body().len()];
        let lines = str::from_utf8(head).expect("a head that is text").lines();
        lines
            .filter_map(|line| line.split_once(": "))
            .find_map(|(known, value)| (known == name).then_some(value))
    }
}

fn record(bytes: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let len = u16::try_from(content.len()).expect("content fits a record");
    let padding = content.len().next_multiple_of(8) - content.len();
    bytes.extend([1, kind, 0, REQUEST_ID]);
    bytes.extend(len.to_be_bytes());
    // Below 8.
    bytes.extend([padding as u8, 0]);
    bytes.extend(content);
    bytes.resize(bytes.len() + padding, 0);
}

fn read_response(stream: &mut dyn Read) -> io::Result<Response> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header)?;
        let [version, kind, _, id, high, low, padding, _] = header;
        assert_eq!(
            (version, id),
            (1, REQUEST_ID),
            "a record for another request: {header:?}"
        );
        let len = usize::from(u16::from_be_bytes([high, low]));
        let mut content = vec![0; len + usize::from(padding)];
        stream.read_exact(&mut content)?;
        content.truncate(len);
        match kind {
            STDOUT => stdout.extend(content),
            STDERR => stderr.extend(content),
            END_REQUEST => {
                let [a, b, c, d, protocol_status, ..] = content[..] else {
                    panic!("FCGI_END_REQUEST with {len} bytes");
                };
                return Ok(Response {
                    stdout,
                    stderr,
                    app_status: u32::from_be_bytes([a, b, c, d]),
                    protocol_status,
                });
            }
            _ => panic!("a record of type {kind} from an application"),
        }
    }
}

const REQUEST_ID: u8 = 1;
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
