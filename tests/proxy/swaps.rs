//! Someone who can write below the document root replaces files and directories by links that lead out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use super::harness::{Proxy, get};

/// A site with a file and a directory, and the same names outside of it.
struct Site {
    proxy: Proxy,
    folder: TempDir,
}

fn site(arguments: &[&str]) -> Site {
    let folder = tempfile::tempdir().expect("a directory");
    for (place, text) in [("root", "inside"), ("outside", "secret")] {
        let sub = folder.path().join(place).join("sub");
        fs::create_dir_all(&sub).expect("a directory");
        for name in ["../a.txt", "b.txt"] {
            fs::write(sub.join(name), text).expect("a file");
        }
    }
    let root = folder.path().join("root");
    let fixed = [
        "--upstream",
        "unix:/nonexistent/fcgi.sock",
        "--root",
        root.to_str().expect("UTF-8"),
        "--no-access-log",
    ];
    let proxy = Proxy::start(&[&fixed[..], arguments].concat());
    Site { proxy, folder }
}

/// Replaces `name` below the root by a link, and puts it back, until this is dropped.
struct Swapping {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Swapping {
    fn start(folder: &Path, name: &'static str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (folder, of_thread) = (folder.to_path_buf(), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let path = |place: &str| folder.join(place).join(name);
            let (inside, link) = (folder.join("inside"), folder.join("link"));
            while !of_thread.load(Ordering::Relaxed) {
                symlink(path("outside"), &link).expect("a link");
                fs::rename(path("root"), &inside).expect("what is inside");
                fs::rename(&link, path("root")).expect("the link");
                fs::remove_file(path("root")).expect("the link");
                fs::rename(&inside, path("root")).expect("what is inside");
            }
        });
        let thread = Some(thread);
        Self { is_over, thread }
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

// case 177
// edge: a file, or a directory, that is replaced by a link out of the root between look-up and open | never what is outside
#[test]
fn what_is_swapped_for_a_link_never_shows_what_is_outside() {
    let site = site(&[]);
    for (name, target) in [("a.txt", "/a.txt"), ("sub", "/sub/b.txt")] {
        let _swapping = Swapping::start(site.folder.path(), name);
        let mut client = site.proxy.connect();
        let mut statuses = [0; 3];
        for _ in 0..REQUESTS {
            client.send(get(target));
            let answer = client.answer();
            let at = [200, 403, 404].iter().position(|it| *it == answer.status);
            statuses[at.expect("a status of a file")] += 1;
            if answer.status == 200 {
                assert_eq!(answer.text(), "inside", "after {statuses:?}");
            }
        }
        assert!(statuses[0] > 0, "{target}: {statuses:?}");
    }
}

const REQUESTS: usize = 5000;

// case 177
// edge: the same while look-ups are believed | 403
#[test]
fn a_remembered_path_that_became_a_link_is_refused() {
    let site = site(&["--cache-lookups", "1000"]);
    let path = |name: &str| site.folder.path().join(name);
    for target in ["/a.txt", "/sub/b.txt"] {
        assert_eq!(site.proxy.get(target).text(), "inside");
    }
    fs::remove_file(path("root/a.txt")).expect("a file");
    fs::rename(path("root/sub"), path("root/old")).expect("a directory");
    symlink(path("outside/a.txt"), path("root/a.txt")).expect("a link");
    symlink(path("outside/sub"), path("root/sub")).expect("a link");
    for target in ["/a.txt", "/sub/b.txt"] {
        assert_eq!(site.proxy.get(target).status, 403, "{target}");
    }
}

// edge: links that lead to another place below the root, by whatever path | followed
#[test]
fn links_inside_the_root_are_followed() {
    let site = site(&[]);
    let path = |name: &str| site.folder.path().join("root").join(name);
    for (to, from) in [
        (path("sub/b.txt"), "absolute.txt"),
        ("sub/b.txt".into(), "relative.txt"),
        ("../a.txt".into(), "sub/up.txt"),
        (path("sub"), "directory"),
        ("directory".into(), "again"),
    ] {
        symlink(to, path(from)).expect("a link");
    }
    for target in [
        "/absolute.txt",
        "/relative.txt",
        "/sub/up.txt",
        "/directory/b.txt",
        "/again/b.txt",
    ] {
        assert_eq!(site.proxy.get(target).text(), "inside", "{target}");
    }
}
