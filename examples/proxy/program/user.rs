//! The user that the program runs as.

use std::ffi::CString;
use std::io;

use nix::unistd::{User, initgroups, setgid, setuid};

/// Becomes another user, for good, with its groups.
///
/// # Errors
/// There is no such user; only root can become another one.
pub(crate) fn become_user(name: &str) -> io::Result<()> {
    let failed = |why: &dyn std::fmt::Display| io::Error::other(format!("--user {name}: {why}"));
    let user = User::from_name(name).map_err(|error| failed(&error))?;
    let user = user.ok_or_else(|| failed(&"there is no such user"))?;
    let name = CString::new(name).map_err(|error| failed(&error))?;
    // In this order: without root's rights, groups cannot be changed.
    initgroups(&name, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| failed(&error))
}

/// Says what to do instead of running as root.
pub(crate) fn warn_if_root() {
    if rustix::process::geteuid().is_root() {
        eprintln!(
            "proxy: running as root, and so may whoever finds a fault: add --user NAME, or start it as another user with --listen systemd"
        );
    }
}
