//! The queue of waiting requests: first in, first out.
//!
//! It has lines. Each server has a *pinned* line, for the embedder's probes and for requests that name the server. The
//! *urgent* line has requests that are sent again, most of which take only a new connection. The *usual* line has all
//! others. The pinned lines are served first, because their requests can go nowhere else, and they hold nobody back: a
//! request in another line is served while they wait. The urgent line comes next. The usual one is served while urgent
//! requests still wait if a connection is free that these do not take.
//!
//! In a pinned line, probes come first, then requests that are sent again, and then the others. Requests that are sent
//! again are in the order in which they were put back, as in the urgent line. Each of those that were lost takes only a
//! connection opened after its own was lost: in this order, the connections that are then opened one after the other are
//! each of use to the first that waits, if connects succeed in their order.

/// The ends of the lines, and the links between requests: removing a request from the middle takes constant time.
#[derive(Debug)]
pub(crate) struct Queue {
    urgent: Ends,
    usual: Ends,
    /// By the server's slot.
    pinned: Vec<Ends>,
    /// The slots of the servers whose pinned line is not empty.
    named: Vec<u16>,
    /// Requests in all lines.
    len: usize,
    /// By the request's key. The links of a request that is not in the queue are meaningless.
    links: Vec<Links>,
    /// Requests whose body is being buffered. They will enter the queue.
    buffering: usize,
    /// The most requests that may wait: the limit, or the number that waited when the limit was lowered.
    ceiling: usize,
}

#[derive(Clone, Debug, Default)]
struct Ends {
    first: Option<u32>,
    last: Option<u32>,
    /// The last of the probes and of the requests that are sent again: they are ahead of those appended.
    last_ahead: Option<u32>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    before: Option<u32>,
    after: Option<u32>,
    line: Line,
}

/// One of the queue's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The line of the server in this slot.
    Pinned(u16),
    Urgent,
    Usual,
}

impl Queue {
    pub(super) fn new(ceiling: usize) -> Self {
        Self {
            urgent: Ends::default(),
            usual: Ends::default(),
            pinned: Vec::new(),
            named: Vec::new(),
            len: 0,
            links: Vec::new(),
            buffering: 0,
            ceiling,
        }
    }

    #[inline]
    fn ends(&self, line: Line) -> Option<&Ends> {
        match line {
            Line::Pinned(server) => self.pinned.get(usize::from(server)),
            Line::Urgent => Some(&self.urgent),
            Line::Usual => Some(&self.usual),
        }
    }

    /// The ends of a line that has a request or gets one.
    #[inline]
    fn ends_mut(&mut self, line: Line) -> &mut Ends {
        match line {
            Line::Pinned(server) => {
                let server = usize::from(server);
                if self.pinned.len() <= server {
                    self.pinned.resize(server + 1, Ends::default());
                }
                &mut self.pinned[server]
            }
            Line::Urgent => &mut self.urgent,
            Line::Usual => &mut self.usual,
        }
    }

    /// The first request of a line.
    #[inline]
    pub(crate) fn first_of(&self, line: Line) -> Option<u32> {
        self.ends(line)?.first
    }

    /// The slots of the servers whose pinned line is not empty, in no particular order.
    #[inline]
    pub(crate) fn named(&self) -> &[u16] {
        &self.named
    }

    /// A request that entered the queue last, as far as the lines tell: the last urgent one, or else the last usual
    /// one, or else the last one of a pinned line.
    pub(crate) fn last(&self) -> Option<u32> {
        let pinned = || self.ends(Line::Pinned(*self.named.last()?))?.last;
        self.urgent.last.or(self.usual.last).or_else(pinned)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn len_of(&self, line: Line) -> usize {
        self.ends(line).map_or(0, |it| it.len)
    }

    /// Whether a request waits that names a server.
    pub(crate) fn has_pinned_to(&self, server: u16) -> bool {
        self.len_of(Line::Pinned(server)) > 0
    }

    /// Whether a request waits that a server may serve.
    pub(crate) fn has_request_for(&self, server: u16) -> bool {
        let lines = [Line::Usual, Line::Urgent, Line::Pinned(server)];
        lines.into_iter().any(|line| self.len_of(line) > 0)
    }

    /// Appends a request to a line.
    #[inline]
    pub(super) fn push_back(&mut self, key: u32, line: Line) {
        let last = self.ends(line).and_then(|it| it.last);
        self.insert_after(last, key, line);
    }

    /// Puts a request behind those of a line that were put ahead before, and in front of the others.
    pub(super) fn push_ahead(&mut self, key: u32, line: Line) {
        let last = self.ends(line).and_then(|it| it.last_ahead);
        self.insert_after(last, key, line);
        self.ends_mut(line).last_ahead = Some(key);
    }

    /// Puts a request at the front of a line.
    pub(super) fn push_front(&mut self, key: u32, line: Line) {
        self.insert_after(None, key, line);
        self.ends_mut(line).last_ahead.get_or_insert(key);
    }

    /// Puts a request into a line behind the request `before`, or at its front.
    #[inline]
    fn insert_after(&mut self, before: Option<u32>, key: u32, line: Line) {
        self.note_more(line);
        let ends = self.ends_mut(line);
        ends.len += 1;
        if ends.last == before {
            ends.last = Some(key);
        }
        let after = match before {
            Some(before) => self.links[before as usize].after.replace(key),
            None => self.ends_mut(line).first.replace(key),
        };
        if let Some(after) = after {
            self.links[after as usize].before = Some(key);
        }
        self.link(key, before, after, line);
    }

    /// A line is about to get a request.
    #[inline]
    fn note_more(&mut self, line: Line) {
        self.len += 1;
        if let Line::Pinned(server) = line
            && self.len_of(line) == 0
        {
            self.named.push(server);
        }
    }

    /// A line has lost a request.
    #[inline]
    fn note_less(&mut self, line: Line) {
        self.len -= 1;
        if let Line::Pinned(server) = line
            && self.len_of(line) == 0
        {
            self.named.retain(|it| *it != server);
        }
    }

    fn link(&mut self, key: u32, before: Option<u32>, after: Option<u32>, line: Line) {
        let links = Links {
            before,
            after,
            line,
        };
        if self.links.len() <= key as usize {
            self.links.resize(key as usize + 1, links);
        }
        self.links[key as usize] = links;
    }

    /// Removes a request that is in the queue.
    #[inline]
    pub(super) fn remove(&mut self, key: u32) {
        let Links {
            before,
            after,
            line,
        } = self.links[key as usize];
        let ends = self.ends_mut(line);
        ends.len -= 1;
        if before.is_none() {
            ends.first = after;
        }
        if after.is_none() {
            ends.last = before;
        }
        if ends.last_ahead == Some(key) {
            ends.last_ahead = before;
        }
        if let Some(before) = before {
            self.links[before as usize].after = after;
        }
        if let Some(after) = after {
            self.links[after as usize].before = before;
        }
        self.note_less(line);
    }

    /// The next request after `key` in its line; `key` is in the queue.
    pub(crate) fn after_in_line(&self, key: u32) -> Option<u32> {
        self.links[key as usize].after
    }

    // --- the number of waiting requests ---

    /// The number of waiting requests: those in the queue for which no connection is expected, and those whose body is
    /// being buffered.
    #[inline]
    pub(crate) fn waiting(&self, expected: usize) -> usize {
        self.len().saturating_sub(expected) + self.buffering
    }

    /// Like [`waiting`](Self::waiting), with one more request in the queue.
    #[inline]
    pub(crate) fn waiting_with_one_more(&self, expected: usize) -> usize {
        (self.len() + 1).saturating_sub(expected) + self.buffering
    }

    #[cfg(debug_assertions)]
    pub(super) fn buffering(&self) -> usize {
        self.buffering
    }

    /// # Panics
    /// When the links of a line contradict each other, which is a defect of this library.
    #[cfg(debug_assertions)]
    pub(super) fn check(&self) {
        let pinned = (0..self.pinned.len()).map(|server| Line::Pinned(server as u16));
        let mut sum = 0;
        for line in pinned.chain([Line::Urgent, Line::Usual]) {
            let Some(ends) = self.ends(line) else {
                continue;
            };
            let (mut len, mut before, mut next) = (0, None, ends.first);
            let mut is_last_ahead_found = ends.last_ahead.is_none();
            while let Some(key) = next {
                let links = self.links[key as usize];
                assert_eq!((links.before, links.line), (before, line), "links of {key}");
                is_last_ahead_found |= ends.last_ahead == Some(key);
                (len, before, next) = (len + 1, next, links.after);
            }
            assert_eq!((len, before), (ends.len, ends.last), "{line:?}");
            sum += len;
            assert!(is_last_ahead_found, "{line:?}: the last one ahead has left");
        }
        assert_eq!(sum, self.len, "requests in all lines");
    }

    /// The body of a request is being buffered.
    pub(super) fn expect_one(&mut self) {
        self.buffering += 1;
    }

    /// The body of a request is no longer being buffered.
    pub(super) fn expect_one_less(&mut self) {
        self.buffering -= 1;
    }

    pub(super) fn set_ceiling(&mut self, expected: usize, limit: usize) {
        self.ceiling = limit.max(self.waiting(expected));
    }

    pub(super) fn exceeds_ceiling(&mut self, expected: usize, limit: usize) -> bool {
        let waiting = self.waiting(expected);
        self.ceiling = self.ceiling.min(waiting).max(limit);
        waiting > self.ceiling
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_above_a_limit_that_was_lowered_wait_on_and_nothing_joins_them() {
        let mut queue = Queue::new(1);
        for key in 0..3 {
            queue.push_back(key, Line::Usual);
        }
        queue.set_ceiling(0, 1);
        assert!(!queue.exceeds_ceiling(0, 1));
        queue.remove(0);
        assert!(!queue.exceeds_ceiling(0, 1));
        queue.push_back(0, Line::Usual);
        assert!(queue.exceeds_ceiling(0, 1));
    }

    fn keys(queue: &Queue, line: Line) -> Vec<u32> {
        let next = |key: &u32| queue.after_in_line(*key);
        std::iter::successors(queue.first_of(line), next).collect()
    }

    #[test]
    fn probes_come_first_and_then_what_is_sent_again_in_the_order_of_its_return() {
        let line = Line::Pinned(3);
        for probe_comes in 0..=3 {
            let mut queue = Queue::new(0);
            queue.push_back(10, line);
            for again in 0..3 {
                if probe_comes == again {
                    queue.push_front(20, line);
                }
                queue.push_ahead(again, line);
            }
            if probe_comes == 3 {
                queue.push_front(20, line);
            }
            queue.push_back(11, line);
            assert_eq!(keys(&queue, line), [20, 0, 1, 2, 10, 11]);
            // Whichever of them leave, those that are put ahead stay ahead.
            for gone in [2, 20, 0, 1] {
                queue.remove(gone);
                queue.push_ahead(30, line);
                assert_eq!(
                    keys(&queue, line).iter().position(|key| *key == 30),
                    Some(queue.len() - 3)
                );
                queue.remove(30);
            }
            assert_eq!(keys(&queue, line), [10, 11]);
        }
    }
}
