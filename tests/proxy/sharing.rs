//! Requests that share a connection, and when an application is asked whether they may.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::application::whole_for;
use super::harness::{Proxy, TIME_LIMIT, get};

/// An application that answers a request when the test says so, and reports the type of each record that it receives.
struct Application {
    address: String,
    records: Receiver<u8>,
    answer: Sender<()>,
}

fn application() -> Application {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (tell, records) = channel();
    let (answer, answers) = channel::<()>();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
            let mut header = [0; 8];
            while stream.read_exact(&mut header).is_ok() {
                let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let mut content = vec![0; len + usize::from(header[6])];
                if stream.read_exact(&mut content).is_err() || tell.send(header[1]).is_err() {
                    break;
                }
                // The end of the request's body.
                if header[1] == 5 && len == 0 {
                    let is_over = answers.recv().is_err();
                    let id = u16::from_be_bytes([header[2], header[3]]);
                    let whole = whole_for(id, b"Content-Length: 3\r\n\r\nyes");
                    if is_over || stream.write_all(&whole).is_err() {
                        break;
                    }
                }
            }
        }
    });
    Application {
        address,
        records,
        answer,
    }
}

impl Application {
    /// The types of all records received so far, and of those that come until one has this type.
    fn up_to(&self, last: u8) -> Vec<u8> {
        let mut types = Vec::new();
        loop {
            types.push(self.records.recv_timeout(TIME_LIMIT).expect("a record"));
            if types.ends_with(&[last]) {
                return types;
            }
        }
    }
}

const GET_VALUES: u8 = 9;
const STDIN: u8 = 5;

/// Some applications die of the question.
// case 170
// edge: an application that dies of `FCGI_GET_VALUES` | not asked before a request waits because all connections are busy
#[test]
fn an_application_is_asked_whether_it_multiplexes_only_when_a_request_waits() {
    let application = application();
    let arguments = ["--max-conns", "1", "--max-idle", "1", "--status"];
    let proxy = Proxy::in_front_of(&application.address, &arguments);
    for _ in 0..3 {
        application.answer.send(()).expect("it lives");
        assert_eq!(proxy.get("/a.php").text(), "yes");
        assert!(!application.up_to(STDIN).contains(&GET_VALUES));
    }
    let mut clients = [proxy.connect(), proxy.connect()];
    for client in &mut clients {
        client.send(get("/a.php"));
    }
    proxy.wait_for_figure("requests.queued", 1);
    application.answer.send(()).expect("it lives");
    assert!(application.up_to(GET_VALUES).contains(&STDIN));
}

// case 169
#[test]
fn as_many_requests_share_a_connection_as_was_said() {
    for (choice, in_flight, queued) in [("on:2", 2, 1), ("on:3", 3, 0), ("on", 3, 0), ("off", 1, 2)]
    {
        let arguments = ["--multiplex", choice, "--max-conns", "1", "--status"];
        let proxy = Proxy::start(&arguments);
        let mut clients = [proxy.connect(), proxy.connect(), proxy.connect()];
        for client in &mut clients {
            client.send(get("/slow?ms=600000"));
        }
        proxy.wait_for_figure("requests.in_flight", in_flight);
        proxy.wait_for_figure("requests.queued", queued);
        assert_eq!(proxy.figure("requests.in_flight"), in_flight, "{choice}");
    }
}
