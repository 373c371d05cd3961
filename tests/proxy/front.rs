//! What a path leads to at the moment of the request: a file, a script, or the front controller.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::harness::{Answer, Proxy};
use super::witness::witness;

/// A document root before an application that answers with the script's name and the target.
struct Site {
    proxy: Proxy,
    root: TempDir,
}

impl Site {
    fn new(arguments: &[&str]) -> Self {
        let (address, _) = witness(|request| {
            let (name, target) = (request.param("SCRIPT_NAME"), request.param("REQUEST_URI"));
            format!("Content-Type: text/plain\r\n\r\n{name} for {target}").into_bytes()
        });
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("index.php"), "<?php").expect("a file");
        let path = root.path().to_str().expect("UTF-8");
        let fixed = ["--multiplex", "off", "--upstream", &address, "--root", path];
        let proxy = Proxy::start(&[&fixed[..], arguments].concat());
        Self { proxy, root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str) {
        let path = self.path(name);
        let parent = path.parent().expect("below the root");
        fs::create_dir_all(parent).expect("a directory");
        fs::write(path, format!("the file {name}")).expect("a file");
    }

    /// Status and body.
    fn get(&self, target: &str) -> (u16, String) {
        let Answer { status, body, .. } = self.proxy.get(target);
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[track_caller]
    fn assert_is(&self, target: &str, text: &str) {
        assert_eq!(self.get(target), (200, text.to_owned()), "{target}");
    }
}

/// A maker of thumbnails writes the file that was asked for and redirects the client to it.
// case 152
// edge: a file or a script that appears or disappears between two requests | the next request sees it
#[test]
fn what_appears_is_found_and_what_has_gone_is_the_front_controllers() {
    let site = Site::new(&["--fallback", "/index.php"]);
    site.assert_is("/thumb.jpg", "/index.php for /thumb.jpg");
    site.write("thumb.jpg");
    site.assert_is("/thumb.jpg", "the file thumb.jpg");
    fs::remove_file(site.path("thumb.jpg")).expect("a file");
    site.assert_is("/thumb.jpg", "/index.php for /thumb.jpg");
    site.assert_is("/new.php", "/index.php for /new.php");
    site.write("new.php");
    site.assert_is("/new.php", "/new.php for /new.php");
    site.write("thumb.jpg/index.php");
    assert_eq!(site.get("/thumb.jpg").0, 301);
}

// case 152
#[test]
fn without_a_front_controller_what_appears_is_found() {
    let site = Site::new(&[]);
    assert_eq!(site.get("/a.txt").0, 404);
    site.write("a.txt");
    site.assert_is("/a.txt", "the file a.txt");
    fs::remove_file(site.path("a.txt")).expect("a file");
    assert_eq!(site.get("/a.txt").0, 404);
}

/// The file was there when the path was looked up, and is gone when it is opened.
// case 152
// edge: a file that goes between look-up and opening | it is looked up again
#[test]
fn with_a_cache_a_file_that_has_gone_is_looked_up_again() {
    let site = Site::new(&["--fallback", "/index.php", "--cache-lookups", "1000"]);
    site.write("a.txt");
    site.assert_is("/a.txt", "the file a.txt");
    fs::remove_file(site.path("a.txt")).expect("a file");
    site.assert_is("/a.txt", "/index.php for /a.txt");
    // The cache has the new result.
    site.write("a.txt");
    site.assert_is("/a.txt", "/index.php for /a.txt");
}

/// A wiki has a page on .NET, a forge one on `.gitignore`.
// case 155
// edge: a segment that begins with a dot | the front controller's if there is no such file, else 403
#[test]
fn a_route_with_a_dot_is_the_front_controllers_and_a_dot_file_stays_hidden() {
    let site = Site::new(&["--fallback", "/index.php"]);
    for target in [
        "/wiki/.NET_Framework",
        "/repo/src/.gitignore",
        "/.env",
        "/.x/y.php",
    ] {
        site.assert_is(target, &format!("/index.php for {target}"));
    }
    site.write(".env");
    site.write(".git/config");
    for target in ["/.env", "/%2eenv", "/.git", "/.git/config", "/.git/none/.x"] {
        assert_eq!(site.get(target).0, 403, "{target}");
    }
    // Without a front controller, both are answered alike.
    let site = Site::new(&[]);
    site.write(".env");
    assert_eq!(site.get("/.env"), site.get("/.none"));
}

/// The application's files are elsewhere: none is sent, and the front controller decides.
// case 155
#[test]
fn a_route_with_a_dot_is_the_front_controllers_on_a_remote_root() {
    let site = Site::new(&["--remote", "--fallback", "/index.php"]);
    for target in ["/wiki/.NET", "/.x/y.php", "/wiki/User:A", "/a%5cb.php"] {
        site.assert_is(target, &format!("/index.php for {target}"));
    }
    let site = Site::new(&["--remote"]);
    for (target, status) in [
        ("/.x/y.php", 403),
        ("/a%5c..%5cb.php", 404),
        ("/c:/b.php", 404),
    ] {
        assert_eq!(site.get(target).0, status, "{target}");
    }
}

/// `REQUEST_URI` has it encoded, and no other parameter has it.
// edge: %0A in a path that the front controller gets | served; 400 without a front controller, and for %00
#[test]
fn a_line_end_in_a_route_is_the_front_controllers() {
    let site = Site::new(&["--fallback", "/index.php"]);
    site.assert_is("/search/a%0Ab", "/index.php for /search/a%0Ab");
    for (target, status) in [("/a%00b", 400), ("/a%0A%00b", 400), ("/a%0A/../../b", 403)] {
        assert_eq!(site.get(target).0, status, "{target}");
    }
    assert_eq!(Site::new(&[]).get("/search/a%0Ab").0, 400);
}

/// The query arrives encoded, or not.
// case 187
// edge: quotes, brackets and bytes beyond ASCII in the query of a directory without its slash | encoded in `Location`
#[test]
fn the_query_of_a_redirect_is_encoded_as_its_path_is() {
    let site = Site::new(&[]);
    site.write("a b/index.php");
    let mut client = site.proxy.connect();
    client.send(b"GET /a%20b?a=%20b&c[]=\"<\xe9>\\^`{|}&d=e/f?g HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    let location = "/a%20b/?a=%20b&c%5B%5D=%22%3C%E9%3E%5C%5E%60%7B%7C%7D&d=e/f?g";
    assert_eq!(
        (answer.status, answer.field("location")),
        (301, Some(location))
    );
}

/// RFC 9110, 15.5.6.
// case 161
// edge: a method that a target does not take | 405, `Allow` lists those it takes
#[test]
fn allow_lists_what_a_target_takes() {
    let site = Site::new(&["--status", "--fallback", "/index.php"]);
    site.write("a.txt");
    let any = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    for (line, allow) in [
        ("TRACE /a.txt", "GET, HEAD"),
        ("POST /a.txt", "GET, HEAD"),
        ("DELETE /a.txt?b", "GET, HEAD"),
        ("POST /-/status", "GET, HEAD"),
        ("TRACE /index.php", any),
        ("TRACE /route", any),
        ("TRACE http://localhost/route", any),
        // A tunnel has no methods.
        ("CONNECT localhost:443", ""),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = site.proxy.ask(request);
        assert_eq!(
            (answer.status, answer.field("allow")),
            (405, Some(allow)),
            "{line}"
        );
    }
    assert_eq!(
        site.proxy
            .ask("TRACE /.x HTTP/1.1\r\nHost: a\r\n\r\n")
            .status,
        405
    );
}
