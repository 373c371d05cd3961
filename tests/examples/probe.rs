//! `probe`: a line for each change of each application.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use mio_fcgi::Address;

use crate::app::{self, Listener, Options};
use crate::peer::{self, TIME_LIMIT};
use crate::program::{example, run};

/// The running prober, and the last line of each application.
struct Prober {
    child: Child,
    lines: Receiver<String>,
    states: HashMap<String, String>,
}

impl Prober {
    fn start(addresses: &[&Address]) -> Self {
        let addresses = addresses.iter().map(ToString::to_string);
        let mut child = example("probe")
            .arg("0.2")
            .args(addresses)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|it| line.send(it))
        });
        Self {
            child,
            lines,
            states: HashMap::new(),
        }
    }

    /// Waits until an application is in this state, with these words.
    fn wait_for(&mut self, address: &Address, state: &str, words: &str) {
        let address = address.to_string();
        let deadline = Instant::now() + TIME_LIMIT;
        while self
            .states
            .get(&address)
            .is_none_or(|it| !it.starts_with(state) || !it.contains(words))
        {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("{address} {state}: {:?}", self.states));
            let (address, state) = line.split_once(": ").expect("an address and a state");
            let before = self.states.insert(address.to_owned(), state.to_owned());
            assert_ne!(before.as_deref(), Some(state), "{address}: no change");
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn probe_reports_each_change_of_each_application() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = |name: &str| Address::Unix(directory.path().join(name));
    let start = |address: &Address| {
        let listener = Listener::bind(address).expect("the directory is ours");
        app::spawn_on(listener, Options::default()).expect("a thread")
    };
    let (one, two, missing) = (address("one"), address("two"), address("missing"));
    let mut first = start(&one);
    let _second = start(&two);
    let (refusing, _socket) = peer::refusing();
    let refusing = Address::Tcp(refusing);
    // The system accepts connections, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = (
        Address::Tcp(silent.local_addr().expect("it is bound")),
        silent,
    );
    let many: Vec<Address> = (0..60)
        .map(|at| address(&format!("missing-{at}")))
        .collect();
    let all = [&one, &missing, &refusing, &silent.0, &two];
    let mut prober = Prober::start(&all.into_iter().chain(&many).collect::<Vec<_>>());
    for _ in 0..2 {
        prober.wait_for(&one, "up", "");
        drop(first);
        if let Address::Unix(path) = &one {
            let _ = std::fs::remove_file(path);
        }
        prober.wait_for(&one, "down, ", "no such socket");
        first = start(&one);
    }
    prober.wait_for(&one, "up", "");
    prober.wait_for(&two, "up", "");
    prober.wait_for(&refusing, "down, ", "refused");
    prober.wait_for(&silent.0, "busy, ", "timed out");
    for missing in many.iter().chain([&missing]) {
        prober.wait_for(missing, "down, ", "no such socket");
    }
    let ended = prober.child.try_wait().expect("a child");
    assert_eq!(ended, None, "it goes on");
}

#[test]
fn probe_reports_an_invalid_command_line() {
    run(&mut example("probe"), b"").failed(1, &["usage: probe SECONDS ADDRESS"]);
    run(example("probe").arg("5"), b"").failed(1, &["usage: "]);
    run(example("probe").args(["5", "here"]), b"").failed(1, &["probe: ", "no port"]);
    for every in ["0", "1e9"] {
        run(example("probe").args([every, "unix:/x"]), b"").failed(1, &["a day at most"]);
    }
    run(example("probe").args(["-1", "unix:/x"]), b"").failed(1, &["probe: "]);
    run(example("probe").args(["soon", "unix:/x"]), b"").failed(1, &["probe: "]);
}
