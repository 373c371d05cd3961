//! What an application has sent, as far as it matters.

use std::collections::BTreeMap;
use std::fmt;

use mio_fcgi::wire::{Demux, Item, Pairs, RecordType};

/// What arrived for each request, in order, and whether the connection has ended.
///
/// Three things are left out: how output was cut into records, the head that the application's library added, and
/// whether a close was an end of file or a reset, since the system decides that by the bytes left unread.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Transcript {
    requests: BTreeMap<u16, Vec<Happening>>,
    pub(super) has_ended: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Happening {
    Stdout(Vec<u8>),
    StdoutEnd,
    Stderr(Vec<u8>),
    StderrEnd,
    End(u32, u8),
    Values(Vec<u8>),
    UnknownType(u8),
    Other(String),
}

impl Transcript {
    pub(super) fn of(mut bytes: &[u8], has_ended: bool) -> Self {
        let mut transcript = Self {
            has_ended,
            ..Self::default()
        };
        let mut demux = Demux::default();
        loop {
            match demux.next(&mut bytes) {
                Ok(Some(item)) => transcript.add(item),
                Ok(None) => break,
                Err(error) => {
                    transcript.push(0, Happening::Other(error.to_string()));
                    break;
                }
            }
        }
        for happenings in transcript.requests.values_mut() {
            happenings.iter_mut().for_each(Happening::normalise);
            happenings.retain(|it| *it != Happening::Stdout(Vec::new()));
        }
        transcript
    }

    fn add(&mut self, item: Item<'_>) {
        match item {
            Item::Stream {
                record_type,
                request_id,
                data,
            } => {
                let requests = self.requests.entry(request_id).or_default();
                match (record_type, requests.last_mut()) {
                    (RecordType::Stdout, Some(Happening::Stdout(content)))
                    | (RecordType::Stderr, Some(Happening::Stderr(content))) => {
                        content.extend_from_slice(data);
                    }
                    (RecordType::Stdout, _) => requests.push(Happening::Stdout(data.to_vec())),
                    (RecordType::Stderr, _) => requests.push(Happening::Stderr(data.to_vec())),
                    (other, _) => requests.push(Happening::Other(format!("{other:?}"))),
                }
            }
            Item::StreamEnd {
                record_type,
                request_id,
            } => {
                let end = match record_type {
                    RecordType::Stdout => Happening::StdoutEnd,
                    RecordType::Stderr => Happening::StderrEnd,
                    other => Happening::Other(format!("end of {other:?}")),
                };
                self.push(request_id, end);
            }
            Item::End { request_id, body } => {
                let end = Happening::End(body.app_status, body.protocol_status.into());
                self.push(request_id, end);
            }
            Item::Values {
                request_id,
                data,
                last: true,
                ..
            } => self.push(request_id, Happening::Values(data.to_vec())),
            Item::UnknownType {
                record_type,
                request_id,
            } => self.push(request_id, Happening::UnknownType(record_type)),
            other => self.push(0, Happening::Other(format!("{other:?}"))),
        }
    }

    fn push(&mut self, id: u16, happening: Happening) {
        self.requests.entry(id).or_default().push(happening);
    }
}

impl Happening {
    fn normalise(&mut self) {
        match self {
            Self::Stdout(content) => {
                let end = content.windows(4).position(|four| four == b"\r\n\r\n");
                content.drain(..end.map_or(0, |end| end + 4));
            }
            Self::Stderr(content) => {
                // php-fpm puts its name in front, libfcgi ends lines its own way.
                let text = String::from_utf8_lossy(content);
                let text = text.trim_start_matches("PHP message: ").trim().to_owned();
                *content = text.into_bytes();
            }
            _ => {}
        }
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, happenings) in &self.requests {
            write!(f, "[{id}:")?;
            for happening in happenings {
                match happening {
                    Happening::Stdout(content) => {
                        write!(f, " out{:?}", String::from_utf8_lossy(content))?;
                    }
                    Happening::Stderr(content) => {
                        write!(f, " err{:?}", String::from_utf8_lossy(content))?;
                    }
                    Happening::Values(content) => {
                        write!(f, " values(")?;
                        for (name, value) in Pairs::new(content).flatten() {
                            let name = String::from_utf8_lossy(name);
                            write!(f, "{name}={} ", String::from_utf8_lossy(value))?;
                        }
                        write!(f, ")")?;
                    }
                    other => write!(f, " {other:?}")?,
                }
            }
            write!(f, "] ")?;
        }
        f.write_str(if self.has_ended { "ended" } else { "open" })
    }
}
