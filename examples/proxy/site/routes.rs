//! Finds the script or the file for a path, and caches the result for a second.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio_fcgi::cgi::{ForbiddenReason, Resolution, Script, ScriptMap};

use super::options::Options;

/// The document root of one loop.
///
/// Looking at the file system costs more system calls than everything else in a small request. So results are cached
/// for a second: a new file is found up to a second late, and opening a file that is gone fails.
#[derive(Debug)]
pub(crate) struct Routes {
    map: ScriptMap,
    fallback: Option<Script>,
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
        Ok(Self {
            map,
            fallback,
            known: HashMap::new(),
        })
    }

    /// The document root, in the form that is sent to applications.
    pub(crate) fn root(&self) -> &[u8] {
        self.map.root()
    }

    /// Finds what a target stands for. The query is ignored: a redirect comes without it.
    pub(crate) fn resolve(&mut self, now: Instant, target: &str) -> Arc<Resolution> {
        let target = target.as_bytes();
        let question = target.iter().position(|byte| *byte == b'?');
        let path = &target[..question.unwrap_or(target.len())];
        if let Some((since, found)) = self.known.get(path)
            && now < *since + REMEMBERED
        {
            return Arc::clone(found);
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        let found = Arc::new(self.look_up(path));
        self.known.insert(path.to_vec(), (now, Arc::clone(&found)));
        found
    }

    fn look_up(&self, target: &[u8]) -> Resolution {
        let found = self.map.resolve(target);
        // A remote file is not looked at, so it is not sent either.
        let is_absent = matches!(
            found,
            Resolution::NotFound
                | Resolution::RemoteFile { .. }
                | Resolution::Forbidden(ForbiddenReason::NoIndex)
        );
        match &self.fallback {
            Some(script) if is_absent => Resolution::Script(script.clone()),
            _ => found,
        }
    }
}

const REMEMBERED: Duration = Duration::from_secs(1);
const MAX_KNOWN: usize = 1024;
