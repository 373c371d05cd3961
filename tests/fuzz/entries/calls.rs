//! Calls of the engine in any order, and an application that mostly behaves.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, Role};
use mio_fcgi::{Body, Counters, Request, Retry, Timeouts};

use super::choices::Choices;
use super::driver::Driver;
use super::far::{Stream, bytes};
use super::settings::{SECOND, config, limits};

/// About twenty bytes choose the configuration; then each call takes a byte, and one or more for what it is about.
pub fn calls(input: &[u8]) -> Counters {
    let mut choices = Choices::new(input);
    let config = config(&mut choices);
    let at_once = choices.is_even();
    let mut driver = Driver::new(config);
    for _ in 0..MOST {
        if choices.is_empty() {
            break;
        }
        call(&mut driver, &mut choices);
        driver.check();
    }
    driver.finish(at_once)
}

pub(super) fn call(driver: &mut Driver, choices: &mut Choices<'_>) {
    let call = choices.byte();
    match call % 24 {
        0..3 => {
            let request = request(driver.next_tag(), choices);
            driver.submit(request);
        }
        3 => driver.act(),
        4 => driver.take_events(),
        5 => drop(driver.take_action(choices.is_even())),
        6 => {
            let len = usize::from(choices.byte());
            on_link(driver, choices, |driver, place| {
                driver.transmit(place, len);
            });
        }
        7 => {
            let len = usize::from(choices.byte()) * 5;
            on_link(driver, choices, |driver, place| {
                driver.read(place, len);
            });
        }
        8 => on_link(driver, choices, Driver::connected),
        9 => {
            let how = choices.byte();
            on_link(driver, choices, |driver, place| driver.lose(place, how));
        }
        10 => {
            let times = choices.of(&[1, 10, 100, 1000, 10_000]);
            driver.advance(Duration::from_millis(times));
            driver.time_out();
        }
        11 => driver.time_out(),
        12..17 => application(driver, choices),
        17..22 => command(driver, choices),
        22 => driver.reaction = choices.byte(),
        _ => match choices.byte() % 8 {
            0 => {
                let deadline = choices.of(&[None, Some(SECOND), Some(Duration::ZERO)]);
                driver.shutdown(deadline.map(|within| driver.now + within));
            }
            1..4 => {
                let limits = limits(choices);
                driver.set_limits(limits);
            }
            _ => {
                let count = driver.engine.config().servers.len();
                driver.get_values(usize::from(choices.byte()) % count);
            }
        },
    }
}

fn on_link(driver: &mut Driver, choices: &mut Choices<'_>, what: impl FnOnce(&mut Driver, usize)) {
    if let Some(place) = driver.link(choices.byte()) {
        what(driver, place);
    }
}

pub(super) fn request(tag: u64, choices: &mut Choices<'_>) -> Request {
    let role = choices.of(&[
        Role::Responder,
        Role::Responder,
        Role::Authorizer,
        Role::Filter,
    ]);
    let mut request = Request::new(role);
    let len = 40 * usize::from(choices.byte());
    let body = bytes(tag, Stream::Stdin, 0, len);
    let known = Some(len as u64);
    request.body = match choices.byte() % 9 {
        _ if role == Role::Authorizer => Body::empty(),
        0 => Body::empty(),
        1 => Body::bytes(body),
        2 => Body::shared(Arc::from(body)),
        3 => Body::reader(Cursor::new(body), known),
        4 => Body::seekable(Cursor::new(body), known),
        // A body one byte shorter than declared, and one of unknown length.
        5 => Body::seekable(Cursor::new(body), Some(len as u64 + 1)),
        6 => Body::reader(Cursor::new(body), None),
        7 => Body::pushed(known),
        _ => Body::pushed(None),
    };
    if role == Role::Filter {
        request.data = Body::bytes(bytes(tag, Stream::Data, 0, len / 2));
    }
    let filling = choices.of(&[0, 10, 300, 70_000]);
    if filling > 0 {
        request.params.push("FILLING", vec![b'x'; filling]);
    }
    request.retry = choices.of(&[
        Retry::IfStale,
        Retry::Never,
        Retry::IfNotProcessed,
        Retry::IfUnanswered,
    ]);
    request.timeouts = choices.of(&[
        None,
        Some(Timeouts::NONE),
        Some(Timeouts::NONE.with_total(SECOND)),
    ]);
    request
}

/// The application does something on one connection.
fn application(driver: &mut Driver, choices: &mut Choices<'_>) {
    let Some(place) = driver.link(choices.byte()) else {
        return;
    };
    let far = &mut driver.links[place].far;
    // Bytes that are never read must not grow without bound.
    if far.outbox.len() > 20_000 {
        return;
    }
    let (what, which) = (choices.byte(), choices.byte());
    match what % 16 {
        0..6 => far.output(which, false, usize::from(what) * 3 + 1),
        6 => far.output(which, true, usize::from(what) + 1),
        7 => far.stdout_end(which),
        8..12 => far.end(which, ProtocolStatus::RequestComplete),
        12 => {
            let status = ProtocolStatus::from(what / 16 % 5);
            far.end(which, status);
        }
        13 => far.answer_values(which),
        14 => far.answer_values(0),
        _ => far.misbehave(which),
    }
}

/// A command on one request.
fn command(driver: &mut Driver, choices: &mut Choices<'_>) {
    let Some(tag) = driver.tag(choices.byte()) else {
        return;
    };
    let handle = driver.requests[&tag].handle;
    match choices.byte() % 8 {
        0 | 1 => driver.pause(tag),
        2 | 3 => driver.resume(tag),
        4 => driver.engine.abort(driver.now, handle),
        5 => drop(driver.engine.finish_stdin(driver.now, handle)),
        _ => {
            let asked = driver.requests.get_mut(&tag).expect("it was submitted");
            let len = 3 * usize::from(choices.byte());
            let data = bytes(tag, Stream::Stdin, asked.pushed, len);
            if let Ok(taken) = driver.engine.write_stdin(driver.now, handle, &data) {
                assert!(taken <= len);
                asked.pushed += taken as u64;
            }
        }
    }
}

/// Calls of one run.
pub(super) const MOST: usize = 300;
