//! The example `proxy` in front of php-fpm.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tempfile::TempDir;

use crate::harness::PhpFpm;
use crate::http::{Proxy, eventually, get, post};

/// A document root with scripts of its own, php-fpm, and the proxy before it.
struct Site {
    fpm: PhpFpm,
    proxy: Proxy,
    root: TempDir,
}

fn site(fpm: PhpFpm, arguments: &[&str]) -> Site {
    let root = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| {
        fs::write(root.path().join(name), content).expect("a file");
    };
    write("hello.php", "<?php print 'Hello, world';");
    write(
        "index.php",
        "<?php print 'index of ' . $_SERVER['REQUEST_URI'];",
    );
    write(
        "path.php",
        "<?php print ($_SERVER['PATH_INFO'] ?? '-') . ' ' . $_SERVER['SCRIPT_NAME'] . ' ' . $_SERVER['QUERY_STRING'];",
    );
    write(
        "form.php",
        "<?php print $_SERVER['REQUEST_METHOD'] . ' ' . ($_POST['name'] ?? '-') . ' ' . strlen(file_get_contents('php://input'));",
    );
    write("style.css", "body {}");
    write("upload.jpg", "<?php print 'never run';");
    write("sleep.php", "<?php usleep(500000); print 'slept';");
    write("env.php", "<?php print json_encode($_SERVER);");
    write("empty.php", "<?php http_response_code(204);");
    write(
        "large.php",
        "<?php for ($i = 0; $i < 1000; $i++) print str_repeat('0123456789', 1000);",
    );
    write(
        "after.php",
        "<?php print 'answered';
        fastcgi_finish_request();
        $page = file_get_contents('http://' . $_SERVER['SERVER_ADDR'] . ':' . $_SERVER['SERVER_PORT'] . '/hello.php');
        file_put_contents('came', $page);",
    );
    let address = fpm.listen().to_string();
    let path = root.path().to_str().expect("UTF-8").to_owned();
    let fixed = ["--upstream", &address, "--root", &path, "--status"];
    let proxy = Proxy::start(&[&fixed[..], arguments].concat());
    Site { fpm, proxy, root }
}

fn plain_site() -> Site {
    site(PhpFpm::builder().max_children(2).start(), &[])
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn scripts_answer_over_unix_and_tcp() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let site = site(builder.start(), &[]);
        let mut browser = site.proxy.connect();
        for _ in 0..5 {
            browser.send(get("/hello.php"));
            let answer = browser.answer();
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "Hello, world")
            );
            assert!(
                answer
                    .field("content-type")
                    .is_some_and(|kind| kind.starts_with("text/html"))
            );
        }
        browser.send(get("/"));
        assert_eq!(browser.answer().text(), "index of /");
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn forms_and_bodies_reach_the_script() {
    let site = plain_site();
    let mut browser = site.proxy.connect();
    let form = "name=somebody";
    browser.send(format!(
        "POST /form.php HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    assert_eq!(browser.answer().text(), "POST somebody 13");
    for len in [1, 65_536, 1_000_003] {
        browser.send(post("/form.php", &vec![b'x'; len]));
        assert_eq!(browser.answer().text(), format!("POST - {len}"));
    }
    // php-fpm takes a body without CONTENT_LENGTH for an empty one.
    browser.send("PUT /form.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n");
    assert_eq!(browser.answer().text(), "PUT - 8");
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn what_follows_a_script_is_its_path_info() {
    let site = plain_site();
    for (target, expected) in [
        ("/path.php/a%20b/c?d=e%20f", "/a b/c /path.php d=e%20f"),
        ("/path.php?x", "- /path.php x"),
        ("/path.php/", "/ /path.php "),
    ] {
        assert_eq!(site.proxy.get(target).text(), expected, "{target}");
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn files_are_sent_and_what_is_no_script_is_not_run() {
    let site = plain_site();
    let answer = site.proxy.get("/style.css");
    assert_eq!(answer.text(), "body {}");
    assert_eq!(
        answer.field("content-type"),
        Some("text/css; charset=utf-8")
    );
    for target in [
        "/nothing.php",
        "/nothing",
        "/upload.jpg/x.php",
        "/nothing.php/style.css",
    ] {
        assert_eq!(site.proxy.get(target).status, 404, "{target}");
    }
    let answer = site.proxy.get("/upload.jpg");
    assert_eq!(answer.text(), "<?php print 'never run';");
    // The script was removed after it was looked up: php-fpm is asked, and reports that.
    assert_eq!(site.proxy.get("/hello.php").status, 200);
    fs::remove_file(site.root.path().join("hello.php")).expect("a file");
    assert_eq!(site.proxy.get("/hello.php").status, 404);
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn the_environment_is_what_php_expects() {
    let site = plain_site();
    let answer = site.proxy.ask(
        "GET /env.php?a=b HTTP/1.1\r\nHost: example.org:8080\r\nProxy: evil\r\nCookie: a=1\r\nCookie: b=2\r\nX-Site: 7\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
    let env: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let root = site.root.path().to_str().expect("UTF-8");
    assert_eq!(env["DOCUMENT_ROOT"], root);
    assert_eq!(env["SCRIPT_FILENAME"], format!("{root}/env.php"));
    assert_eq!(env["REQUEST_URI"], "/env.php?a=b");
    assert_eq!(env["SERVER_NAME"], "example.org");
    assert_eq!(env["SERVER_PORT"], site.proxy.address().port().to_string());
    assert_eq!(env["REMOTE_ADDR"], "127.0.0.1");
    assert_eq!(env["SERVER_PROTOCOL"], "HTTP/1.1");
    assert_eq!(env["HTTP_COOKIE"], "a=1; b=2");
    assert_eq!(env["HTTP_X_SITE"], "7");
    assert!(env.get("HTTP_X_FORWARDED_FOR").is_none());
    assert!(env.get("HTTP_PROXY").is_none());
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn responses_of_any_shape_arrive() {
    let site = plain_site();
    let mut browser = site.proxy.connect();
    browser.send(get("/large.php"));
    let answer = browser.answer();
    assert!(answer.is_whole && answer.body.len() == 10_000_000);
    browser.send(get("/empty.php"));
    assert_eq!(browser.head().status, 204);
    browser.send("HEAD /large.php HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(browser.head().status, 200);
    browser.send(get("/hello.php"));
    assert_eq!(browser.answer().text(), "Hello, world");
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn more_clients_than_children_are_all_served() {
    let site = site(
        PhpFpm::builder().max_children(2).start(),
        &["--max-conns", "2", "--max-idle", "2"],
    );
    let mut browsers: Vec<_> = (0..8).map(|_| site.proxy.connect()).collect();
    for browser in &mut browsers {
        browser.send(get("/sleep.php"));
    }
    for browser in &mut browsers {
        assert_eq!(browser.answer().text(), "slept");
    }
    assert_eq!(site.proxy.figure("pool.connect_failures"), 0);
}

/// Clients that ask as soon as they were answered, far more than there are children: no client gets less than a third
/// of the median client's answers.
#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn no_client_starves_before_a_small_pool() {
    // A pool with Debian's settings behind a proxy that does not know its size and has more connections than there are
    // children, and behind a proxy that was told the size.
    let stranger = PhpFpm::builder()
        .dynamic(5)
        .pool("pm.start_servers", 2)
        .pool("pm.max_spare_servers", 3);
    let known = PhpFpm::builder().max_children(8);
    for (builder, arguments) in [(stranger, &[][..]), (known, &["--max-conns", "8"])] {
        let site = site(builder.start(), arguments);
        let mut shares = answers_of_each(&site.proxy, 64, 12_800);
        shares.sort_unstable();
        let (least, middle) = (shares[0], shares[shares.len() / 2]);
        println!("{least} answers at least, {middle} in the middle");
        assert!(least * 3 >= middle, "{arguments:?}: {shares:?}");
        assert_eq!(site.proxy.figure("requests.failed"), 0);
    }
}

/// How many of the answers each client gets.
fn answers_of_each(proxy: &Proxy, clients: usize, answers: usize) -> Vec<usize> {
    let left = AtomicUsize::new(answers);
    let take = || left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
    let client = || {
        let mut browser = proxy.connect();
        let mut got = 0;
        while take().is_ok() {
            browser.send(get("/hello.php"));
            assert_eq!(browser.answer().text(), "Hello, world");
            got += 1;
        }
        got
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let results = clients.into_iter().map(|client| client.join());
        results.map(|got| got.expect("no panic")).collect()
    })
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_restart_is_not_noticed_by_those_who_come_then() {
    let mut site = plain_site();
    let mut browser = site.proxy.connect();
    browser.send(get("/hello.php"));
    assert_eq!(browser.answer().text(), "Hello, world");
    for _ in 0..3 {
        site.fpm.stop();
        let before = site.proxy.figure("pool.connect_failures");
        browser.send(get("/hello.php"));
        eventually(
            || site.proxy.figure("pool.connect_failures") > before,
            || "a connect that fails".to_owned(),
        );
        site.fpm.restart();
        assert_eq!(browser.answer().text(), "Hello, world");
    }
}

/// MediaWiki does this for its jobs. On a kept connection they would wait for the end of the script that waits for
/// them.
#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_script_may_ask_its_own_site_after_its_answer() {
    let builder = PhpFpm::builder().max_children(4);
    let site = site(builder.start(), &["--max-idle", "0"]);
    assert_eq!(site.proxy.get("/after.php").text(), "answered");
    let came = || fs::read_to_string(site.root.path().join("came")).unwrap_or_default();
    eventually(|| came() == "Hello, world", || site.proxy.log());
}
