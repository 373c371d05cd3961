//! Bodies of requests: two HTTP servers find the same ones, wherever the bytes are cut and however much is taken at once.

use super::choices::Choices;
use http_servers::{MAX_LEN, found};

#[path = "../../cgi/http_servers.rs"]
mod http_servers;

/// One byte chooses the version, one how much is taken at once, three the cuts; then the fields and what follows them.
pub fn body(input: &[u8]) {
    let mut choices = Choices::new(input);
    let line = choices.of(&[
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.0\r\n",
    ]);
    let step = choices.of(&[usize::MAX, 1, 2, 7]);
    let cuts = choices.cuts();
    let sent = [line.as_bytes(), choices.rest()].concat();
    let whole = found([&sent[..]].into_iter(), usize::MAX);
    assert_eq!(whole, found(cuts.pieces(&sent), step));
    if let Some(Ok(found)) = whole {
        assert!(found.content.len() as u64 <= MAX_LEN);
    }
}
