//! Finds the script or the file for a path.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio_fcgi::cgi::{ForbiddenReason, InvalidTarget, Resolution, Script, ScriptMap};

use super::options::Options;

/// The document root of one loop.
///
/// By default a path is looked up for each request, so that a request sees what is there now. With `--cache-lookups`,
/// results are believed for some time. Then a new file is found late, and a file that was replaced by a link out of the
/// root can be sent.
#[derive(Debug)]
pub(crate) struct Routes {
    map: ScriptMap,
    /// The files are on the application's machine.
    is_remote: bool,
    fallback: Option<Script>,
    /// How long a result is believed.
    lifetime: Duration,
    /// The cache, by path: when the result was found, and the result. Shared, so that a request can keep its result.
    known: HashMap<Vec<u8>, (Instant, Arc<Resolution>)>,
}

impl Routes {
    /// # Errors
    /// A document root that cannot be read.
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let mut map = match &options.root {
            // The demo application: the first segment of every path is a script.
            None => ScriptMap::remote("").with_extension(""),
            Some(root) if options.remote => ScriptMap::remote(root),
            Some(root) => ScriptMap::local(root)?,
        };
        for directory in &options.allow_symlinks_into {
            map = map.with_links_into(directory).map_err(|error| {
                let why = format!("--allow-symlinks-into {}: {error}", directory.display());
                io::Error::new(error.kind(), why)
            })?;
        }
        if let Some(extension) = &options.extension {
            map.extension.clone_from(extension);
        }
        map.hide_sources = !options.send_sources;
        map.index = vec![options.index.clone()];
        if options.index != "index.html" && options.root.is_some() {
            map.index.push("index.html".to_owned());
        }
        let fallback = match &options.fallback {
            None => None,
            Some(path) => match map.resolve(path.as_bytes()) {
                Resolution::Script(script) => Some(script),
                _ => {
                    let why = format!("--fallback {path} is no script below the root");
                    return Err(io::Error::new(io::ErrorKind::NotFound, why));
                }
            },
        };
        // Without files here, a result depends only on the path.
        let is_remote = options.remote || options.root.is_none();
        let lifetime = match is_remote {
            true => Duration::MAX,
            false => options.cache_lookups,
        };
        Ok(Self {
            map,
            is_remote,
            fallback,
            lifetime,
            known: HashMap::new(),
        })
    }

    /// The document root, in the form that is sent to applications.
    pub(crate) fn root(&self) -> &[u8] {
        self.map.root()
    }

    /// Finds what a target stands for.
    pub(crate) fn resolve(&mut self, now: Instant, target: &[u8]) -> Arc<Resolution> {
        match self.known.get(path_of(target)) {
            Some((since, found)) if now.duration_since(*since) < self.lifetime => Arc::clone(found),
            _ => self.resolve_anew(now, target),
        }
    }

    /// As [`resolve`](Self::resolve), without the cache: what was found before turned out to be gone.
    pub(crate) fn resolve_anew(&mut self, now: Instant, target: &[u8]) -> Arc<Resolution> {
        let found = Arc::new(self.look_up(target));
        // A redirect has the query in it, so it is not the same for each target with this path.
        let is_redirect = matches!(*found, Resolution::Redirect { .. });
        if !self.lifetime.is_zero() && !is_redirect {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            let path = path_of(target).to_vec();
            self.known.insert(path, (now, Arc::clone(&found)));
        }
        found
    }

    fn look_up(&self, target: &[u8]) -> Resolution {
        let found = self.map.resolve(target);
        match &self.fallback {
            Some(script) if self.is_absent(&found, path_of(target)) => {
                Resolution::Script(script.clone())
            }
            _ => found,
        }
    }

    /// Whether a path leads to no file, so that it is the front controller's.
    fn is_absent(&self, found: &Resolution, path: &[u8]) -> bool {
        match found {
            Resolution::NotFound
            // A remote file is not looked at, so it is not sent either.
            | Resolution::RemoteFile { .. }
            | Resolution::Forbidden(ForbiddenReason::NoIndex | ForbiddenReason::AbsentDotFile) => true,
            Resolution::Forbidden(ForbiddenReason::DotFile) => self.is_remote,
            // A line end. The front controller gets it encoded, in REQUEST_URI. NUL stays refused.
            Resolution::Invalid(InvalidTarget::Control) => !path.windows(3).any(|it| it == b"%00"),
            _ => false,
        }
    }
}

fn path_of(target: &[u8]) -> &[u8] {
    let question = target.iter().position(|byte| *byte == b'?');
    &target[..question.unwrap_or(target.len())]
}

const MAX_KNOWN: usize = 1024;
