//! The directories from which applications may have files sent: with `X-Accel-Redirect` as in nginx, with `X-Sendfile` as
//! in Apache and lighttpd.

use std::fmt;
use std::io;
use std::path::Path;

use mio_fcgi::cgi::{Resolution, ScriptMap, normalized_path};

use super::options::Options;

/// How an application names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By a path of the site: `X-Accel-Redirect`.
    Internal,
    /// By a path of the file system: `X-Sendfile`, or lighttpd's older `X-LIGHTTPD-send-file`.
    Absolute,
}

/// The directories of the options.
#[derive(Debug)]
pub(crate) struct SentFiles {
    places: Vec<Place>,
}

/// A directory, and the prefix of the paths that are below it.
#[derive(Debug)]
struct Place {
    naming: Naming,
    /// Without a slash at its end.
    prefix: Vec<u8>,
    map: ScriptMap,
}

impl Naming {
    /// What a field names a file by. `None`: it names none.
    pub(crate) fn of_field(name: &[u8]) -> Option<Self> {
        // Most names begin with another letter.
        if !matches!(name.first(), Some(b'x' | b'X')) {
            return None;
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("X-Accel-Redirect") {
            Some(Self::Internal)
        } else if is("X-Sendfile") || is("X-LIGHTTPD-send-file") {
            Some(Self::Absolute)
        } else {
            None
        }
    }

    /// The option that names the directories.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Internal => "--internal",
            Self::Absolute => "--send-files-from",
        }
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internal => "X-Accel-Redirect",
            Self::Absolute => "X-Sendfile",
        })
    }
}

impl SentFiles {
    /// # Errors
    /// A directory that cannot be read.
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let mut places = Vec::new();
        for (prefix, directory) in &options.internal {
            places.push(Place::new(Naming::Internal, prefix.clone(), directory)?);
        }
        for directory in &options.send_files_from {
            let naming = Naming::Absolute;
            let place = Place::new(naming, bytes(&std::path::absolute(directory)?), directory)?;
            // An application may know the directory by either name.
            let canonical = bytes(&directory.canonicalize()?);
            if canonical != place.prefix {
                places.push(Place::new(naming, canonical, directory)?);
            }
            places.push(place);
        }
        Ok(Self { places })
    }

    /// Whether a client's request is for a path that only an application may name.
    pub(crate) fn is_internal(&self, target: &[u8]) -> bool {
        let mut places = self.places_of(Naming::Internal).peekable();
        places.peek().is_some()
            && normalized_path(target)
                .is_ok_and(|path| places.any(|place| place.has_in_any_case(&path)))
    }

    /// Finds a file that an application named. `None`: it is below no directory from which files may be sent.
    pub(crate) fn find(&self, naming: Naming, value: &[u8]) -> Option<Resolution> {
        let target = target_of(naming, value);
        let path = match normalized_path(&target) {
            Ok(path) => path,
            Err(Resolution::Forbidden(_)) => return None,
            Err(invalid) => return Some(invalid),
        };
        let places = self.places_of(naming).filter(|place| place.has(&path));
        let place = places.max_by_key(|place| place.prefix.len())?;
        Some(place.map.resolve(&target))
    }

    fn places_of(&self, naming: Naming) -> impl Iterator<Item = &Place> {
        let places = self.places.iter();
        places.filter(move |place| place.naming == naming)
    }
}

impl Place {
    fn new(naming: Naming, mut prefix: Vec<u8>, directory: &Path) -> io::Result<Self> {
        while prefix.last() == Some(&b'/') {
            prefix.pop();
        }
        let map = ScriptMap::local(directory).map_err(|error| {
            let (option, directory) = (naming.option(), directory.display());
            io::Error::new(error.kind(), format!("{option} {directory}: {error}"))
        })?;
        // The application decides what is sent, so no name is hidden. A name has no slash in it, so none is a script's.
        let map = map
            .with_prefix(prefix.clone())
            .with_extension("/")
            .with_index(Vec::new())
            .with_hide_dot_files(false)
            .with_hide_sources(false);
        Ok(Self {
            naming,
            prefix,
            map,
        })
    }

    /// As [`has`](Self::has), on a file system that may not tell letters of different case apart.
    fn has_in_any_case(&self, path: &[u8]) -> bool {
        let split = path.split_at_checked(self.prefix.len());
        split.is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(&self.prefix) && matches!(rest.first(), None | Some(b'/'))
        })
    }

    /// Whether a path is the prefix or below it.
    fn has(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(&self.prefix[..]);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// The target that the value of a field stands for. Values are percent-encoded, as in nginx, Apache and lighttpd. A `%`
/// without two digits stands for itself, since many applications encode nothing.
fn target_of(naming: Naming, value: &[u8]) -> Vec<u8> {
    let mut target = Vec::with_capacity(value.len());
    for (at, byte) in value.iter().enumerate() {
        let digits = value.get(at + 1..at + 3).unwrap_or_default();
        let is_encoded = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
        match byte {
            b'%' if !is_encoded => target.extend_from_slice(b"%25"),
            b'?' if naming == Naming::Internal => break,
            b'?' => target.extend_from_slice(b"%3F"),
            byte => target.push(*byte),
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_percent_encoded_where_it_can_be() {
        for (value, internal, absolute) in [
            ("/a b%20c", "/a b%20c", "/a b%20c"),
            ("/100%.pdf?x", "/100%25.pdf", "/100%25.pdf%3Fx"),
            ("/%4", "/%254", "/%254"),
            ("/%zz%2", "/%25zz%252", "/%25zz%252"),
            ("", "", ""),
        ] {
            let target = |naming| target_of(naming, value.as_bytes());
            assert_eq!(target(Naming::Internal), internal.as_bytes(), "{value}");
            assert_eq!(target(Naming::Absolute), absolute.as_bytes(), "{value}");
        }
    }
}
