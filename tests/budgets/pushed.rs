//! What a pushed body costs that its socket takes at once: no memory for its bytes, and no write for its end.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use mio::{Poll, Token};
use mio_fcgi::{Body, Client, Config, Multiplex, ReadBuf, Request, RequestHandle, Stream, Tag};

const PIECE: usize = 64 * 1024;

struct Pushing {
    client: Client,
    _poll: Poll,
    buf: ReadBuf,
    application: UnixStream,
    received: Vec<u8>,
    now: Instant,
}

impl Pushing {
    fn new() -> Self {
        let (ours, application) = UnixStream::pair().expect("two sockets");
        application.set_nonblocking(true).expect("a socket");
        let mut config = Config::new("unix:@none".parse().expect("an address"));
        config.multiplex = Multiplex::Off;
        let poll = Poll::new().expect("a poll");
        let tokens = Token(0)..Token(config.limits.max_connections_per_server);
        let mut client = Client::new(poll.registry(), tokens, config).expect("a client");
        let mut ours = Some(ours);
        client.set_connector(move |_, _| {
            let ours = ours.take().ok_or(ErrorKind::ConnectionRefused)?;
            Stream::try_from(ours)
        });
        Self {
            client,
            _poll: poll,
            buf: ReadBuf::default(),
            application,
            received: vec![0; 4 * PIECE],
            now: Instant::now(),
        }
    }

    /// Submits a request whose body is pushed, and sends its head.
    fn begin(&mut self, len: usize) -> RequestHandle {
        let request = Request::responder().with_body(Body::pushed(Some(len as u64)));
        let submitted = self.client.submit(self.now, request, Tag(1));
        let handle = submitted.expect("it is not refused");
        while self.read() == 0 {
            self.drain();
        }
        handle
    }

    /// Takes all events: none while a request is being sent.
    fn drain(&mut self) {
        let event = self.client.poll_event(self.now, &mut self.buf);
        assert!(event.is_none(), "{event:?}");
    }

    /// What the application finds in its socket.
    fn read(&mut self) -> usize {
        let mut len = 0;
        loop {
            match self.application.read(&mut self.received) {
                Ok(read) => len += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return len,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn what_the_socket_takes_of_a_pushed_body_needs_no_memory() {
    let len = 16 * PIECE;
    let body = vec![b'x'; len];
    let mut pushing = Pushing::new();
    let handle = pushing.begin(len);
    let mut received = 0;
    let counted = allocation_counter::measure(|| {
        for piece in body.chunks(PIECE) {
            let taken = pushing.client.write_stdin(pushing.now, handle, piece);
            assert_eq!(taken, Ok(PIECE));
            received += pushing.read();
        }
        let finished = pushing.client.finish_stdin(pushing.now, handle);
        assert_eq!(finished, Ok(()));
        pushing.drain();
    });
    // Two records for each piece, and the end.
    assert_eq!(received, len + 16 * 2 * 8 + 8);
    assert_eq!(pushing.read(), 0, "the end came with the last piece");
    assert!(counted.bytes_total < 4096, "{counted:?}");
}
