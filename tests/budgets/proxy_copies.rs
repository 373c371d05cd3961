//! How many bytes of a response the proxy copies on the way to the client: none of those that the client's socket
//! takes, and each of the others once. The test's own socket sees where the bytes are in memory.

use std::io::{self, IoSlice, Write};
use std::ops::Range;

use crate::proxy::net::lent::Lent;
use crate::proxy::net::outbox::Outbox;

/// A head that waits for its body, as the size line of a chunk does.
const HEAD: &[u8] = &[b'h'; 300];
/// The bytes of one read from the application.
const BODY_LEN: usize = 64 * 1024;

#[test]
fn a_body_that_the_socket_takes_is_written_out_of_the_read_buffer() {
    let body = body();
    for kept in [HEAD, b""] {
        for parts in [[&body[..], b""], [&body, b"\r\n"]] {
            let mut outbox = outbox(kept);
            let mut socket = Socket::new(usize::MAX, &body);
            let counted = allocation_counter::measure(|| {
                let sent = outbox.send(&mut socket, &parts);
                assert!(sent.expect("it takes bytes"), "it is not full");
            });
            assert!(outbox.is_empty());
            assert_eq!((socket.uncopied, socket.copied), (BODY_LEN, 0));
            // There is no buffer either that it could have been copied to.
            assert_eq!(counted.count_total, 0);
            assert!(socket.taken == [kept, &parts.concat()].concat());
        }
    }
}

#[test]
fn what_the_socket_does_not_take_is_copied_once() {
    const SIZE: &[u8] = b"10000\r\n";
    const BEFORE: usize = HEAD.len() + SIZE.len();
    const LEN: usize = BEFORE + BODY_LEN + 2;
    for room in [
        0,
        1,
        299,
        300,
        303,
        BEFORE,
        BEFORE + 1,
        40_000,
        LEN - 3,
        LEN - 2,
        LEN - 1,
    ] {
        for step in [1_000, 30_000, LEN] {
            let mut body = body();
            let answer = [HEAD, SIZE, &body, b"\r\n"].concat();
            let mut outbox = outbox(&[HEAD, SIZE].concat());
            let mut socket = Socket::new(room, &body);
            let counted = allocation_counter::measure(|| {
                let sent = outbox.send(&mut socket, &[&body, b"\r\n"]);
                assert!(!sent.expect("it takes bytes"), "it is full");
            });
            assert_eq!(counted.count_total, 0);
            assert_eq!(outbox.len(), LEN - room);
            // The next read from the application.
            body.fill(b'n');
            while !outbox.is_empty() {
                socket.room = step;
                outbox.flush(&mut socket).expect("it takes bytes");
            }
            let uncopied = room.saturating_sub(BEFORE).min(BODY_LEN);
            assert_eq!(
                (socket.uncopied, socket.copied),
                (uncopied, LEN - room),
                "{room} and {step}"
            );
            assert!(socket.taken == answer, "{room} and {step}");
        }
    }
}

#[test]
fn what_was_sent_makes_room_for_what_follows() {
    let mut outbox = outbox(b"h");
    let mut socket = Socket::new(0, &[]);
    let counted = allocation_counter::measure(|| {
        for round in 0..4 * BODY_LEN / HEAD.len() {
            match round % 2 {
                0 => outbox.tail().extend_from_slice(HEAD),
                _ => outbox.keep(&[HEAD, b""], 0),
            }
            // One byte remains each time.
            socket.room = HEAD.len();
            socket.taken.clear();
            outbox.flush(&mut socket).expect("it takes bytes");
            assert_eq!(outbox.len(), 1);
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn what_one_read_has_brought_leaves_in_one_write_and_is_not_copied() {
    let memory = body();
    for size in [3000, 8192, 32_768] {
        let mut outbox = outbox(HEAD);
        let mut list = Vec::with_capacity(64);
        let answer = lend_all(&mut outbox, &memory, size, &mut list);
        let mut socket = Socket::new(usize::MAX, &memory);
        let counted = allocation_counter::measure(|| {
            let sent = outbox.send_lent(&mut socket, &list, &memory);
            assert!(sent.expect("it takes bytes"), "it is not full");
        });
        assert!(outbox.is_empty());
        assert_eq!((socket.writes, socket.uncopied), (1, BODY_LEN), "{size}");
        assert_eq!(counted.count_total, 0);
        assert!(socket.taken == answer, "{size}");
    }
}

#[test]
fn what_the_socket_does_not_take_of_a_read_is_copied_once() {
    for size in [1000, 3000, 32_768] {
        for room in [0, 1, 299, 300, 305, 306, 3306, 40_000, BODY_LEN] {
            let mut memory = body();
            let mut outbox = outbox(HEAD);
            let mut list = Vec::with_capacity(256);
            let answer = lend_all(&mut outbox, &memory, size, &mut list);
            let mut socket = Socket::new(room, &memory);
            let counted = allocation_counter::measure(|| {
                let sent = outbox.send_lent(&mut socket, &list, &memory);
                assert!(!sent.expect("it takes bytes"), "it is full");
            });
            assert_eq!(counted.count_total, 0);
            assert_eq!(outbox.len(), answer.len() - room);
            // The next read from the application.
            memory.fill(b'n');
            outbox.tail().extend_from_slice(b"end");
            while !outbox.is_empty() {
                socket.room = 30_000;
                outbox.flush(&mut socket).expect("it takes bytes");
            }
            assert!(
                socket.taken == [&answer[..], b"end"].concat(),
                "{room} of pieces of {size}"
            );
        }
    }
}

/// Lends a body in chunks of this size. Returns what the client is to get.
fn lend_all(outbox: &mut Outbox, memory: &[u8], size: usize, list: &mut Vec<Lent>) -> Vec<u8> {
    let mut answer = outbox.bytes().to_vec();
    for start in (0..memory.len()).step_by(size) {
        let place = start..memory.len().min(start + size);
        let line = format!("{:x}\r\n", place.len());
        answer.extend([line.as_bytes(), &memory[place.clone()], b"\r\n"].concat());
        outbox.tail().extend_from_slice(line.as_bytes());
        outbox.lend(place, list);
        outbox.tail().extend_from_slice(b"\r\n");
        assert_eq!(outbox.len(), answer.len());
    }
    answer
}

fn body() -> Vec<u8> {
    (0..BODY_LEN).map(|at| (at % 251) as u8).collect()
}

/// An outbox that is large enough for everything, as after earlier use.
fn outbox(kept: &[u8]) -> Outbox {
    let mut outbox = Outbox::default();
    outbox.take_buffer(|| Some(Vec::with_capacity(3 * BODY_LEN)));
    outbox.tail().extend_from_slice(kept);
    outbox
}

/// A client's socket.
struct Socket {
    /// The socket is full after this many bytes.
    room: usize,
    read_buffer: Range<*const u8>,
    /// Bytes taken out of the read buffer.
    uncopied: usize,
    /// Bytes that were copied before they were offered again: their address has changed.
    copied: usize,
    /// The address of the rest of what was last offered again.
    rest: Option<*const u8>,
    taken: Vec<u8>,
    /// The number of vectored writes.
    writes: usize,
}

impl Socket {
    fn new(room: usize, read_buffer: &[u8]) -> Self {
        Self {
            room,
            read_buffer: read_buffer.as_ptr_range(),
            uncopied: 0,
            copied: 0,
            rest: None,
            taken: Vec::with_capacity(2 * BODY_LEN),
            writes: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room);
        if self.read_buffer.contains(&bytes.as_ptr()) {
            self.uncopied += len;
        }
        self.room -= len;
        self.taken.extend_from_slice(&bytes[..len]);
        len
    }
}

impl Write for Socket {
    /// Offers again what was kept.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.rest != Some(bytes.as_ptr()) {
            self.copied += bytes.len();
        }
        let len = self.take(bytes);
        self.rest = Some(bytes[len..].as_ptr());
        Ok(len)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.writes += 1;
        Ok(slices.iter().map(|slice| self.take(slice)).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
