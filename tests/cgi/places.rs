//! Several sites below prefixes, and scripts that the application has at another path.

use std::fs;

use mio_fcgi::cgi::{
    ForbiddenReason, InvalidTarget, Resolution, Script, ScriptMap, normalized_path,
};

fn blog() -> ScriptMap {
    ScriptMap::remote("/srv/b").with_prefix("/blog")
}

fn script(map: &ScriptMap, target: &str) -> Script {
    match map.resolve(target.as_bytes()) {
        Resolution::Script(script) => script,
        other => panic!("{target}: {other:?}"),
    }
}

#[test]
fn a_path_is_decoded_once_and_has_no_dots() {
    for (target, path) in [
        ("/", "/"),
        ("//a///b", "/a/b"),
        ("/a/./b/../c/", "/a/c/"),
        ("/a/..", "/"),
        ("/%2e%2E/..%2Fx", ""),
        ("/a/%2e%2E/b", "/b"),
        ("/%2561", "/%61"),
        ("/a?/../../b", "/a"),
        ("/a%0A%00", "/a\n\0"),
    ] {
        let expected = match path {
            "" => Err(Resolution::Forbidden(ForbiddenReason::OutsideRoot)),
            path => Ok(path.as_bytes().to_vec()),
        };
        assert_eq!(normalized_path(target), expected, "{target}");
    }
    let invalid = |why| Err(Resolution::Invalid(why));
    assert_eq!(normalized_path("*"), invalid(InvalidTarget::NoSlash));
    assert_eq!(normalized_path(""), invalid(InvalidTarget::NoSlash));
    assert_eq!(normalized_path("/%f"), invalid(InvalidTarget::Encoding));
}

#[test]
fn below_a_prefix_the_rest_of_the_path_is_mapped_and_names_have_the_prefix() {
    for (target, name, filename, path_info) in [
        ("/blog/a.php", "/blog/a.php", "/srv/b/a.php", ""),
        ("/blog/a.php/x", "/blog/a.php", "/srv/b/a.php", "/x"),
        ("/%62log/a.php", "/blog/a.php", "/srv/b/a.php", ""),
        ("/x/..//blog/", "/blog/index.php", "/srv/b/index.php", ""),
    ] {
        let script = script(&blog(), target);
        assert_eq!(script.name, name.as_bytes(), "{target}");
        assert_eq!(script.filename, filename.as_bytes(), "{target}");
        assert_eq!(script.path_info, path_info.as_bytes(), "{target}");
        assert_eq!(script.root, b"/srv/b");
    }
}

#[test]
fn only_whole_segments_are_the_prefix() {
    let nowhere = ["/", "/a.php", "/blogger/a.php", "/blo", "/BLOG/a.php"];
    for target in nowhere
        .into_iter()
        .chain(["/blog/../a.php", "/blog%2f..%2fa.php"])
    {
        assert_eq!(
            blog().resolve(target.as_bytes()),
            Resolution::NotFound,
            "{target}"
        );
    }
    assert_eq!(
        blog().resolve(b"/blog/../.."),
        Resolution::Forbidden(ForbiddenReason::OutsideRoot)
    );
}

#[test]
fn a_prefix_may_be_written_with_slashes_at_its_end_and_may_be_none() {
    for (prefix, target) in [("/blog//", "/blog/a.php"), ("/", "/a.php"), ("", "/a.php")] {
        let map = ScriptMap::remote("/srv/b").with_prefix(prefix);
        assert_eq!(script(&map, target).filename, b"/srv/b/a.php", "{prefix}");
    }
}

#[test]
fn a_redirect_has_the_prefix() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("sub")).expect("a directory");
    let map = ScriptMap::local(root.path()).expect("it is there");
    let map = map.with_prefix("/a b");
    for (target, expected) in [("/a%20b?x", "/a%20b/?x"), ("/a%20b/sub?x", "/a%20b/sub/?x")] {
        let Resolution::Redirect { location } = map.resolve(target.as_bytes()) else {
            panic!("{target}");
        };
        assert_eq!(location, expected);
    }
}

#[test]
fn the_application_is_told_the_root_that_it_has() {
    let root = tempfile::tempdir().expect("a directory");
    fs::write(root.path().join("a.php"), "<?php").expect("a file");
    fs::write(root.path().join("a.txt"), "a").expect("a file");
    let map = ScriptMap::local(root.path()).expect("it is there");
    let map = map.with_prefix("/blog").with_script_root("/var/www/");
    assert_eq!(map.root(), b"/var/www");
    let found = script(&map, "/blog/a.php/x");
    assert_eq!(found.filename, b"/var/www/a.php");
    assert_eq!(
        (&found.root[..], &found.name[..]),
        (&b"/var/www"[..], &b"/blog/a.php"[..])
    );
    // What is looked at and sent is here.
    assert_eq!(map.resolve(b"/blog/none.php"), Resolution::NotFound);
    let path = root.path().join("a.txt");
    let file = Resolution::StaticFile {
        path,
        directory: root.path().into(),
        relative: "a.txt".into(),
    };
    assert_eq!(map.resolve(b"/blog/a.txt"), file);
}
