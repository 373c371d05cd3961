//! An application that notes what it is asked.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};

use mio_fcgi::wire::Pairs;

use super::application::{application, whole_for};

pub(crate) type Params = HashMap<String, String>;

/// The request that an application received.
pub(crate) struct ReceivedRequest {
    id: u16,
    /// The flag `FCGI_KEEP_CONN`: the connection stays open after the request.
    pub(crate) keeps: bool,
    /// Each byte as the character of its number.
    pub(crate) params: Params,
    pub(crate) stdin: Vec<u8>,
}

impl ReceivedRequest {
    /// A parameter; empty if it is absent.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }
}

/// An application that sends this output for each request, and a channel of the requests it received.
pub(crate) fn witness(
    answer: impl Fn(&ReceivedRequest) -> Vec<u8> + Send + 'static,
) -> (String, Receiver<ReceivedRequest>) {
    let (sender, told) = channel();
    let (address, _) = application(move |_, mut stream| {
        while let Some(told) = receive(&mut stream) {
            // The proxy may have closed the connection by then.
            let records = whole_for(told.id, &answer(&told));
            let is_sent = stream.write_all(&records).is_ok();
            if sender.send(told).is_err() || !is_sent {
                return;
            }
        }
    });
    (address, told)
}

/// Reads a request up to its empty STDIN. `None` at the end of the connection.
fn receive(stream: &mut TcpStream) -> Option<ReceivedRequest> {
    let (mut id, mut keeps, mut bytes, mut stdin) = (0, false, Vec::new(), Vec::new());
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header).ok()?;
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut content = vec![0; len + usize::from(header[6])];
        stream.read_exact(&mut content).ok()?;
        content.truncate(len);
        match (header[1], len) {
            (1, 8) => {
                id = u16::from_be_bytes([header[2], header[3]]);
                keeps = content[2] & 1 == 1;
            }
            (4, _) => bytes.extend_from_slice(&content),
            (5, 0) => break,
            (5, _) => stdin.extend_from_slice(&content),
            _ => {}
        }
    }
    let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let mut params = Params::new();
    for pair in Pairs::new(&bytes) {
        let (name, value) = pair.expect("whole pairs");
        let before = params.insert(text(name), text(value));
        assert_eq!(before, None, "{} twice", text(name));
    }
    Some(ReceivedRequest {
        id,
        keeps,
        params,
        stdin,
    })
}
