//! An application that sends any bytes.

use mio_fcgi::wire::{DecodeError, Demux, Item};
use mio_fcgi::{Body, Config, Multiplex, Request, Retry, Timeouts};

use super::choices::{Choices, Cuts};
use super::driver::Driver;
use super::settings::config;

/// About twenty bytes choose the configuration, one how many requests there are, three the cuts; the others are the
/// application's.
pub fn received(input: &[u8]) {
    let mut choices = Choices::new(input);
    let config = config(&mut choices);
    let (count, bits) = (1 + choices.byte() % 5, choices.byte());
    let cuts = choices.cuts();
    let bytes = choices.rest();
    demuxed(bytes, cuts);

    let mut driver = Driver::new(config);
    driver.is_wild = true;
    driver.is_deaf = true;
    for index in 0..count {
        let pushed = bits >> index & 1 == 1;
        let body = match pushed {
            true => Body::pushed(Some(40)),
            false => Body::empty(),
        };
        driver.submit(Request::responder().with_body(body));
        if bits >> 5 & 1 == 1 && index == 0 && driver.requests.contains_key(&1) {
            driver.pause(1);
        }
    }
    driver.act();
    for (turn, piece) in cuts.pieces(bytes).enumerate() {
        let which = if bits >> 6 & 1 == 1 { turn } else { 0 };
        if let Some(place) = driver.link(which as u8) {
            driver.feed(place, piece);
            driver.check();
        }
        driver.act();
        driver.check();
    }
    if bits >> 7 == 1 {
        // The bytes may end in the middle of a record. On other connections the application behaves.
        while let Some(place) = driver.link(0) {
            driver.lose(place, 0);
        }
        driver.is_deaf = false;
    }
    driver.finish(bits >> 7 == 0);

    let max = u32::from(count);
    let whole = answered(max, [bytes].into_iter());
    assert_eq!(whole, answered(max, cuts.pieces(bytes)));
}

/// The items are the same in one piece and in many, but for where their content is cut.
fn demuxed(bytes: &[u8], cuts: Cuts) {
    assert_eq!(items([bytes].into_iter()), items(cuts.pieces(bytes)));
}

/// Items, their content joined; the error they end with; whether a record ends there.
type Items = (Vec<(String, Vec<u8>)>, Option<DecodeError>, bool);

fn items<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Items {
    let mut demux = Demux::default();
    let mut items: Vec<(String, Vec<u8>)> = Vec::new();
    for mut piece in pieces {
        loop {
            let before = piece.len();
            let item = match demux.next(&mut piece) {
                Ok(Some(item)) => item,
                Ok(None) => break assert!(piece.is_empty()),
                Err(error) => {
                    let again = demux.next(&mut &b""[..]).err();
                    assert_eq!(again, Some(error), "again");
                    return (items, Some(error), demux.at_record_boundary());
                }
            };
            assert!(piece.len() < before, "an item takes a byte");
            let (name, data, is_end) = match item {
                Item::Stream {
                    record_type,
                    request_id,
                    data,
                } => (format!("{record_type:?} of {request_id}"), data, false),
                Item::Values {
                    record_type,
                    request_id,
                    data,
                    last,
                } => (format!("{record_type:?} of {request_id}"), data, last),
                other => (format!("{other:?}"), &[][..], true),
            };
            match items.last_mut() {
                Some(last) if last.0 == name && !data.is_empty() => last.1.extend_from_slice(data),
                _ => items.push((name, data.to_vec())),
            }
            if is_end {
                items.push(("end".to_owned(), Vec::new()));
            }
        }
    }
    (items, None, demux.at_record_boundary())
}

/// The outcomes of requests that have one connection and are not sent again.
fn answered<'a>(count: u32, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut config = Config::new(std::net::SocketAddr::from(([127, 0, 0, 1], 9000)).into());
    config.multiplex = match count {
        1 => Multiplex::Off,
        max => Multiplex::On { max },
    };
    config.limits.max_connections_per_server = 1;
    config.timeouts = Timeouts::NONE;
    let mut driver = Driver::new(config);
    driver.is_wild = true;
    driver.is_deaf = true;
    for _ in 0..count {
        driver.submit(Request::responder().with_retry(Retry::Never));
    }
    driver.act();
    for piece in pieces {
        // Not on a connection that replaced the first one.
        if driver.links.len() == 1 {
            driver.feed(0, piece);
        }
        driver.act();
    }
    let requests = driver.requests.values();
    let seen = requests.map(|asked| {
        let outcome = match &asked.outcome {
            Some(Ok(completion)) => format!("{}", completion.app_status),
            Some(Err(failure)) => format!("{failure}"),
            None => "goes on".to_owned(),
        };
        format!(
            "{} {} {} {outcome}",
            asked.stdout, asked.stderr, asked.stdout_ended
        )
    });
    let seen = seen.collect();
    driver.finish(true);
    seen
}
