//! The applications of a loop: a FastCGI client for each list of upstreams.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use mio_fcgi::cgi::{PassOnError, PassedOn, RequestBody};
use mio_fcgi::{
    Address, Client, ClientId, Clients, Commands, Config, ConfigError, EventKind, ReadBuf, Refused,
    Request, RequestInfo, Server, Stats, StdinError, Tag,
};

/// The applications of a loop. Each has its own connections, limits and queue.
#[derive(Debug)]
pub(crate) struct Applications {
    clients: Clients,
    /// By the application's number.
    ids: Vec<ClientId>,
}

/// A request to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestHandle {
    client: ClientId,
    request: mio_fcgi::RequestHandle,
}

impl RequestHandle {
    pub(crate) const fn new(client: ClientId, request: mio_fcgi::RequestHandle) -> Self {
        Self { client, request }
    }
}

/// An event of a request. Its output is in the read buffer.
pub(crate) struct Event {
    pub(crate) request: RequestHandle,
    pub(crate) tag: Tag,
    pub(crate) kind: EventKind<Range<usize>>,
}

impl Event {
    fn of((client, event): (ClientId, mio_fcgi::Event<Range<usize>>)) -> Self {
        let request = event.request;
        Self {
            request: RequestHandle { client, request },
            tag: event.tag,
            kind: event.kind,
        }
    }
}

impl Applications {
    /// `configs` are those of the applications, in the order of their numbers.
    ///
    /// # Errors
    /// The system's error; a configuration that the FastCGI client rejects, or too few tokens for it.
    pub(crate) fn new(
        registry: &Registry,
        tokens: Range<Token>,
        configs: Vec<Config>,
    ) -> io::Result<Self> {
        let each = tokens.end.0.saturating_sub(tokens.start.0) / configs.len().max(1);
        let mut clients = Clients::new(registry, tokens, each)?;
        let ids = configs.into_iter().map(|config| clients.add(config));
        Ok(Self {
            ids: ids.collect::<io::Result<_>>()?,
            clients,
        })
    }

    fn client(&mut self, id: ClientId) -> &mut Client {
        let client = self.clients.get_mut(id);
        client.unwrap_or_else(|| unreachable!("no client is removed"))
    }

    /// Replaces the servers of an application.
    ///
    /// # Errors
    /// A list that the FastCGI client rejects. It goes on with the old one.
    pub(crate) fn set_servers(
        &mut self,
        now: Instant,
        application: usize,
        addresses: Vec<Address>,
    ) -> Result<(), ConfigError> {
        let servers = addresses.into_iter().map(Server::new).collect();
        self.client(self.ids[application]).set_servers(now, servers)
    }

    pub(crate) fn new_request(&mut self, application: usize) -> Request {
        self.client(self.ids[application]).new_request()
    }

    /// # Errors
    /// The request was not accepted.
    pub(crate) fn submit(
        &mut self,
        now: Instant,
        application: usize,
        request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, Box<Refused>> {
        let client = self.ids[application];
        let request = self.client(client).submit(now, request, tag)?;
        Ok(RequestHandle { client, request })
    }

    /// # Errors
    /// The body cannot be passed on.
    pub(crate) fn pass_on(
        &mut self,
        now: Instant,
        handle: RequestHandle,
        body: &mut RequestBody,
        input: &mut &[u8],
    ) -> Result<PassedOn, PassOnError> {
        let client = self.client(handle.client);
        client.pass_on(now, handle.request, body, input)
    }

    /// # Errors
    /// The request takes no body now.
    pub(crate) fn write_stdin(
        &mut self,
        now: Instant,
        handle: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        let client = self.client(handle.client);
        client.write_stdin(now, handle.request, bytes)
    }

    pub(crate) fn pause(&mut self, now: Instant, handle: RequestHandle) {
        self.client(handle.client).pause(now, handle.request);
    }

    pub(crate) fn resume(&mut self, now: Instant, handle: RequestHandle) {
        self.client(handle.client).resume(now, handle.request);
    }

    pub(crate) fn abort(&mut self, now: Instant, handle: RequestHandle) {
        self.client(handle.client).abort(now, handle.request);
    }

    /// Records what is ready. False if the event's token belongs to no application.
    pub(crate) fn handle_event(&mut self, event: &mio::event::Event) -> bool {
        self.clients.handle_event(event)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.clients.handle_timeout(now);
    }

    /// How long the loop may wait for events.
    pub(crate) fn timeout(&self, now: Instant) -> Option<Duration> {
        self.clients.timeout(now)
    }

    /// The next event. May read into the buffer.
    pub(crate) fn poll_event(&mut self, now: Instant, buf: &mut ReadBuf) -> Option<Event> {
        self.clients.poll_in_place(now, buf).map(Event::of)
    }

    /// The next event of what the last call of [`poll_event`](Self::poll_event) has read.
    pub(crate) fn poll_same_read(&mut self, now: Instant, buf: &mut ReadBuf) -> Option<Event> {
        self.clients.poll_same_read(now, buf).map(Event::of)
    }

    pub(crate) fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        self.clients.shutdown(now, deadline);
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.clients.is_shut_down()
    }

    /// The client of an application, by its number.
    pub(crate) fn of(&self, application: usize) -> Option<&Client> {
        self.clients.get(*self.ids.get(application)?)
    }

    /// The number of the application that a request was submitted to.
    pub(crate) fn number_of(&self, handle: RequestHandle) -> usize {
        let mut ids = self.ids.iter();
        ids.position(|id| *id == handle.client).unwrap_or_default()
    }

    /// The clients of all applications.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.clients.iter()
    }

    /// What a running request does. This looks through all requests: for failures only.
    pub(crate) fn info(&self, now: Instant, handle: RequestHandle) -> Option<RequestInfo> {
        let mut all = self.clients.get(handle.client)?.requests(now);
        all.find(|it| it.request == handle.request)
    }

    /// The figures of all applications together.
    pub(crate) fn stats(&self) -> Stats {
        self.clients.stats()
    }
}
