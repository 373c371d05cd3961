//! Finds the part of the site for a path, and what the path stands for in it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use mio_fcgi::SharedParams;
use mio_fcgi::cgi::{ForbiddenReason, Resolution, Script, normalized_path};

use super::mounts::{applications, mounts};
use super::options::Options;
use super::place::Place;

/// The parts of the site.
///
/// By default a path is looked up for each request, so that a request sees what is there now. With `--cache-lookups`,
/// results are believed for some time. Then a new file is found late, and a file that was replaced by a link out of the
/// root can be sent.
#[derive(Debug)]
pub(crate) struct Routes {
    options: Arc<Options>,
    /// The longest prefix first.
    places: Vec<Place>,
    /// The cache, by path: until when a result is believed, and the result. Shared, so that a request can keep its
    /// result.
    known: AHashMap<Vec<u8>, (Until, Arc<Route>)>,
}

/// `None`: a result never changes.
type Until = Option<Instant>;

/// What a target stands for.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) found: Resolution,
    /// The parameters of a script, encoded if the result is used again.
    pub(crate) params: Option<SharedParams>,
    /// The number of the application that runs a script.
    pub(crate) application: usize,
}

/// A page is not for the client that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Denied;

impl Routes {
    /// # Errors
    /// A directory that cannot be read; a fallback that is no script, or must not be run.
    pub(crate) fn new(options: &Arc<Options>) -> io::Result<Self> {
        let mounts = mounts(options);
        let lists = applications(&mounts);
        let places = mounts.iter().map(|mount| {
            let number = lists.iter().position(|list| *list == mount.upstreams);
            Place::new(mount.clone(), number.unwrap_or_default(), options)
        });
        let mut places = places.collect::<io::Result<Vec<_>>>()?;
        places.sort_by_key(|place| std::cmp::Reverse(place.prefix().path().len()));
        let routes = Self {
            options: Arc::clone(options),
            places,
            known: AHashMap::new(),
        };
        for place in &routes.places {
            if let Some(script) = place.fallback()
                && routes.is_barred(place, script)
            {
                let name = String::from_utf8_lossy(&script.name);
                let why = format!("the fallback {name} is below a --no-exec: it would not be run");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        Ok(routes)
    }

    /// Finds what a target stands for.
    pub(crate) fn resolve(&mut self, now: Instant, target: &[u8]) -> Arc<Route> {
        self.follow_links();
        match self.known.get(path_of(target)) {
            Some((until, route)) if until.is_none_or(|until| now < until) => Arc::clone(route),
            _ => self.resolve_anew(now, target),
        }
    }

    /// As [`resolve`](Self::resolve), without the cache: what was found before turned out to be gone.
    pub(crate) fn resolve_anew(&mut self, now: Instant, target: &[u8]) -> Arc<Route> {
        let (mut route, lifetime) = self.look_up(target);
        // A redirect has the query in it, so it is not the same for each target with this path.
        let is_redirect = matches!(route.found, Resolution::Redirect { .. });
        let is_short = path_of(target).len() <= MAX_KNOWN_PATH;
        let is_kept = !lifetime.is_zero() && !is_redirect && is_short;
        if is_kept && let Resolution::Script(script) = &route.found {
            // A script that cannot be sent is refused with each request.
            route.params = script.params(false).ok();
        }
        let route = Arc::new(route);
        if is_kept {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            let until = now.checked_add(lifetime);
            let path = path_of(target).to_vec();
            self.known.insert(path, (until, Arc::clone(&route)));
        }
        route
    }

    /// Nothing is believed about a root that is another one by now.
    fn follow_links(&mut self) {
        for place in &mut self.places {
            if place.follow(&self.options) {
                self.known.clear();
            }
        }
    }

    /// What a target stands for, and how long that is believed.
    fn look_up(&self, target: &[u8]) -> (Route, Duration) {
        let nowhere = |found| {
            let route = Route {
                found,
                params: None,
                application: 0,
            };
            (route, Duration::ZERO)
        };
        let place = match self.place_of(target) {
            Ok(Some(place)) => place,
            Ok(None) => return nowhere(Resolution::NotFound),
            Err(refused) => return nowhere(refused),
        };
        let found = match place.resolve(target) {
            Resolution::Script(script) if self.is_barred(place, &script) => {
                Resolution::Forbidden(ForbiddenReason::Source)
            }
            found => found,
        };
        let route = Route {
            found,
            params: None,
            application: place.application(),
        };
        (route, place.lifetime(&self.options))
    }

    /// The way to one of php-fpm's own pages, if the target is one. `client` finds out who asks; `None`: it is
    /// not known.
    ///
    /// # Errors
    /// The page is not for this client.
    pub(crate) fn fpm_status(
        &self,
        target: &[u8],
        client: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Option<Route>, Denied> {
        let pages = &self.options.fpm_status;
        if pages.is_empty() {
            return Ok(None);
        }
        let Ok(path) = normalized_path(target) else {
            return Ok(None);
        };
        let pages = pages.iter();
        let above = pages.filter(|page| page.prefix().rest(&path).is_some());
        let Some(page) = above.max_by_key(|page| page.prefix().path().len()) else {
            return Ok(None);
        };
        if !client().is_some_and(|client| page.admits(client)) {
            return Err(Denied);
        }
        let mut places = self.places.iter();
        let place = places.find(|place| place.prefix().rest(&path).is_some());
        Ok(place.map(|place| Route {
            found: Resolution::Script(place.script_named(&path)),
            params: None,
            application: place.application(),
        }))
    }

    /// Whether there may be a file for a target for which nothing was found: the process may not look.
    pub(crate) fn is_closed(&self, target: &[u8]) -> bool {
        let Ok(path) = normalized_path(target) else {
            return false;
        };
        let place = self.place_of(target).ok().flatten();
        let file = place.and_then(|place| place.file_of(&path));
        file.is_some_and(|file| {
            let found = file.symlink_metadata();
            found.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        })
    }

    /// The part of the site that a target is in.
    fn place_of(&self, target: &[u8]) -> Result<Option<&Place>, Resolution> {
        if let [place] = &self.places[..]
            && place.prefix().path().is_empty()
        {
            return Ok(Some(place));
        }
        let path = normalized_path(target)?;
        let mut places = self.places.iter();
        Ok(places.find(|place| place.prefix().rest(&path).is_some()))
    }

    /// Whether a script must not be run: its path or, on this machine, its file is below a `--no-exec`.
    fn is_barred(&self, place: &Place, script: &Script) -> bool {
        let barred = &self.options.no_exec;
        if barred.is_empty() || !place.has_scripts() {
            return false;
        }
        if barred.iter().any(|it| it.covers_in_any_case(&script.name)) {
            return true;
        }
        let real = |place: &Place, path: &[u8]| place.file_of(path)?.canonicalize().ok();
        let Some(file) = real(place, &script.name) else {
            return false;
        };
        let mut directories = barred.iter().flat_map(|prefix| {
            let places = self.places.iter();
            places.filter_map(move |place| real(place, prefix.path()))
        });
        directories.any(|directory: PathBuf| file.starts_with(directory))
    }
}

fn path_of(target: &[u8]) -> &[u8] {
    let question = target.iter().position(|byte| *byte == b'?');
    &target[..question.unwrap_or(target.len())]
}

const MAX_KNOWN: usize = 1024;
/// A client chooses its paths, and each that is known is kept several times, in the parameters too.
const MAX_KNOWN_PATH: usize = 1024;
