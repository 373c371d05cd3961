//! Files that the proxy, or anybody but root, may not read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use super::harness::Proxy;

/// As root, the proxy could read each of them.
// case 181
// edge: a file that only root may read | 403, also when the proxy runs as root, with a line that says why
#[test]
fn a_file_that_others_may_not_read_is_not_sent() {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    fs::create_dir(path("closed")).expect("a directory");
    let is_root = rustix::process::geteuid().is_root();
    for (name, mode) in [
        ("closed/a.txt", 0o644),
        ("private.txt", if is_root { 0o600 } else { 0o200 }),
        ("group.txt", if is_root { 0o640 } else { 0o240 }),
        ("open.txt", 0o644),
        ("owned.txt", 0o600),
        ("closed", if is_root { 0o700 } else { 0o600 }),
    ] {
        if !path(name).exists() {
            fs::write(path(name), name).expect("a file");
        }
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path(name), mode).expect("it is ours");
    }
    if is_root {
        // Its owner could have it sent by a proxy of its own.
        chown(path("owned.txt"), Some(65534), None).expect("root may");
    }
    let root_path = root.path().to_str().expect("UTF-8");
    let upstream = "unix:/nonexistent/fcgi.sock";
    let proxy = Proxy::start(&["--upstream", upstream, "--root", root_path]);
    for (target, status) in [
        ("/open.txt", 200),
        ("/owned.txt", 200),
        ("/private.txt", 403),
        ("/group.txt", 403),
    ] {
        assert_eq!(proxy.get(target).status, status, "{target}");
    }
    // Whoever may not enter a directory cannot even see whether there is a file.
    let status = proxy.get("/closed/a.txt").status;
    assert_eq!(status, if is_root { 403 } else { 404 });
    if is_root {
        proxy.wait_for_log("only root may read");
    }
}
