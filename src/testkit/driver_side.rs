//! The client's own driver on the virtual network: what [`Client`](crate::Client) is made of, but for the system's
//! sockets.

use std::collections::VecDeque;
use std::time::Duration;

use super::client_side::OnEvent;
use super::kernel::{Kernel, Taken};
use crate::engine::Engine;
use crate::error::StdinError;
use crate::event::{ConnectionHandle, RequestHandle};
use crate::net::{Driver, ReadBuf};

/// The driver, and the loop around it.
pub(super) struct DriverSide {
    driver: Driver<Kernel>,
    buf: ReadBuf,
    /// Events that were taken from the system, and of which the driver was not told yet.
    events: VecDeque<Taken>,
    /// The driver has said, since it last did anything, that it has nothing more to do.
    has_paused: bool,
}

impl DriverSide {
    pub(super) fn new(kernel: Kernel) -> Self {
        let mut own = Self {
            driver: Driver::new(kernel, 0..usize::MAX, false),
            buf: ReadBuf::default(),
            events: VecDeque::new(),
            has_paused: true,
        };
        own.set_buf(ReadBuf::DEFAULT_LEN);
        own
    }

    fn set_buf(&mut self, len: usize) {
        let len = len.max(ReadBuf::MIN_LEN);
        self.buf = ReadBuf::with_len(len);
        self.kernel_mut().manners_mut().set_buf_len(len);
    }

    pub(super) fn kernel(&self) -> &Kernel {
        self.driver.transport()
    }

    pub(super) fn kernel_mut(&mut self) -> &mut Kernel {
        self.driver.transport_mut()
    }

    /// Draws what a loop and a system leave open: the order of the calls, the length of the buffer, how many events
    /// are taken at a time, interruptions.
    pub(super) fn shuffle(&mut self) {
        let kernel = self.kernel_mut();
        kernel.be_unkind();
        let len = 1 << kernel.rng().below(17);
        self.set_buf(len);
    }

    fn place(&mut self, count: u64) -> u64 {
        let kernel = self.kernel_mut();
        match kernel.is_unkind() {
            true => kernel.rng().below(count),
            false => 0,
        }
    }

    /// Does one thing that a loop or the world can do now. False when there is none.
    pub(super) fn step(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        let first = self.place(5);
        (0..5).any(|kind| match (first + kind) % 5 {
            0 => self.kernel_mut().keep_appointment(),
            1 => self.take_events(),
            2 => self.tell_event(engine),
            3 => self.handle_timeout(engine),
            _ => self.poll(engine, on_event),
        })
    }

    /// What `poll` does in a loop, without the wait.
    fn take_events(&mut self) -> bool {
        if !self.events.is_empty() {
            return false;
        }
        let most = match self.kernel().is_unkind() {
            true => 1 + self.kernel_mut().rng().below(4) as usize,
            false => usize::MAX,
        };
        let taken = self.kernel_mut().take_events(most);
        let any = taken.is_some();
        self.events.extend(taken.into_iter().flatten());
        any
    }

    fn tell_event(&mut self, engine: &mut Engine) -> bool {
        let Some(event) = self.events.pop_front() else {
            return false;
        };
        self.kernel_mut().tell(event);
        self.driver
            .handle_event(engine, event.index, event.readiness);
        true
    }

    fn handle_timeout(&mut self, engine: &mut Engine) -> bool {
        let now = self.kernel().side().medium().now();
        let is_due = engine.timeout(now) == Some(Duration::ZERO);
        if is_due {
            self.driver.handle_timeout(engine, now);
        }
        is_due
    }

    fn poll(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        // As a loop does: until there is no event.
        let has_work = self.driver.has_work(engine);
        if !has_work && self.has_paused {
            return false;
        }
        let now = self.kernel().side().medium().now();
        let reads = self.kernel().manners().reads();
        let event = self.driver.poll_event(engine, now, &mut self.buf);
        self.has_paused = event.is_none();
        if let Some(event) = event {
            let medium = self.driver.transport_mut().side_mut().medium_mut();
            medium.note_event(&event);
            on_event(engine, now, event);
        }
        let kernel = self.driver.transport_mut();
        if !has_work && !self.has_paused {
            let manners = kernel.manners_mut();
            manners.accuse(format_args!(
                "an event, after it had said that there is none"
            ));
        }
        if kernel.manners().reads() > reads || kernel.manners().has_waits() {
            kernel.note_waits(|handle| engine.wants_read(handle));
        }
        if self.has_paused {
            kernel.note_pause();
        }
        true
    }

    pub(super) fn write_stdin(
        &mut self,
        engine: &mut Engine,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        let now = self.kernel().side().medium().now();
        self.driver.write_stdin(engine, now, request, bytes)
    }

    /// A connection that the engine wants to use while the driver waits for an event that does not come.
    pub(super) fn forgotten(&self, engine: &Engine) -> Option<ConnectionHandle> {
        let kernel = self.kernel();
        let medium = kernel.side().medium();
        let mut links = medium.open_links();
        let forgotten = links.find(|own| {
            let wants_write = !engine.transmit(own.handle()).is_empty();
            own.is_stuck(wants_write, engine.wants_read(own.handle()))
        });
        forgotten.map(|own| own.handle())
    }
}
