//! The access log: its lines, and a reader of it that does not read.

use std::io::{PipeReader, PipeWriter, Read};
use std::sync::mpsc;
use std::thread;

use rustix::fs::OFlags;
use rustix::process::Signal;
use tempfile::NamedTempFile;

use super::harness::{PATIENCE, Proxy, get};
use crate::program::example;

/// As many lines, each of so many octets, are more than the proxy keeps for a log that is not read, and than a pipe holds.
const REQUESTS: usize = 1600;
const LINE_LEN: usize = 7000;

// edge: nobody reads the log | clients are served, lines beyond 8 MiB are lost and counted
#[test]
fn a_log_that_is_not_read_stops_nobody_and_tells_what_it_lost() {
    let (mut proxy, mut log) = piped();
    ask(&proxy, REQUESTS);
    let mut text = String::new();
    let mut octets = vec![0; 64 * 1024];
    let is_told = |text: &str| text.contains(" lines of the log are lost");
    while !is_told(&text) {
        let len = log.read(&mut octets).expect("a pipe");
        text.push_str(std::str::from_utf8(&octets[..len]).expect("UTF-8"));
    }
    end(&mut proxy);
    log.read_to_string(&mut text).expect("a pipe");
    assert!(text.ends_with('\n'));
    let (mut whole, mut lost) = (0, 0);
    for line in text.lines() {
        match line.strip_prefix("proxy: ") {
            Some(said) => {
                let count = said.split(' ').next().and_then(|count| count.parse().ok());
                lost += count.unwrap_or(0);
            }
            None => {
                assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
                assert!(line.len() > LINE_LEN, "{line}");
                whole += 1;
            }
        }
    }
    assert!(lost > 0);
    assert_eq!(whole + lost, REQUESTS);
}

/// Each quote is four octets in the log.
// edge: more than 8 MiB of lines at once, with a log that is read | none is lost
#[test]
fn many_lines_at_once_are_not_too_many() {
    let mut proxy = Proxy::start(&[]);
    let mut crowd: Vec<_> = (0..60).map(|_| proxy.connect()).collect();
    let mut last = proxy.connect();
    last.send(get("/tag?tag=warm"));
    assert_eq!(last.answer().text(), "warm");
    // So that all of it is there in one turn.
    proxy.halt();
    // The proxy answers these by itself.
    let request = get(&format!("/../?{}", "\"".repeat(LINE_LEN)));
    for browser in &mut crowd {
        browser.send(request.repeat(7));
    }
    proxy.signal(Signal::CONT);
    for browser in &mut crowd {
        for _ in 0..7 {
            assert_eq!(browser.answer().status, 403);
        }
    }
    end(&mut proxy);
    let log = proxy.log();
    let lines = log.lines().filter(|line| line.ends_with("\"-\" \"-\" -"));
    assert_eq!(lines.count(), 60 * 7, "of {} octets", log.len());
}

/// As one is that another process has, too, and has set so.
// edge: a log that does not wait for its reader | its lines stay whole, and none is lost
#[test]
fn a_log_that_does_not_block_is_written_whole() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let flags = rustix::fs::fcntl_getfl(&writer).expect("a pipe");
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("a pipe");
    let (mut proxy, mut log) = logging_to(reader, writer);
    // Far more than the pipe holds, and less than is kept.
    ask(&proxy, 300);
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = log.read(&mut piece) {
            if tell.send(piece[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut octets = Vec::new();
    while octets.iter().filter(|octet| **octet == b'\n').count() < 300 {
        octets.extend(told.recv_timeout(PATIENCE).expect("more lines"));
    }
    end(&mut proxy);
    octets.extend(told.iter().flatten());
    let text = String::from_utf8(octets).expect("UTF-8");
    assert_eq!(text.lines().count(), 300);
    for line in text.lines() {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.len() > LINE_LEN, "{line}");
    }
}

// edge: nobody reads the log at SIGTERM | it ends without the lines that wait, after a moment
#[test]
fn a_log_that_is_not_read_does_not_hold_up_the_end() {
    let (mut proxy, _log) = piped();
    // More than the pipe holds.
    ask(&proxy, 50);
    end(&mut proxy);
}

// edge: a log that is read again at SIGTERM | it ends with the last line
#[test]
fn the_end_waits_for_the_last_lines() {
    let (mut proxy, mut log) = piped();
    // More than the pipe holds.
    ask(&proxy, 200);
    proxy.terminate();
    let mut text = String::new();
    log.read_to_string(&mut text).expect("a pipe");
    assert!(proxy.wait().success());
    assert!(text.ends_with('\n'));
    assert_eq!(text.lines().count(), 200);
}

fn piped() -> (Proxy, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    logging_to(reader, writer)
}

fn logging_to(reader: PipeReader, writer: PipeWriter) -> (Proxy, PipeReader) {
    let unused = NamedTempFile::new().expect("a file");
    let proxy = Proxy::launch_logging(example("proxy"), unused, writer.into());
    (proxy, reader)
}

fn ask(proxy: &Proxy, requests: usize) {
    let target = format!("/tag?tag=a&long={}", "x".repeat(LINE_LEN));
    let mut browser = proxy.connect();
    for _ in 0..requests {
        browser.send(get(&target));
        assert_eq!(browser.answer().text(), "a");
    }
}

#[cfg(unix)]
fn end(proxy: &mut Proxy) {
    proxy.terminate();
    assert!(proxy.wait().success());
}
