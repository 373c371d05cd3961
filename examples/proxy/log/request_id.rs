//! IDs of requests: in every line of the log about a request, in the application's parameters and in the response.

use std::time::{SystemTime, UNIX_EPOCH};

/// Makes the IDs of one loop: `64f3a1b2c3d4e-0-1a` is the microsecond of the start, the number of the loop and that of
/// the request, in hexadecimal digits. No two loops have an ID in common, nor have two starts of the proxy.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// What the IDs of this loop begin with.
    prefix: String,
    next: u64,
}

impl RequestIds {
    /// `index` is the number of the loop.
    pub(crate) fn new(index: usize) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let start = since.unwrap_or_default().as_micros();
        Self {
            prefix: format!("{start:x}-{index:x}-"),
            next: 0,
        }
    }

    /// Appends the next ID.
    pub(crate) fn write_next(&mut self, out: &mut String) {
        self.next += 1;
        out.push_str(&self.prefix);
        // `write!` would take 280 instructions for it.
        let digits = self.next.checked_ilog2().unwrap_or(0) / 4;
        for at in (0..=digits).rev() {
            let digit = (self.next >> (4 * at)) as usize % 16;
            out.push(b"0123456789abcdef"[digit].into());
        }
    }
}

/// An ID that somebody else made, if it can be used: it needs no quoting in any log.
pub(crate) fn valid(id: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    let is_valid = (1..=MAX_LEN).contains(&id.len()) && id.iter().all(is_plain);
    std::str::from_utf8(id).ok().filter(|_| is_valid)
}

const MAX_LEN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_between_requests_and_between_loops() {
        let (mut one, mut other) = (RequestIds::new(0), RequestIds::new(0x1f));
        let next = |ids: &mut RequestIds| {
            let mut id = String::new();
            ids.write_next(&mut id);
            assert_eq!(valid(id.as_bytes()), Some(&*id));
            id
        };
        assert!(next(&mut one).ends_with("-0-1"));
        assert!(next(&mut one).ends_with("-0-2"));
        assert!(next(&mut other).ends_with("-1f-1"));
        for (number, shown) in [
            (15, "-f"),
            (16, "-10"),
            (0xabc, "-abc"),
            (u64::MAX, "-ffffffffffffffff"),
        ] {
            one.next = number - 1;
            assert!(next(&mut one).ends_with(shown), "{number}");
        }
    }

    #[test]
    fn an_id_from_elsewhere_is_short_and_plain() {
        for (id, is_right) in [
            (&b"0af7651916cd43dd8448eb211c80319c"[..], true),
            (b"Root=1-67891233-abcdef", true),
            (b"", false),
            (b"two words", false),
            (b"\"", false),
            (b"\xc3\xa4", false),
            (&[b'x'; 128], true),
            (&[b'x'; 129], false),
        ] {
            assert_eq!(valid(id).is_some(), is_right, "{id:?}");
        }
    }
}
