//! The requests and connections that are present and have made no progress for the longest time: what hangs, and why.

use std::time::{Duration, Instant};

use mio_fcgi::{Client, ConnectionInfo, ConnectionState, RequestInfo, RequestState, ServerId, Tag};

use super::site::applications::{Applications, RequestHandle};

/// What a loop had in flight when it published it.
#[derive(Debug, Default)]
pub(crate) struct Present {
    pub(crate) requests: Vec<PresentRequest>,
    pub(crate) connections: Vec<PresentConnection>,
}

#[derive(Debug)]
pub(crate) struct PresentRequest {
    pub(crate) info: RequestInfo,
    /// When that was so. The loop may have slept since then.
    pub(crate) at: Instant,
    /// The address of the application, once it is known.
    pub(crate) upstream: String,
    /// `None`: its client has gone.
    pub(crate) asker: Option<Asker>,
}

#[derive(Debug)]
pub(crate) struct PresentConnection {
    pub(crate) info: ConnectionInfo,
    pub(crate) at: Instant,
    pub(crate) upstream: String,
}

/// Who asked for what.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) id: String,
    pub(crate) client: String,
    /// The request line.
    pub(crate) line: String,
}

impl Present {
    /// Looks through all requests and connections. `asker` finds the client of a request.
    pub(crate) fn of(
        fcgi: &Applications,
        at: Instant,
        asker: impl Fn(Tag, RequestHandle) -> Option<Asker>,
    ) -> Self {
        let address = |client: &Client, server: ServerId| {
            let address = client.server_address(server);
            address.map(ToString::to_string).unwrap_or_default()
        };
        let all = fcgi.clients();
        let all = all.flat_map(|(id, client)| client.requests(at).map(move |it| (id, client, it)));
        let requests = longest(all, |(_, _, it)| it.since_progress);
        let requests = requests
            .into_iter()
            .map(|(id, client, info)| PresentRequest {
                at,
                upstream: info
                    .report
                    .server
                    .map(|server| address(client, server))
                    .unwrap_or_default(),
                asker: asker(info.tag, RequestHandle::new(id, info.request)),
                info,
            });
        let all = fcgi.clients();
        let all = all.flat_map(|(_, client)| client.connections(at).map(move |it| (client, it)));
        let busy = all.filter(|(_, it)| it.state != ConnectionState::Idle);
        let connections = longest(busy, |(_, it)| it.since_activity);
        let connections = connections
            .into_iter()
            .map(|(client, info)| PresentConnection {
                at,
                upstream: address(client, info.server),
                info,
            });
        Self {
            requests: requests.collect(),
            connections: connections.collect(),
        }
    }
}

impl PresentRequest {
    /// How long the request has made no progress.
    pub(crate) fn since_progress(&self, now: Instant) -> Duration {
        self.info.since_progress + now.saturating_duration_since(self.at)
    }

    /// What the request waits for.
    pub(crate) fn why(&self) -> String {
        let info = &self.info;
        if let Some(error) = info.connect_error {
            return error.to_string();
        }
        let why = match info.state {
            RequestState::Buffering => "its body is being buffered",
            RequestState::Queued => "no connection to an application is free",
            RequestState::Aborting => "it was aborted, and the application has not ended it",
            _ if info.is_paused => "the client does not read the response",
            _ if info.awaits_body => "the client has not sent the rest of the body",
            RequestState::Sending => "the application does not read the request",
            RequestState::Sent => "the application has not answered",
            RequestState::Receiving => "the application has not gone on with its response",
            _ => "the client has not read what the application sent",
        };
        why.to_owned()
    }
}

impl PresentConnection {
    /// How long nothing has happened on the connection.
    pub(crate) fn since_activity(&self, now: Instant) -> Duration {
        self.info.since_activity + now.saturating_duration_since(self.at)
    }
}

/// The items of the largest key, in this order, [`MAX_LISTED`] at most.
pub(crate) fn longest<T>(all: impl Iterator<Item = T>, key: impl Fn(&T) -> Duration) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in all {
        let at = kept.partition_point(|it| key(it) >= key(&item));
        if at < MAX_LISTED {
            kept.truncate(MAX_LISTED - 1);
            kept.insert(at, item);
        }
    }
    kept
}

/// The most requests, and the most connections, that are listed.
pub(crate) const MAX_LISTED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_kept_in_their_order() {
        let all = (0..1000).map(|it| (it * 7919) % 1000);
        let kept = longest(all, |it| Duration::from_secs(*it));
        let expected: Vec<u64> = (980..1000).rev().collect();
        assert_eq!(kept, expected);
        assert_eq!(longest([1, 2].into_iter(), |_| Duration::ZERO), [1, 2]);
    }
}
