//! From the target of a request to its script.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::files::{Files, Found, Target};
use super::path::{
    begins_with_dot, has_extension, has_other_names_on_windows, hides_extension, last_segment,
    location, normalized, normalized_raw, segment_ends,
};
use super::refusal::{ForbiddenReason, InvalidTarget, Refusal};
use super::source::is_source;

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
/// [`ScriptMap::local`] accesses the file system: one system call for each segment of a path, and some more for a path
/// that leads over a symbolic link. It looks at each path that could be a script, or else at the whole path, and at each
/// index. These calls block; on a slow file system, make them on a thread of their own. Files may change between these
/// calls and the moment when the application opens the script. This is no sandbox against users who can write below the
/// root.
///
/// A symbolic link may lead to another place below the root, and [as allowed](Self::with_links_into) out of it. A path
/// out of the root is [forbidden](ForbiddenReason::OutsideRoot) whether or not something is there. A link does not make
/// a hidden file or the source of a script available under another name.
///
/// [`ScriptMap::remote`] maps names only, for an application with a file system of its own. A path that is not a script
/// by its name is a [`RemoteFile`](Resolution::RemoteFile), whether or not the file exists. Nothing is found under a name
/// that Windows reads in another way, such as `a\b.php`, `c:x.php` or `con.php`. In a remote map,
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
    /// The root on the application's machine, if it is another one.
    script_root: Option<PathBuf>,
    /// Without a slash at its end, so empty for `/`.
    prefix: Vec<u8>,
    /// `None` for a remote map.
    files: Option<Files>,
    /// The end of a script's name, including its dot. If it is empty, every file is a script. Default: `.php`.
    pub extension: String,
    /// The names tried in a directory, in this order. A name that ends in the extension is run. Default: `index.php`.
    pub index: Vec<String>,
    /// Refuses files and directories whose name begins with a dot, except `.well-known` (RFC 8615). In a local map, the
    /// [`ForbiddenReason`] says whether there is one. Default: true.
    pub hide_dot_files: bool,
    /// Refuses files that hold the source of scripts by their name: copies of scripts, such as `x.php.bak` or `x.php~`,
    /// and for PHP also `.phtml`, `.pht`, `.phps`, `.php5` and the like, and `.inc`. Default: true.
    pub hide_sources: bool,
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
            files: Some(Files::new(&root)?),
            ..Self::remote(root)
        })
    }

    /// A map of names. It accesses no file.
    pub fn remote(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            script_root: None,
            prefix: Vec::new(),
            files: None,
            extension: ".php".to_owned(),
            index: vec!["index.php".to_owned()],
            hide_dot_files: true,
            hide_sources: true,
        }
    }

    /// The document root as scripts see it, for [`site_params`](super::site_params). It is absolute in a
    /// [local](Self::local) map, unless [`with_script_root`](Self::with_script_root) has set another one, and has no slash
    /// at its end.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        let root = self.script_root.as_ref().unwrap_or(&self.root);
        without_slash(root.as_os_str().as_encoded_bytes())
    }

    /// Maps the paths below a prefix, such as `/blog`: the rest of a path is what is looked for below the document root.
    /// A script's name and the location of a redirect include the prefix. Nothing is found elsewhere.
    ///
    /// The prefix is a path as [`normalized_path`] returns it. Only whole segments count: `/blogger` is not below `/blog`.
    ///
    /// ```
    /// use mio_fcgi::cgi::{Resolution, ScriptMap};
    ///
    /// let map = ScriptMap::remote("/srv/blog").with_prefix("/blog");
    /// let Resolution::Script(script) = map.resolve(b"/blog/index.php/2024") else { panic!() };
    /// assert_eq!(script.name, b"/blog/index.php");
    /// assert_eq!(script.filename, b"/srv/blog/index.php");
    /// assert_eq!(map.resolve(b"/index.php"), Resolution::NotFound);
    /// ```
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.prefix = prefix.into();
        let len = base(without_slash(&self.prefix)).len();
        self.prefix.truncate(len);
        self
    }

    /// Tells the application another document root than the one whose files are looked at: the path at which a container
    /// has the same scripts.
    ///
    /// Files that are sent as they are, and whether a script exists, still depend on the root of this map.
    ///
    /// ```
    /// use mio_fcgi::cgi::{Resolution, ScriptMap};
    ///
    /// let map = ScriptMap::remote("/srv/www").with_script_root("/var/www/html");
    /// let Resolution::Script(script) = map.resolve(b"/a.php") else { panic!() };
    /// assert_eq!(script.filename, b"/var/www/html/a.php");
    /// assert_eq!(script.root, b"/var/www/html");
    /// ```
    #[must_use]
    pub fn with_script_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.script_root = Some(root.into());
        self
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

    /// Sets [`hide_sources`](Self::hide_sources); for chains.
    #[must_use]
    pub fn with_hide_sources(mut self, hide_sources: bool) -> Self {
        self.hide_sources = hide_sources;
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
        let target = target.as_ref();
        match &mut self.files {
            Some(files) => files.allow_links_into(target)?,
            // A remote map has no links. Its directories are checked alike.
            None => drop(Files::new(target)?),
        }
        Ok(self)
    }

    /// Finds the script or the file for a target. A query is ignored.
    #[must_use]
    pub fn resolve(&self, target: &[u8]) -> Resolution {
        let (raw_path, query) = split_query(target);
        let path = match normalized(raw_path) {
            Ok(path) => path,
            Err(refusal) => return refusal.into(),
        };
        let path = match path.strip_prefix(&self.prefix[..]) {
            // The prefix itself: a directory without its slash.
            Some([]) => {
                let location = location(&self.prefix, query);
                return Resolution::Redirect { location };
            }
            Some(path @ [b'/', ..]) => path,
            Some(_) | None => return Resolution::NotFound,
        };
        for end in segment_ends(path) {
            if !self.is_script(&path[..end]) {
                continue;
            }
            if let Some(reason) = self.hidden(&path[..end]) {
                return Resolution::Forbidden(reason);
            }
            match self.look(&path[..end]) {
                Found::File { .. } => return self.script(&path[..end], &path[end..]),
                Found::Directory => {}
                Found::Absent => return Resolution::NotFound,
                Found::Refused(reason) => return Resolution::Forbidden(reason),
            }
        }
        self.resolve_plain(path, query)
    }

    /// Resolves a path without a script in it.
    fn resolve_plain(&self, path: &[u8], query: &[u8]) -> Resolution {
        if let Some(reason) = self.hidden(path) {
            return Resolution::Forbidden(reason);
        }
        let is_directory = path.ends_with(b"/");
        // In a remote map, the slash at the end marks a directory.
        match self.look(path) {
            Found::Absent => Resolution::NotFound,
            Found::Refused(reason) => Resolution::Forbidden(reason),
            Found::Directory if !is_directory => Resolution::Redirect {
                location: location(&[&self.prefix, path].concat(), query),
            },
            Found::File { target } if !is_directory => self.static_file(path, target),
            Found::File { .. } if self.files.is_some() => Resolution::NotFound,
            Found::Directory | Found::File { .. } => self.resolve_index(path),
        }
    }

    fn resolve_index(&self, directory: &[u8]) -> Resolution {
        for index in &self.index {
            let path = [directory, index.as_bytes()].concat();
            match self.look(&path) {
                Found::File { .. } if self.is_script(&path) => return self.script(&path, &[]),
                Found::File { target } => return self.static_file(&path, target),
                Found::Refused(reason) => return Resolution::Forbidden(reason),
                Found::Directory | Found::Absent => {}
            }
        }
        Resolution::Forbidden(ForbiddenReason::NoIndex)
    }

    fn script(&self, name: &[u8], path_info: &[u8]) -> Resolution {
        Resolution::Script(Script {
            name: [&self.prefix, name].concat(),
            ..Script::new(self.root(), name, path_info)
        })
    }

    /// A file that is no script. `target` is where links lead to.
    fn static_file(&self, path: &[u8], target: Option<Target>) -> Resolution {
        let Some(name) = self.relative(path) else {
            return Resolution::NotFound;
        };
        let file = self.root.join(name);
        if self.files.is_none() {
            return Resolution::RemoteFile { path: file };
        }
        let target = target.unwrap_or_else(|| Target {
            directory: self.root.clone(),
            relative: name.to_path_buf(),
        });
        let names = [name, &target.relative].map(Path::file_name);
        let is_source = |name: &OsStr| is_source(name.as_encoded_bytes(), &self.extension);
        if self.hide_sources && names.into_iter().flatten().any(is_source) {
            return Resolution::Forbidden(ForbiddenReason::Source);
        }
        Resolution::StaticFile {
            path: file,
            directory: target.directory,
            relative: target.relative,
        }
    }

    /// Why a path is hidden: a name in it begins with a dot.
    fn hidden(&self, path: &[u8]) -> Option<ForbiddenReason> {
        if !self.hide_dot_files {
            return None;
        }
        let is_dotted = |name: &[u8]| begins_with_dot(name) && name != b".well-known";
        let end = segment_ends(path).find(|end| is_dotted(last_segment(&path[..*end])))?;
        Some(match self.look(&path[..end]) {
            Found::Absent if self.files.is_some() => ForbiddenReason::AbsentDotFile,
            Found::Absent | Found::File { .. } | Found::Directory | Found::Refused(_) => {
                ForbiddenReason::DotFile
            }
        })
    }

    fn is_script(&self, name: &[u8]) -> bool {
        let segment = last_segment(name);
        // With an empty extension every segment is a script's name. After the last slash there is no segment.
        !segment.is_empty() && has_extension(segment, &self.extension)
    }

    fn look(&self, path: &[u8]) -> Found {
        match (self.relative(path), &self.files) {
            (None, _) => Found::Absent,
            (Some(_), None) => Found::File { target: None },
            (Some(relative), Some(files)) => files.look(&self.root, relative, self.hide_dot_files),
        }
    }

    /// The path below the root, if it can name a file on this system. The system of a remote map is unknown.
    fn relative<'p>(&self, path: &'p [u8]) -> Option<&'p Path> {
        let relative = to_path(path.strip_prefix(b"/").unwrap_or(path))?;
        let mut parts = relative.components();
        let plain = parts.all(|part| matches!(part, Component::Normal(_)))
            && !(self.may_be_windows() && has_other_names_on_windows(path))
            && (self.extension.is_empty() || !hides_extension(path, &self.extension));
        plain.then_some(relative)
    }

    fn may_be_windows(&self) -> bool {
        cfg!(windows) || self.files.is_none()
    }
}

/// The result of [`ScriptMap::resolve`]. What is neither a script nor a file has an [`http_status`](Self::http_status).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// A script, for [`Env`](super::Env).
    Script(Script),
    /// A file to be sent as it is. Only from [`ScriptMap::local`]: the file exists.
    ///
    /// Someone who can write below the root can replace the file, or a directory of its path, by a link that leads out of
    /// the root. To open nothing but what was found, open `directory`, and from there `relative` without following links:
    /// on Linux with `openat2` and `RESOLVE_NO_SYMLINKS`, elsewhere name by name with `openat` and `O_NOFOLLOW`.
    StaticFile {
        /// The path of the file, by the name that was asked for: its extension tells the type.
        path: PathBuf,
        /// The directory that the file is in or below: the root, or where links lead.
        directory: PathBuf,
        /// The path of the file from there. It had no symbolic links.
        relative: PathBuf,
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

impl From<Refusal> for Resolution {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(why) => Self::Invalid(why),
            Refusal::Forbidden(why) => Self::Forbidden(why),
        }
    }
}

/// The path of a target: decoded once, without dot segments and repeated slashes. It begins with a slash. A query is
/// ignored.
///
/// Choose by this path, and not by the target, which site, application or rule a request is for: `/%62log/x` and
/// `/a/../blog/x` are paths below `/blog`. A [`ScriptMap`] does the same to a target.
///
/// The path may hold any byte: [`ScriptMap::resolve`] and [`Env`](super::Env) refuse NUL, CR and LF.
///
/// # Errors
/// What every map says about the target: [`Resolution::Invalid`] if it does not begin with a slash or is not encoded well,
/// [`Resolution::Forbidden`] if it leads out of the root.
///
/// ```
/// use mio_fcgi::cgi::{Resolution, normalized_path};
///
/// assert_eq!(normalized_path("/a/..//%62log/./x?y=/z"), Ok(b"/blog/x".to_vec()));
/// assert!(matches!(normalized_path("/.."), Err(Resolution::Forbidden(_))));
/// assert!(matches!(normalized_path("/%zz"), Err(Resolution::Invalid(_))));
/// ```
pub fn normalized_path(target: impl AsRef<[u8]>) -> Result<Vec<u8>, Resolution> {
    let (raw_path, _) = split_query(target.as_ref());
    Ok(normalized_raw(raw_path)?)
}

/// The path of a target, and its query with the question mark.
fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    let question = target.iter().position(|byte| *byte == b'?');
    target.split_at(question.unwrap_or(target.len()))
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

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt;
    Some(Path::new(OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> Option<&Path> {
    std::str::from_utf8(bytes).ok().map(Path::new)
}
