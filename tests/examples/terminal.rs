//! `get` on a terminal: the output of an application must not control the terminal.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use mio_fcgi::wire::{self, RecordType};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::peer::{self, Connection, Peer};
use crate::program::{Ended, example, run, wait};

/// Output of an application: an escape sequence, one of a single byte, a bell, an incomplete character.
const RUDE: &[u8] = b"a\x1b[2Jb\x9b1mc\x07d\xc3";

fn records(record_type: RecordType, id: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, record_type, id, content);
    bytes
}

/// Answers one request with this stderr and stdout.
fn answer(stderr: &'static [u8], stdout: &'static [u8]) -> Peer {
    Peer::unix(move |listener| {
        let mut connection: Connection = listener.accept();
        let id = connection.request().expect("a request").id;
        let mut bytes = records(RecordType::Stderr, id, stderr);
        bytes.extend(records(RecordType::Stdout, id, stdout));
        bytes.extend(peer::end(id));
        connection.send(&bytes);
        connection.rest();
    })
}

/// Runs `get` with a terminal for its stdout. Returns what was shown there, and its stderr.
fn on_a_terminal(peer: Peer) -> Ended {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let master = openpt(flags).expect("a pseudo-terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let terminal = File::options().write(true).open(path).expect("it is ours");
    let mut child = example("get")
        .args([
            "--connect",
            &peer.address().to_string(),
            "--script",
            "/x",
            "-i",
        ])
        .stdout(terminal)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut master = File::from(master);
    let reader = thread::spawn(move || {
        let mut shown = Vec::new();
        match master.read_to_end(&mut shown) {
            // How Linux reports the end of a terminal.
            Err(error) if error.raw_os_error() != Some(EIO) => panic!("a terminal: {error}"),
            _ => shown,
        }
    });
    let status = wait(&mut child);
    let pipe = child.stderr.take().expect("it is a pipe");
    let stderr = io::read_to_string(pipe).expect("text");
    peer.join();
    Ended {
        status,
        stdout: reader.join().expect("no panic"),
        stderr,
    }
}

const EIO: i32 = 5;

// case 185
#[test]
fn the_applications_stderr_and_the_programs_own_lines_hold_no_escape_sequence() {
    let peer = answer(RUDE, b"Status: 503 a\xc2\x9b2Jb\r\n\r\n");
    let ended = run(
        example("get").args(["--connect", &peer.address().to_string(), "--script", "/x"]),
        b"",
    );
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], "a\\x1b[2Jb\\x9b1mc\\x07d\\xc3", "{ended:?}");
    assert!(lines[1].starts_with("get: "), "{ended:?}");
    assert!(lines[1].ends_with("503 a\\u{9b}2Jb"), "{ended:?}");
    peer.join();
}

// case 185
#[test]
fn a_head_is_shown_without_escape_sequences_and_a_body_as_it_is() {
    // Other control characters are refused.
    const PAGE: &[u8] =
        b"Status: 201 a\xc2\x9b1m\r\nX: caf\xc3\xa9 \x9b2J\xe2\x80\xae\r\n\r\n\x1b[31mred\xff";
    let peer = answer(b"", PAGE);
    let address = peer.address().to_string();
    let ended = run(
        example("get").args(["--connect", &address, "--script", "/x", "-i"]),
        b"",
    );
    ended.succeeded();
    let head = "Status: 201 a\\u{9b}1m\r\nX: caf\u{e9} \\x9b2J\\u{202e}\r\n\r\n";
    assert_eq!(ended.stdout, [head.as_bytes(), b"\x1b[31mred\xff"].concat());
    peer.join();
}

#[test]
fn a_body_is_unchanged_except_on_a_terminal() {
    const PAGE: &[u8] = b"X: y\r\n\r\ncaf\xc3\xa9\tone\r\ntwo\n\x1b[31mred";
    let peer = answer(b"", PAGE);
    let ended = run(
        example("get").args(["--connect", &peer.address().to_string(), "--script", "/x"]),
        b"",
    );
    ended.succeeded();
    assert_eq!(ended.stdout, PAGE[8..]);
    peer.join();
    let shown = on_a_terminal(answer(b"", PAGE));
    shown.succeeded();
    let text = shown.text().replace("\r\r\n", "\n").replace("\r\n", "\n");
    assert_eq!(
        text,
        "Status: 200\nX: y\n\ncaf\u{e9}\tone\ntwo\n\\x1b[31mred"
    );
}

#[test]
fn a_body_that_is_not_text_is_not_written_to_a_terminal() {
    const PICTURE: &[u8] = b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let shown = on_a_terminal(answer(b"a picture", PICTURE));
    let lines: Vec<&str> = shown.stderr.lines().collect();
    assert_eq!((shown.status, lines[0]), (Some(23), "a picture"));
    assert!(lines[1].contains("not text"), "{shown:?}");
    assert!(!shown.text().contains("PNG"), "{shown:?}");
    let peer = answer(b"", PICTURE);
    let ended = run(
        example("get").args(["--connect", &peer.address().to_string(), "--script", "/x"]),
        b"",
    );
    ended.succeeded();
    assert_eq!(ended.stdout, PICTURE[27..]);
    peer.join();
}
