//! A transport for unit tests.

use std::io::{self, IoSlice};

use super::transport::Transport;
use crate::address::Address;
use crate::event::ConnectionHandle;
use crate::server::ServerId;

/// Its calls have the results that it was made with, the last one first. A connect and a close have none.
#[derive(Debug)]
pub(super) struct Scripted(pub(super) Vec<io::Result<usize>>);

impl Scripted {
    fn next(&mut self) -> io::Result<usize> {
        self.0.pop().expect("a result for each call")
    }
}

impl Transport for Scripted {
    type Stream = ();

    fn connect(&mut self, _: ConnectionHandle, _: ServerId, _: &Address) -> io::Result<()> {
        Ok(())
    }

    fn is_connected(&mut self, (): &()) -> io::Result<bool> {
        self.next().map(|it| it > 0)
    }

    fn read(&mut self, (): &mut (), _: &mut [u8]) -> io::Result<usize> {
        self.next()
    }

    fn write(&mut self, (): &mut (), _: &[IoSlice<'_>]) -> io::Result<usize> {
        self.next()
    }

    fn is_drained_by_short_reads(&self, (): &()) -> bool {
        true
    }

    fn close(&mut self, (): ()) {}
}

pub(super) fn handle(index: u32) -> ConnectionHandle {
    ConnectionHandle {
        index,
        generation: 0,
    }
}
