//! From targets to scripts, by name and on a real file system.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mio_fcgi::cgi::{ForbiddenReason, InvalidTarget, Resolution, Script, ScriptMap};

/// A document root of its own, removed when the test is over.
struct Site {
    _dir: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

impl Site {
    fn new() -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let root = dir.path().join("www");
        let outside = dir.path().join("outside");
        fs::create_dir_all(&outside)?;
        fs::write(outside.join("secret.php"), "")?;
        fs::write(outside.join("secret.txt"), "")?;
        for directory in [
            "blog",
            "empty",
            "a.php.jpg",
            "dir.php",
            "pages",
            ".git",
            ".well-known",
        ] {
            fs::create_dir_all(root.join(directory))?;
        }
        for file in [
            "index.php",
            "blog/index.php",
            "blog/UPPER.PHP",
            "upload.jpg",
            "style.css",
            "a.php.jpg/x.php",
            "dir.php/x.php",
            "pages/index.html",
            ".env",
            ".git/config",
            ".hidden.php",
            ".well-known/security.txt",
            "b.phpx",
            "index.php.txt",
        ] {
            fs::write(root.join(file), "")?;
        }
        Ok(Self {
            _dir: dir,
            root,
            outside,
        })
    }

    fn map(&self) -> ScriptMap {
        let mut map = ScriptMap::local(&self.root).expect("the root was made");
        map.index.push("index.html".to_owned());
        map
    }

    fn resolve(&self, target: &str) -> Resolution {
        self.map().resolve(target.as_bytes())
    }

    fn script(&self, name: &str, path_info: &str) -> Resolution {
        let root = self.root.as_os_str().as_encoded_bytes();
        Resolution::Script(Script::new(root, name, path_info))
    }

    fn file(&self, path: &str) -> Resolution {
        Resolution::StaticFile {
            path: self.root.join(path),
            directory: self.root.clone(),
            relative: path.into(),
        }
    }
}

fn redirect(location: &str) -> Resolution {
    Resolution::Redirect {
        location: location.into(),
    }
}

fn remote(target: &str) -> Resolution {
    ScriptMap::remote("/srv/www").resolve(target.as_bytes())
}

fn remote_script(name: &str, path_info: &str) -> Resolution {
    Resolution::Script(Script::new("/srv/www", name, path_info))
}

const NOT_FOUND: Resolution = Resolution::NotFound;
const OUTSIDE: Resolution = Resolution::Forbidden(ForbiddenReason::OutsideRoot);
const DOT_FILE: Resolution = Resolution::Forbidden(ForbiddenReason::DotFile);

#[test]
fn scripts_files_and_directories_are_told_apart() -> io::Result<()> {
    let site = Site::new()?;
    for (target, expected) in [
        ("/", site.script("/index.php", "")),
        ("/index.php", site.script("/index.php", "")),
        ("/index.php?a=/../b", site.script("/index.php", "")),
        ("/index.php/a/b", site.script("/index.php", "/a/b")),
        ("/index.php/", site.script("/index.php", "/")),
        ("/index.php/x.php/y", site.script("/index.php", "/x.php/y")),
        ("/index.php/..", site.script("/index.php", "")),
        ("/index.php/../style.css", site.file("style.css")),
        ("/index.php/a//b;c+d", site.script("/index.php", "/a/b;c+d")),
        ("/index.php.txt", site.file("index.php.txt")),
        ("/blog/", site.script("/blog/index.php", "")),
        ("/blog", redirect("/blog/")),
        ("/blog?a=b", redirect("/blog/?a=b")),
        ("/pages/", site.file("pages/index.html")),
        ("/style.css", site.file("style.css")),
        ("/style.css/", NOT_FOUND),
        ("/style.css/x", NOT_FOUND),
        ("/b.phpx", site.file("b.phpx")),
        ("/b.phpx/?a", NOT_FOUND),
        ("/empty/", Resolution::Forbidden(ForbiddenReason::NoIndex)),
        ("/none", NOT_FOUND),
        ("/none.php", NOT_FOUND),
        ("/none/", NOT_FOUND),
    ] {
        assert_eq!(site.resolve(target), expected, "{target}");
    }
    Ok(())
}

#[test]
fn a_query_cannot_break_out_of_the_location_of_a_redirect() -> io::Result<()> {
    let site = Site::new()?;
    assert_eq!(
        site.resolve("/blog?a[]=%0d \"\r\nSet-Cookie: <\0\u{e9}"),
        redirect("/blog/?a%5B%5D=%0d%20%22%0D%0ASet-Cookie:%20%3C%00%C3%A9")
    );
    Ok(())
}

// case 119
#[test]
fn path_info_begins_after_a_segment_that_is_a_script() -> io::Result<()> {
    let site = Site::new()?;
    for (target, expected) in [
        ("/upload.jpg/x.php", NOT_FOUND),
        ("/upload.jpg%2fx.php", NOT_FOUND),
        ("/upload.jpg/x.php/more", NOT_FOUND),
        ("/a.php.jpg/x.php", site.script("/a.php.jpg/x.php", "")),
        ("/a.php.jpg/none.php", NOT_FOUND),
        ("/dir.php/x.php/y", site.script("/dir.php/x.php", "/y")),
        ("/dir.php", redirect("/dir.php/")),
        ("/none.php/index.php", NOT_FOUND),
        ("/blog/upper.php", NOT_FOUND),
        ("/blog/UPPER.PHP", site.script("/blog/UPPER.PHP", "")),
    ] {
        assert_eq!(site.resolve(target), expected, "{target}");
    }
    // In lower case these letters have another length, so positions must be taken from the path itself.
    assert_eq!(
        remote("/\u{130}\u{130}/\u{212a}.php/y"),
        remote_script("/\u{130}\u{130}/\u{212a}.php", "/y")
    );
    assert_eq!(
        remote("/a.php.jpg/x.php/y"),
        remote_script("/a.php.jpg/x.php", "/y")
    );
    assert_eq!(
        remote("/x.php7/y.PHP/z"),
        remote_script("/x.php7/y.PHP", "/z")
    );
    Ok(())
}

#[test]
fn a_path_that_leaves_the_root_is_forbidden() -> io::Result<()> {
    let site = Site::new()?;
    for target in [
        "/..",
        "/../outside/secret.php",
        "/%2e%2e/outside/secret.php",
        "/%2E%2e%2foutside/secret.txt",
        "/blog/../../outside/secret.txt",
        "/./.././outside/",
        "/blog/..//../x",
    ] {
        assert_eq!(site.resolve(target), OUTSIDE, "{target}");
        assert_eq!(remote(target), OUTSIDE, "{target}");
    }
    assert_eq!(
        site.resolve("/blog/../index.php"),
        site.script("/index.php", "")
    );
    assert_eq!(
        site.resolve("//blog///.//index.php"),
        site.script("/blog/index.php", "")
    );
    assert_eq!(site.resolve("/blog/.."), site.script("/index.php", ""));
    Ok(())
}

#[test]
fn a_path_is_decoded_once() {
    assert_eq!(
        remote("/a%20b%2ephp/%2541"),
        remote_script("/a b.php", "/%41")
    );
    assert_eq!(
        remote("/x.php%2Fa%2f%2Fb/+;%3B"),
        remote_script("/x.php", "/a/b/+;;")
    );
    assert_eq!(
        remote("/%252e%252e/x.php"),
        remote_script("/%2e%2e/x.php", "")
    );
    for target in ["/%", "/%4", "/%4g", "/%%41", "/a%-1", "/%+1"] {
        assert_eq!(
            remote(target),
            Resolution::Invalid(InvalidTarget::Encoding),
            "{target}"
        );
    }
    for target in ["", "x", "*", "http://a/x.php", "%2fx.php"] {
        assert_eq!(
            remote(target),
            Resolution::Invalid(InvalidTarget::NoSlash),
            "{target}"
        );
    }
}

// case 118
#[test]
fn bytes_that_break_lines_are_refused_in_a_path() {
    for target in ["/x.php/%00", "/%0d", "/a%0Ab.php", "/a\n", "/x.php\0.jpg"] {
        assert_eq!(
            remote(target),
            Resolution::Invalid(InvalidTarget::Control),
            "{target:?}"
        );
    }
    assert_eq!(remote("/a%0A/../../b"), OUTSIDE);
}

#[test]
fn dot_files_are_hidden_and_it_is_told_whether_they_exist() -> io::Result<()> {
    let site = Site::new()?;
    let absent = Resolution::Forbidden(ForbiddenReason::AbsentDotFile);
    for (target, expected) in [
        ("/.env", &DOT_FILE),
        ("/.git/config", &DOT_FILE),
        ("/.git/", &DOT_FILE),
        ("/.git", &DOT_FILE),
        ("/.git/none/.x", &DOT_FILE),
        ("/.git/none.php", &DOT_FILE),
        ("/.hidden.php", &DOT_FILE),
        ("/%2eenv", &DOT_FILE),
        ("/.none", &absent),
        ("/.none/x.php", &absent),
        ("/blog/.NET/", &absent),
        ("/none/.env", &absent),
    ] {
        assert_eq!(site.resolve(target), *expected, "{target}");
    }
    assert_eq!(
        site.resolve("/.well-known/security.txt"),
        site.file(".well-known/security.txt")
    );
    assert_eq!(
        site.resolve("/index.php/.x"),
        site.script("/index.php", "/.x")
    );
    let mut open = site.map();
    open.hide_dot_files = false;
    assert_eq!(open.resolve(b"/.env"), site.file(".env"));
    fs::write(site.root.join(".php"), "")?;
    for name in ["/.hidden.php", "/.php"] {
        assert_eq!(open.resolve(name.as_bytes()), site.script(name, ""));
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_followed_inside_the_root_only() -> io::Result<()> {
    use std::os::unix::fs::symlink;
    let site = Site::new()?;
    symlink(site.outside.join("secret.php"), site.root.join("out.php"))?;
    symlink(site.outside.join("secret.txt"), site.root.join("out.txt"))?;
    symlink(&site.outside, site.root.join("out"))?;
    symlink(site.root.join("blog"), site.root.join("in"))?;
    symlink("nowhere", site.root.join("dangling.php"))?;
    for (target, expected) in [
        ("/out.php", OUTSIDE),
        ("/out.txt", OUTSIDE),
        ("/out/secret.php/x", OUTSIDE),
        ("/out", OUTSIDE),
        ("/out/", OUTSIDE),
        ("/in/index.php", site.script("/in/index.php", "")),
        ("/in/", site.script("/in/index.php", "")),
        ("/dangling.php", NOT_FOUND),
    ] {
        assert_eq!(site.resolve(target), expected, "{target}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_root_that_is_a_link_may_be_changed_while_in_use() -> io::Result<()> {
    use std::os::unix::fs::symlink;
    let (one, two) = (Site::new()?, Site::new()?);
    let current = one.outside.join("current");
    symlink(&one.root, &current)?;
    let map = ScriptMap::local(&current)?;
    let root = current.as_os_str().as_encoded_bytes();
    let expected = Resolution::Script(Script::new(root, "/index.php", ""));
    assert_eq!(map.resolve(b"/index.php"), expected);
    fs::remove_file(&current)?;
    symlink(&two.root, &current)?;
    assert_eq!(map.resolve(b"/index.php"), expected);
    Ok(())
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_given_out() -> io::Result<()> {
    let site = Site::new()?;
    let _socket = std::os::unix::net::UnixListener::bind(site.root.join("s.php"))?;
    assert_eq!(site.resolve("/s.php"), NOT_FOUND);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_colon_or_backslash_in_a_name_means_nothing_on_unix() -> io::Result<()> {
    let site = Site::new()?;
    for name in ["c:x.txt", "a\\b.txt"] {
        fs::write(site.root.join(name), "")?;
        assert_eq!(site.resolve(&format!("/{name}")), site.file(name));
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn names_need_not_be_utf_8() -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let site = Site::new()?;
    let name = b"caf\xe9.php";
    fs::write(site.root.join(std::ffi::OsStr::from_bytes(name)), "")?;
    let root = site.root.as_os_str().as_encoded_bytes();
    let expected = Script::new(root, [b"/", &name[..]].concat(), b"/\xff");
    for target in [&b"/caf%e9.php/%FF"[..], b"/caf\xe9.php/\xff"] {
        assert_eq!(
            site.map().resolve(target),
            Resolution::Script(expected.clone())
        );
    }
    Ok(())
}

#[test]
fn a_path_may_be_of_any_length() -> io::Result<()> {
    let site = Site::new()?;
    let long = "x".repeat(1_000_000);
    let deep = "/dir.php".repeat(100_000);
    for target in [format!("/{long}"), format!("/{long}.php/{long}"), deep] {
        assert_eq!(site.resolve(&target), NOT_FOUND);
    }
    assert_eq!(
        site.resolve(&format!("/index.php/{long}")),
        site.script("/index.php", &format!("/{long}"))
    );
    let out_and_in = "/../www".repeat(100_000);
    assert_eq!(site.resolve(&out_and_in), OUTSIDE, "though it comes back");
    Ok(())
}

#[test]
fn an_index_is_a_name_in_its_directory_and_leads_nowhere_else() -> io::Result<()> {
    let site = Site::new()?;
    let mut map = site.map();
    for elsewhere in ["../style.css", "../../outside/secret.txt"] {
        map.index = vec![elsewhere.to_owned()];
        assert_eq!(
            map.resolve(b"/blog/"),
            Resolution::Forbidden(ForbiddenReason::NoIndex),
            "{elsewhere}"
        );
    }
    Ok(())
}

#[test]
fn a_redirect_cannot_lead_to_another_host() -> io::Result<()> {
    let site = Site::new()?;
    fs::create_dir_all(site.root.join("evil.example").join("a b"))?;
    assert_eq!(site.resolve("//evil.example"), redirect("/evil.example/"));
    assert_eq!(
        site.resolve("//evil.example/a%20b?c"),
        redirect("/evil.example/a%20b/?c")
    );
    Ok(())
}

#[test]
fn a_remote_map_looks_at_no_file() {
    assert_eq!(remote("/none.php/x"), remote_script("/none.php", "/x"));
    assert_eq!(remote("/a/"), remote_script("/a/index.php", ""));
    assert_eq!(remote("/"), remote_script("/index.php", ""));
    let path = Path::new("/srv/www/a.css").to_path_buf();
    assert_eq!(remote("/a.css"), Resolution::RemoteFile { path });
    let mut map = ScriptMap::remote("/srv/www");
    map.index = vec!["index.html".to_owned()];
    let path = Path::new("/srv/www/a/index.html").to_path_buf();
    assert_eq!(map.resolve(b"/a/"), Resolution::RemoteFile { path });
    assert_eq!(remote("/.env"), DOT_FILE);
}

#[test]
fn without_an_extension_every_file_is_a_script() -> io::Result<()> {
    let site = Site::new()?;
    let (mut here, mut there) = (site.map(), ScriptMap::remote("/srv/www"));
    here.extension = String::new();
    there.extension = String::new();
    for (target, expected) in [
        ("/", site.script("/index.php", "")),
        ("/blog/", site.script("/blog/index.php", "")),
        ("/pages/", site.script("/pages/index.html", "")),
        ("/style.css/a/b", site.script("/style.css", "/a/b")),
        ("/pages/index.html", site.script("/pages/index.html", "")),
        ("/none/style.css", NOT_FOUND),
    ] {
        assert_eq!(here.resolve(target.as_bytes()), expected, "{target}");
    }
    assert_eq!(there.resolve(b"/"), remote_script("/index.php", ""));
    assert_eq!(there.resolve(b"/a/"), remote_script("/a", "/"));
    assert_eq!(there.resolve(b"/a/b"), remote_script("/a", "/b"));
    Ok(())
}

#[test]
fn slashes_at_the_end_of_a_root_change_nothing() -> io::Result<()> {
    for (root, plain, filename) in [
        ("/srv/www", "/srv/www", "/srv/www/x.php"),
        ("/srv/www/", "/srv/www", "/srv/www/x.php"),
        ("/srv/www//", "/srv/www", "/srv/www/x.php"),
        // As a php-fpm in a chroot sees it.
        ("/", "/", "/x.php"),
        ("//", "/", "/x.php"),
        ("", "", "/x.php"),
    ] {
        let map = ScriptMap::remote(root);
        assert_eq!(map.root(), plain.as_bytes(), "{root:?}");
        let Resolution::Script(script) = map.resolve(b"/x.php/y") else {
            panic!("{root:?}");
        };
        assert_eq!(script, Script::new(root, "/x.php", "/y"), "{root:?}");
        assert_eq!(script.root, plain.as_bytes(), "{root:?}");
        assert_eq!(script.filename, filename.as_bytes(), "{root:?}");
    }
    let site = Site::new()?;
    let mut slashed = site.root.clone();
    slashed.push("");
    let map = ScriptMap::local(&slashed)?;
    assert_eq!(map.root(), site.root.as_os_str().as_encoded_bytes());
    assert_eq!(map.resolve(b"/"), site.script("/index.php", ""));
    Ok(())
}

#[test]
fn a_relative_root_of_this_machine_is_made_absolute() -> io::Result<()> {
    let here = std::env::current_dir()?;
    for (root, expected) in [
        ("src", here.join("src")),
        ("./src/", here.join("src")),
        (".", here),
    ] {
        let expected = expected.as_os_str().as_encoded_bytes();
        assert_eq!(ScriptMap::local(root)?.root(), expected, "{root:?}");
    }
    Ok(())
}

#[test]
fn a_root_must_be_a_directory() -> io::Result<()> {
    let site = Site::new()?;
    let of = |path: &Path| ScriptMap::local(path).map_err(|error| error.kind()).err();
    assert_eq!(of(&site.root.join("none")), Some(io::ErrorKind::NotFound));
    assert_eq!(
        of(&site.root.join("index.php")),
        Some(io::ErrorKind::NotADirectory)
    );
    Ok(())
}
