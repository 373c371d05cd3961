//! Local redirects (RFC 3875, 6.2.2): an application names another path of the site, and the response is what is there.

use std::fs;
use std::io::Write;
use std::sync::mpsc::Receiver;

use tempfile::TempDir;

use super::application::{application, end, read_request, stdout};
use super::harness::{Proxy, TIME_LIMIT, get, pattern, post};
use super::witness::{ReceivedRequest, witness};

use mio_fcgi::wire::ProtocolStatus;

/// A document root with scripts, whose output is in the query, and a file.
struct Site {
    proxy: Proxy,
    told: Receiver<ReceivedRequest>,
    _root: TempDir,
}

fn root() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for name in ["a.php", "b.php", "loop.php", "file.txt"] {
        fs::write(root.path().join(name), "the file").expect("a file");
    }
    fs::create_dir(root.path().join("dir")).expect("a directory");
    root
}

fn site(arguments: &[&str]) -> Site {
    let (address, told) = witness(|request| {
        let output = match request.param("SCRIPT_NAME") {
            "/a.php" => request.param("HTTP_X_OUTPUT").replace(';', "\r\n"),
            "/loop.php" => "Location: /loop.php\r\n".to_owned(),
            _ => "Content-Type: text/plain\r\nContent-Length: 6\r\n".to_owned(),
        };
        let body = match request.param("REQUEST_METHOD") {
            "HEAD" => "",
            _ => "script",
        };
        format!("{output}\r\n{body}").into_bytes()
    });
    let root = root();
    let path = root.path().to_str().expect("UTF-8");
    let fixed = ["--upstream", &address, "--root", path, "--multiplex", "off"];
    let proxy = Proxy::start(&[&fixed[..], arguments].concat());
    let _root = root;
    Site { proxy, told, _root }
}

/// A request for a script that sends this head; its lines end in a semicolon.
fn asking(method: &str, head: &str, more: &str) -> String {
    format!("{method} /a.php HTTP/1.1\r\nHost: localhost\r\nX-Output: {head}\r\n{more}\r\n")
}

impl Site {
    fn told(&self) -> ReceivedRequest {
        self.told.recv_timeout(TIME_LIMIT).expect("a request")
    }
}

// edge: a `Location` of the application's that is a path, alone | the response is what is at that path
#[test]
fn a_path_alone_is_followed() {
    let site = site(&[]);
    let mut client = site.proxy.connect();
    for head in [
        "Location: /b.php/x?c=d;",
        "Content-Type: a/b;location:/b.php/x?c=d;Content-Length: 6;",
    ] {
        let fields =
            "Content-Type: c/d\r\nContent-Length: 4\r\nX-More: y\r\nContent-Language: e\r\n";
        client.send(asking("POST", head, fields) + "body");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "script"));
        assert_eq!(answer.field("location"), None);
        assert_eq!(site.told().param("REQUEST_METHOD"), "POST");
        let told = site.told();
        for (name, value) in [
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", "/b.php/x?c=d"),
            ("SCRIPT_NAME", "/b.php"),
            ("PATH_INFO", "/x"),
            ("QUERY_STRING", "c=d"),
            ("HTTP_X_MORE", "y"),
            ("HTTP_HOST", "localhost"),
            ("CONTENT_TYPE", ""),
            ("CONTENT_LENGTH", "0"),
            ("HTTP_CONTENT_LANGUAGE", ""),
        ] {
            let seen = told.param(name);
            let is_right = seen == value || (name == "CONTENT_LENGTH" && seen.is_empty());
            assert!(is_right, "{name} is {seen}");
        }
    }
    client.send(asking("HEAD", "Location: /b.php;", ""));
    assert_eq!(client.head().status, 200);
    site.told();
    assert_eq!(site.told().param("REQUEST_METHOD"), "HEAD");
    client.send(get("/file.txt"));
    assert_eq!(client.answer().text(), "the file");
}

#[test]
fn a_path_may_lead_to_whatever_a_client_can_have() {
    let site = site(&[]);
    for (location, status, text) in [
        ("/file.txt", 200, "the file"),
        ("/./dir/../file.txt?x", 200, "the file"),
        ("/none.txt", 404, ""),
        ("/.hidden", 403, ""),
        ("/../x", 403, ""),
        ("/dir", 301, ""),
        ("/%zz", 400, ""),
    ] {
        let answer = site
            .proxy
            .ask(asking("GET", &format!("Location: {location};"), ""));
        assert_eq!(answer.status, status, "{location}");
        assert!(answer.text().contains(text), "{location}");
    }
    let ranged = asking("GET", "Location: /file.txt;", "Range: bytes=4-7\r\n");
    let answer = site.proxy.ask(ranged);
    assert_eq!((answer.status, answer.text().as_str()), (206, "file"));
}

/// Otherwise something of the response would be lost, or the client could not do as it is told.
// edge: a `Location` with a status, with other fields, with a fragment, or of another host | passed on to the client
#[test]
fn what_is_more_than_a_path_alone_is_passed_on() {
    let site = site(&[]);
    for (head, status) in [
        ("Status: 302 Found;Location: /b.php;", 302),
        ("Status: 303 See Other;Location: /b.php;", 303),
        ("Status: 201 Created;Location: /b.php;", 201),
        ("Location: /b.php;Set-Cookie: a=b;", 302),
        ("Location: /b.php;X-Powered-By: PHP;", 302),
        ("Location: /b.php#c;", 302),
        ("Location: //b.example/;", 302),
        ("Location: http://localhost/b.php;", 302),
        ("Location: b.php;", 302),
        ("Location: /b c.php;", 302),
        ("Location: /b.php;Location: /file.txt;", 302),
    ] {
        let answer = site.proxy.ask(asking("GET", head, ""));
        assert_eq!(answer.status, status, "{head}");
        assert!(answer.field("location").is_some(), "{head}");
    }
    let site = self::site(&["--no-local-redirects"]);
    let answer = site.proxy.ask(asking("GET", "Location: /b.php;", ""));
    assert_eq!(
        (answer.status, answer.field("location")),
        (302, Some("/b.php"))
    );
}

// edge: local redirects without end | 502 after ten
#[test]
fn redirects_without_end_are_given_up() {
    let site = site(&[]);
    let mut client = site.proxy.connect();
    client.send(get("/loop.php"));
    assert_eq!(client.answer().status, 502);
    for _ in 0..11 {
        assert_eq!(site.told().param("SCRIPT_NAME"), "/loop.php");
    }
    assert!(site.told.try_recv().is_err());
    site.proxy.wait_for_log("more than 10 local redirects");
    client.send(get("/file.txt"));
    assert_eq!(client.answer().text(), "the file");
}

/// An application that redirects at once, and then does something else.
fn redirecting(then: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> (Proxy, TempDir) {
    let (address, _) = application(move |_, mut stream| {
        if read_request(&mut stream) {
            let _ = stream.write_all(&stdout(b"Location: /file.txt\r\n\r\n"));
            then(&mut stream);
        }
    });
    let root = root();
    let path = root.path().to_str().expect("UTF-8");
    let arguments = [
        "--upstream",
        &address,
        "--root",
        path,
        "--multiplex",
        "off",
        "--status",
    ];
    (Proxy::start(&arguments), root)
}

// edge: a local redirect with a body without end | the body is dropped, and the redirect followed
#[test]
fn a_body_of_a_redirect_is_dropped() {
    let (proxy, _root) = redirecting(|stream| {
        // Until the proxy closes the connection. A client that gets it will not take this much.
        let piece = stdout(&[b'x'; 60_000]);
        let _ = (0..5000).try_for_each(|_| stream.write_all(&piece));
    });
    assert_eq!(proxy.get("/a.php").text(), "the file");
    proxy.wait_for_figure("requests.in_flight", 0);
}

/// What a script does after its redirect is done, as in other servers: it is not aborted.
#[test]
fn a_redirect_is_followed_when_its_script_has_ended() {
    let (proxy, _root) = redirecting(|stream| {
        stream.write_all(&stdout(b"body")).expect("the proxy reads");
        std::thread::sleep(std::time::Duration::from_millis(50));
        let end = end(ProtocolStatus::RequestComplete);
        stream.write_all(&end).expect("the proxy has not closed");
    });
    assert_eq!(proxy.get("/a.php").text(), "the file");
    assert_eq!(proxy.figure("evictions.aborted"), 0);
}

// edge: an application that is lost after the head of a local redirect | 502
#[test]
fn a_redirect_of_a_request_that_fails_is_not_followed() {
    let (proxy, _root) = redirecting(|_| ());
    let answer = proxy.get("/a.php");
    assert_eq!(answer.status, 502);
}

/// The application does not read its body.
// edge: a local redirect before the body was read | followed, and the connection is closed if much of the body is left
#[test]
fn a_redirect_does_not_wait_for_the_body() {
    let (address, _) = application(|_, mut stream| {
        let answer = [
            stdout(b"Location: /file.txt\r\n\r\n"),
            end(ProtocolStatus::RequestComplete),
        ];
        stream.write_all(&answer.concat()).expect("it reads");
        // Until the proxy closes the connection.
        read_request(&mut stream);
    });
    let root = root();
    let path = root.path().to_str().expect("UTF-8");
    let fixed = ["--upstream", &address, "--root", path, "--multiplex", "off"];
    let proxy = Proxy::start(&[&fixed[..], &["--buffer-request", "off"]].concat());
    let mut client = proxy.connect();
    let request = post("/a.php", &pattern(8_000_000));
    client.send(&request[..4_000_000]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "the file"));
}
