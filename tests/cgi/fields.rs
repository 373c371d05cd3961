//! Which fields of a request become parameters, and which do not.

use mio_fcgi::Params;
use mio_fcgi::cgi::{Env, EnvError, FieldRules, Script, is_hop_by_hop};
use proptest::prelude::*;

use crate::env::{Fields, get, owned, pairs, write, write_with};

/// The `HTTP_*` parameters of the fields.
fn http_with(rules: FieldRules, fields: Fields<'_>) -> Vec<(String, String)> {
    let mut pairs = pairs(&write_with(rules, fields).expect("valid fields"));
    pairs.retain(|pair| pair.0.starts_with("HTTP_"));
    pairs
}

fn http(fields: Fields<'_>) -> Vec<(String, String)> {
    http_with(FieldRules::default(), fields)
}

// case 113
#[test]
fn proxy_never_becomes_http_proxy() {
    let mut everything = FieldRules::default();
    everything.pass_authorization = true;
    everything.pass_proxy_authorization = true;
    everything.pass_hop_by_hop = true;
    for name in ["Proxy", "proxy", "PROXY"] {
        assert_eq!(http_with(everything, &[(name, "http://evil")]), []);
    }
    assert_eq!(http(&[("Proxy-X", "1")]), owned(&[("HTTP_PROXY_X", "1")]));
}

// case 114
#[test]
fn a_name_with_an_underscore_cannot_pose_as_another() {
    for name in [
        "X_Forwarded_For",
        "X-Forwarded_For",
        "X.Forwarded",
        "X~",
        "Content_Length",
        "_",
    ] {
        assert_eq!(
            http(&[(name, "evil"), ("X-Forwarded-For", "192.0.2.1")]),
            owned(&[("HTTP_X_FORWARDED_FOR", "192.0.2.1")]),
            "{name}"
        );
    }
}

// case 114
#[test]
fn names_with_underscores_are_passed_if_enabled_and_pose_as_no_other_field_of_the_request() {
    let rules = FieldRules::default().with_pass_underscores(true);
    let http = |fields: Fields<'_>| http_with(rules, fields);
    assert_eq!(
        http(&[("api_key", "k"), ("_", "u"), ("A", "b")]),
        owned(&[("HTTP_API_KEY", "k"), ("HTTP__", "u"), ("HTTP_A", "b")])
    );
    // The field with hyphens wins, wherever it is. Among others the first one does.
    for fields in [
        [("X_Real_IP", "evil"), ("X-Real-IP", "good")],
        [("x-real-ip", "good"), ("X_Real_IP", "evil")],
        [("X_Real-IP", "good"), ("X-Real_IP", "evil")],
    ] {
        assert_eq!(http(&fields), owned(&[("HTTP_X_REAL_IP", "good")]));
    }
    assert_eq!(
        http(&[("a_b", "1"), ("A_B", "2")]),
        owned(&[("HTTP_A_B", "1, 2")])
    );
    // No way around the rules for the names with hyphens.
    for name in [
        "Content_Length",
        "content_type",
        "Transfer_Encoding",
        "Proxy_Authorization",
        "Proxy_Connection",
        "Keep_Alive",
        "a_b.c",
        "a_b~",
    ] {
        let params = write_with(rules, &[(name, "evil")]).expect("valid");
        assert!(
            !pairs(&params).iter().any(|pair| pair.1 == "evil"),
            "{name}"
        );
    }
    let listed: Fields<'_> = &[("Connection", "my_hop"), ("My_Hop", "1")];
    assert_eq!(http(listed), []);
}

// case 115
#[test]
fn content_fields_are_not_repeated_as_http() {
    let fields: Fields<'_> = &[("content-type", "a/b"), ("Content-Length", "7")];
    assert_eq!(http(fields), []);
    let params = write(fields).expect("valid");
    assert_eq!(get(&params, "CONTENT_TYPE").as_deref(), Some("a/b"));
    assert_eq!(get(&params, "CONTENT_LENGTH"), None, "the body states it");
    // A wrapper around a client repeats what its caller has set.
    let params = write(&[("Content-Type", "a/b"), ("content-type", " a/b ")]).expect("valid");
    assert_eq!(get(&params, "CONTENT_TYPE").as_deref(), Some("a/b"));
    for second in ["a/c", "A/B", ""] {
        assert_eq!(
            write(&[
                ("Content-Type", "a/b"),
                ("A", "b"),
                ("content-type", second)
            ]),
            Err(EnvError::Repeated {
                name: "Content-Type"
            })
        );
    }
}

// case 116
#[test]
fn names_that_are_no_tokens_are_refused() {
    for name in [
        "A=B", "A\0", "A\r", "A\n", "A B", " A", "A ", "", "A:", "\u{e4}", "A/",
    ] {
        assert_eq!(
            write(&[("Ok", "1"), (name, "v")]),
            Err(EnvError::FieldName { index: 1 }),
            "{name:?}"
        );
    }
}

// case 117
#[test]
fn repeated_fields_are_joined_and_a_repeated_host_is_refused() {
    assert_eq!(
        http(&[
            ("Cookie", "a=1"),
            ("Accept", "x"),
            ("cookie", " b=2"),
            ("ACCEPT", ""),
            ("COOKIE", "c=3"),
            ("Accept", "z"),
        ]),
        owned(&[("HTTP_COOKIE", "a=1; b=2; c=3"), ("HTTP_ACCEPT", "x, , z")])
    );
    assert_eq!(
        write(&[("Host", "a"), ("host", "a")]),
        Err(EnvError::Repeated { name: "Host" })
    );
}

#[test]
fn a_host_that_is_no_host_is_refused() {
    for host in [
        "a/b",
        "a b",
        "a,b",
        "user@a",
        "a:80:90",
        "a:x",
        "[::1",
        "[::1]x",
        "[x]",
        "a\"",
        "<a>",
        "a\\b",
        "a?b",
        "a#b",
        "::1",
        ":80",
        ":",
        "..",
        ".",
        "../a",
        "a..b",
        "a..",
        ".a",
        "[]",
        "[]:80",
        "[:]",
        "[1]",
        "[.]",
        "[::1::2]",
        "[fe80::1%25eth0]",
    ] {
        assert_eq!(write(&[("Host", host)]), Err(EnvError::Host), "{host:?}");
    }
    for host in [
        "",
        "a",
        "a:",
        "a:80",
        "192.0.2.1:80",
        "[::1]",
        "[::1]:80",
        "[2001:DB8::192.0.2.1]",
        "a_b.example",
        "a.example.:80",
    ] {
        assert!(write(&[("Host", host)]).is_ok(), "{host:?}");
    }
}

const HOP_BY_HOP: Fields<'_> = &[
    ("Connection", "close, X-Gone ,, TE"),
    ("connection", "x-also-gone"),
    ("Keep-Alive", "1"),
    ("Proxy-Connection", "1"),
    ("TE", "1"),
    ("Trailer", "1"),
    ("Transfer-Encoding", "chunked"),
    ("Upgrade", "1"),
    ("X-Gone", "1"),
    ("X-Also-Gone", "1"),
    ("X-Stays", "1"),
];

#[test]
fn hop_by_hop_fields_stay_behind_unless_passed() {
    assert_eq!(http(HOP_BY_HOP), owned(&[("HTTP_X_STAYS", "1")]));
    let mut rules = FieldRules::default();
    rules.pass_hop_by_hop = true;
    let passed = http_with(rules, HOP_BY_HOP);
    assert_eq!(passed.len(), HOP_BY_HOP.len() - 1, "two are joined");
    assert_eq!(passed[0].1, "close, X-Gone ,, TE, x-also-gone");
}

#[test]
fn what_is_about_a_connection_is_known_in_any_case_of_its_letters() {
    for name in [
        "Connection",
        "KEEP-ALIVE",
        "proxy-connection",
        "te",
        "Trailer",
        "Transfer-Encoding",
        "upgrade",
    ] {
        assert!(is_hop_by_hop(name), "{name}");
    }
    for name in [
        "",
        "Content-Length",
        "Host",
        "Proxy",
        "TEA",
        "Upgrade_",
        "Set-Cookie",
    ] {
        assert!(!is_hop_by_hop(name), "{name}");
    }
}

#[test]
fn connection_cannot_take_away_host_and_type() {
    let params = write(&[
        ("Connection", "Host, Content-Type"),
        ("Host", "a"),
        ("Content-Type", "b"),
    ])
    .expect("valid");
    assert_eq!(get(&params, "HTTP_HOST").as_deref(), Some("a"));
    assert_eq!(get(&params, "CONTENT_TYPE").as_deref(), Some("b"));
}

#[test]
fn credentials_stay_behind_unless_passed() {
    let fields: Fields<'_> = &[("Authorization", "a"), ("Proxy-Authorization", "b")];
    let rules = |pass_authorization, pass_proxy_authorization| {
        let mut rules = FieldRules::default();
        rules.pass_authorization = pass_authorization;
        rules.pass_proxy_authorization = pass_proxy_authorization;
        rules
    };
    assert_eq!(http(fields), []);
    assert_eq!(
        http_with(rules(true, false), fields),
        owned(&[("HTTP_AUTHORIZATION", "a")])
    );
    assert_eq!(
        http_with(rules(false, true), fields),
        owned(&[("HTTP_PROXY_AUTHORIZATION", "b")])
    );
}

/// Programs disagree about which of them counts.
#[test]
fn credentials_that_are_passed_are_there_once() {
    let rules = FieldRules::default()
        .with_pass_authorization(true)
        .with_pass_proxy_authorization(true);
    for name in ["Authorization", "Proxy-Authorization"] {
        let fields: Fields<'_> = &[(name, "a"), ("B", "c"), (name, "a")];
        assert_eq!(write_with(rules, fields), Err(EnvError::Repeated { name }));
        assert!(write(fields).is_ok(), "{name} is not passed");
    }
}

#[test]
fn the_number_of_fields_and_options_is_bounded() {
    let many = vec![("A", "b"); 257];
    assert!(write(&many[..256]).is_ok());
    assert_eq!(write(&many), Err(EnvError::TooManyFields { limit: 256 }));
    let options = |count: usize| "x,".repeat(count - 1) + "x";
    assert!(write(&[("Connection", &options(32))]).is_ok());
    assert_eq!(
        write(&[("Connection", &options(33))]),
        Err(EnvError::ConnectionOptions { limit: 32 })
    );
}

proptest! {
    #[test]
    fn whatever_the_client_sends_names_are_unique_and_values_break_no_line(
        fields in proptest::collection::vec(
            (
                proptest::sample::select(&[
                    "Host", "host", "Cookie", "COOKIE", "Proxy", "pRoXy", "Accept", "accept", "Connection",
                    "X-A", "X_A", "x-a", "B-C-D", "b_c-d", "B-C_D", "Te_", "TE", "Content-Type", "Content-Length", "Authorization", "A B", "",
                ][..]),
                proptest::collection::vec(proptest::sample::select(b"a:8 ,;\0\r\n\t-Te\xe9".as_slice()), 0..6),
            ),
            0..6,
        ),
        passes_underscores: bool,
    ) {
        let script = Script::new("/srv", "/x.php", "/y");
        let rules = FieldRules::default().with_pass_underscores(passes_underscores);
        let bytes = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        let mut params = Params::default();
        params.push("HTTP_X_A", "set");
        let env = Env::new(b"GET", b"/x.php/y", bytes, &script).with_rules(rules);
        if env.write_to(&mut params).is_ok() {
            let mut names = std::collections::HashSet::new();
            for (name, value) in params.iter() {
                prop_assert!(names.insert(name), "{:?} twice", String::from_utf8_lossy(name));
                prop_assert!(!value.iter().any(|byte| b"\0\r\n".contains(byte)));
            }
            let len: usize = params.iter().map(|(n, v)| mio_fcgi::wire::pair_len(n.len(), v.len())).sum();
            prop_assert_eq!(len, params.encoded_len());
            for hidden in ["HTTP_PROXY", "HTTP_AUTHORIZATION", "HTTP_TE", "HTTP_CONNECTION", "HTTP_CONTENT_LENGTH"] {
                prop_assert_eq!(params.get(hidden), None);
            }
        }
    }
}
