//! Names of applications are looked up again while the loops run.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use mio_fcgi::{Address, Multiplex};

use super::application::whole_for;
use super::embedded::{connect, listen, worker_of};
use super::harness::{Proxy, TIME_LIMIT, get};
use super::proxy::program::upstreams::{Change, Lookups, Outlet, Upstreams};
use super::proxy::site::options::Options;
use super::site::application;
use super::turns::{run, run_until};

/// The answers of a resolver, by name. A name without an answer is not found.
#[derive(Clone, Default)]
struct Resolver(Arc<Mutex<Ports>>);

/// By name.
type Ports = HashMap<&'static str, Vec<u16>>;

impl Resolver {
    fn set(&self, name: &'static str, ports: &[u16]) {
        let mut answers = self.0.lock().expect("no panic");
        match ports {
            [] => answers.remove(name),
            ports => answers.insert(name, ports.to_vec()),
        };
    }

    fn look_up(&self, address: &Address) -> io::Result<Vec<Address>> {
        let Address::Host { name, .. } = address else {
            return address.resolve();
        };
        let answers = self.0.lock().expect("no panic");
        let ports = answers.get(&name[..]);
        let ports = ports.ok_or_else(|| io::Error::other("no such name"))?;
        Ok(ports.iter().map(|port| at(*port)).collect())
    }
}

fn at(port: u16) -> Address {
    Address::from((std::net::Ipv4Addr::LOCALHOST, port))
}

/// Two loops that get news.
struct Loops {
    lookups: Lookups,
    polls: Vec<Poll>,
    changes: Vec<Receiver<Change>>,
}

impl Loops {
    fn new(options: &Options, resolver: &Resolver) -> Self {
        let look_up = {
            let resolver = resolver.clone();
            move |address: &Address| resolver.look_up(address)
        };
        let upstreams = Upstreams::new(options, &look_up).expect("all names");
        let (mut polls, mut changes, mut outlets) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2 {
            let poll = Poll::new().expect("a poll");
            let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
            let (sender, receiver) = channel();
            polls.push(poll);
            changes.push(receiver);
            outlets.push(Outlet {
                changes: sender,
                waker,
            });
        }
        let every = options.resolve;
        let lookups = Lookups::start(upstreams, every, outlets, look_up).expect("threads");
        Self {
            lookups,
            polls,
            changes,
        }
    }

    /// Each loop is woken and gets the change. Returns the line that is logged.
    fn change(&mut self, servers: &[(usize, &[u16])]) -> String {
        let mut lines = Vec::new();
        for (poll, changes) in self.polls.iter_mut().zip(&self.changes) {
            let mut events = Events::with_capacity(1);
            poll.poll(&mut events, Some(TIME_LIMIT)).expect("a poll");
            assert!(!events.is_empty(), "it is woken");
            let change = changes.recv_timeout(TIME_LIMIT).expect("a change");
            let expected = servers.iter().map(|(application, ports)| {
                let ports = ports.iter().map(|port| at(*port));
                (*application, ports.collect())
            });
            let expected: Vec<(usize, Vec<Address>)> = expected.collect();
            assert_eq!(change.servers, expected);
            lines.push(change.line);
        }
        assert_eq!(lines[1], None, "logged once");
        lines[0].clone().expect("a line")
    }
}

fn options(upstreams: &[&str], mounts: &[&str]) -> Options {
    let mut line = vec!["--resolve", "0"];
    for mount in mounts {
        line.extend(["--mount", mount]);
    }
    for upstream in upstreams {
        line.extend(["--upstream", upstream]);
    }
    if !upstreams.is_empty() {
        line.extend(["--root", "/srv", "--remote"]);
    }
    let line = line.into_iter().map(Into::into);
    super::proxy::program::arguments::parse(line).expect("valid options")
}

// edge: the name of an application gets other addresses | all loops use them from the next lookup on, or from SIGHUP on
#[test]
fn all_loops_get_the_new_addresses_of_the_applications_that_use_the_name() {
    let resolver = Resolver::default();
    resolver.set("php", &[1]);
    resolver.set("go", &[2]);
    let options = options(
        &["php:9000", "127.0.0.1:7"],
        &["/a=go:80", "/b=php:9000", "/c=go:80,127.0.0.1:7"],
    );
    let mut loops = Loops::new(&options, &resolver);
    resolver.set("php", &[3, 4]);
    loops.lookups.look_up_now();
    let line = loops.change(&[(0, &[3, 4, 7]), (2, &[3, 4])]);
    assert_eq!(
        line,
        "--upstream php:9000: its addresses are now 127.0.0.1:3, 127.0.0.1:4"
    );
    resolver.set("go", &[5]);
    loops.lookups.look_up_now();
    let line = loops.change(&[(1, &[5]), (3, &[5, 7])]);
    assert_eq!(line, "--mount go:80: its addresses are now 127.0.0.1:5");
}

// edge: a lookup fails | the addresses stay, and one line is logged until a lookup succeeds
#[test]
fn a_lookup_that_fails_changes_nothing_and_is_logged_once() {
    let resolver = Resolver::default();
    resolver.set("php", &[1]);
    let mut options = options(&[], &["/=php:9000"]);
    options.resolve = Duration::from_millis(1);
    let mut loops = Loops::new(&options, &resolver);
    resolver.set("php", &[]);
    let line = loops.change(&[]);
    assert_eq!(
        line,
        "--mount php:9000: no such name; its addresses stay as they are"
    );
    // The failures that follow are no news.
    std::thread::sleep(Duration::from_millis(20));
    resolver.set("php", &[1]);
    let line = loops.change(&[(0, &[1])]);
    assert_eq!(line, "--mount php:9000: its addresses are now 127.0.0.1:1");
}

#[test]
fn a_loop_that_has_ended_does_not_keep_the_others_from_news() {
    let resolver = Resolver::default();
    resolver.set("php", &[1]);
    let mut loops = Loops::new(&options(&[], &["/=php:9000"]), &resolver);
    drop(loops.changes.remove(0));
    resolver.set("php", &[2]);
    loops.lookups.look_up_now();
    let change = loops.changes[0].recv_timeout(TIME_LIMIT).expect("a change");
    assert!(change.line.is_some() && change.servers == [(0, vec![at(2)])]);
}

#[cfg(unix)]
#[test]
fn a_proxy_that_looks_names_up_goes_on_serving() {
    let app = application("app");
    let named = app.replace("127.0.0.1", "localhost");
    for every in ["0", "0.001"] {
        let mount = format!("/={named}");
        let arguments = ["--mount", &mount, "--resolve", every, "--threads", "2"];
        let proxy = Proxy::start(&arguments);
        let mut client = proxy.connect();
        for _ in 0..5 {
            proxy.signal(rustix::process::Signal::HUP);
            client.send(get("/x"));
            assert_eq!(client.answer().text(), "app||/x|");
        }
        assert!(!proxy.log().contains("addresses"), "{}", proxy.log());
    }
}

/// In a loop of the test, which decides when the addresses change.
// case 150
#[test]
fn a_request_in_flight_finishes_where_it_is_and_the_next_goes_to_the_new_address() {
    let mut poll = Poll::new().expect("a poll");
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (old, new) = (bind(), bind());
    let address = |listener: &TcpListener| listener.local_addr().expect("an address").into();
    let mut worker = worker_of(
        &poll,
        Options {
            upstreams: vec![address(&old)],
            multiplex: Multiplex::Off,
            ..Options::default()
        },
    );
    let mut client = connect(listen(&mut worker));
    for (application, content) in [(&old, "old"), (&new, "new")] {
        client.write_all(get("/").as_bytes()).expect("room");
        run_until(&mut poll, &mut worker, |it| {
            it.figures().stats.requests.active == 1
        });
        let (mut connection, _) = application.accept().expect("a connection");
        worker.set_servers(0, vec![address(&new)]);
        run(&mut poll, &mut worker);
        let answer = whole_for(1, format!("Content-Length: 3\r\n\r\n{content}").as_bytes());
        connection.write_all(&answer).expect("the proxy reads");
        run(&mut poll, &mut worker);
        let mut answer = [0; 1024];
        let len = client.read(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..len]);
        assert!(answer.ends_with(content), "{answer}");
    }
    // A list that cannot be used changes nothing.
    worker.set_servers(0, Vec::new());
    client.write_all(get("/").as_bytes()).expect("room");
    run_until(&mut poll, &mut worker, |it| {
        it.figures().stats.requests.active == 1
    });
}

/// As its help says, `--max-conns` counts for each address of a name.
// case 160
#[test]
fn a_name_with_two_addresses_is_two_upstreams_with_connections_of_their_own() {
    let mut poll = Poll::new().expect("a poll");
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let applications = [bind(), bind()];
    let address = |listener: &TcpListener| listener.local_addr().expect("an address").into();
    let mut worker = worker_of(
        &poll,
        Options {
            upstreams: applications.iter().map(address).collect(),
            multiplex: Multiplex::Off,
            max_connections: 1,
            ..Options::default()
        },
    );
    let at = listen(&mut worker);
    let mut clients = [(); 3].map(|()| connect(at));
    for client in &mut clients {
        client.write_all(get("/").as_bytes()).expect("room");
    }
    run_until(&mut poll, &mut worker, |it| {
        let requests = it.figures().stats.requests;
        (requests.active, requests.queued) == (2, 1)
    });
    for application in &applications {
        application.set_nonblocking(true).expect("a socket");
        let connections = std::iter::from_fn(|| application.accept().ok());
        assert_eq!(connections.count(), 1);
    }
}
