//! The body of a request is the one that two other HTTP/1 servers find, and the one that its client sent.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::http_servers::{Found, MAX_LEN, found};

/// A request whose body is known.
#[derive(Clone, Debug)]
struct Sent {
    /// The framing fields, the blank line, and the rest.
    head: Vec<u8>,
    rest: Vec<u8>,
    content: Vec<u8>,
    /// What follows the body, if that is complete.
    after: Option<Vec<u8>>,
}

impl Sent {
    fn bytes(&self, http11: bool) -> Vec<u8> {
        let line = match http11 {
            true => "POST / HTTP/1.1\r\nHost: a\r\n",
            false => "POST / HTTP/1.0\r\n",
        };
        [line.as_bytes(), &self.head, &self.rest].concat()
    }
}

fn counted() -> impl Strategy<Value = Sent> {
    let forms = select(vec![
        "Content-Length: @\r\n",
        "content-length:@\r\n",
        "CONTENT-LENGTH: \t 000@ \t\r\n",
        "Content-Length: @\r\nContent-Length: @\r\n",
        "Content-Length: @ , @,@\r\n",
    ]);
    let parts = (forms, vec(any::<u8>(), 0..60), 0..9_usize, any::<Index>());
    parts.prop_map(|(form, mut content, missing, index)| {
        let head = form.replace('@', &content.len().to_string()) + "\r\n";
        let (mut rest, mut after) = (content.clone(), None);
        if missing == 0 && !content.is_empty() {
            content.truncate(index.index(content.len()));
            rest = content.clone();
        } else {
            let next = &b"GET / HTTP/1.1\r\n"[..index.index(17)];
            rest.extend_from_slice(next);
            after = Some(next.to_vec());
        }
        let head = head.into_bytes();
        Sent {
            head,
            rest,
            content,
            after,
        }
    })
}

fn chunked() -> impl Strategy<Value = Sent> {
    let forms = select(vec![
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:\t CHUNKED \t\r\n",
    ]);
    let extensions = select(vec!["", ";a=b", " ;a=b", "\t \t;x;y=\"z;\"", ";n"]);
    let trailers = vec(
        select(vec!["X: y\r\n", "Z:\r\n", "Digest:\t 1, 2 \r\n"]),
        0..3,
    );
    let chunk = (
        vec(any::<u8>(), 1..30),
        extensions,
        0..3_usize,
        any::<bool>(),
    );
    let parts = (
        forms,
        vec(chunk, 0..5),
        trailers,
        any::<Index>(),
        any::<Index>(),
        0..9_u8,
    );
    parts.prop_map(|(form, chunks, trailers, zeros, index, cut)| {
        let (mut rest, mut content) = (Vec::new(), Vec::new());
        for (data, extension, zeros, capitals) in chunks {
            let size = match capitals {
                true => format!("{}{:X}", "0".repeat(zeros), data.len()),
                false => format!("{}{:x}", "0".repeat(zeros), data.len()),
            };
            rest.extend(format!("{size}{extension}\r\n").bytes());
            rest.extend_from_slice(&data);
            rest.extend_from_slice(b"\r\n");
            content.extend(data);
        }
        // A line end is missing, or the body is whole.
        let last = format!(
            "{}\r\n{}",
            "0".repeat(1 + zeros.index(4)),
            trailers.concat()
        );
        rest.extend(last.bytes());
        let mut after = None;
        if cut > 0 {
            let next = &b"GET / HTTP/1.1\r\n"[..index.index(17)];
            rest.extend_from_slice(b"\r\n");
            rest.extend_from_slice(next);
            after = Some(next.to_vec());
        }
        let head = [form.as_bytes(), b"\r\n"].concat();
        Sent {
            head,
            rest,
            content,
            after,
        }
    })
}

/// The bytes in pieces.
fn pieces<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn the_body_is_the_one_that_was_sent(
        sent in prop_oneof![counted(), chunked()],
        cuts in vec(any::<Index>(), 0..8),
        step in 1..40_usize,
    ) {
        let bytes = sent.bytes(true);
        let found = found(pieces(&bytes, &cuts).into_iter(), step);
        let Sent { content, after, .. } = sent;
        prop_assert_eq!(found, Some(Ok(Found { content, after })));
    }

    #[test]
    fn three_servers_find_the_same_body_in_any_request(
        sent in prop_oneof![counted(), chunked()],
        second in prop_oneof![counted(), chunked()],
        // Mostly the one kind of fields with the other kind of body, or both kinds of fields.
        mix in 0..8_u8,
        http11 in prop_oneof![4 => Just(true), 1 => Just(false)],
        noise in vec((any::<Index>(), prop_oneof![any::<u8>(), select(b"\r\n: \t0,;g+-x".to_vec())], 0..3_u8), 0..5),
        cuts in vec(any::<Index>(), 0..8),
        step in 1..40_usize,
    ) {
        let mut sent = sent;
        match mix {
            0 => sent.head = second.head,
            1 => sent.head = [sent.head.trim_ascii_end(), b"\r\n", &second.head].concat(),
            _ => {}
        }
        // The line ends of the head stay.
        let places = sent.head.len() - 4 + sent.rest.len();
        let from = sent.bytes(http11).len() - sent.rest.len() - sent.head.len();
        let mut bytes = sent.bytes(http11);
        for (index, byte, kind) in noise {
            let at = index.index(places);
            let at = from + if at < sent.head.len() - 4 { at } else { at + 4 };
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.insert(at.min(bytes.len()), byte),
            }
        }
        let whole = found([&bytes[..]].into_iter(), usize::MAX);
        let cut = found(pieces(&bytes, &cuts).into_iter(), step);
        if let Some(Ok(found)) = &whole {
            prop_assert!(found.content.len() as u64 <= MAX_LEN);
        }
        prop_assert_eq!(whole, cut);
    }
}
