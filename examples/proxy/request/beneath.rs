//! Opens what was found below a directory, and nothing else.
//!
//! Between the look-up and this, somebody who can write below the directory may have replaced the file, or a directory
//! on the way to it, by a link that leads out. The look-up has followed the links that may be followed, so none is
//! followed here.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Why a file was not opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// It is no file any more, or no longer where it was found.
    Gone,
    /// The system denies access.
    Denied,
    /// The proxy runs as root, and only root may read the file.
    OnlyForRoot,
    /// A shortage of the proxy's or of the system's, such as no descriptor left.
    Failed(io::Error),
}

/// Opens a file for reading: `relative` from `directory`. Links are followed on the way to the directory only.
///
/// If the proxy runs as root, it could read every file. Then what only root may read is refused: a file of root's that
/// is not readable for all, or that is in a directory of root's that is not open to all. As another user, the system
/// decides.
pub(crate) fn open(directory: &Path, relative: &Path) -> Result<(File, Metadata), NotOpened> {
    let opened = system::open(directory, relative)?;
    match opened.1.is_file() {
        true => Ok(opened),
        false => Err(NotOpened::Gone),
    }
}

/// An open file, and what the system says of it: that is asked once.
fn with_metadata(file: File) -> Result<(File, Metadata), NotOpened> {
    let metadata = file.metadata().map_err(NotOpened::Failed)?;
    Ok((file, metadata))
}

#[cfg(unix)]
mod system {
    use std::fs::{File, Metadata};
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::LazyLock;

    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::io::Errno;
    use rustix::process::geteuid;

    use super::{NotOpened, with_metadata};

    /// Whether the proxy runs as root. Its user does not change once it has clients.
    static IS_ROOT: LazyLock<bool> = LazyLock::new(|| geteuid().is_root());

    pub(super) fn open(directory: &Path, relative: &Path) -> Result<(File, Metadata), NotOpened> {
        let directory = openat(CWD, directory, DIRECTORY, Mode::empty())?;
        if *IS_ROOT {
            return walk(directory, relative, true);
        }
        #[cfg(target_os = "linux")]
        if let Some(opened) = open_at_once(&directory, relative) {
            return opened;
        }
        walk(directory, relative, false)
    }

    /// Lets the system find the file. `None`: it cannot, before Linux 5.6, or it may not, in some containers.
    #[cfg(target_os = "linux")]
    pub(super) fn open_at_once(
        directory: &OwnedFd,
        relative: &Path,
    ) -> Option<Result<(File, Metadata), NotOpened>> {
        use rustix::fs::{ResolveFlags, openat2};
        let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(directory, relative, FILE, Mode::empty(), rules) {
            Ok(file) => Some(with_metadata(file.into())),
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Opens each directory of the path in turn. `is_root`: checks what others than root may do.
    pub(super) fn walk(
        directory: OwnedFd,
        relative: &Path,
        is_root: bool,
    ) -> Result<(File, Metadata), NotOpened> {
        let mut at = directory;
        let mut names = relative.iter().peekable();
        while let Some(name) = names.next() {
            let is_last = names.peek().is_none();
            let kind = if is_last { FILE } else { DIRECTORY };
            at = openat(&at, name, kind | OFlags::NOFOLLOW, Mode::empty())?;
            if !is_last && !is_root {
                continue;
            }
            let (file, metadata) = with_metadata(at.into())?;
            if is_root {
                check_as_root(&metadata, is_last)?;
            }
            if is_last {
                return Ok((file, metadata));
            }
            at = file.into();
        }
        // An empty path is that of the directory.
        Err(NotOpened::Gone)
    }

    /// Checks what others than root may do with a directory on the way to a file, or with the file.
    fn check_as_root(metadata: &Metadata, is_last: bool) -> Result<(), NotOpened> {
        let for_all = match is_last {
            true if !metadata.is_file() => return Err(NotOpened::Gone),
            true => FILE_FOR_ALL,
            false => DIRECTORY_FOR_ALL,
        };
        match metadata.uid() == 0 && metadata.mode() & for_all == 0 {
            true => Err(NotOpened::OnlyForRoot),
            false => Ok(()),
        }
    }

    /// The permission of others to read a file.
    const FILE_FOR_ALL: u32 = 0o004;
    /// The permission of others to enter a directory.
    const DIRECTORY_FOR_ALL: u32 = 0o001;

    /// A directory that is only passed through needs no permission to list it.
    #[cfg(target_os = "linux")]
    const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
    /// Without blocking: a FIFO in the place of the file does not make the loop wait for a writer.
    const FILE: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

    impl From<Errno> for NotOpened {
        fn from(errno: Errno) -> Self {
            match errno {
                // A link is `LOOP`, or no directory; out of the directory is `XDEV`. A socket, or a device without a
                // driver, cannot be opened (`NXIO`).
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO => {
                    Self::Gone
                }
                // How FreeBSD and NetBSD refuse a link.
                #[cfg(target_os = "freebsd")]
                Errno::MLINK => Self::Gone,
                #[cfg(target_os = "netbsd")]
                Errno::FTYPE => Self::Gone,
                Errno::ACCESS | Errno::PERM => Self::Denied,
                _ => Self::Failed(errno.into()),
            }
        }
    }
}

/// Elsewhere links are followed: creating one needs a privilege on Windows.
#[cfg(not(unix))]
mod system {
    use std::fs::{File, Metadata};
    use std::io::ErrorKind;
    use std::path::Path;

    use super::{NotOpened, with_metadata};

    pub(super) fn open(directory: &Path, relative: &Path) -> Result<(File, Metadata), NotOpened> {
        let opened = File::open(directory.join(relative));
        with_metadata(opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => NotOpened::Gone,
            ErrorKind::PermissionDenied => NotOpened::Denied,
            _ => NotOpened::Failed(error),
        })?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    // case 177
    #[test]
    fn no_link_is_followed_by_either_way_of_opening() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("root/a/b")).expect("a directory");
        fs::write(path("root/a/b/file"), "inside").expect("a file");
        fs::write(path("file"), "outside").expect("a file");
        for (to, from) in [
            ("b/file", "root/a/link"),
            ("a", "root/there"),
            ("..", "root/up"),
        ] {
            symlink(to, path(from)).expect("a link");
        }
        let fifo = FileType::Fifo;
        mknodat(CWD, path("root/fifo"), fifo, Mode::RUSR | Mode::ROTH, 0).expect("a FIFO");
        let root = fs::File::open(path("root")).expect("it is there");
        for (name, is_file) in [
            ("a/b/file", true),
            ("a/b/none", false),
            ("a/b/file/x", false),
            ("a/link", false),
            ("there/b/file", false),
            ("up/file", false),
        ] {
            let directory = || root.try_clone().expect("a descriptor").into();
            let walked = system::walk(directory(), Path::new(name), false);
            let at_once = system::open_at_once(&directory(), Path::new(name));
            for opened in [Some(walked), at_once].into_iter().flatten() {
                match opened {
                    Ok((mut file, _)) => {
                        let mut text = String::new();
                        file.read_to_string(&mut text).expect("text");
                        assert!(is_file && text == "inside", "{name}");
                    }
                    Err(NotOpened::Gone) => assert!(!is_file, "{name}"),
                    Err(error) => panic!("{name}: {error:?}"),
                }
            }
        }
        for name in ["fifo", "a"] {
            let opened = open(&path("root"), Path::new(name));
            assert!(matches!(opened, Err(NotOpened::Gone)), "{name}");
        }
    }

    // case 181
    #[test]
    fn root_opens_no_file_that_only_root_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a directory");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("dir")).expect("a directory");
        fs::write(path("dir/file"), "").expect("a file");
        let mode = |name: &str, mode: u32| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(path(name), mode).expect("it is ours");
        };
        // Only a file of root's can be one.
        let is_of_root = rustix::process::geteuid().is_root();
        for (of_directory, of_file, is_for_all) in [
            (0o755, 0o644, true),
            (0o711, 0o604, true),
            (0o755, 0o640, false),
            (0o755, 0o600, false),
            (0o700, 0o644, false),
        ] {
            mode("dir/file", of_file);
            mode("dir", of_directory);
            let directory = fs::File::open(folder.path()).expect("it is there");
            let opened = system::walk(directory.into(), Path::new("dir/file"), true);
            match opened {
                Ok(_) => assert!(is_for_all || !is_of_root, "{of_directory:o} {of_file:o}"),
                Err(NotOpened::OnlyForRoot) => {
                    assert!(!is_for_all && is_of_root, "{of_directory:o} {of_file:o}");
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}
