//! What the paths below a document root lead to. Only this file of the module accesses the file system.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::path::begins_with_dot;
use super::refusal::ForbiddenReason;

/// The places that the links of a document root may lead to.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The root as it was without symbolic links when the map was made.
    canonical_root: PathBuf,
    /// Where links may lead to beside the root, without symbolic links.
    link_targets: Vec<PathBuf>,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// A file. If the path leads over a symbolic link, `target` is where to.
    File {
        target: Option<Target>,
    },
    Directory,
    /// Nothing, or something that is neither a file nor a directory.
    Absent,
    /// A link leads to what may not be given out.
    Refused(ForbiddenReason),
}

/// Where a link leads: a directory that links may lead to, and a path below it. Neither has links.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) directory: PathBuf,
    pub(super) relative: PathBuf,
}

impl Files {
    /// # Errors
    /// When the root cannot be found or is not a directory.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self {
            canonical_root: directory(root)?,
            link_targets: Vec::new(),
        })
    }

    /// # Errors
    /// When the target cannot be found or is not a directory.
    pub(super) fn allow_links_into(&mut self, target: &Path) -> io::Result<()> {
        self.link_targets.push(directory(target)?);
        Ok(())
    }

    /// Looks at a path, which has only names in it. One system call for each name, up to the first symbolic link.
    pub(super) fn look(&self, root: &Path, relative: &Path, hides_dot_files: bool) -> Found {
        let mut at = root.to_path_buf();
        let mut last = None;
        for name in relative.components() {
            at.push(name);
            match fs::symlink_metadata(&at) {
                Ok(metadata) if metadata.is_symlink() => {
                    return self.follow(root, &root.join(relative), hides_dot_files);
                }
                Ok(metadata) => last = Some(metadata),
                Err(_) => return Found::Absent,
            }
        }
        let metadata = last.map_or_else(|| fs::metadata(root), Ok);
        found(metadata, None)
    }

    /// Looks at a path that leads over a symbolic link. For a path out of the root, the result does not depend on what
    /// is there.
    fn follow(&self, root: &Path, path: &Path, hides_dot_files: bool) -> Found {
        let Some(target) = without_links(path) else {
            return Found::Refused(ForbiddenReason::OutsideRoot);
        };
        let mut reason = ForbiddenReason::OutsideRoot;
        // The root itself may be a link that was changed since then, as some deployments do.
        let root_now = root.canonicalize().ok();
        let inside = std::iter::once(&self.canonical_root).chain(&root_now);
        for directory in inside.chain(&self.link_targets) {
            let Ok(below) = target.strip_prefix(directory) else {
                continue;
            };
            if !(hides_dot_files && has_dot_name(below)) {
                let metadata = fs::metadata(&target);
                let (directory, relative) = (directory.clone(), below.to_path_buf());
                let target = Target {
                    directory,
                    relative,
                };
                return found(metadata, Some(target));
            }
            reason = ForbiddenReason::DotFile;
        }
        Found::Refused(reason)
    }
}

fn found(metadata: io::Result<fs::Metadata>, target: Option<Target>) -> Found {
    match metadata {
        Ok(metadata) if metadata.is_file() => Found::File { target },
        Ok(metadata) if metadata.is_dir() => Found::Directory,
        // Also sockets and devices, and files whose metadata may not be read.
        _ => Found::Absent,
    }
}

/// Whether a link leads to a dot file. Two dots are none: Kubernetes mounts a volume as links into a directory such as
/// `..2024_06_30`, and nobody else uses such names.
fn has_dot_name(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().as_encoded_bytes();
        begins_with_dot(name) && !name.starts_with(b"..") && name != b".well-known"
    })
}

/// Where a path leads to, whether something is there or not. `None`: nowhere, the links have no end.
fn without_links(path: &Path) -> Option<PathBuf> {
    if let Ok(canonical) = path.canonicalize() {
        return Some(canonical);
    }
    // What is absent cannot be made canonical as a whole.
    let mut at = PathBuf::new();
    let mut links = 0;
    let mut left = Vec::new();
    push_parts(&mut left, path);
    while let Some(part) = left.pop() {
        if part == *".." {
            at.pop();
            continue;
        }
        at.push(part);
        if let Ok(target) = at.read_link() {
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            // An absolute path replaces the whole.
            at.pop();
            push_parts(&mut left, &target);
        }
    }
    Some(at)
}

/// Pushes the parts of a path, the first one last. The root of the file system is a part, too.
fn push_parts(left: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev();
    let parts = parts.filter(|part| *part != Component::CurDir);
    left.extend(parts.map(|part| part.as_os_str().to_owned()));
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

/// The most links of one path, as in Linux.
const MAX_LINKS: u32 = 40;

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn as_many_links_are_followed_as_linux_follows() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = folder.path().canonicalize().expect("it is there");
        // Link N leads to link N - 1, and the first one to what is absent.
        for link in 0..=MAX_LINKS {
            let target = match link {
                0 => root.join("absent"),
                _ => root.join((link - 1).to_string()),
            };
            symlink(target, root.join(link.to_string())).expect("a link");
        }
        let last = root.join((MAX_LINKS - 1).to_string());
        assert_eq!(without_links(&last), Some(root.join("absent")));
        assert_eq!(without_links(&root.join(MAX_LINKS.to_string())), None);
    }
}
