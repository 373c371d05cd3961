//! What the requests of a loop share: the applications, the time, the options, the log, the metrics.

use std::collections::HashMap;
use std::fmt::Arguments;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio_fcgi::{Outcome, ServerId, Tag};

use super::addresses::Addresses;
use super::admission::Admission;
use super::applications::{Applications, RequestHandle};
use super::budget::{Budget, Held};
use super::fastcgi::SiteParams;
use super::log::access_log::{AccessLog, LogEntry, Served, Subject};
use super::log::stderr_rate::StderrRate;
use super::metrics::LoopMetrics;
use super::net::buffer_pool::BufferPool;
use super::net::client_address::ClientAddress;
use super::net::clock::Clock;
use super::net::spool::Spool;
use super::options::Options;
use super::routes::{Denied, Route, Routes};
use super::sent_files::SentFiles;
use super::status::figures::{self, Figures};
use super::status::present::{Asker, Present};
use super::upstreams;

/// Passed down to the code that serves a request. Each part owns its own state; methods here combine at most a few
/// parts.
#[derive(Debug)]
pub(crate) struct Context {
    options: Arc<Options>,
    clock: Clock,
    fcgi: Applications,
    admission: Admission,
    routes: Routes,
    sent_files: SentFiles,
    /// The parameters that are the same for all requests.
    constants: SiteParams,
    log: AccessLog,
    stderr_rate: StderrRate,
    metrics: LoopMetrics,
    buffers: BufferPool,
    budget: Budget,
    /// What requests hold of the budget whose exchanges are over.
    held: HashMap<RequestHandle, Held>,
}

impl Context {
    /// # Errors
    /// A document root that cannot be read; the system's error if it has no thread left.
    pub(crate) fn new(
        options: &Arc<Options>,
        fcgi: Applications,
        metrics: LoopMetrics,
        max_clients: usize,
        budget: Budget,
    ) -> io::Result<Self> {
        let clock = Clock::new();
        let routes = Routes::new(options)?;
        Ok(Self {
            options: Arc::clone(options),
            fcgi,
            admission: Admission::new(max_clients, clock.now()),
            stderr_rate: StderrRate::new(clock.now()),
            clock,
            constants: SiteParams::new(options),
            routes,
            sent_files: SentFiles::new(options)?,
            log: AccessLog::new(options.access_log, metrics.index())?,
            metrics,
            buffers: BufferPool::default(),
            budget,
            held: HashMap::new(),
        })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn constants(&self) -> &SiteParams {
        &self.constants
    }

    pub(crate) fn fcgi(&mut self) -> &mut Applications {
        &mut self.fcgi
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    pub(crate) fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// The connections of each client address, over all loops.
    pub(crate) fn addresses(&self) -> &Arc<Addresses> {
        self.metrics.addresses()
    }

    pub(crate) fn buffers(&mut self) -> &mut BufferPool {
        &mut self.buffers
    }

    /// What may be kept for all clients of this loop.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether a body of this length is collected before an application is asked.
    pub(crate) fn collects(&self, len: u64) -> bool {
        len <= self.options.buffer_request && Spool::is_possible(&self.budget, len)
    }

    /// Whether less than half of the connections to an application are in use. Requests that share connections are counted
    /// as if each had its own.
    pub(crate) fn has_spare_connections(&self, application: usize) -> bool {
        self.fcgi.of(application).is_some_and(|client| {
            let config = client.config();
            let connections = config.limits.max_connections_per_server;
            let requests = client.stats().requests;
            let waiting = requests.queued + requests.connecting;
            2 * (waiting + requests.active) < connections.saturating_mul(config.servers.len())
        })
    }

    /// How long the applications may wait for events.
    pub(crate) fn fcgi_timeout(&self) -> Option<Duration> {
        self.fcgi.timeout(self.clock.now())
    }

    /// The time of this turn.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn set_time(&mut self, now: Instant) {
        self.clock.set(now);
    }

    /// The date in the format of the `Date` field.
    pub(crate) fn http_date(&self) -> &str {
        self.clock.http()
    }

    /// The second that [`http_date`](Self::http_date) shows.
    pub(crate) fn second(&self) -> SystemTime {
        self.clock.second()
    }

    /// Whether a client's connection may be kept after a response.
    pub(crate) fn keeps_clients(&self) -> bool {
        self.admission.keeps_clients()
    }

    /// Whether the loop is stopping: each connection then ends with its response.
    pub(crate) fn is_stopping(&self) -> bool {
        self.admission.is_closed()
    }

    /// Finds the script, the file or the error for a target.
    pub(crate) fn resolve(&mut self, target: &[u8]) -> Arc<Route> {
        self.routes.resolve(self.clock.now(), target)
    }

    /// The way to one of php-fpm's own pages, if the target is one.
    ///
    /// # Errors
    /// The page is not for this client.
    pub(crate) fn fpm_status(
        &self,
        target: &[u8],
        client: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Option<Route>, Denied> {
        self.routes.fpm_status(target, client)
    }

    /// Whether there may be a file for a target for which nothing was found.
    pub(crate) fn is_closed(&self, target: &[u8]) -> bool {
        self.routes.is_closed(target)
    }

    /// As [`resolve`](Self::resolve), without the cache.
    pub(crate) fn resolve_anew(&mut self, target: &[u8]) -> Arc<Route> {
        self.routes.resolve_anew(self.clock.now(), target)
    }

    /// The files that applications may name.
    pub(crate) fn sent_files(&self) -> &SentFiles {
        &self.sent_files
    }

    /// Begins the log entry of a request.
    pub(crate) fn log_entry(&mut self, line: &[u8]) -> LogEntry {
        self.log.entry(line)
    }

    /// Whether requests are logged.
    pub(crate) fn logs_requests(&self) -> bool {
        self.log.is_on()
    }

    /// Logs and counts a request that was answered.
    pub(crate) fn log_request(&mut self, client: ClientAddress, entry: LogEntry, served: Served) {
        self.metrics.count_answer(served.status, served.body_len);
        self.log.request(client, self.clock.log(), entry, served);
    }

    /// Keeps what the body of a request holds of the budget until the request has ended: its response may be complete
    /// before.
    pub(crate) fn keep_until_end(&mut self, request: RequestHandle, held: Option<Held>) {
        if let Some(held) = held {
            self.held.insert(request, held);
        }
    }

    /// Counts the end of an application's request, and gives back what was kept until then.
    pub(crate) fn note_end(&mut self, request: RequestHandle, outcome: &Outcome) {
        // Hashing costs more than everything else here, and most requests have nothing kept.
        if !self.held.is_empty() {
            self.held.remove(&request);
        }
        let (application, now) = (self.fcgi.number_of(request), self.clock.now());
        let fcgi = self.fcgi.of(application);
        let name = |server| upstreams::names(fcgi, now, Some(server));
        self.metrics.count_end(application, outcome, name);
    }

    /// The server that has a request. This looks through all requests: for failures only.
    pub(crate) fn server_of(&self, request: RequestHandle) -> Option<ServerId> {
        let info = self.fcgi.info(self.clock.now(), request)?;
        info.report.server
    }

    /// The address of a server of an application, or of those that could have served a request.
    pub(crate) fn upstream(&self, application: usize, server: Option<ServerId>) -> String {
        upstreams::names(self.fcgi.of(application), self.clock.now(), server)
    }

    /// Logs a failure of a request.
    pub(crate) fn log_failure(&mut self, what: Arguments<'_>, of: Subject<'_>) {
        self.log.failure(self.clock.log(), what, of);
    }

    /// Logs a message for the operator that is not about a request.
    pub(crate) fn log_problem(&mut self, what: Arguments<'_>) {
        self.log.problem(self.clock.log(), what);
    }

    /// Logs the application's stderr, as far as its rate allows.
    /// `id` is that of the request.
    pub(crate) fn log_stderr(&mut self, id: &str, bytes: &[u8]) {
        let now = self.clock.now();
        for line in bytes.split(|byte| *byte == b'\n') {
            if !line.trim_ascii().is_empty() && self.stderr_rate.admits(now, line.len()) {
                self.log.stderr(self.clock.log(), id, line);
            }
        }
    }

    /// The figures of this loop, as they are now.
    pub(crate) fn figures(&self) -> Figures {
        let (stats, clients) = (self.fcgi.stats(), self.admission.clients());
        let servers = figures::servers(&self.fcgi, self.clock.now());
        let kept = self.budget.used();
        self.metrics.figures(stats, clients, servers, kept)
    }

    /// The figures of all loops. Those of this loop are as they are now, those of the others as last published.
    pub(crate) fn status(&mut self) -> &LoopMetrics {
        let figures = self.figures();
        self.metrics.publish(self.clock.now(), figures, None);
        &self.metrics
    }

    /// Ends a turn: passes the log lines on, and publishes the figures if the last ones are old enough. `asker` finds
    /// the client of a request.
    pub(crate) fn end_turn(&mut self, asker: impl Fn(Tag, RequestHandle) -> Option<Asker>) {
        let now = self.clock.now();
        if self.metrics.note_change(now) {
            let figures = self.figures();
            let present = Present::of(&self.fcgi, now, asker);
            self.metrics.publish(now, figures, Some(present));
        }
        if let Some(dropped) = self.stderr_rate.take_dropped(self.clock.now()) {
            self.log_problem(format_args!(
                "{dropped} lines of the applications' stderr are not logged: there are too many"
            ));
        }
        self.log.flush();
    }

    /// When to end a turn without an event: to publish the figures, or to report lines that were not logged.
    pub(crate) fn publish_due(&self) -> Option<Instant> {
        let due = [self.metrics.due(), self.stderr_rate.due()];
        due.into_iter().flatten().min()
    }
}
