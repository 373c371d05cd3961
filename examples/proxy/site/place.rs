//! What a path stands for in one part of the site.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio_fcgi::cgi::{
    ForbiddenReason, InvalidTarget, Resolution, Script, ScriptMap, normalized_path,
};

use super::mount::{Mount, Scripts, Serves};
use super::options::Options;
use super::prefix::Prefix;

/// A part of the site.
#[derive(Debug)]
pub(crate) struct Place {
    mount: Mount,
    /// The number of its application.
    application: usize,
    /// `None`: an application without files, or a root that is gone.
    found: Option<Found>,
}

/// Finds scripts and files below a directory.
#[derive(Debug)]
struct Found {
    map: ScriptMap,
    /// The directory, without symbolic links if the application is told so.
    root: PathBuf,
    fallback: Option<Script>,
}

impl Place {
    /// # Errors
    /// A directory that cannot be read; a fallback that is no script.
    pub(crate) fn new(mount: Mount, application: usize, options: &Options) -> io::Result<Self> {
        let found = match &mount.serves {
            Serves::Application { files: None } => None,
            Serves::Application { files: Some(files) } => {
                let mut map = map(ScriptMap::local(files)?, &mount.prefix, options)?;
                // Which page a directory has is the application's matter.
                map.index.clear();
                Some(Found {
                    map,
                    root: files.clone(),
                    fallback: None,
                })
            }
            Serves::Scripts(scripts) => {
                let root = root_of(scripts)?;
                Some(Found::new(root, scripts, &mount, options)?)
            }
        };
        Ok(Self {
            mount,
            application,
            found,
        })
    }

    pub(crate) fn prefix(&self) -> &Prefix {
        &self.mount.prefix
    }

    pub(crate) fn application(&self) -> usize {
        self.application
    }

    pub(crate) fn fallback(&self) -> Option<&Script> {
        self.found.as_ref()?.fallback.as_ref()
    }

    /// How long a result is believed.
    pub(crate) fn lifetime(&self, options: &Options) -> Duration {
        match &self.mount.serves {
            // Without files here, a result depends only on the path.
            Serves::Application { files: None } => Duration::MAX,
            Serves::Scripts(scripts) if scripts.is_remote => Duration::MAX,
            Serves::Application { .. } | Serves::Scripts(_) => options.cache_lookups,
        }
    }

    /// Follows a root that may be a link to another release by now. Returns whether it is.
    pub(crate) fn follow(&mut self, options: &Options) -> bool {
        let scripts = match &self.mount.serves {
            Serves::Scripts(scripts) if scripts.is_real => scripts,
            _ => return false,
        };
        let now = root_of(scripts).ok();
        if now.as_ref() == self.found.as_ref().map(|found| &found.root) {
            return false;
        }
        // If the new release cannot be used, there is nothing there, rather than the old one.
        let found = now.map(|root| Found::new(root, scripts, &self.mount, options));
        self.found = found.and_then(Result::ok);
        true
    }

    /// Finds what a target stands for, which has a path at the prefix or below it.
    pub(crate) fn resolve(&self, target: &[u8]) -> Resolution {
        match (&self.mount.serves, &self.found) {
            (Serves::Application { .. }, found) => {
                let found = found.as_ref().map(|found| found.map.resolve(target));
                found.filter(is_file).unwrap_or_else(|| self.ask(target))
            }
            (Serves::Scripts(scripts), Some(found)) => found.resolve(target, scripts.is_remote),
            (Serves::Scripts(_), None) => Resolution::NotFound,
        }
    }

    /// The application itself, as a script.
    fn ask(&self, target: &[u8]) -> Resolution {
        let path = match normalized_path(target) {
            Ok(path) => path,
            Err(refused) => return refused,
        };
        let prefix = &self.mount.prefix;
        let path_info = prefix.rest(&path).unwrap_or_default();
        let mut script = Script::new("", prefix.path(), path_info);
        script.filename.clear();
        Resolution::Script(script)
    }

    /// The file on this machine that a script of this part of the site is, or another path below its root.
    pub(crate) fn file_of(&self, path: &[u8]) -> Option<PathBuf> {
        let Serves::Scripts(scripts) = &self.mount.serves else {
            return None;
        };
        let rest = self
            .mount
            .prefix
            .rest(path)
            .filter(|_| !scripts.is_remote)?;
        let relative = to_path(rest.strip_prefix(b"/").unwrap_or(rest))?;
        Some(self.found.as_ref()?.root.join(relative))
    }

    /// A script with this path as its name, whether or not there is such a file.
    pub(crate) fn script_named(&self, path: &[u8]) -> Script {
        let found = self.found.as_ref();
        let root = found.map_or(&b""[..], |found| found.map.root());
        let rest = self.mount.prefix.rest(path).unwrap_or(path);
        let mut script = Script::new(root, rest, "");
        script.name = path.to_vec();
        script
    }

    /// Whether the part of the site has scripts: an application is none.
    pub(crate) fn has_scripts(&self) -> bool {
        matches!(self.mount.serves, Serves::Scripts(_))
    }
}

impl Found {
    fn new(root: PathBuf, scripts: &Scripts, mount: &Mount, options: &Options) -> io::Result<Self> {
        let map = match scripts.is_remote {
            true => ScriptMap::remote(&root),
            false => ScriptMap::local(&root)?,
        };
        let mut map = self::map(map, &mount.prefix, options)?;
        if let Some(script_root) = &scripts.script_root {
            map = map.with_script_root(script_root);
        }
        if let Some(extension) = scripts.extension.as_ref().or(options.extension.as_ref()) {
            map.extension.clone_from(extension);
        }
        map.index = vec![scripts.index.as_ref().unwrap_or(&options.index).clone()];
        if map.index[0] != "index.html" {
            map.index.push("index.html".to_owned());
        }
        let fallback = match &scripts.fallback {
            None => None,
            Some(path) => match map.resolve(format!("{}{path}", mount.prefix.text()).as_bytes()) {
                Resolution::Script(script) => Some(script),
                _ => {
                    let why = format!("{}fallback {path} is no script below the root", mount.named);
                    return Err(io::Error::new(io::ErrorKind::NotFound, why));
                }
            },
        };
        Ok(Self {
            map,
            root,
            fallback,
        })
    }

    fn resolve(&self, target: &[u8], is_remote: bool) -> Resolution {
        let found = self.map.resolve(target);
        match &self.fallback {
            Some(script) if is_absent(&found, target, is_remote) => {
                Resolution::Script(script.clone())
            }
            _ => found,
        }
    }
}

/// The root, without symbolic links if the application is told so.
fn root_of(scripts: &Scripts) -> io::Result<PathBuf> {
    match scripts.is_real {
        true => scripts.root.canonicalize(),
        false => Ok(scripts.root.clone()),
    }
}

/// A map with what is the same for all parts of the site.
fn map(map: ScriptMap, prefix: &Prefix, options: &Options) -> io::Result<ScriptMap> {
    let mut map = map
        .with_prefix(prefix.path())
        .with_hide_sources(!options.send_sources);
    for directory in &options.allow_symlinks_into {
        map = map.with_links_into(directory).map_err(|error| {
            let why = format!("--allow-symlinks-into {}: {error}", directory.display());
            io::Error::new(error.kind(), why)
        })?;
    }
    Ok(map)
}

/// Whether an application's path is not its own: there is a file to be sent, or one that may not be.
fn is_file(found: &Resolution) -> bool {
    match found {
        Resolution::StaticFile { .. } | Resolution::Invalid(_) => true,
        Resolution::Forbidden(reason) => !matches!(
            reason,
            ForbiddenReason::NoIndex | ForbiddenReason::AbsentDotFile
        ),
        _ => false,
    }
}

/// Whether a path leads to no file, so that it is the front controller's.
fn is_absent(found: &Resolution, target: &[u8], is_remote: bool) -> bool {
    match found {
        Resolution::NotFound
        // A remote file is not looked at, so it is not sent either.
        | Resolution::RemoteFile { .. }
        | Resolution::Forbidden(ForbiddenReason::NoIndex | ForbiddenReason::AbsentDotFile) => true,
        Resolution::Forbidden(ForbiddenReason::DotFile) => is_remote,
        // A line end. The front controller gets it encoded, in REQUEST_URI. NUL stays refused.
        Resolution::Invalid(InvalidTarget::Control) => {
            let path = target.split(|byte| *byte == b'?').next();
            !path.unwrap_or_default().windows(3).any(|it| it == b"%00")
        }
        _ => false,
    }
}

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt;
    Some(Path::new(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> Option<&Path> {
    std::str::from_utf8(bytes).ok().map(Path::new)
}
