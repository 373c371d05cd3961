//! Files that an application names in place of its body.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc::Receiver;

use tempfile::TempDir;

use super::application::{application, end, read_request, stdout};
use super::harness::{Answer, Proxy, TIME_LIMIT, get, pattern, post};
use super::witness::{ReceivedRequest, witness};

use mio_fcgi::wire::ProtocolStatus;

/// An application that sends the head that it is asked for, and a body of its own.
struct Site {
    proxy: Proxy,
    told: Receiver<ReceivedRequest>,
    folder: TempDir,
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let path = |name: &str| folder.path().join(name);
    for name in ["www/shown", "files/sub", "outside"] {
        fs::create_dir_all(path(name)).expect("a directory");
    }
    for name in ["www/a.php", "www/shown/x.php", "www/shown/page.txt"] {
        fs::write(path(name), "the site's").expect("a file");
    }
    for name in ["a.pdf", "a b%.txt", "100%.txt", "c?d.txt", ".dot", "e.php"] {
        fs::write(path("files").join(name), "0123456789").expect("a file");
    }
    fs::write(path("files/sub/large.bin"), pattern(3_000_001)).expect("a file");
    fs::write(path("outside/secret.txt"), "secret").expect("a file");
    symlink(path("outside/secret.txt"), path("files/out.txt")).expect("a link");
    symlink(path("outside"), path("files/out")).expect("a link");
    symlink("sub/large.bin", path("files/in.bin")).expect("a link");
    symlink(path("files"), path("alias")).expect("a link");
    folder
}

/// `options` may contain `DIR`, for the folder.
fn site(options: &[&str]) -> Site {
    let (address, told) = witness(|request| {
        let output = request.param("HTTP_X_OUTPUT").replace(';', "\r\n");
        format!("{output}\r\nthe application's").into_bytes()
    });
    let folder = folder();
    let root = folder.path().join("www");
    let options: Vec<String> = options.iter().map(|it| within(folder.path(), it)).collect();
    let fixed = ["--upstream", &address, "--root", text(&root)];
    let options = fixed.into_iter().chain(options.iter().map(String::as_str));
    let proxy = Proxy::start(&options.collect::<Vec<_>>());
    Site {
        proxy,
        told,
        folder,
    }
}

fn named() -> Site {
    site(&[
        "--internal",
        "/protected/=DIR/files",
        "--internal",
        "/shown=DIR/www/shown",
        "--send-files-from",
        "DIR/alias",
    ])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn within(folder: &Path, text: &str) -> String {
    text.replace("DIR", self::text(folder))
}

impl Site {
    /// The answer to a request for a script that sends this head; its lines end in a semicolon.
    fn ask(&self, method: &str, head: &str, fields: &str) -> Answer {
        let head = within(self.folder.path(), head);
        let request =
            format!("{method} /a.php HTTP/1.1\r\nHost: a\r\nX-Output: {head}\r\n{fields}\r\n");
        let mut client = self.proxy.connect();
        client.send(request);
        let answer = match method {
            "HEAD" => client.head(),
            _ => client.answer(),
        };
        let is_for_server = |name: &str| {
            let name = name.to_ascii_lowercase();
            ["x-accel", "x-sendfile", "x-lighttpd"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        assert!(
            !answer.fields.iter().any(|it| is_for_server(&it.0)),
            "{answer:?}"
        );
        // The connection goes on.
        client.send(get("/nothing"));
        assert_eq!(client.answer().status, 404);
        answer
    }
}

// case 158
// edge: a file that an application names with `X-Accel-Redirect` or `X-Sendfile` | sent in place of its body
#[test]
fn a_file_is_sent_in_place_of_the_body() {
    let site = named();
    for head in [
        "X-Accel-Redirect: /protected/a.pdf;",
        "x-accel-redirect: /protected/./sub/../a.pdf?x=y;",
        "X-Accel-Redirect: /protected/%61.pdf;Content-Length: 17;",
        "X-Accel-Redirect: /protected/a.pdf;X-Sendfile: /nothing;",
        "X-Accel-Redirect: /protected/a%20b%25.txt;",
        "X-Accel-Redirect: /protected/a b%25.txt;",
        "X-Accel-Redirect: /protected/100%.txt;",
        "X-Accel-Redirect: /protected/c%3fd.txt;",
        "X-Accel-Redirect: /protected/.dot;",
        "X-Accel-Redirect: /protected/e.php;",
        "X-Sendfile: DIR/alias/a.pdf;",
        "X-Sendfile: DIR/files/a.pdf;",
        "X-SENDFILE: DIR/files//sub/../a.pdf;Location: /nothing;",
        "X-Sendfile: DIR/files/c?d.txt;",
        "X-LIGHTTPD-send-file: DIR/files/a.pdf;",
        // As in nginx, the status is that of the file.
        "Status: 404 Not Found;X-Accel-Redirect: /protected/a.pdf;",
        "Status: 304 Not Modified;X-Sendfile: DIR/files/a.pdf;",
        "Status: 302 Found;Location: /nothing;X-Sendfile: DIR/files/a.pdf;",
    ] {
        let answer = site.ask("GET", head, "");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "0123456789"),
            "{head}"
        );
        assert_eq!(answer.field("content-length"), Some("10"), "{head}");
        assert_eq!(answer.field("location"), None, "{head}");
    }
    for file in ["/protected/sub/large.bin", "/protected/in.bin"] {
        let answer = site.ask("GET", &format!("X-Accel-Redirect: {file};"), "");
        assert!(answer.body == pattern(3_000_001), "{file}");
    }
    // Nothing is named.
    let answer = site.ask("GET", "X-Sendfile:;X-Accel-Buffering: no;", "");
    assert_eq!(answer.text(), "the application's");
}

// case 158
// edge: ranges, conditions, HEAD and POST for such a file | as for any file; other fields of the application's are kept
#[test]
fn a_named_file_is_sent_as_other_files_are() {
    let site = named();
    let head = "X-Sendfile: DIR/files/a.pdf;Content-Type: a/b;Set-Cookie: c=d;Set-Cookie: e=f;\
                Cache-Control: private;Content-Disposition: attachment;Content-Encoding: gzip;\
                X-Content-Type-Options: other;";
    let first = site.ask("GET", head, "");
    assert_eq!(first.text(), "0123456789");
    for (name, value) in [
        ("content-type", Some("a/b")),
        ("cache-control", Some("private")),
        ("content-disposition", Some("attachment")),
        ("content-encoding", None),
        ("accept-ranges", Some("bytes")),
    ] {
        assert_eq!(first.field(name), value, "{name}");
    }
    let all = |name: &str| -> Vec<&str> {
        let fields = first.fields.iter();
        let named = fields.filter(|field| field.0.eq_ignore_ascii_case(name));
        named.map(|field| field.1.as_str()).collect()
    };
    assert_eq!(all("set-cookie"), ["c=d", "e=f"]);
    assert_eq!(all("x-content-type-options"), ["other"]);
    for once in ["date", "server", "etag", "last-modified"] {
        assert_eq!(all(once).len(), 1, "{once}");
    }

    let part = site.ask("GET", head, "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    assert_eq!(site.ask("GET", head, "Range: bytes=10-\r\n").status, 416);
    let etag = first.field("etag").expect("a tag");
    let known = site.ask("GET", head, &format!("If-None-Match: {etag}\r\n"));
    assert_eq!(
        (known.status, known.field("set-cookie")),
        (304, Some("c=d"))
    );
    assert_eq!(site.ask("GET", head, "If-Match: \"x\"\r\n").status, 412);
    let shown = site.ask("HEAD", head, "");
    assert_eq!(
        (shown.status, shown.field("content-length")),
        (200, Some("10"))
    );
    let posted = site.ask("POST", head, "Content-Length: 0\r\n");
    assert_eq!((posted.status, posted.text().as_str()), (200, "0123456789"));
    for more in ["", "Content-Type:;"] {
        let untyped = site.ask("GET", &format!("X-Sendfile: DIR/files/a.pdf;{more}"), "");
        assert_eq!(untyped.field("content-type"), Some("application/pdf"));
        assert_eq!(untyped.field("x-content-type-options"), Some("nosniff"));
    }
}

// case 158
// edge: an ETag or a date of the application's for such a file | they count in place of the file's
#[test]
fn an_application_may_give_the_validators() {
    let site = named();
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let head =
        |etag: &str| format!("X-Sendfile: DIR/files/a.pdf;ETag: {etag};Last-Modified: {date};");
    let first = site.ask("GET", &head("\"v1\""), "");
    assert_eq!(first.field("etag"), Some("\"v1\""));
    assert_eq!(first.field("last-modified"), Some(date));
    for (etag, fields, status) in [
        ("\"v1\"", "If-None-Match: \"v1\"\r\n", 304),
        ("\"v1\"", "If-None-Match: W/\"v1\"\r\n", 304),
        ("\"v1\"", "If-None-Match: \"v2\"\r\n", 200),
        ("\"v1\"", "If-Match: \"v1\"\r\n", 200),
        ("W/\"v1\"", "If-None-Match: \"v1\"\r\n", 304),
        ("W/\"v1\"", "If-Match: W/\"v1\"\r\n", 412),
        (
            "W/\"v1\"",
            "Range: bytes=0-1\r\nIf-Range: W/\"v1\"\r\n",
            200,
        ),
        ("\"v1\"", "Range: bytes=0-1\r\nIf-Range: \"v1\"\r\n", 206),
        ("\"v1\"", &format!("If-Modified-Since: {date}\r\n"), 304),
    ] {
        assert_eq!(
            site.ask("GET", &head(etag), fields).status,
            status,
            "{etag} {fields}"
        );
    }
    // No tag: the file's own is sent.
    let answer = site.ask("GET", &head("v1"), "");
    assert!(answer.field("etag").is_some_and(|tag| tag.starts_with('"')));
}

// case 158
// edge: files outside of the named directories, by whatever name | 403 or 500, and a line that names the application
#[test]
fn what_is_outside_is_not_sent() {
    let site = named();
    for (head, status) in [
        ("X-Accel-Redirect: /protected/nothing.pdf;", 404),
        ("X-Accel-Redirect: /protected/sub;", 404),
        ("X-Accel-Redirect: /protected/sub/;", 404),
        ("X-Accel-Redirect: /protected;", 404),
        ("X-Accel-Redirect: /protected/out.txt;", 403),
        ("X-Accel-Redirect: /protected/out/secret.txt;", 403),
        ("X-Accel-Redirect: /protected/out/nothing.txt;", 403),
        ("X-Accel-Redirect: /protected/../outside/secret.txt;", 500),
        (
            "X-Accel-Redirect: /protected/%2e%2e/outside/secret.txt;",
            500,
        ),
        (
            "X-Accel-Redirect: /protected/..%2foutside%2fsecret.txt;",
            500,
        ),
        (
            "X-Accel-Redirect: /protected/sub%2f..%2f..%2foutside/secret.txt;",
            500,
        ),
        (
            "X-Accel-Redirect: /protected/../../../../../etc/passwd;",
            500,
        ),
        ("X-Accel-Redirect: /protected/a.pdf%00;", 500),
        ("X-Accel-Redirect: /protectedness/a.pdf;", 500),
        ("X-Accel-Redirect: /a.php;", 500),
        ("X-Accel-Redirect: @named;", 500),
        ("X-Accel-Redirect: protected/a.pdf;", 500),
        ("X-Accel-Redirect: http://a/protected/a.pdf;", 500),
        ("X-Sendfile: DIR/outside/secret.txt;", 500),
        ("X-Sendfile: DIR/files/../outside/secret.txt;", 500),
        ("X-Sendfile: DIR/files/%2e%2e/outside/secret.txt;", 500),
        ("X-Sendfile: DIR/files/out.txt;", 403),
        ("X-Sendfile: DIR/files/a.pdf%00;", 500),
        ("X-Sendfile: a.pdf;", 500),
        ("X-Sendfile: /protected/a.pdf;", 500),
        ("X-Sendfile: /etc/passwd;", 500),
    ] {
        let answer = site.ask("GET", head, "");
        assert_eq!(answer.status, status, "{head}");
        assert!(answer.text().contains("cannot be sent"), "{head}");
    }
    site.proxy
        .wait_for_log("the application names the file /etc/passwd in X-Sendfile");
    let long = format!("X-Sendfile: /{};", "x".repeat(5000));
    assert_eq!(site.ask("GET", &long, "").status, 500);
    assert!(site.proxy.log().lines().all(|line| line.len() < 1000));
}

// case 158
// edge: such a field where no directory is named | 500, and a line that names the option
#[test]
fn without_the_option_nothing_is_sent() {
    let site = site(&[]);
    for head in [
        "X-Accel-Redirect: /protected/a.pdf;",
        "X-Sendfile: DIR/www/shown/page.txt;",
        "X-LIGHTTPD-send-file: DIR/www/shown/page.txt;",
    ] {
        assert_eq!(site.ask("GET", head, "").status, 500, "{head}");
    }
    site.proxy.wait_for_log("--internal");
    site.proxy.wait_for_log("--send-files-from");
    // Other fields of this kind are left out, and nothing else happens.
    let answer = site.ask("GET", "X-Accel-Limit-Rate: 1;X-Accel-Expires: 2;", "");
    assert_eq!(answer.text(), "the application's");
}

// edge: a client that asks for a path below `--internal` | 404, whatever is there
#[test]
fn a_client_cannot_have_what_is_internal() {
    let site = named();
    for target in [
        "/shown/page.txt",
        "/shown/x.php",
        "/shown",
        "/%73hown/page.txt",
        "/a/..//shown/./page.txt",
        "http://a/shown/page.txt",
        "/protected/a.pdf",
    ] {
        assert_eq!(site.proxy.get(target).status, 404, "{target}");
    }
    let answer = site.ask("GET", "X-Accel-Redirect: /shown/page.txt;", "");
    assert_eq!(answer.text(), "the site's");
    assert_eq!(
        site.ask("GET", "Location: /shown/page.txt;", "").status,
        404
    );
}

/// Frameworks obey them: they are meant to come from the server.
// case 158
// edge: a client that says how an application is to name files | the application does not see it
#[test]
fn a_client_does_not_say_how_files_are_named() {
    let site = site(&["--param", "HTTP_X_SENDFILE_TYPE=X-Sendfile"]);
    let fields =
        "X-Sendfile-Type: X-Accel-Redirect\r\nX-Accel-Mapping: /=/protected/\r\nX-Other: y\r\n";
    site.ask("GET", "Content-Length: 0;", fields);
    let told = site.told.recv_timeout(TIME_LIMIT).expect("a request");
    assert_eq!(told.param("HTTP_X_OTHER"), "y");
    assert_eq!(told.param("HTTP_X_ACCEL_MAPPING"), "");
    assert_eq!(told.param("HTTP_X_SENDFILE_TYPE"), "X-Sendfile");
}

/// The application's connection is closed once it has sent more than is dropped.
// edge: an application that goes on without end after it named a file | the file is sent at once, the application aborted
#[test]
fn an_application_that_goes_on_is_aborted() {
    let folder = folder();
    let large = folder.path().join("files/sub/large.bin");
    // More than the system buffers on both sides.
    fs::write(&large, pattern(12_000_000)).expect("a file");
    let head = format!("X-Sendfile: {}\r\n\r\n", text(&large));
    let (address, _) = application(move |_, mut stream| {
        if read_request(&mut stream) {
            let _ = stream.write_all(&stdout(head.as_bytes()));
            let piece = stdout(&[b'x'; 60_000]);
            while stream.write_all(&piece).is_ok() {}
        }
    });
    let files = folder.path().join("files");
    let proxy = Proxy::in_front_of(&address, &["--send-files-from", text(&files), "--status"]);
    let mut client = proxy.connect_narrow();
    client.send(get("/a.php"));
    client.stream.peek(&mut [0]).expect("an answer");
    proxy.wait_for_figure("requests.in_flight", 0);
    assert!(client.answer().body == pattern(12_000_000));
}

/// What it still does is none of the client's business.
// edge: an application that works on after it named a file | the file is sent at once
#[test]
fn a_file_is_not_waited_for() {
    let folder = folder();
    let head = format!(
        "X-Sendfile: {}\r\n\r\n",
        text(&folder.path().join("files/a.pdf"))
    );
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let (address, _) = application(move |_, mut stream| {
        if read_request(&mut stream) {
            let _ = stream.write_all(&stdout(head.as_bytes()));
            let _ = may_go_on.lock().expect("no panic").recv_timeout(TIME_LIMIT);
            let _ = stream.write_all(&end(ProtocolStatus::RequestComplete));
        }
    });
    let files = folder.path().join("files");
    let proxy = Proxy::in_front_of(&address, &["--send-files-from", text(&files)]);
    assert_eq!(proxy.get("/a.php").text(), "0123456789");
    go_on.send(()).expect("it waits");
}

/// The application does not read its body.
// edge: a file that is named before the body was read | sent
#[test]
fn a_file_does_not_wait_for_the_body() {
    let folder = folder();
    let head = format!(
        "X-Sendfile: {}\r\n\r\n",
        text(&folder.path().join("files/a.pdf"))
    );
    let (address, _) = application(move |_, mut stream| {
        let _ = stream.write_all(&stdout(head.as_bytes()));
        read_request(&mut stream);
    });
    let files = folder.path().join("files");
    let options = ["--buffer-request", "off", "--send-files-from", text(&files)];
    let proxy = Proxy::in_front_of(&address, &options);
    let mut client = proxy.connect();
    client.send(&post("/a.php", &pattern(8_000_000))[..4_000_000]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"));
}
