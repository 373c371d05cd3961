//! Valid input cut anywhere, and invalid input.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::time::Duration;

use super::harness::{Proxy, get, post};

/// Requests of each kind, and the bodies of their responses.
fn conversation() -> (Vec<u8>, Vec<&'static str>) {
    let mut bytes = b"\r\n".to_vec();
    bytes.extend(get("/tag?tag=one").into_bytes());
    bytes.extend(post("/echo", b"two"));
    bytes.extend_from_slice(
        b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nthr\r\n2\r\nee\r\n0\r\nT: u\r\n\r\n",
    );
    bytes.extend_from_slice(
        b"GET http://a/tag?tag=four HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
    );
    (bytes, vec!["one", "two", "three", "four"])
}

// edge: pipelined requests with bodies, cut at every byte | the same responses
#[test]
fn a_conversation_may_be_cut_anywhere() {
    let proxy = Proxy::start(&["--no-access-log"]);
    let (bytes, expected) = conversation();
    for cut in 1..bytes.len() {
        let mut client = proxy.connect();
        client.send(&bytes[..cut]);
        // So that the two pieces usually arrive in two reads.
        std::thread::sleep(Duration::from_millis(1));
        client.send(&bytes[cut..]);
        for text in &expected {
            assert_eq!(client.answer().text(), *text, "cut at {cut}");
        }
        client.assert_closed();
    }
}

/// Whatever a client sends gets a response or the end of the connection, and no other client is affected. Each
/// conversation is sent twice: how it is cut changes no status.
// edge: 400 corrupted conversations, each in one piece and in several | the same outcome for both, no other client affected
#[test]
fn arbitrary_bytes_affect_no_other_client() {
    let quick = [
        "--header-timeout",
        "2",
        "--client-timeout",
        "2",
        "--keepalive-timeout",
        "2",
    ];
    let proxy = Proxy::start(&[&quick[..], &["--no-access-log", "--status"]].concat());
    let (bytes, _) = conversation();
    let seed = seed();
    let mut random = Random(seed);
    let mut seen = BTreeSet::new();
    for round in 0..5 {
        let mut pairs = Vec::new();
        for _ in 0..80 {
            let bytes = spoiled(bytes.clone(), &mut random);
            let (mut whole, mut cut) = (proxy.connect(), proxy.connect());
            // The connection may be refused and closed before all of it is sent.
            let _ = whole.stream.write_all(&bytes);
            for piece in pieces(&bytes, &mut random) {
                let _ = cut.stream.write_all(piece);
                std::thread::sleep(Duration::from_millis(1));
            }
            pairs.push((whole, cut, bytes));
        }
        for (whole, cut, bytes) in pairs {
            let said = String::from_utf8_lossy(&bytes);
            let [whole, cut] = [whole, cut].map(|mut client| {
                let mut answers = Vec::new();
                let _ = client.stream.read_to_end(&mut answers);
                statuses(&answers)
            });
            assert_eq!(whole, cut, "SEED={seed}, round {round}: {said:?}");
            seen.extend(whole);
        }
        assert_eq!(proxy.get("/tag?tag=fine").text(), "fine", "round {round}");
    }
    for status in [200, 400, 408] {
        assert!(seen.contains(&status), "SEED={seed}: {seen:?}");
    }
    proxy.wait_for_figure("requests.in_flight", 0);
    proxy.wait_for_figure("server.clients", 1);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

/// The random seed. `SEED=n` repeats the run of a failure.
fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|it| it.parse().ok());
    // Xorshift would stay at 0.
    given.unwrap_or_else(|| RandomState::new().hash_one(0) | 1)
}

/// The statuses of the responses. Nothing but responses may arrive.
fn statuses(answers: &[u8]) -> Vec<u16> {
    let answers = String::from_utf8_lossy(answers);
    let mut parts = answers.split("HTTP/1.1 ");
    assert_eq!(parts.next(), Some(""), "{answers}");
    // The page of the demo application contains the version of its request.
    parts
        .filter_map(|part| part.get(..4)?.trim_end().parse().ok())
        .collect()
}

/// The bytes, cut at one place or at several.
fn pieces<'o>(bytes: &'o [u8], random: &mut Random) -> Vec<&'o [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for _ in 0..1 + random.below(6) {
        let (piece, after) = rest.split_at(random.below(rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// The bytes with some of them changed, removed or added, or with the end cut off.
fn spoiled(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    const ODD: &[u8] = b"\r\n\0 :;0A\xff";
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] = random.below(256) as u8,
            1 if bytes.len() > 1 => drop(bytes.remove(at)),
            // An empty conversation would test nothing.
            1 => {}
            2 | 3 => bytes.insert(at, ODD[random.below(ODD.len())]),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
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
