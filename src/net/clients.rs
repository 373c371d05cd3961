//! Several clients in one loop: who has work, who waits for what.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token};

use super::client::{self, Client};
use super::read_buf::ReadBuf;
use super::rounds::Rounds;
use crate::config::Config;
use crate::config_error::ConfigError;
use crate::engine::{RawEvent, Stats};
use crate::event::Event;

/// Several [`Client`]s on one [`mio::Poll`], driven as one: one wait, one call for all events, one [`ReadBuf`].
///
/// Make a client for each application that needs its own settings, limits or health check, such as the php-fpm pools of
/// several sites. They come and go while the loop runs. A turn calls the clients with work, and no other.
///
/// The steps of a turn are those of [`Client`]. Commands are given to a client, through [`get_mut`](Self::get_mut), at
/// any time, also while an event's data is in use.
///
/// ```
/// use std::time::Instant;
/// use mio::{Events, Poll, Token};
/// use mio_fcgi::{Clients, Config, EventKind, ReadBuf, ServerId, Tag};
///
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(256));
/// let mut buf = ReadBuf::default();
/// // 64 tokens for each of up to 1,024 clients, far from tokens of your own.
/// let tokens = Token(1 << 20)..Token((1 << 20) + 64 * 1024);
/// let mut clients = Clients::new(poll.registry(), tokens, 64)?;
/// for address in ["unix:/run/php/one.sock", "unix:/run/php/two.sock"] {
///     let id = clients.add(Config::new(address.parse()?))?;
///     if let Some(client) = clients.get_mut(id) {
///         client.get_values(Instant::now(), ServerId::new(0), Tag(0))?;
///     }
/// }
/// let mut asked = 2;
/// while asked > 0 {
///     clients.wait(Instant::now(), &mut poll, &mut events)?;
///     let now = Instant::now();
///     for event in &events {
///         if !clients.handle_event(event) {
///             // Yours.
///         }
///     }
///     clients.handle_timeout(now);
///     while let Some((id, event)) = clients.poll_event(now, &mut buf) {
///         match event.kind {
///             EventKind::Values(values) => println!("client {id}: {values:?}"),
///             EventKind::End(outcome) => {
///                 asked -= 1;
///                 if let Err(failure) = outcome {
///                     println!("client {id}: {failure}");
///                 }
///             }
///             _ => {}
///         }
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A [`RequestHandle`](crate::RequestHandle) belongs to its client: keep it together with the [`ClientId`]. Another client
/// may have a request with an equal handle.
#[derive(Debug)]
pub struct Clients {
    registry: Arc<Registry>,
    tokens: Range<usize>,
    tokens_per_client: usize,
    /// By index, which also gives the place of the client's tokens.
    members: Vec<Option<Member>>,
    /// The serial number of the client added next.
    next_serial: u64,
    /// The order of the turns of clients with work.
    rounds: Rounds,
    /// The client whose turn it is. Bytes of it may be in the read buffer.
    current: Option<usize>,
    /// Not later than the first deadline of the clients.
    next_deadline: Option<Instant>,
}

/// A client of [`Clients`].
///
/// The ID becomes stale when the client is removed, and no later client gets it. A call with a stale ID has no effect.
/// `Display` writes a number that counts the added clients from 0. IDs are ordered as the clients were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    serial: u64,
    index: u32,
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serial.fmt(f)
    }
}

#[derive(Debug)]
struct Member {
    id: ClientId,
    /// Boxed, so that a look at all deadlines reads little memory.
    client: Box<Client>,
    /// When the client needs a turn, if nothing calls it before.
    deadline: Option<Instant>,
}

impl Clients {
    /// No clients yet. They will register their sockets with `registry`, each client under the next free
    /// `tokens_per_client` tokens of `tokens`.
    ///
    /// The embedder must not use any token of the range, see [`Client::new`]. A client needs one token for each connection
    /// that its limits allow, also after a later [`set_limits`](Client::set_limits). Tokens cost nothing: be generous.
    ///
    /// All clients together hold one descriptor besides their sockets, a clone of the registry.
    ///
    /// # Errors
    /// An error from cloning the registry.
    pub fn new(
        registry: &Registry,
        tokens: Range<Token>,
        tokens_per_client: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            registry: Arc::new(registry.try_clone()?),
            tokens: tokens.start.0..tokens.end.0,
            tokens_per_client,
            members: Vec::new(),
            next_serial: 0,
            rounds: Rounds::default(),
            current: None,
            next_deadline: None,
        })
    }

    /// Adds a client, see [`Client::new`]. Resolving its host names **blocks**; numeric addresses and Unix sockets do not.
    ///
    /// # Errors
    /// The errors of [`Client::new`]; [`ConfigError::TooManyClients`] when all tokens are taken.
    pub fn add(&mut self, config: Config) -> io::Result<ClientId> {
        let free = self.members.iter().position(Option::is_none);
        let index = free.unwrap_or(self.members.len());
        let limit = self.max_clients();
        if index >= limit {
            return Err(client::invalid(ConfigError::TooManyClients { limit }));
        }
        let start = self.tokens.start + index * self.tokens_per_client;
        let tokens = start..start + self.tokens_per_client;
        let client = Client::on(Arc::clone(&self.registry), tokens, free.is_some(), config)?;
        let id = ClientId {
            serial: self.next_serial,
            index: index as u32,
        };
        self.next_serial += 1;
        if index == self.members.len() {
            self.members.push(None);
        }
        self.members[index] = Some(Member {
            id,
            client: Box::new(client),
            deadline: None,
        });
        // Connections to be opened in advance.
        self.note_command(index);
        Ok(id)
    }

    fn max_clients(&self) -> usize {
        let count = self.tokens.len().checked_div(self.tokens_per_client);
        count.unwrap_or(0).min(u32::MAX as usize)
    }

    /// Drops a client, and returns whether it was there. Its sockets are closed, its tokens are free for the next client,
    /// and its bytes in the read buffer are forgotten. Its requests get no `End`.
    ///
    /// For a clean end, [shut it down](Client::shutdown) and remove it when [`is_shut_down`](Client::is_shut_down) returns
    /// true.
    pub fn remove(&mut self, id: ClientId) -> bool {
        if self.get(id).is_none() {
            return false;
        }
        self.members[id.index as usize] = None;
        self.find_next_deadline();
        true
    }

    /// A client, to look at. `None` when the ID is stale.
    #[must_use]
    pub fn get(&self, id: ClientId) -> Option<&Client> {
        let member = self.members.get(id.index as usize)?.as_ref()?;
        (member.id == id).then_some(&*member.client)
    }

    /// A client, to give it commands. `None` when the ID is stale.
    ///
    /// The client gets a turn in the next [`poll_event`](Self::poll_event). Between an event of another client and the next
    /// `None`, it may get it after that `None` instead; [`timeout`](Self::timeout) is zero then. Take events from `poll_event` of
    /// this type only.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.get(id)?;
        let index = id.index as usize;
        self.note_command(index);
        let member = self.members[index].as_mut()?;
        Some(&mut member.client)
    }

    /// The clients, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        let members = self.members.iter().flatten();
        members.map(|member| (member.id, &*member.client))
    }

    /// The gauges and counters of all clients together. Those of a client that was removed are gone.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for (_, client) in self.iter() {
            sum += client.stats();
        }
        sum
    }

    /// Queues a client that is given a command.
    fn note_command(&mut self, index: usize) {
        match self.current {
            // It is asked for its work when its turn is over.
            Some(current) if current == index => {}
            // Not in this round: clients whose events cause commands for each other would never let it end.
            Some(_) => self.rounds.enqueue_next(index),
            None => self.rounds.enqueue(index),
        }
    }

    /// Waits in `poll` for at most [`timeout`](Self::timeout), as [`Client::wait`] does.
    ///
    /// # Errors
    /// The errors of [`Poll::poll`], except [`io::ErrorKind::Interrupted`].
    pub fn wait(&self, now: Instant, poll: &mut Poll, events: &mut Events) -> io::Result<()> {
        client::wait(poll, events, self.timeout(now))
    }

    /// How long the loop may wait in `poll`: the shortest [`timeout`](Client::timeout) of all clients.
    #[must_use]
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        let deadline = self.deadline(now)?;
        Some(deadline.saturating_duration_since(now))
    }

    /// The end of [`timeout`](Self::timeout) as an instant, never before `now`.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.current.is_some() || !self.rounds.is_empty() {
            return Some(now);
        }
        self.next_deadline.map(|at| at.max(now))
    }

    /// Passes a readiness event to the client with its token, without any I/O. Returns `false` when the token is not in
    /// the range: the event is then the embedder's. A late event of a client that was removed is harmless.
    pub fn handle_event(&mut self, event: &mio::event::Event) -> bool {
        let Token(token) = event.token();
        if !self.tokens.contains(&token) {
            return false;
        }
        let offset = token - self.tokens.start;
        let index = offset.checked_div(self.tokens_per_client);
        if let Some(index) = index
            && let Some(Some(member)) = self.members.get_mut(index)
        {
            member.client.handle_event(event);
            self.rounds.enqueue(index);
        }
        true
    }

    /// Notes that time has passed: a client with a deadline that has come gets a turn. Calling it early or twice is
    /// harmless.
    ///
    /// A client learns the time, as from [`Client::handle_timeout`], when its turn begins.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_deadline.is_none_or(|at| at > now) {
            return;
        }
        for (index, member) in self.members.iter().enumerate() {
            let deadline = member.as_ref().and_then(|it| it.deadline);
            if deadline.is_some_and(|at| at <= now) {
                self.rounds.enqueue(index);
            }
        }
    }

    /// Returns the next event, and its client. Reads, writes and connects as needed. `None` when each client with work
    /// had a turn.
    ///
    /// The turn of a client is what [`Client::poll_event`] does until it returns `None`: 16 buffers' worth of bytes, and
    /// what its last round moves beyond that. So a client that never runs out of work delays each of the others by one
    /// such turn, and the embedder's own sockets by one such turn of each client with work. A client with more work gets its next
    /// turn after `None`; [`timeout`](Self::timeout) is zero then. The embedder may stop before `None`: the next call goes
    /// on where this one stopped.
    ///
    /// # Panics
    /// When another buffer is passed while the previous one still holds bytes of a client, and when this buffer holds bytes of
    /// a client that is not one of these, or of one that was polled with a `poll_event` of its own.
    #[must_use = "an event is not announced twice"]
    pub fn poll_event<'b>(
        &mut self,
        now: Instant,
        buf: &'b mut ReadBuf,
    ) -> Option<(ClientId, Event<&'b [u8]>)> {
        let (id, event) = self.next_event(now, buf)?;
        Some((id, buf.lend(event)))
    }

    /// As [`poll_event`](Self::poll_event), and names output by its place in the buffer. So the output of several events
    /// can be written together, without a copy: take the events of the same read from
    /// [`poll_same_read`](Self::poll_same_read) until it returns `None`, write it out of [`ReadBuf::bytes`], and only then
    /// call this again, which may read.
    ///
    /// # Panics
    /// As [`poll_event`](Self::poll_event).
    #[must_use = "an event is not announced twice"]
    pub fn poll_in_place(
        &mut self,
        now: Instant,
        buf: &mut ReadBuf,
    ) -> Option<(ClientId, Event<Range<usize>>)> {
        let (id, event) = self.next_event(now, buf)?;
        Some((id, buf.place(event)))
    }

    /// The next event of the bytes that the last call of [`poll_in_place`](Self::poll_in_place) has read. This reads and
    /// writes no socket, and leaves the buffer's bytes as they are. `None`: there is none.
    ///
    /// # Panics
    /// As [`poll_event`](Self::poll_event).
    #[must_use = "an event is not announced twice"]
    pub fn poll_same_read(
        &mut self,
        now: Instant,
        buf: &mut ReadBuf,
    ) -> Option<(ClientId, Event<Range<usize>>)> {
        let member = self.members.get_mut(self.current?)?.as_mut()?;
        let event = member.client.next_of_read(now, buf)?;
        Some((member.id, buf.place(event)))
    }

    /// The next event, whose output is still to be lent.
    fn next_event(&mut self, now: Instant, buf: &mut ReadBuf) -> Option<(ClientId, RawEvent)> {
        loop {
            let goes_on = self.current;
            let Some(index) = goes_on.or_else(|| self.rounds.next_turn(ONE_ROUND)) else {
                self.find_next_deadline();
                return None;
            };
            let Some(member) = &mut self.members[index] else {
                // It was removed.
                self.current = None;
                continue;
            };
            self.current = Some(index);
            if goes_on.is_none() {
                member.client.handle_timeout(now);
            }
            if let Some(received) = member.client.next_event(now, buf) {
                return Some((member.id, received));
            }
            self.current = None;
            member.deadline = None;
            match member.client.timeout(now) {
                Some(Duration::ZERO) => self.rounds.enqueue_next(index),
                Some(wait) => {
                    member.deadline = now.checked_add(wait);
                    let deadlines = [self.next_deadline, member.deadline];
                    self.next_deadline = deadlines.into_iter().flatten().min();
                }
                None => {}
            }
        }
    }

    fn find_next_deadline(&mut self) {
        let members = self.members.iter().flatten();
        self.next_deadline = members.filter_map(|it| it.deadline).min();
    }

    /// Shuts all clients down, see [`Client::shutdown`]. A client that is added later is not shut down.
    pub fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        for index in 0..self.members.len() {
            self.note_command(index);
            if let Some(member) = &mut self.members[index] {
                member.client.shutdown(now, deadline);
            }
        }
    }

    /// Whether each client [is shut down](Client::is_shut_down). True when there is none.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.iter().all(|(_, client)| client.is_shut_down())
    }
}

/// No bytes are counted here: a turn of a client is bounded, and each client has one in a round.
const ONE_ROUND: usize = 0;
