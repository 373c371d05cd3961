//! Which parts of an HTTP request become parameters, except its fields.

use std::net::SocketAddr;

use mio_fcgi::Params;
use mio_fcgi::cgi::{Env, EnvError, FieldRules, Script, site_params};

pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

pub(crate) fn bytes<'a>(fields: Fields<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
    let bytes = |(name, value): &(&'a str, &'a str)| (name.as_bytes(), value.as_bytes());
    fields.iter().map(bytes)
}

pub(crate) fn pairs(params: &Params) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    params.iter().map(|(n, v)| (text(n), text(v))).collect()
}

pub(crate) fn write_with(rules: FieldRules, fields: Fields<'_>) -> Result<Params, EnvError> {
    let script = Script::new("/srv/www", "/x.php", "");
    let mut env = Env::new(b"GET", b"/x.php", bytes(fields), &script);
    env.rules = rules;
    let mut params = Params::default();
    env.write_to(&mut params).map(|()| params)
}

pub(crate) fn write(fields: Fields<'_>) -> Result<Params, EnvError> {
    write_with(FieldRules::default(), fields)
}

pub(crate) fn owned(pairs: Fields<'_>) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    pairs.iter().map(owned).collect()
}

pub(crate) fn get(params: &Params, name: &str) -> Option<String> {
    let value = params.get(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[test]
fn a_whole_request_becomes_these_parameters_in_this_order() {
    let script = Script::new("/srv/www", "/a b/index.php", "/more");
    let fields = bytes(&[
        ("Host", "Example.org:8443"),
        ("Content-Type", "text/plain"),
        ("Content-Length", "999"),
        ("X-Id", " 7 "),
    ]);
    let env = Env::new(b"POST", b"/a%20b/index.php/more?q=1?2", fields, &script)
        .with_https(true)
        .with_server(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 8443)))
        .with_remote("[::ffff:192.0.2.9]:50000".parse().expect("an address"))
        .with_content_length(5);
    let mut params = Params::default();
    env.write_to(&mut params).expect("a valid request");
    let software = format!("mio-fcgi/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        pairs(&params),
        owned(&[
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_SOFTWARE", &software),
            ("REDIRECT_STATUS", "200"),
            ("REQUEST_METHOD", "POST"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REQUEST_URI", "/a%20b/index.php/more?q=1?2"),
            ("QUERY_STRING", "q=1?2"),
            ("REQUEST_SCHEME", "https"),
            ("HTTPS", "on"),
            ("CONTENT_LENGTH", "5"),
            ("DOCUMENT_ROOT", "/srv/www"),
            ("SCRIPT_FILENAME", "/srv/www/a b/index.php"),
            ("DOCUMENT_URI", "/a b/index.php/more"),
            ("SCRIPT_NAME", "/a b/index.php"),
            ("PATH_INFO", "/more"),
            ("PATH_TRANSLATED", "/srv/www/more"),
            ("HTTP_HOST", "Example.org:8443"),
            ("CONTENT_TYPE", "text/plain"),
            ("HTTP_X_ID", "7"),
            ("SERVER_NAME", "Example.org"),
            ("SERVER_PORT", "8443"),
            ("SERVER_ADDR", "::1"),
            ("REMOTE_ADDR", "192.0.2.9"),
            ("REMOTE_PORT", "50000"),
        ])
    );
}

#[test]
fn the_least_of_requests_still_has_what_rfc_3875_demands() {
    let params = write(&[]).expect("valid");
    for (name, value) in [
        ("QUERY_STRING", "".to_owned()),
        ("SERVER_NAME", "localhost".to_owned()),
        ("SERVER_PORT", "80".to_owned()),
        ("REQUEST_SCHEME", "http".to_owned()),
    ] {
        assert_eq!(get(&params, name), Some(value), "{name}");
    }
    for name in ["HTTPS", "PATH_INFO", "PATH_TRANSLATED", "CONTENT_LENGTH"] {
        assert_eq!(get(&params, name), None, "{name}");
    }
}

#[test]
fn the_root_of_the_file_system_is_a_document_root_too() {
    for root in ["/", "/srv/", "/srv"] {
        let script = Script::new(root, "/x.php", "/y");
        let mut params = Params::default();
        let env = Env::new(b"GET", b"/x.php/y", bytes(&[]), &script);
        env.write_to(&mut params).expect("valid");
        let (plain, base) = if root == "/" {
            ("/", "")
        } else {
            ("/srv", "/srv")
        };
        for (name, value) in [
            ("DOCUMENT_ROOT", plain.to_owned()),
            ("SCRIPT_FILENAME", format!("{base}/x.php")),
            ("PATH_TRANSLATED", format!("{base}/y")),
        ] {
            assert_eq!(get(&params, name), Some(value), "{name} below {root}");
        }
        assert_eq!(
            get(&site_params(root), "DOCUMENT_ROOT").as_deref(),
            Some(plain)
        );
    }
}

#[test]
fn the_servers_name_is_set_or_from_host_or_its_address() {
    let name = |fields: Fields<'_>, set: Option<&str>, server: Option<&str>| {
        let script = Script::default();
        let mut env = Env::new(b"GET", b"/", bytes(fields), &script);
        env.server_name = set.map(str::as_bytes);
        env.server = server.map(|server| server.parse().expect("an address"));
        let mut params = Params::default();
        env.write_to(&mut params).expect("valid");
        get(&params, "SERVER_NAME").expect("always there")
    };
    let host: Fields<'_> = &[("Host", "a.example:80")];
    assert_eq!(name(host, None, Some("192.0.2.1:80")), "a.example");
    assert_eq!(name(host, Some("b.example"), None), "b.example");
    assert_eq!(
        name(&[("Host", "[2001:db8::1]:80")], None, None),
        "[2001:db8::1]"
    );
    assert_eq!(
        name(&[("Host", "")], None, Some("192.0.2.1:80")),
        "192.0.2.1"
    );
    assert_eq!(name(&[], None, Some("[2001:db8::1]:80")), "[2001:db8::1]");
    // A listener for IPv6 and IPv4 with an IPv4 client, written as in `SERVER_ADDR`.
    assert_eq!(name(&[], None, Some("[::ffff:192.0.2.1]:80")), "192.0.2.1");
}

#[test]
fn each_setting_has_a_method_for_chains() {
    let script = Script::default();
    let mut rules = FieldRules::default();
    rules.pass_authorization = true;
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    let env = Env::new(b"GET", b"/", bytes(&[("Authorization", "x")]), &script)
        .with_protocol(b"HTTP/2.0")
        .with_rules(rules)
        .with_https(true)
        .with_server(address)
        .with_remote(address)
        .with_server_name(b"example.org")
        .with_content_length(3)
        .with_authorizer(false);
    let mut params = Params::default();
    env.write_to(&mut params).expect("valid");
    for (name, value) in [
        ("SERVER_PROTOCOL", "HTTP/2.0"),
        ("HTTP_AUTHORIZATION", "x"),
        ("HTTPS", "on"),
        ("REQUEST_SCHEME", "https"),
        ("SERVER_ADDR", "192.0.2.1"),
        ("REMOTE_PORT", "443"),
        ("SERVER_NAME", "example.org"),
        ("CONTENT_LENGTH", "3"),
    ] {
        assert_eq!(get(&params, name).as_deref(), Some(value), "{name}");
    }
    let without = env.with_https(false).with_authorizer(true);
    params.clear();
    without.write_to(&mut params).expect("valid");
    assert_eq!(get(&params, "HTTPS"), None);
    assert_eq!(get(&params, "CONTENT_LENGTH"), None);
}

#[test]
fn an_authorizer_is_not_told_of_path_and_body() {
    let script = Script::new("/srv", "/x.php", "/y");
    let env = Env::new(b"POST", b"/x.php/y", bytes(&[]), &script)
        .with_content_length(3)
        .with_authorizer(true);
    let mut params = Params::default();
    env.write_to(&mut params).expect("valid");
    for name in [
        "CONTENT_LENGTH",
        "PATH_INFO",
        "PATH_TRANSLATED",
        "SCRIPT_NAME",
    ] {
        assert_eq!(get(&params, name), None, "{name}");
    }
    assert_eq!(
        get(&params, "SCRIPT_FILENAME").as_deref(),
        Some("/srv/x.php")
    );
}

// case 118
#[test]
fn bytes_that_break_lines_are_refused_everywhere() {
    for byte in [0, b'\r', b'\n'] {
        let bad = format!("a{}b", char::from(byte));
        assert_eq!(
            write(&[("A", &bad)]),
            Err(EnvError::FieldValue { index: 0, byte })
        );
        assert!(write(&[("A", &format!("b{}", char::from(byte)))]).is_err());
        assert!(
            write(&[("Proxy", &bad)]).is_err(),
            "also in what is dropped"
        );

        let good = Script::new("/srv", "/x.php", "");
        let with = |target: &str, script: &Script| {
            Env::new(b"GET", target.as_bytes(), bytes(&[]), script).write_to(&mut Params::default())
        };
        assert_eq!(with("/x.php", &good), Ok(()));
        for target in [format!("/{bad}"), format!("/x?{bad}")] {
            assert_eq!(with(&target, &good), Err(EnvError::Target { byte }));
        }
        for script in [
            Script::new(&bad, "/x.php", ""),
            Script::new("/srv", &bad, ""),
            Script::new("/srv", "/x.php", &bad),
        ] {
            assert_eq!(with("/x", &script), Err(EnvError::Script { byte }));
        }
        let mut env = Env::new(b"GET", b"/", bytes(&[]), &good);
        env.server_name = Some(bad.as_bytes());
        assert_eq!(
            env.write_to(&mut Params::default()),
            Err(EnvError::ServerName { byte })
        );
        env.server_name = None;
        env.method = bad.as_bytes();
        assert_eq!(env.write_to(&mut Params::default()), Err(EnvError::Method));
        env.method = b"GET";
        env.protocol = bad.as_bytes();
        assert_eq!(
            env.write_to(&mut Params::default()),
            Err(EnvError::Protocol)
        );
    }
}

#[test]
fn a_target_is_a_path_or_an_asterisk() {
    let script = Script::default();
    let with = |target: &'static str| {
        Env::new(b"GET", target.as_bytes(), bytes(&[]), &script).write_to(&mut Params::default())
    };
    assert_eq!(with("*"), Ok(()));
    for target in ["", "x", "http://a/", "*x", "?a"] {
        assert_eq!(with(target), Err(EnvError::TargetForm), "{target:?}");
    }
    assert_eq!(with("/a b"), Err(EnvError::Target { byte: b' ' }));
    // Some programs would take what follows for a fragment, others for part of the path or query.
    for target in ["/a#b", "/a?b#c", "/#"] {
        assert_eq!(with(target), Err(EnvError::Target { byte: b'#' }));
    }
    for target in [
        "/;a+b",
        "//a",
        "/a%2Fb%00",
        "/%",
        "/\u{e9}?a|b\"<>",
        "/a?b?c/../d",
    ] {
        assert_eq!(with(target), Ok(()), "{target:?}: {0}", "sent as it came");
    }
    assert_eq!(with("/\x7f"), Err(EnvError::Target { byte: 0x7f }));
}

// case 121
#[test]
fn debug_shows_no_value_of_the_request() {
    let script = Script::new("/srv", "/x.php", "");
    let fields = bytes(&[("Authorization", "secret"), ("Cookie", "secret")]);
    let env = Env::new(b"GET", b"/x.php?secret", fields, &script);
    let shown = format!("{env:?}");
    assert!(shown.contains("Authorization") && shown.contains("/x.php"));
    assert!(!shown.contains("secret"), "{shown}");
    let mut params = Params::default();
    env.write_to(&mut params).expect("valid");
    assert!(!format!("{params:?}").contains("secret"));
}
