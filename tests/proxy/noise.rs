//! What comes in any pieces, and what should not come at all.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::Duration;

use super::harness::{Proxy, get, post};

/// Requests of each kind, and the bodies of their answers.
fn conversation() -> (Vec<u8>, Vec<&'static str>) {
    let mut octets = b"\r\n".to_vec();
    octets.extend(get("/tag?tag=one").into_bytes());
    octets.extend(post("/echo", b"two"));
    octets.extend_from_slice(
        b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nthr\r\n2\r\nee\r\n0\r\nT: u\r\n\r\n",
    );
    octets.extend_from_slice(
        b"GET http://a/tag?tag=four HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
    );
    (octets, vec!["one", "two", "three", "four"])
}

// edge: pipelined requests with bodies, cut at every octet | the same answers
#[test]
fn a_conversation_may_be_cut_anywhere() {
    let proxy = Proxy::start(&["--no-access-log"]);
    let (octets, expected) = conversation();
    for cut in 1..octets.len() {
        let mut browser = proxy.connect();
        browser.send(&octets[..cut]);
        // So that the two come in two reads, as a rule.
        std::thread::sleep(Duration::from_millis(1));
        browser.send(&octets[cut..]);
        for text in &expected {
            assert_eq!(browser.answer().text(), *text, "cut at {cut}");
        }
        browser.assert_closed();
    }
}

/// Whatever a client sends is answered or closed, and harms nobody else.
// edge: 800 spoiled conversations | answered or closed, nobody else harmed
#[test]
fn octets_of_any_kind_harm_nobody() {
    let quick = [
        "--head-timeout",
        "1",
        "--client-timeout",
        "1",
        "--keep-alive",
        "1",
    ];
    let proxy = Proxy::start(&[&quick[..], &["--no-access-log", "--status"]].concat());
    let (octets, _) = conversation();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut statuses = BTreeSet::new();
    for round in 0..10 {
        let mut browsers = Vec::new();
        for _ in 0..80 {
            let octets = spoiled(octets.clone(), &mut random);
            let mut browser = proxy.connect();
            // It may be refused, and closed, before all of it is sent.
            let _ = browser.stream.write_all(&octets);
            browsers.push((browser, octets));
        }
        for (mut browser, octets) in browsers {
            let mut answers = Vec::new();
            let _ = browser.stream.read_to_end(&mut answers);
            let status = answers
                .strip_prefix(b"HTTP/1.1 ")
                .and_then(|rest| rest.get(..3));
            assert!(
                answers.is_empty() || status.is_some(),
                "round {round}: {:?} for {:?}",
                String::from_utf8_lossy(&answers),
                String::from_utf8_lossy(&octets)
            );
            statuses.insert(status.map(<[u8]>::to_vec));
        }
        assert_eq!(proxy.get("/tag?tag=fine").text(), "fine", "round {round}");
    }
    for status in [b"200", b"400", b"408"] {
        assert!(statuses.contains(&Some(status.to_vec())), "{statuses:?}");
    }
    proxy.wait_for_figure("requests.in_flight", 0);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

/// With some octets changed, removed or added, or the end cut off.
fn spoiled(mut octets: Vec<u8>, random: &mut Random) -> Vec<u8> {
    const ODD: &[u8] = b"\r\n\0 :;0A\xff";
    for _ in 0..1 + random.below(4) {
        let at = random.below(octets.len());
        match random.below(5) {
            0 => octets[at] = random.below(256) as u8,
            1 => drop(octets.remove(at)),
            2 | 3 => octets.insert(at, ODD[random.below(ODD.len())]),
            _ => octets.truncate(at.max(1)),
        }
    }
    octets
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
