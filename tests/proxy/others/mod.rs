//! What the tests of other servers and parsers say about requests, as tables of facts: a request, and what becomes of
//! it. Where the proxy differs on purpose, the row has what it does, and the reason.

mod go;
mod h11;
mod lighttpd;
mod llhttp;
mod responses;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::harness::{Proxy, TIME_LIMIT};
use super::witness::{ReceivedRequest, witness};

/// A request on a connection of its own.
struct Row {
    /// What is special about it.
    what: &'static str,
    sent: &'static [u8],
    /// What it means to them.
    theirs: &'static [Means],
    /// What it means to the proxy, if that differs on purpose, and why.
    ours: Option<(&'static [Means], &'static str)>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    /// The application gets it, with these parameters. `body` is its body; an empty value means none.
    Served(&'static [(&'static str, &'static str)]),
    /// The server itself answers it with this status.
    Answered(u16),
    /// It is answered with this status, and the connection is closed.
    Refused(u16),
    /// It is not complete, and never answered.
    Incomplete,
}

use Means::{Answered, Incomplete, Refused, Served};

/// Served, whatever its parameters are.
const OK: &[Means] = &[Served(&[])];

const BAD: &[Means] = &[Refused(400)];

const fn row(what: &'static str, sent: &'static [u8], theirs: &'static [Means]) -> Row {
    Row {
        what,
        sent,
        theirs,
        ours: None,
    }
}

impl Row {
    const fn but(mut self, ours: &'static [Means], reason: &'static str) -> Self {
        self.ours = Some((ours, reason));
        self
    }
}

/// Sends each row's request, and another one right after it, and reports all rows that end differently.
fn check<'r>(rows: impl IntoIterator<Item = &'r Row>) {
    let (address, told) = witness(|_| b"Content-Type: text/plain\r\n\r\nseen".to_vec());
    let mount = format!("/={address}");
    let proxy = Proxy::start(&["--mount", &mount, "--multiplex", "off"]);
    let mut complaints = Vec::new();
    for row in rows {
        let expected = match row.ours {
            None => row.theirs,
            Some((ours, reason)) => {
                assert_ne!(ours, row.theirs, "{}: {reason}", row.what);
                ours
            }
        };
        let stream = proxy.connect().stream;
        let outcome = outcome(stream, row.sent, expected.contains(&Incomplete));
        let served = outcome.iter().filter(|status| **status == 200);
        let served: Vec<_> = served
            .map(|_| told.recv_timeout(TIME_LIMIT).expect("it was answered"))
            .collect();
        if let Err(complaint) = compare(expected, &outcome, &served) {
            let sent = row.sent.escape_ascii();
            complaints.push(format!("{}: {complaint}: {sent}", row.what));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The status of each response, until the connection is closed.
fn outcome(mut stream: TcpStream, sent: &[u8], is_cut: bool) -> Vec<u16> {
    let next = match is_cut {
        true => "",
        false => NEXT,
    };
    let bytes = [sent, next.as_bytes()].concat();
    stream.write_all(&bytes).expect("it takes bytes");
    if is_cut {
        stream.shutdown(Shutdown::Write).expect("a socket");
    }
    let mut received = Vec::new();
    if let Err(error) = stream.read_to_end(&mut received) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    let received = String::from_utf8_lossy(&received);
    let heads = received.match_indices("HTTP/1.1 ");
    let statuses = heads.filter_map(|(at, line)| {
        let status = received.get(at + line.len()..)?.get(..3)?;
        status.parse().ok()
    });
    statuses.filter(|status| *status >= 200).collect()
}

fn compare(expected: &[Means], statuses: &[u16], served: &[ReceivedRequest]) -> Result<(), String> {
    let mut wanted: Vec<u16> = Vec::new();
    let mut requests = served.iter();
    for means in expected {
        match means {
            Served(params) => {
                wanted.push(200);
                if let Some(request) = requests.next() {
                    has_params(request, params)?;
                }
            }
            Answered(status) | Refused(status) => wanted.push(*status),
            Incomplete => {}
        }
    }
    // The next request is served, unless the connection ends before.
    let is_next = requests
        .next()
        .map(|next| next.param("REQUEST_URI") == "/last");
    if let [.., Served(_) | Answered(_)] = expected
        && is_next == Some(true)
    {
        wanted.push(200);
    }
    match statuses == wanted {
        true => Ok(()),
        false => Err(format!("{statuses:?}, not {wanted:?}")),
    }
}

fn has_params(request: &ReceivedRequest, params: &[(&str, &str)]) -> Result<(), String> {
    for (name, expected) in params {
        let found = match *name {
            "body" => String::from_utf8_lossy(&request.stdin).into_owned(),
            name => request.param(name).to_owned(),
        };
        if found != *expected {
            return Err(format!("{name} is '{found}', not '{expected}'"));
        }
    }
    Ok(())
}

const NEXT: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
