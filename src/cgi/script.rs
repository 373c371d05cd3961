//! From the target of a request to its script. Only this file of the module accesses the file system.

use std::io;
use std::path::{Path, PathBuf};

use super::path::{
    begins_with_dot, has_extension, has_other_names_on_windows, hides_extension, location,
    normalized, segment_ends,
};
use super::refusal::{ForbiddenReason, InvalidTarget, Refusal};

/// A script, and the rest of the path after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Script {
    /// The document root. If it is empty, nothing that derives from it is sent.
    pub root: Vec<u8>,
    /// The file to run: `SCRIPT_FILENAME`. Not sent if empty.
    pub filename: Vec<u8>,
    /// The script's path in URLs, decoded: `SCRIPT_NAME`.
    pub name: Vec<u8>,
    /// The rest of the path after the script, decoded: `PATH_INFO`.
    pub path_info: Vec<u8>,
}

impl Script {
    /// A script whose file is below the root, under the script's own name. The name begins with a slash; so does the
    /// path info, unless it is empty. Slashes at the end of the root are removed.
    pub fn new(
        root: impl AsRef<[u8]>,
        name: impl AsRef<[u8]>,
        path_info: impl AsRef<[u8]>,
    ) -> Self {
        let (root, name) = (without_slash(root.as_ref()), name.as_ref());
        Self {
            root: root.to_vec(),
            filename: [base(root), name].concat(),
            name: name.to_vec(),
            path_info: path_info.as_ref().to_vec(),
        }
    }
}

/// Finds the script or the file for the target of a request, below a document root.
///
/// The path is decoded once; then `.`, `..` and repeated slashes are resolved. The script is the first segment that
/// ends in the extension (`.php`, ASCII without regard to case) and is a file. The rest of the path is its path info.
/// So `/upload.jpg/x.php` is not a script, and `/a.php.jpg/x.php` is one only if `a.php.jpg` is a directory that has
/// it. Nothing is found under a name that some file systems take for a script's name, such as `x.ph` and `p` with a
/// zero-width code point between them on HFS+.
///
/// [`ScriptMap::local`] accesses the file system: one `metadata` for each segment that could be a script or else for
/// the path, one for each index tried, and one `canonicalize` (a system call per segment) for the file found. These
/// calls block; on a slow file system, make them on a thread of their own. Files may change between these calls and the
/// moment when the application opens the script. This is no sandbox against users who can write below the root.
///
/// [`ScriptMap::remote`] maps names only, for an application with a file system of its own. A path that is not a script
/// by its name is a [`RemoteFile`](Resolution::RemoteFile), whether or not the file exists. In a remote map,
/// `/upload.jpg/x.php` is a script: configure the application to refuse scripts that do not exist (PHP:
/// `cgi.fix_pathinfo=0`, or php-fpm's `security.limit_extensions`).
///
/// ```
/// use mio_fcgi::cgi::{Resolution, Script, ScriptMap};
///
/// let map = ScriptMap::remote("/srv/www");
/// let Resolution::Script(script) = map.resolve(b"/blog/index.php/2024/a%20b?c=d") else { panic!() };
/// assert_eq!(script, Script::new("/srv/www", "/blog/index.php", "/2024/a b"));
/// assert!(matches!(map.resolve(b"/../etc/passwd"), Resolution::Forbidden(_)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScriptMap {
    root: PathBuf,
    /// The root as it was without symbolic links when the map was made; `None` for a remote map.
    canonical_root: Option<PathBuf>,
    /// Where links may lead to beside the root, without symbolic links.
    link_targets: Vec<PathBuf>,
    /// The end of a script's name, including its dot. If it is empty, every file is a script. Default: `.php`.
    pub extension: String,
    /// The names tried in a directory, in this order. A name that ends in the extension is run. Default: `index.php`.
    pub index: Vec<String>,
    /// Refuses files and directories whose name begins with a dot, except `.well-known` (RFC 8615). Default: true.
    pub hide_dot_files: bool,
}

impl ScriptMap {
    /// A map of files on this machine.
    ///
    /// # Errors
    /// When the root cannot be found or is not a directory.
    pub fn local(root: impl AsRef<Path>) -> io::Result<Self> {
        // Removes the separators at the end, whichever the system uses.
        let root: PathBuf = std::path::absolute(root)?.components().collect();
        Ok(Self {
            canonical_root: Some(directory(&root)?),
            ..Self::remote(root)
        })
    }

    /// A map of names. It accesses no file.
    pub fn remote(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            canonical_root: None,
            link_targets: Vec::new(),
            extension: ".php".to_owned(),
            index: vec!["index.php".to_owned()],
            hide_dot_files: true,
        }
    }

    /// The document root as scripts see it, for [`site_params`](super::site_params). It is absolute in a
    /// [local](Self::local) map, and has no slash at its end.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        without_slash(self.root.as_os_str().as_encoded_bytes())
    }

    /// Sets [`extension`](Self::extension); for chains.
    #[must_use]
    pub fn with_extension(mut self, extension: impl Into<String>) -> Self {
        self.extension = extension.into();
        self
    }

    /// Sets [`index`](Self::index); for chains.
    #[must_use]
    pub fn with_index(mut self, index: Vec<String>) -> Self {
        self.index = index;
        self
    }

    /// Sets [`hide_dot_files`](Self::hide_dot_files); for chains.
    #[must_use]
    pub fn with_hide_dot_files(mut self, hide_dot_files: bool) -> Self {
        self.hide_dot_files = hide_dot_files;
        self
    }

    /// Lets symbolic links below the root lead into the directory `target` as well. All files below `target` can then be
    /// had through such links. Each call adds a directory.
    ///
    /// This is for applications whose files a package has spread, such as Debian's with `/usr/share/javascript`. A remote
    /// map has no links.
    ///
    /// # Errors
    /// When `target` cannot be found or is no directory.
    pub fn with_links_into(mut self, target: impl AsRef<Path>) -> io::Result<Self> {
        self.link_targets.push(directory(target.as_ref())?);
        Ok(self)
    }

    /// Finds the script or the file for a target. A query is ignored.
    #[must_use]
    pub fn resolve(&self, target: &[u8]) -> Resolution {
        let (raw_path, query) = match target.iter().position(|byte| *byte == b'?') {
            Some(at) => target.split_at(at),
            None => (target, &[][..]),
        };
        let path = match normalized(raw_path) {
            Ok(path) => path,
            Err(Refusal::Invalid(why)) => return Resolution::Invalid(why),
            Err(Refusal::Forbidden(why)) => return Resolution::Forbidden(why),
        };
        for end in segment_ends(&path) {
            if !self.is_script(&path[..end]) {
                continue;
            }
            if self.is_hidden(&path[..end]) {
                return Resolution::Forbidden(ForbiddenReason::DotFile);
            }
            match self.kind(&path[..end]) {
                Kind::File => return self.script(&path[..end], &path[end..]),
                Kind::Directory => {}
                Kind::Absent => return Resolution::NotFound,
            }
        }
        self.resolve_plain(&path, query)
    }

    /// Resolves a path without a script in it.
    fn resolve_plain(&self, path: &[u8], query: &[u8]) -> Resolution {
        // Checked before the file is accessed, so that the answer does not reveal whether it exists.
        if self.is_hidden(path) {
            return Resolution::Forbidden(ForbiddenReason::DotFile);
        }
        let is_directory = path.ends_with(b"/");
        // The path keeps its slash at the end, with which no file is found. In a remote map, the slash marks a
        // directory.
        match self.kind(path) {
            Kind::Absent => Resolution::NotFound,
            Kind::Directory | Kind::File if is_directory => self.resolve_index(path),
            Kind::Directory => match self.refusal(path) {
                Some(refusal) => refusal,
                None => Resolution::Redirect {
                    location: location(path, query),
                },
            },
            Kind::File => self.static_file(path),
        }
    }

    fn resolve_index(&self, directory: &[u8]) -> Resolution {
        if let Some(refusal) = self.refusal(directory) {
            return refusal;
        }
        for index in &self.index {
            let path = [directory, index.as_bytes()].concat();
            match self.kind(&path) {
                Kind::File if self.is_script(&path) => return self.script(&path, &[]),
                Kind::File => return self.static_file(&path),
                Kind::Directory | Kind::Absent => {}
            }
        }
        Resolution::Forbidden(ForbiddenReason::NoIndex)
    }

    fn script(&self, name: &[u8], path_info: &[u8]) -> Resolution {
        if let Some(refusal) = self.refusal(name) {
            return refusal;
        }
        Resolution::Script(Script::new(self.root(), name, path_info))
    }

    fn static_file(&self, path: &[u8]) -> Resolution {
        match (self.refusal(path), self.file(path)) {
            (Some(refusal), _) => refusal,
            (None, Some(path)) if self.canonical_root.is_none() => Resolution::RemoteFile { path },
            (None, Some(path)) => Resolution::StaticFile { path },
            (None, None) => Resolution::NotFound,
        }
    }

    /// Why a file or directory that exists is refused.
    fn refusal(&self, path: &[u8]) -> Option<Resolution> {
        let canonical_root = self.canonical_root.as_ref()?;
        let Some(Ok(canonical)) = self.file(path).map(|file| file.canonicalize()) else {
            return Some(Resolution::NotFound);
        };
        let mut inside = std::iter::once(canonical_root).chain(&self.link_targets);
        // The root itself may be a link that was changed since then, as some deployments do.
        let inside = inside.any(|directory| canonical.starts_with(directory))
            || matches!(self.root.canonicalize(), Ok(root) if canonical.starts_with(&root));
        (!inside).then_some(Resolution::Forbidden(ForbiddenReason::OutsideRoot))
    }

    fn is_hidden(&self, path: &[u8]) -> bool {
        let dotted = |segment: &[u8]| begins_with_dot(segment) && segment != b".well-known";
        self.hide_dot_files && path.split(|byte| *byte == b'/').any(dotted)
    }

    fn is_script(&self, name: &[u8]) -> bool {
        let slash = name.iter().rposition(|byte| *byte == b'/');
        let segment = &name[slash.map_or(0, |at| at + 1)..];
        // With an empty extension every segment is a script's name. After the last slash there is no segment.
        !segment.is_empty() && has_extension(segment, &self.extension)
    }

    fn kind(&self, path: &[u8]) -> Kind {
        if self.canonical_root.is_none() {
            return Kind::File;
        }
        let metadata = self.file(path).map(std::fs::metadata);
        match metadata {
            Some(Ok(metadata)) if metadata.is_file() => Kind::File,
            Some(Ok(metadata)) if metadata.is_dir() => Kind::Directory,
            // Also sockets and devices, and files whose metadata may not be read.
            _ => Kind::Absent,
        }
    }

    /// The file of a path, if the path can name one on this system.
    fn file(&self, path: &[u8]) -> Option<PathBuf> {
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        let relative = to_path(relative)?;
        let plain = relative
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
            && !(cfg!(windows) && has_other_names_on_windows(path))
            && (self.extension.is_empty() || !hides_extension(path, &self.extension));
        plain.then(|| self.root.join(relative))
    }
}

/// The result of [`ScriptMap::resolve`]. What is neither a script nor a file has an [`http_status`](Self::http_status).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// A script, for [`Env`](super::Env).
    Script(Script),
    /// A file to be sent as it is. Only from [`ScriptMap::local`]: the file exists.
    StaticFile {
        /// The path of the file.
        path: PathBuf,
    },
    /// A path that is not a script by its name. Only from [`ScriptMap::remote`]: whether the file exists was not
    /// checked. A file of that name on this machine has nothing to do with it.
    RemoteFile {
        /// The path of the file on the application's machine.
        path: PathBuf,
    },
    /// A directory, but the target lacks the slash at its end: a server answers 301.
    Redirect {
        /// The new location, a value of the field `Location`: path and query, encoded, beginning with one slash.
        location: String,
    },
    /// The file does not exist: 404. The application was not asked.
    NotFound,
    /// Access is forbidden: 403.
    Forbidden(ForbiddenReason),
    /// The target is not a path: 400.
    Invalid(InvalidTarget),
}

/// A document root without slashes at its end. `/` stays: an application in a chroot has this root.
pub(super) fn without_slash(root: &[u8]) -> &[u8] {
    match root.iter().rposition(|byte| *byte != b'/') {
        Some(last) => &root[..=last],
        None => root.get(..1).unwrap_or_default(),
    }
}

/// The part of a root that a path, which begins with a slash, is appended to.
pub(super) fn base(root: &[u8]) -> &[u8] {
    root.strip_suffix(b"/").unwrap_or(root)
}

/// The path of a directory without symbolic links.
fn directory(path: &Path) -> io::Result<PathBuf> {
    let canonical = path.canonicalize()?;
    if canonical.is_dir() {
        Ok(canonical)
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

enum Kind {
    File,
    Directory,
    Absent,
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
