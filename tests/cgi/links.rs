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
        let file = Resolution::StaticFile {
            path: path("www").join(&target[1..]),
            directory: path("shared"),
            relative: "js/a.js".into(),
        };
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

#[test]
fn behind_a_link_out_of_the_root_the_answer_does_not_tell_what_exists() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    for name in ["www/sub", "outside/dir"] {
        fs::create_dir_all(path(name))?;
    }
    for name in ["outside/a.txt", "outside/a.php", "outside/dir/index.php"] {
        fs::write(path(name), "")?;
    }
    let link = |to: &str, at: &str| symlink(path(to), path("www").join(at));
    link("outside", "out")?;
    link("outside/a.txt", "a.txt")?;
    link("outside/none.txt", "none.txt")?;
    link("outside/a.php", "a.php")?;
    link("outside/none.php", "none.php")?;
    link("nowhere", "dir")?;
    symlink("../../outside", path("www/sub/relative"))?;
    symlink("none/../../../outside", path("www/sub/winding"))?;
    symlink("loop", path("www/loop"))?;
    let map = ScriptMap::local(path("www"))?;
    for target in [
        "/out",
        "/out/",
        "/out/a.txt",
        "/out/none.txt",
        "/out/a.txt/",
        "/out/none/",
        "/out/a.php",
        "/out/none.php",
        "/out/a.php/x",
        "/out/dir/",
        "/out/dir/none/none.txt",
        "/out/.env",
        "/a.txt",
        "/none.txt",
        "/a.php",
        "/none.php",
        "/dir",
        "/dir/x",
        "/sub/relative/a.txt",
        "/sub/relative/none.txt",
        "/sub/winding/a.txt",
        "/loop",
    ] {
        let found = map.resolve(target.as_bytes());
        assert!(
            matches!(found, Resolution::Forbidden(_)),
            "{target}: {found:?}"
        );
    }
    for (target, expected) in [("/out/a.txt", OUTSIDE), ("/out/none.txt", OUTSIDE)] {
        assert_eq!(map.resolve(target.as_bytes()), expected, "{target}");
    }
    // Inside, what is not there is not found, also behind a link.
    symlink("sub", path("www/in"))?;
    symlink("none.txt", path("www/sub/dangling"))?;
    for target in ["/none", "/in/none", "/in/none/none.txt", "/sub/dangling"] {
        assert_eq!(
            map.resolve(target.as_bytes()),
            Resolution::NotFound,
            "{target}"
        );
    }
    Ok(())
}

#[test]
fn a_link_is_no_other_name_for_a_hidden_file_or_for_a_source() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    for name in ["www/.git", "www/..2024", "shared/.cache/.private"] {
        fs::create_dir_all(path(name))?;
    }
    for name in [
        "www/.env",
        "www/.git/config",
        "www/.x.php",
        "www/x.php",
        "www/..2024/a.txt",
        "shared/.cache/b.txt",
        "shared/.cache/.private/c.txt",
    ] {
        fs::write(path(name), "")?;
    }
    let link = |to: &str, at: &str| symlink(to, path("www").join(at));
    link(".env", "env.txt")?;
    link(".git", "git")?;
    link(".x.php", "y.php")?;
    link("x.php", "x.txt")?;
    link("x.php", "z.php")?;
    link("..2024", "..data")?;
    link("..data/a.txt", "a.txt")?;
    link("../shared/.cache", "cache")?;
    let map = ScriptMap::local(path("www"))?.with_links_into(path("shared/.cache"))?;
    let file = |name: &str, directory: &str, relative: &str| Resolution::StaticFile {
        path: path("www").join(name),
        directory: path(directory),
        relative: relative.into(),
    };
    let hidden = Resolution::Forbidden(ForbiddenReason::DotFile);
    let source = Resolution::Forbidden(ForbiddenReason::Source);
    for (target, expected) in [
        ("/env.txt", hidden.clone()),
        ("/git", hidden.clone()),
        ("/git/config", hidden.clone()),
        ("/y.php", hidden.clone()),
        ("/x.txt", source.clone()),
        // Kubernetes mounts a volume through such links.
        ("/a.txt", file("a.txt", "www", "..2024/a.txt")),
        // What an allowed directory is called does not matter, only what is below it.
        (
            "/cache/b.txt",
            file("cache/b.txt", "shared/.cache", "b.txt"),
        ),
        ("/cache/.private/c.txt", hidden),
    ] {
        assert_eq!(map.resolve(target.as_bytes()), expected, "{target}");
    }
    assert!(matches!(map.resolve(b"/z.php"), Resolution::Script(_)));
    let open = map.with_hide_dot_files(false);
    assert_eq!(open.resolve(b"/env.txt"), file("env.txt", "www", ".env"));
    assert_eq!(open.resolve(b"/x.txt"), source);
    Ok(())
}

#[test]
fn links_inside_a_root_that_was_changed_lead_inside() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    for release in ["one", "two"] {
        fs::create_dir_all(path(release).join("sub"))?;
        fs::write(path(release).join("sub/a.php"), "")?;
        symlink(path(release).join("sub"), path(release).join("in"))?;
    }
    symlink("one", path("current"))?;
    let map = ScriptMap::local(path("current"))?;
    for release in ["one", "two"] {
        fs::remove_file(path("current"))?;
        symlink(release, path("current"))?;
        let found = map.resolve(b"/in/a.php");
        assert!(matches!(found, Resolution::Script(_)), "{found:?}");
    }
    Ok(())
}
