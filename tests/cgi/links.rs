//! Symbolic links out of a document root whose targets are allowed.
#![cfg(unix)]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use mio_fcgi::cgi::{ForbiddenReason, Resolution, ScriptMap};

const OUTSIDE: Resolution = Resolution::Forbidden(ForbiddenReason::OutsideRoot);

#[test]
fn links_lead_out_of_the_root_only_into_what_was_allowed() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    for name in ["www", "shared/js", "shared-not"] {
        fs::create_dir_all(path(name))?;
    }
    for name in ["shared/js/a.js", "shared/b.php", "shared-not/c.js"] {
        fs::write(path(name), "")?;
    }
    // What is allowed may be named by a link itself.
    symlink(path("shared"), path("alias"))?;
    symlink(path("shared"), path("www/lib"))?;
    symlink(path("alias/js/a.js"), path("www/a.js"))?;
    symlink(path("shared-not/c.js"), path("www/c.js"))?;
    symlink(path("shared-not"), path("shared/further"))?;

    let map = ScriptMap::local(path("www"))?;
    for target in ["/lib/js/a.js", "/lib/b.php", "/a.js", "/c.js", "/lib"] {
        assert_eq!(map.resolve(target.as_bytes()), OUTSIDE, "{target}");
    }
    let map = map.with_links_into(path("alias"))?;
    for target in ["/lib/js/a.js", "/a.js"] {
        let path = path("www").join(&target[1..]);
        let file = Resolution::StaticFile { path };
        assert_eq!(map.resolve(target.as_bytes()), file, "{target}");
    }
    let Resolution::Script(script) = map.resolve(b"/lib/b.php/x") else {
        panic!("a script that a link leads to is one");
    };
    assert_eq!(
        (&*script.name, &*script.path_info),
        (&b"/lib/b.php"[..], &b"/x"[..])
    );
    assert!(matches!(map.resolve(b"/lib"), Resolution::Redirect { .. }));
    for target in ["/c.js", "/lib/further/c.js", "/lib/../../shared/b.php"] {
        assert_eq!(map.resolve(target.as_bytes()), OUTSIDE, "{target}");
    }
    Ok(())
}

#[test]
fn links_are_allowed_into_directories_that_are_there() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("file");
    fs::write(&file, "")?;
    let map = ScriptMap::local(directory.path())?;
    for (name, kind) in [
        (file, io::ErrorKind::NotADirectory),
        (directory.path().join("nowhere"), io::ErrorKind::NotFound),
    ] {
        let error = map.clone().with_links_into(name).expect_err("no directory");
        assert_eq!(error.kind(), kind);
    }
    Ok(())
}
