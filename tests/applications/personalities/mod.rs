//! The test kit's personalities, compared with the applications that they are modelled on.
//!
//! The same bytes go to the real application and to a scripted one with its quirks, each conversation on a connection
//! of its own. After each part both must have sent the same, and nothing may follow.

mod scenarios;
mod transcript;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mio_fcgi::testkit::internals::Dialogue;
use mio_fcgi::testkit::{Behavior, Quirks, ReceivedRequest, Scripted};

use crate::harness::{App, Listen, PhpFpm, Program, TIME_LIMIT, Transport, echo_of};
use scenarios::{Pages, Scenario, scenarios};
use transcript::Transcript;

/// An application, and what is known about it.
#[derive(Clone, Copy)]
struct Subject {
    name: &'static str,
    pages: Pages,
    /// What the pages do, as behaviors of the test kit.
    page: fn(&ReceivedRequest) -> Behavior,
    quirks: fn() -> Quirks,
    at_a_time: usize,
    /// Conversations that no quirk describes, and why.
    left_out: &'static [(&'static str, &'static str)],
}

/// For an application that chooses its pages by the path.
const BY_PATH: Subject = Subject {
    name: "",
    pages: Pages { script: |_| None },
    page,
    quirks: Quirks::ideal,
    at_a_time: 50,
    left_out: &[],
};

#[test]
#[ignore = "needs php-fpm"]
fn php_fpm_does_as_its_personality() {
    // Some conversations hold a child for ever.
    let app = PhpFpm::builder().unix().max_children(60).start();
    let script = |path: &str| {
        let name = match path {
            "/echo" => "echo.php",
            "/stderr" => "stderr.php",
            _ => "sleep.php",
        };
        Some(PhpFpm::script(name))
    };
    let subject = Subject {
        name: "php-fpm",
        pages: Pages { script },
        page: |request| match request.param("SCRIPT_FILENAME") {
            Some(_) => page(request),
            None => Behavior::new().end(0),
        },
        quirks: || Quirks::php_fpm(1),
        ..BY_PATH
    };
    compare(app.listen(), subject);
}

#[test]
#[ignore = "needs libfcgi"]
fn libfcgi_does_as_its_personality() {
    // Some conversations hold a process for ever.
    let app = App::start(Program::LibFcgi { workers: 60 }, Transport::Unix);
    let subject = Subject {
        name: "libfcgi",
        quirks: || Quirks::libfcgi(1),
        ..BY_PATH
    };
    compare(app.listen(), subject);
}

#[test]
#[ignore = "needs Go"]
fn go_does_as_its_personality() {
    let app = App::start(Program::Go, Transport::Unix);
    let subject = Subject {
        name: "Go",
        page: |request| match request.param("REQUEST_URI") {
            Some(b"/stderr") => Behavior::new()
                .stdout("\r\n\r\n404 page not found\n")
                .end(0),
            _ => page(request),
        },
        quirks: Quirks::go,
        ..BY_PATH
    };
    compare(app.listen(), subject);
}

/// Its threads do not keep up with more connections at a time.
const FLUP: Subject = Subject {
    name: "flup",
    quirks: Quirks::flup,
    at_a_time: 3,
    left_out: &[(
        "the same ID during a body",
        "the parameters' second end starts it again within itself, up to an assertion",
    )],
    ..BY_PATH
};

#[test]
#[ignore = "needs flup"]
fn flup_does_as_its_personality() {
    let app = App::start(Program::Flup, Transport::Unix);
    compare(app.listen(), FLUP);
}

#[test]
#[ignore = "needs flup"]
fn multiplexing_flup_does_as_its_personality() {
    let app = App::start(Program::FlupMultiplexed, Transport::Unix);
    let subject = Subject {
        name: "multiplexing flup",
        quirks: Quirks::flup_multiplexed,
        left_out: &[],
        ..FLUP
    };
    compare(app.listen(), subject);
}

/// Runs all conversations; fails with the list of those in which the two differ.
fn compare(listen: &Listen, subject: Subject) {
    let Listen::Unix(path) = listen else {
        panic!("the conversations are on a Unix socket");
    };
    let mut all = scenarios(subject.pages);
    let count = all.len();
    let is_left_out = |name| subject.left_out.iter().any(|(other, _)| *other == name);
    all.retain(|scenario| !is_left_out(scenario.name));
    assert_eq!(all.len() + subject.left_out.len(), count);
    let mut differences: Vec<String> = Vec::new();
    for group in all.chunks(subject.at_a_time) {
        thread::scope(|scope| {
            let started: Vec<_> = (group.iter())
                .map(|scenario| scope.spawn(move || converse(path, scenario, subject)))
                .collect();
            let results = started.into_iter().map(|it| it.join().expect("no panic"));
            differences.extend(results.flatten());
        });
    }
    let (name, compared) = (subject.name, all.len());
    println!(
        "{name}: {compared} conversations, {} differ",
        differences.len()
    );
    for (left_out, why) in subject.left_out {
        println!("{name}: left out: {left_out}: {why}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Has one conversation with both; returns how they differ.
fn converse(path: &Path, scenario: &Scenario, subject: Subject) -> Option<String> {
    let application = Scripted::new(subject.page).with_quirks((subject.quirks)());
    let mut dialogue = Dialogue::new(application);
    let connection = dialogue.connect();
    let mut real = Real::connect(path);
    for (index, part) in scenario.parts.iter().enumerate() {
        if dialogue.end(connection).is_none() {
            dialogue.send(connection, part);
        }
        dialogue.advance(Duration::from_secs(5));
        let has_ended = dialogue.end(connection).is_some();
        let expected = Transcript::of(dialogue.received(connection), has_ended);
        real.send(part);
        let seen = real.settle(&expected);
        if seen != expected {
            let name = scenario.name;
            return Some(format!(
                "{name}, part {index}:\n  real  {seen}\n  model {expected}"
            ));
        }
    }
    None
}

/// The applications' pages, as behaviors of the test kit.
fn page(request: &ReceivedRequest) -> Behavior {
    let text = |name| String::from_utf8_lossy(request.param(name).unwrap_or_default());
    let answer = |body: &str| format!("Content-Type: text/plain\r\n\r\n{body}");
    let uri = text("REQUEST_URI");
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let milliseconds = query.strip_prefix("ms=").and_then(|it| it.parse().ok());
    let time = Duration::from_millis(milliseconds.unwrap_or_default());
    match path {
        "/echo" => Behavior::new().await_stdin().then(move |request| {
            let text = match request.is_aborted {
                true => "fcgi: request aborted by web server\n".into(),
                false => echo_of(&request.stdin),
            };
            Behavior::new().stdout(answer(&text)).end(0)
        }),
        "/stderr" => {
            // php-fpm's page has a text of its own.
            let line = match request.param("SCRIPT_FILENAME") {
                Some(_) => "line 0 for the error log",
                None => "a line for the error log",
            };
            Behavior::new()
                .stderr(line)
                .stdout(answer("answered\n"))
                .end(0)
        }
        "/slow" => Behavior::new().wait(time).stdout(answer("awake\n")).end(0),
        _ => Behavior::new().stdout(answer("no such path\n")).end(0),
    }
}

/// The real application's end of a conversation.
struct Real {
    stream: UnixStream,
    received: Vec<u8>,
    has_ended: bool,
}

impl Real {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("it listens");
        let pause = Some(Duration::from_millis(20));
        stream.set_read_timeout(pause).expect("a time above 0");
        stream
            .set_write_timeout(Some(TIME_LIMIT))
            .expect("a time above 0");
        Self {
            stream,
            received: Vec::new(),
            has_ended: false,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        // The application may have closed, which the next read shows.
        let _ = self.stream.write_all(bytes);
    }

    /// Reads until everything expected has arrived, and then for a while in which nothing more may arrive.
    fn settle(&mut self, expected: &Transcript) -> Transcript {
        let began = Instant::now();
        loop {
            self.read();
            let seen = Transcript::of(&self.received, self.has_ended);
            if seen == *expected || began.elapsed() > LONGEST {
                break;
            }
        }
        let quiet = Instant::now();
        while quiet.elapsed() < QUIET && !self.has_ended {
            self.read();
        }
        Transcript::of(&self.received, self.has_ended)
    }

    fn read(&mut self) {
        if self.has_ended {
            thread::sleep(Duration::from_millis(20));
            return;
        }
        let mut bytes = [0; 65_536];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.has_ended = true,
            Ok(len) => self.received.extend_from_slice(&bytes[..len]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => self.has_ended = true,
        }
    }
}

/// How long the expected bytes may take.
const LONGEST: Duration = Duration::from_secs(60);

/// How long nothing more may arrive.
const QUIET: Duration = Duration::from_millis(250);
