//! Sockets on `io_uring`, each with the memory that its operations use. What is unsafe about `io_uring` is in here.

use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use mio_fcgi::Address;
use rustix::io::Errno;
use slab::Slab;
use socket2::{SockAddr, Socket, Type};

use crate::jobs::Traffic;

/// A queue of operations, and the sockets that they work on.
pub(crate) struct Ring {
    ring: IoUring,
    sockets: Slab<Held>,
    pub(crate) traffic: Traffic,
}

/// A socket. The system may use its memory while an operation is under way: until its completion has come, the memory is
/// neither touched nor freed. It is on the heap, so that it stays where it is when this struct moves.
struct Held {
    socket: Socket,
    target: Option<Box<SockAddr>>,
    input: Vec<u8>,
    /// The bytes of `input` that the last read brought.
    filled: usize,
    output: Vec<u8>,
    /// The bytes of `output` that the system has taken.
    written: usize,
    under_way: [bool; 3],
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Connect,
    Read,
    Write,
}

/// An operation that has ended, and how: a read or a write with a number of bytes.
pub(crate) struct Completion {
    pub(crate) key: usize,
    pub(crate) operation: Operation,
    pub(crate) result: io::Result<usize>,
}

const OPERATIONS: [Operation; 3] = [Operation::Connect, Operation::Read, Operation::Write];

impl Ring {
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::new(256).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("this system permits no io_uring: {error}"),
            )
        })?;
        let (sockets, traffic) = (Slab::new(), Traffic::default());
        Ok(Self {
            ring,
            sockets,
            traffic,
        })
    }

    /// Whether no socket is left, not even one that waits for a completion.
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    pub(crate) fn is_under_way(&self, key: usize, operation: Operation) -> bool {
        self.sockets[key].under_way[operation as usize]
    }

    /// The bytes that the last read has brought. None while a read is under way.
    pub(crate) fn input(&self, key: usize) -> &[u8] {
        let Held {
            input,
            filled,
            under_way,
            ..
        } = &self.sockets[key];
        if under_way[Operation::Read as usize] {
            &[]
        } else {
            &input[..*filled]
        }
    }

    /// Begins to connect a new socket, and returns its key.
    pub(crate) fn connect(&mut self, address: &Address) -> io::Result<usize> {
        let target = Box::new(match address {
            Address::Tcp(address) => SockAddr::from(*address),
            Address::Unix(path) => SockAddr::unix(path)?,
            Address::Abstract(name) => SockAddr::unix(format!("\0{name}"))?,
            _ => return Err(ErrorKind::Unsupported.into()),
        });
        let socket = Socket::new(target.domain(), Type::STREAM, None)?;
        match address {
            Address::Tcp(_) => socket.set_tcp_nodelay(true)?, // small records must not wait for an acknowledgement
            // For a Unix socket, a full backlog is an error then, and the engine waits. Otherwise a thread of the
            // system would.
            _ => socket.set_nonblocking(true)?,
        }
        let fd = Fd(socket.as_raw_fd());
        let entry = opcode::Connect::new(fd, target.as_ptr().cast(), target.len());
        let key = self.sockets.insert(Held {
            socket,
            target: Some(target),
            input: vec![0; 64 * 1024],
            filled: 0,
            output: Vec::new(),
            written: 0,
            under_way: [false; 3],
            is_closed: false,
        });
        self.begin(key, Operation::Connect, entry.build())?;
        Ok(key)
    }

    /// Begins a read, and returns true, if none is under way.
    pub(crate) fn read(&mut self, key: usize) -> io::Result<bool> {
        if self.is_under_way(key, Operation::Read) {
            return Ok(false);
        }
        let Held { socket, input, .. } = &mut self.sockets[key];
        let fd = Fd(socket.as_raw_fd());
        let entry = opcode::Recv::new(fd, input.as_mut_ptr(), input.len() as u32);
        self.begin(key, Operation::Read, entry.build())?;
        Ok(true)
    }

    /// Begins a write of the bytes that `fill` appends, if none is under way. It completes when all are written.
    pub(crate) fn write(&mut self, key: usize, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        if self.is_under_way(key, Operation::Write) {
            return Ok(());
        }
        let held = &mut self.sockets[key];
        held.output.clear();
        held.written = 0;
        fill(&mut held.output);
        if held.output.is_empty() {
            Ok(())
        } else {
            self.write_rest(key)
        }
    }

    fn write_rest(&mut self, key: usize) -> io::Result<()> {
        let held = &self.sockets[key];
        let rest = &held.output[held.written..];
        let entry = opcode::Send::new(
            Fd(held.socket.as_raw_fd()),
            rest.as_ptr(),
            rest.len() as u32,
        );
        self.begin(key, Operation::Write, entry.build())
    }

    /// Closes a socket, once the completions of what is under way have come. The key is not to be used again.
    pub(crate) fn close(&mut self, key: usize) -> io::Result<()> {
        self.sockets[key].is_closed = true;
        for operation in OPERATIONS {
            if self.is_under_way(key, operation) {
                let cancel = opcode::AsyncCancel::new(user_data(key, operation)).build();
                self.push(cancel.user_data(u64::MAX))?;
            }
        }
        self.remove_if_quiet(key);
        Ok(())
    }

    /// Hands the new operations to the system, and waits for a completion: at most for `limit`.
    pub(crate) fn enter(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let entered = match limit {
            Some(Duration::ZERO) => self.ring.submit(),
            Some(limit) => {
                let limit = Timespec::from(limit);
                let args = SubmitArgs::new().timespec(&limit);
                self.ring.submitter().submit_with_args(1, &args)
            }
            None => self.ring.submit_and_wait(1),
        };
        match entered.map_err(|error| (Errno::from_io_error(&error), error)) {
            // `BUSY`: there are completions to be taken first.
            Ok(_) | Err((Some(Errno::TIME | Errno::INTR | Errno::BUSY), _)) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    /// The next completion of an operation on a socket that is not closed.
    pub(crate) fn next(&mut self) -> io::Result<Option<Completion>> {
        loop {
            let Some(completion) = self.ring.completion().next() else {
                return Ok(None);
            };
            let (key, number) = (
                (completion.user_data() >> 2) as usize,
                completion.user_data() & 3,
            );
            let Some(operation) = OPERATIONS.get(number as usize).copied() else {
                continue; // of a cancellation
            };
            let held = &mut self.sockets[key];
            held.under_way[operation as usize] = false;
            if held.is_closed {
                self.remove_if_quiet(key);
                continue;
            }
            let mut result = usize::try_from(completion.result())
                .map_err(|_| io::Error::from_raw_os_error(-completion.result()));
            match (operation, &result) {
                (Operation::Connect, Ok(_)) => held.socket.set_nonblocking(false)?,
                (Operation::Read, Ok(len)) => {
                    held.filled = *len;
                    self.traffic.reads += u64::from(*len > 0);
                }
                (Operation::Write, Ok(0)) => result = Err(ErrorKind::WriteZero.into()),
                (Operation::Write, Ok(len)) => {
                    held.written += len;
                    self.traffic.writes += 1;
                    if held.written < held.output.len() {
                        self.write_rest(key)?;
                        continue;
                    }
                }
                _ => {}
            }
            return Ok(Some(Completion {
                key,
                operation,
                result,
            }));
        }
    }

    fn remove_if_quiet(&mut self, key: usize) {
        if self.sockets[key].under_way == [false; 3] {
            self.sockets.remove(key);
        }
    }

    fn begin(&mut self, key: usize, operation: Operation, entry: Entry) -> io::Result<()> {
        self.push(entry.user_data(user_data(key, operation)))?;
        self.sockets[key].under_way[operation as usize] = true;
        Ok(())
    }

    #[expect(
        unsafe_code,
        reason = "the system uses the memory of an operation after this call"
    )]
    fn push(&mut self, entry: Entry) -> io::Result<()> {
        // SAFETY: an operation has the memory of its `Held`, which `under_way` protects from here to the completion.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.ring.submit()?; // the queue is full
        }
        Ok(())
    }
}

fn user_data(key: usize, operation: Operation) -> u64 {
    (key as u64) << 2 | operation as u64
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.under_way != [false; 3] {
            // The driver has failed. The system may use this memory until the process ends.
            mem::forget(mem::take(&mut self.input));
            mem::forget(mem::take(&mut self.output));
            mem::forget(self.target.take());
        }
    }
}
