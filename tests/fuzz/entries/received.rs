//! An application that sends any octets.

use mio_fcgi::wire::Demux;
use mio_fcgi::{Body, Config, Multiplex, Request, Retry, Timeouts};

use super::choices::{Choices, Cuts};
use super::driver::Driver;
use super::settings::config;

/// About twenty octets choose the configuration, one how many requests there are, three the cuts; the others are the
/// application's.
pub fn received(input: &[u8]) {
    let mut choices = Choices::new(input);
    let config = config(&mut choices);
    let (count, bits) = (1 + choices.octet() % 5, choices.octet());
    let cuts = choices.cuts();
    let octets = choices.rest();
    demuxed(octets, cuts);

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
    for (turn, piece) in cuts.pieces(octets).enumerate() {
        let which = if bits >> 6 & 1 == 1 { turn } else { 0 };
        if let Some(place) = driver.link(which as u8) {
            driver.feed(place, piece);
            driver.check();
        }
        driver.act();
        driver.check();
    }
    if bits >> 7 == 1 {
        // Nobody knows in the middle of what it is; on other connections the application behaves.
        while let Some(place) = driver.link(0) {
            driver.lose(place, 0);
        }
        driver.is_deaf = false;
    }
    driver.finish(bits >> 7 == 0);

    let max = u32::from(count);
    let whole = answered(max, [octets].into_iter());
    assert_eq!(whole, answered(max, cuts.pieces(octets)));
}

/// The items are the same in one piece and in many.
fn demuxed(octets: &[u8], cuts: Cuts) {
    let mut whole = Demux::default();
    let mut pieces = Demux::default();
    let mut rest = octets;
    let mut used = 0;
    while let Ok(Some(_)) = whole.next(&mut rest) {
        assert!(octets.len() - rest.len() > used, "an item takes an octet");
        used = octets.len() - rest.len();
    }
    let mut error = None;
    for mut piece in cuts.pieces(octets) {
        loop {
            match pieces.next(&mut piece) {
                Ok(Some(_)) => {}
                Ok(None) => break assert!(piece.is_empty()),
                Err(seen) => break error = Some(seen),
            }
        }
    }
    assert_eq!(whole.next(&mut &b""[..]).err(), error);
    assert_eq!(whole.at_record_boundary(), pieces.at_record_boundary());
}

/// What becomes of requests that have one connection, and no other chance.
fn answered<'a>(count: u32, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut config = Config::new(std::net::SocketAddr::from(([127, 0, 0, 1], 9000)).into());
    config.multiplex = match count {
        1 => Multiplex::Off,
        max => Multiplex::On { max },
    };
    config.limits.max_connections = 1;
    config.timeouts = Timeouts::NONE;
    let mut driver = Driver::new(config);
    driver.is_wild = true;
    driver.is_deaf = true;
    for _ in 0..count {
        driver.submit(Request::responder().with_retry(Retry::Never));
    }
    driver.act();
    for piece in pieces {
        // Not one that took the place of the first.
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
