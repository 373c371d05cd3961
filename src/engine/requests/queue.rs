//! The queue of waiting requests: first in, first out.
//!
//! It has two lines. The *urgent* line is served first: it has the embedder's probes, and requests that are sent again,
//! which take only a new connection. The *usual* line has all others. They are served while urgent ones still wait if a
//! connection is free that the urgent ones do not take.

/// The ends of the two lines, and the links between requests: removing a request from the middle takes constant time.
#[derive(Debug)]
pub(crate) struct Queue {
    lines: [Ends; 2],
    /// By the request's key. The links of a request that is not in the queue are meaningless.
    links: Vec<Links>,
    /// Requests whose body is being buffered. They will enter the queue.
    buffering: usize,
    /// The most requests that may wait: the limit, or the number that waited when the limit was lowered.
    ceiling: usize,
}

#[derive(Debug, Default)]
struct Ends {
    first: Option<u32>,
    last: Option<u32>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    before: Option<u32>,
    after: Option<u32>,
    line: Line,
}

/// One of the queue's two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Urgent,
    Usual,
}

impl Queue {
    pub(super) fn new(ceiling: usize) -> Self {
        Self {
            lines: Default::default(),
            links: Vec::new(),
            buffering: 0,
            ceiling,
        }
    }

    /// The first request of a line.
    #[inline]
    pub(crate) fn first_of(&self, line: Line) -> Option<u32> {
        self.lines[line as usize].first
    }

    /// The first request of the queue.
    pub(crate) fn first(&self) -> Option<u32> {
        self.first_of(Line::Urgent)
            .or_else(|| self.first_of(Line::Usual))
    }

    /// The request that entered the queue last, as far as the lines tell: the first urgent one, or else the last usual
    /// one.
    pub(crate) fn last(&self) -> Option<u32> {
        let [urgent, usual] = &self.lines;
        urgent.first.or(usual.last)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let [urgent, usual] = &self.lines;
        urgent.first.is_none() && usual.first.is_none()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        let [urgent, usual] = &self.lines;
        urgent.len + usual.len
    }

    #[inline]
    pub(crate) fn len_of(&self, line: Line) -> usize {
        self.lines[line as usize].len
    }

    /// Appends a request to the usual line.
    pub(super) fn push_back(&mut self, key: u32) {
        let ends = &mut self.lines[Line::Usual as usize];
        let before = ends.last.replace(key);
        ends.len += 1;
        match before {
            Some(last) => self.links[last as usize].after = Some(key),
            None => ends.first = Some(key),
        }
        self.link(key, before, None, Line::Usual);
    }

    /// Puts a request at the front of the queue.
    pub(super) fn push_front(&mut self, key: u32) {
        let ends = &mut self.lines[Line::Urgent as usize];
        let after = ends.first.replace(key);
        ends.len += 1;
        match after {
            Some(first) => self.links[first as usize].before = Some(key),
            None => ends.last = Some(key),
        }
        self.link(key, None, after, Line::Urgent);
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
    pub(super) fn remove(&mut self, key: u32) {
        let Links {
            before,
            after,
            line,
        } = self.links[key as usize];
        let ends = &mut self.lines[line as usize];
        ends.len -= 1;
        match before {
            Some(before) => self.links[before as usize].after = after,
            None => ends.first = after,
        }
        match after {
            Some(after) => self.links[after as usize].before = before,
            None => ends.last = before,
        }
    }

    /// The next request after `key` in its line; `key` is in the queue.
    pub(crate) fn after_in_line(&self, key: u32) -> Option<u32> {
        self.links[key as usize].after
    }

    /// The next request after `key` in the queue; `key` is in the queue.
    pub(crate) fn after(&self, key: u32) -> Option<u32> {
        match self.links[key as usize] {
            Links {
                after: None,
                line: Line::Urgent,
                ..
            } => self.first_of(Line::Usual),
            Links { after, .. } => after,
        }
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
            queue.push_back(key);
        }
        queue.set_ceiling(0, 1);
        assert!(!queue.exceeds_ceiling(0, 1));
        queue.remove(0);
        assert!(!queue.exceeds_ceiling(0, 1));
        queue.push_back(0);
        assert!(queue.exceeds_ceiling(0, 1));
    }
}
