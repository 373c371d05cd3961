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

/// Without a line, nobody finds out why there is a 403, or a 404 for a file that is there.
// edge: a file, or a directory of its path, that the proxy's user may not read | 403 or 404, with a line that says why
#[test]
fn a_file_that_cannot_be_reached_has_a_line() {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    fs::create_dir(path("closed")).expect("a directory");
    fs::write(path("closed/a.txt"), "a").expect("a file");
    fs::write(path("private.txt"), "a").expect("a file");
    for (name, mode) in [("closed", 0o600), ("private.txt", 0o200), ("", 0o755)] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path(name), mode).expect("it is ours");
    }
    let root_path = root.path().to_str().expect("UTF-8");
    let upstream = "unix:/nonexistent/fcgi.sock";
    let mut args = vec!["--upstream", upstream, "--root", root_path];
    if rustix::process::geteuid().is_root() {
        args.extend(["--user", "nobody"]);
    }
    let proxy = Proxy::start(&args);
    assert_eq!(proxy.get("/absent.txt").status, 404);
    assert!(!proxy.log().contains("may not"), "{}", proxy.log());
    assert_eq!(proxy.get("/closed/a.txt?b").status, 404);
    proxy.wait_for_log("may not enter");
    assert_eq!(proxy.get("/private.txt").status, 403);
    proxy.wait_for_log("may not read");
}
