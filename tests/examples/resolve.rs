//! `resolve` as a process, and the thread on which it looks addresses up.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use mio_fcgi::Address;
use tempfile::TempDir;

use crate::app::{self, Listener, Options, Running};
use crate::peer::{self, TIME_LIMIT};
use crate::program::{Ended, example, run};
use crate::watch::{self, Answer, News};

// --- the process ---

#[test]
fn requests_go_where_the_list_in_a_file_says_and_none_fails() {
    let (old, new) = (start(), start());
    let list = List::new();
    list.write(&[&old]);
    let resolve = Resolve::start(&list.path);
    resolve.wait_for(&format!("request 0: 200, server 0, {}", old.address()));
    list.write(&[&new]);
    resolve.wait_for(&format!("{} is {}", list.path.display(), new.address()));
    resolve.wait_for(&format!("  server 1, {}", new.address()));
    resolve.wait_for(&format!("200, server 1, {}", new.address()));
    drop(old); // nothing asks there any more
    let other = start();
    list.write(&[&new, &other]);
    resolve.wait_for(&format!("  server 2, {}", other.address()));
    resolve.wait_for("200, server 1, ");
    resolve.wait_for("200, server 2, ");
}

#[test]
fn a_list_that_cannot_be_used_leaves_the_servers_as_they_are_and_is_reported_once() {
    let application = start();
    let list = List::new();
    list.write(&[&application]);
    let resolve = Resolve::start(&list.path);
    resolve.wait_for("request 0: 200");
    for (text, words) in [
        ("# nobody is there\n\n", "no address in it"),
        ("nonsense\n", "nonsense"),
        ("no-such-host.invalid:9000\n", "resolve: "),
    ] {
        list.write_text(text);
        let said = resolve.error();
        assert!(said.contains(words), "{said}");
        assert!(said.ends_with("; the servers stay as they are"), "{said}");
        for _ in 0..10 {
            resolve.wait_for("200, server 0, ");
        }
        list.write(&[&application]);
        resolve.wait_for(&format!(" is {}", application.address()));
    }
    let ports = (1..=1025).map(|port| format!("127.0.0.1:{port}\n"));
    list.write_text(&ports.collect::<String>());
    let said = resolve.error();
    assert!(said.contains("1025"), "{said}");
    resolve.wait_for("200, server 0, ");
}

#[test]
fn a_name_is_followed_and_the_program_ends_after_its_requests() {
    let application = start();
    let Address::Tcp(address) = application.address() else {
        panic!("a TCP address");
    };
    let name = format!("localhost:{}", address.port());
    let ended = resolve(&["--connect", &name, "--script", "/bench", "--count", "3"]);
    ended.succeeded();
    let text = ended.text();
    assert!(text.starts_with(&format!("{name} is ")), "{text}");
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.ends_with("3 requests, 0 failed\n"), "{text}");
}

#[test]
fn a_request_that_fails_is_in_the_exit_status() {
    let application = start();
    let (refusing, _socket) = peer::refusing();
    for (address, said) in [
        (application.address().clone(), "request 0: 404, server 0, "),
        (refusing.into(), "refused"),
    ] {
        let address = address.to_string();
        let to = ["--connect", &address, "--script", "/no/such"];
        let ended = resolve(&[&to[..], &["--count", "1"]].concat());
        let text = ended.text();
        assert_eq!((ended.status, &ended.stderr[..]), (Some(1), ""), "{text}");
        assert!(text.contains(said), "{text}");
        assert!(text.ends_with("1 requests, 1 failed\n"), "{text}");
    }
}

#[test]
fn what_cannot_be_looked_up_at_first_ends_the_program() {
    let script = ["--script", "/x.php"];
    let name = ["--connect", "no-such-host.invalid:9000"];
    let file = ["--addresses", "/no/such/list"];
    resolve(&[name, script].concat()).failed(1, &["resolve: no-such-host.invalid:9000: "]);
    resolve(&[file, script].concat()).failed(1, &["resolve: /no/such/list: "]);
    resolve(&script).failed(2, &["--connect"]);
    resolve(&[name, file, script].concat()).failed(2, &["cannot be used with"]);
}

fn start() -> Running {
    let address = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&address).expect("a free port");
    app::spawn_on(listener, Options::default()).expect("a thread")
}

/// Runs the program to its end.
fn resolve(arguments: &[&str]) -> Ended {
    run(example("resolve").args(FAST).args(arguments), b"")
}

const FAST: [&str; 4] = ["--every", "0.01", "--interval", "0.01"];

/// A file of addresses.
struct List {
    directory: TempDir,
    path: PathBuf,
}

impl List {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self {
            path: directory.path().join("addresses"),
            directory,
        }
    }

    fn write(&self, applications: &[&Running]) {
        let lines = applications.iter().map(|it| format!("{}\n", it.address()));
        self.write_text(&lines.collect::<String>());
    }

    fn write_text(&self, text: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, text).expect("the directory is ours");
        fs::rename(new, &self.path).expect("the directory is ours");
    }
}

/// The program while it runs, with an endless number of requests. Killed when dropped.
struct Resolve {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Resolve {
    fn start(list: &Path) -> Self {
        let mut child = example("resolve")
            .args(FAST)
            .args(["--script", "/bench", "--addresses"])
            .arg(list)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example starts");
        Self {
            stdout: lines(child.stdout.take().expect("it is a pipe")),
            stderr: lines(child.stderr.take().expect("it is a pipe")),
            child,
        }
    }

    /// Waits for a line with this text. No request fails meanwhile.
    #[track_caller]
    fn wait_for(&self, text: &str) {
        loop {
            let line = self.stdout.recv_timeout(TIME_LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?}"));
            let is_good = !line.starts_with("request ") || line.contains(": 200, ");
            assert!(is_good, "{line}");
            if line.contains(text) {
                return;
            }
        }
    }

    /// The next line on stderr.
    fn error(&self) -> String {
        let line = self.stderr.recv_timeout(TIME_LIMIT);
        line.expect("an error")
    }
}

impl Drop for Resolve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            let more: Vec<String> = self.stderr.iter().collect();
            assert_eq!(more, [""; 0], "not expected on stderr");
        }
    }
}

fn lines(pipe: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(pipe).lines().map_while(Result::ok);
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

// --- the thread ---

const MS: Duration = Duration::from_millis(1);

fn addresses(ports: &[u16]) -> Vec<Address> {
    let address = |port: &u16| Address::from((std::net::Ipv4Addr::LOCALHOST, *port));
    ports.iter().map(address).collect()
}

/// The news that a loop gets of these answers, up to the last one, which has to be news.
fn news(known: &[u16], answers: Vec<Result<Vec<Address>, &'static str>>) -> Vec<String> {
    let mut answers = VecDeque::from(answers);
    let last = answers.back().expect("an answer").clone();
    let last = shown(&last.map_err(io::Error::other));
    let look_up = move || {
        let answer = match answers.len() {
            1 => answers.front().cloned(),
            _ => answers.pop_front(),
        };
        answer.expect("one stays").map_err(io::Error::other)
    };
    let known = News::since(&addresses(known));
    let (_ends_with_this, asked) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let tell = move |answer| tell.send(answer).is_ok();
    watch::start(known, Some(MS), asked, look_up, tell).expect("a thread");
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let answer = told.recv_timeout(TIME_LIMIT).expect("news");
        seen.push(shown(&answer));
    }
    seen
}

/// The ports, or the error.
fn shown(answer: &Answer) -> String {
    let port = |address: &Address| address.to_string().replace("127.0.0.1:", "");
    match answer {
        Ok(addresses) => addresses.iter().map(port).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn other_addresses_are_news_and_another_order_is_not() {
    let answers = [
        &[1, 2][..],
        &[2, 1],
        &[2, 1, 2],
        &[2],
        &[2],
        &[3, 2, 3],
        &[2, 3],
        &[4],
    ];
    let answers = answers.map(|ports| Ok(addresses(ports)));
    assert_eq!(news(&[1, 2], answers.into()), ["2", "3 2", "4"]);
}

#[test]
fn the_first_of_failures_in_a_row_is_news_and_so_is_their_end() {
    let known = || Ok(addresses(&[1]));
    let answers = vec![
        Err("no answer"),
        Err("no answer"),
        Err("no such name"),
        known(),
        known(),
        Err("no answer"),
        known(),
        Ok(addresses(&[2])),
    ];
    let seen = news(&[1], answers);
    assert_eq!(seen, ["no answer", "1", "no answer", "1", "2"]);
}

#[test]
fn the_thread_ends_when_the_loop_does() {
    for every in [Some(Duration::from_secs(3600)), Some(MS), None] {
        let (in_thread, ended) = mpsc::channel::<()>();
        let look_up = move || {
            let _lives_as_long = &in_thread;
            Ok(addresses(&[1]))
        };
        let (asks, asked) = mpsc::channel();
        watch::start(News::since(&[]), every, asked, look_up, |_| true).expect("a thread");
        drop(asks);
        let gone = Err(RecvTimeoutError::Disconnected);
        assert_eq!(ended.recv_timeout(TIME_LIMIT), gone);
    }
}

#[test]
fn a_thread_whose_news_nobody_takes_ends() {
    let (_asks, asked) = mpsc::channel();
    let (in_thread, ended) = mpsc::channel::<()>();
    let look_up = move || {
        let _lives_as_long = &in_thread;
        Ok(addresses(&[1]))
    };
    watch::start(News::since(&[]), Some(MS), asked, look_up, |_| false).expect("a thread");
    let gone = Err(RecvTimeoutError::Disconnected);
    assert_eq!(ended.recv_timeout(TIME_LIMIT), gone);
}

#[test]
fn addresses_are_looked_up_when_somebody_asks() {
    for every in [Some(Duration::from_secs(3600)), None] {
        let (asks, asked) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let mut ports = 1..;
        let look_up = move || Ok(addresses(&[ports.next().unwrap_or_default()]));
        let tell = move |answer| tell.send(answer).is_ok();
        watch::start(News::since(&[]), every, asked, look_up, tell).expect("a thread");
        for port in ["1", "2"] {
            asks.send(()).expect("the thread waits");
            let answer = told.recv_timeout(TIME_LIMIT).expect("news");
            assert_eq!(shown(&answer), port);
        }
    }
}
