//! Random bytes for the parsers of what proxies in front say.

use std::net::{IpAddr, Ipv4Addr};

use httparse::Header;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Just;

use crate::proxy::http::forwarded::Forwarded;
use crate::proxy::http::proxy_header::{Found, find};

/// A header of the PROXY protocol, or something like one.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let text =
        "(PROXY|PROX|PROXY ) ?(TCP4|TCP6|UNKNOWN|UDP4)( [0-9a-f.:]{1,12}){0,5}(\r\n|\n|\r| )";
    let ends = "PROXY TCP4 [1-9]\\.2\\.3\\.4 5\\.6\\.7\\.[1-9] [1-9]{1,4} [1-9]{1,5}\r\n";
    let binary = (
        0x1f_u8..0x23,
        any::<u8>(),
        vec(any::<u8>(), 0..60),
        0_u16..70,
    );
    prop_oneof![
        text.prop_map(String::into_bytes),
        ends.prop_map(String::into_bytes),
        vec(any::<u8>(), 0..40),
        binary.prop_map(|(command, family, content, len)| {
            let start = b"\r\n\r\n\0\r\nQUIT\n";
            let len = len.to_be_bytes();
            [&start[..], &[command, family], &len, &content].concat()
        }),
    ]
}

/// What a client may have put into a field.
fn invention() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        "[\",;=\\\\a-f ]{0,30}",
        "(for=\"?[0-9.:\\[\\]]{0,10}\"?[;,] ?){0,4}",
        Just(String::new()),
    ]
}

proptest! {
    /// More bytes never turn a refused header into a valid one, nor a valid one into another.
    #[test]
    fn a_header_is_found_at_the_same_byte_however_it_arrives(bytes in header()) {
        let whole = find(&bytes);
        for cut in 0..bytes.len() {
            match (find(&bytes[..cut]), &whole) {
                (Ok(Found::Part), Ok(Found::Header { len, .. })) => prop_assert!(cut < *len),
                (Ok(Found::Part), _) => {}
                (found, whole) => prop_assert_eq!(&found, whole),
            }
        }
    }

    /// Whatever a client sends: what the trusted proxy appends is what counts.
    #[test]
    fn a_client_cannot_invent_its_address(
        invented in invention(), second in invention(), address: Ipv4Addr, is_line: bool
    ) {
        for (name, entry) in [
            ("Forwarded", format!("for={address};proto=https;host=\"a:1\"")),
            ("X-Forwarded-For", address.to_string()),
        ] {
            let appended = format!("{invented}, {entry}");
            let lines = match is_line {
                true => vec![second.as_str(), &invented, &entry],
                false => vec![second.as_str(), &appended],
            };
            let fields: Vec<Header<'_>> = lines
                .iter()
                .map(|value| Header { name, value: value.as_bytes() })
                .collect();
            let found = Forwarded::read(&fields, |_| false);
            prop_assert_eq!(found.client, Some((IpAddr::V4(address), None)), "{:?}", lines);
            if name == "Forwarded" {
                prop_assert_eq!((found.is_secure, found.host), (Some(true), Some("a:1")));
            }
            // If it trusts everybody, it may find anything.
            let _ = Forwarded::read(&fields, |_| true);
        }
    }
}
