//! The places of the requests. A request is made in its place and not moved out of it: a slab would move its 336 bytes three
//! times.

use super::request::Request;

#[derive(Default)]
pub(super) struct Places {
    all: Vec<Request>,
    /// The keys of the vacant places. The one that was vacated last is filled first.
    vacant: Vec<u32>,
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.vacant.len() == self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Request)> + Clone + '_ {
        let all = self.all.iter().enumerate();
        all.filter(|(_, it)| !it.is_vacant())
            .map(|(key, it)| (key as u32, it))
    }

    #[inline]
    pub(super) fn get(&self, key: u32) -> Option<&Request> {
        self.all.get(key as usize).filter(|it| !it.is_vacant())
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut Request> {
        self.all.get_mut(key as usize).filter(|it| !it.is_vacant())
    }

    /// The request with a key.
    ///
    /// # Panics
    /// When there is none, which is a defect of this library. A vacant place is noticed in debug builds only.
    #[inline]
    pub(super) fn at(&self, key: u32) -> &Request {
        let request = &self.all[key as usize];
        debug_assert!(!request.is_vacant());
        request
    }

    /// Like [`at`](Self::at), to change it.
    #[inline]
    pub(super) fn at_mut(&mut self, key: u32) -> &mut Request {
        let request = &mut self.all[key as usize];
        debug_assert!(!request.is_vacant());
        request
    }

    /// A vacant place, which the caller fills, and its key.
    #[inline]
    pub(super) fn vacancy(&mut self) -> (u32, &mut Request) {
        let key = self.vacant.pop().unwrap_or_else(|| {
            self.all.push(Request::vacant());
            (self.all.len() - 1) as u32
        });
        let place = &mut self.all[key as usize];
        debug_assert!(place.is_vacant());
        (key, place)
    }

    /// The key that the next request gets.
    #[cfg(feature = "testkit")]
    pub(super) fn next_key(&self) -> u32 {
        let end = self.all.len() as u32;
        self.vacant.last().copied().unwrap_or(end)
    }

    /// Removes a request.
    ///
    /// # Panics
    /// When there is none: a place that is vacant twice would be two requests' at the same time.
    #[inline]
    pub(super) fn vacate(&mut self, key: u32) {
        let place = &mut self.all[key as usize];
        assert!(!place.is_vacant());
        place.vacate();
        self.vacant.push(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::engine::requests::{Checked, Requests};
    use crate::engine::time::Time;
    use crate::timeouts::Timeouts;
    use crate::{Body, Params, Request, Tag};

    fn requests() -> Requests {
        Requests::new(1, 1, Timeouts::NONE)
    }

    fn add(requests: &mut Requests, mut request: Request) -> u32 {
        let checked = Checked {
            pinned: None,
            lens: (request.body.len(), Some(0)),
            origins: (0, 0),
            buffering: None,
        };
        requests.add(Time::START, Tag(0), &mut request, checked)
    }

    #[test]
    fn the_place_that_was_vacated_last_is_filled_first() {
        let mut requests = requests();
        let added = [0; 3].map(|_| add(&mut requests, Request::responder()));
        assert_eq!(added, [0, 1, 2]);
        let stale = requests[1].handle(1);
        requests.remove(1);
        requests.remove(0);
        assert!(requests.get(1).is_none() && requests.of(stale).is_none());
        let keys: Vec<u32> = requests.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [2]);
        let added = [0; 3].map(|_| add(&mut requests, Request::responder()));
        assert_eq!(added, [0, 1, 3]);
        assert!(requests.of(stale).is_none(), "another request");
        for key in added.into_iter().chain([2]) {
            requests.remove(key);
        }
        assert!(requests.is_empty());
    }

    #[test]
    fn no_request_has_the_generation_of_a_vacant_place() {
        let mut requests = requests();
        requests.next_generation = u32::MAX;
        let key = add(&mut requests, Request::responder());
        assert!(requests.get(key).is_some());
    }

    #[test]
    fn a_vacant_place_holds_nothing() {
        let body = Arc::<[u8]>::from(&b"body"[..]);
        let shared = Params::from_iter([("A", "1")]).into_shared();
        let request = || {
            let params = Params::with_shared(&shared);
            Request::responder()
                .with_params(params)
                .with_body(Body::shared(body.clone()))
        };
        let before = format!("{:?}", super::Request::vacant());
        let mut requests = requests();
        for _ in 0..2 {
            let key = add(&mut requests, request());
            assert_eq!(Arc::strong_count(&body), 2);
            requests.remove(key);
            assert_eq!(Arc::strong_count(&body), 1);
            let place = format!("{:?}", requests.places.all[0]);
            let params = |text: &str| text.split("params").nth(1).map(str::to_owned);
            assert_eq!(params(&place), params(&before));
        }
    }
}
