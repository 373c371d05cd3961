//! What the tests of Go's `net/http/cgi`, lighttpd and nginx say about the parameters of a request, as tables of facts.
//! Where this crate differs on purpose, the row has what it does, and the reason.

use mio_fcgi::Params;
use mio_fcgi::cgi::{
    Env, FieldRules, ForbiddenReason, InvalidTarget, Resolution, Script, ScriptMap, normalized_path,
};

use super::env::{Fields, bytes, get};

/// A request, and its parameters; an empty value is an absent one, or empty.
struct Row {
    what: &'static str,
    method: &'static str,
    target: &'static str,
    script: [&'static str; 2],
    fields: Fields<'static>,
    theirs: Fields<'static>,
    /// Those that differ on purpose, and why.
    ours: &'static [(&'static str, &'static str, &'static str)],
}

const BASIC: Row = Row {
    what: "a GET",
    method: "GET",
    target: "/a.cgi?x=y&b=c",
    script: ["/a.cgi", ""],
    fields: &[("Host", "site.example:80")],
    theirs: &[
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("HTTP_HOST", "site.example:80"),
        ("PATH_INFO", ""),
        ("QUERY_STRING", "x=y&b=c"),
        ("REMOTE_ADDR", "192.0.2.3"),
        ("REMOTE_HOST", "192.0.2.3"),
        ("REMOTE_PORT", "1234"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/a.cgi?x=y&b=c"),
        ("SCRIPT_FILENAME", "/srv/a.cgi"),
        ("SCRIPT_NAME", "/a.cgi"),
        ("SERVER_NAME", "site.example"),
        ("SERVER_PORT", "80"),
    ],
    ours: &[(
        "REMOTE_HOST",
        "",
        "an address is no name, and nothing is looked up: an application falls back to REMOTE_ADDR (RFC 3875, 4.1.9)",
    )],
};

const GO: &[Row] = &[
    BASIC,
    Row {
        what: "a Host without a port",
        fields: &[("Host", "site.example")],
        theirs: &[
            ("HTTP_HOST", "site.example"),
            ("SERVER_NAME", "site.example"),
            ("SERVER_PORT", "80"),
        ],
        ours: &[],
        ..BASIC
    },
    Row {
        what: "a path after the script",
        target: "/a.cgi/more/path?x=y",
        script: ["/a.cgi", "/more/path"],
        theirs: &[
            ("PATH_INFO", "/more/path"),
            ("QUERY_STRING", "x=y"),
            ("REQUEST_URI", "/a.cgi/more/path?x=y"),
            ("SCRIPT_FILENAME", "/srv/a.cgi"),
            ("SCRIPT_NAME", "/a.cgi"),
        ],
        ours: &[],
        ..BASIC
    },
    Row {
        what: "no name of a script",
        target: "/more?x=y",
        script: ["", "/more"],
        theirs: &[
            ("PATH_INFO", "/more"),
            ("SCRIPT_NAME", ""),
            ("REQUEST_URI", "/more?x=y"),
        ],
        ours: &[],
        ..BASIC
    },
    Row {
        what: "fields that repeat",
        fields: &[
            ("Cookie", "a=1"),
            ("Cookie", "b=2"),
            ("X-Some", "v1"),
            ("X-Some", "v2"),
            ("Host", "site.example"),
        ],
        theirs: &[("HTTP_COOKIE", "a=1; b=2"), ("HTTP_X_SOME", "v1, v2")],
        ours: &[],
        ..BASIC
    },
    Row {
        what: "a field that poses as a variable of libraries",
        fields: &[("X-Some", "a"), ("Proxy", "evil"), ("Host", "site.example")],
        theirs: &[("HTTP_X_SOME", "a"), ("HTTP_PROXY", "")],
        ours: &[],
        ..BASIC
    },
    Row {
        what: "a POST",
        method: "POST",
        fields: &[
            ("Host", "site.example"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", "15"),
        ],
        theirs: &[
            ("REQUEST_METHOD", "POST"),
            ("CONTENT_LENGTH", "15"),
            ("CONTENT_TYPE", "application/x-www-form-urlencoded"),
            ("HTTP_CONTENT_LENGTH", ""),
            ("REQUEST_URI", "/a.cgi?x=y&b=c"),
        ],
        ours: &[],
        ..BASIC
    },
];

#[test]
fn parameters_are_those_that_go_sets() {
    for row in GO {
        let script = Script::new("/srv", row.script[0], row.script[1]);
        let length = row
            .fields
            .iter()
            .find(|(name, _)| *name == "Content-Length");
        let mut env = Env::new(
            row.method.as_bytes(),
            row.target.as_bytes(),
            bytes(row.fields),
            &script,
        )
        .with_remote(([192, 0, 2, 3], 1234).into());
        if let Some((_, length)) = length {
            env = env.with_content_length(length.parse().expect("a number"));
        }
        let mut params = Params::default();
        env.write_to(&mut params).expect(row.what);
        for (name, theirs) in row.theirs {
            let ours = row.ours.iter().find(|(differs, ..)| differs == name);
            let expected = match ours {
                None => theirs,
                Some((_, ours, reason)) => {
                    assert_ne!(ours, theirs, "{reason}");
                    ours
                }
            };
            let found = get(&params, name).unwrap_or_default();
            assert_eq!(found, *expected, "{}: {name}", row.what);
        }
    }
}

#[test]
fn an_ipv6_client_is_told_as_by_go() {
    let script = Script::new("/srv", "/a.cgi", "");
    let env = Env::new(b"GET", b"/a.cgi", bytes(&[]), &script)
        .with_remote("[2001:db8::3]:12345".parse().expect("an address"));
    let mut params = Params::default();
    env.write_to(&mut params).expect("valid");
    assert_eq!(get(&params, "REMOTE_ADDR").as_deref(), Some("2001:db8::3"));
    assert_eq!(get(&params, "REMOTE_PORT").as_deref(), Some("12345"));
}

/// Parameters that the embedder has set win.
#[test]
fn what_the_embedder_sets_wins_as_in_go() {
    let script = Script::new("/srv", "/a.cgi", "");
    let mut params = Params::default();
    for (name, value) in [
        ("SCRIPT_FILENAME", "/other.cgi"),
        ("REQUEST_URI", "/b"),
        ("PATH", "/bin"),
    ] {
        params.push(name, value);
    }
    let env = Env::new(b"GET", b"/a.cgi", bytes(&[]), &script);
    env.write_to(&mut params).expect("valid");
    assert_eq!(
        get(&params, "SCRIPT_FILENAME").as_deref(),
        Some("/other.cgi")
    );
    assert_eq!(get(&params, "REQUEST_URI").as_deref(), Some("/b"));
    assert_eq!(get(&params, "PATH").as_deref(), Some("/bin"));
}

/// lighttpd drops a field whose name becomes that of another field. Here all names but those of letters, digits and
/// dashes are dropped, unless `pass_underscores` lets them pass; and then they count only where no other field has the name.
#[test]
fn names_that_pose_as_others_are_dropped_as_by_lighttpd() {
    const KEPT: bool = true;
    const DROPPED: bool = false;
    for (name, beside, theirs, ours) in [
        ("Forwarded", "", KEPT, None),
        ("X-Forwarded-For", "", KEPT, None),
        ("X-Forwarded_For", "X-Forwarded-For", DROPPED, None),
        ("Content-Type", "", KEPT, None),
        ("Content_Type", "", DROPPED, None),
        ("User-Agent", "", KEPT, None),
        ("User_Agent", "User-Agent", DROPPED, None),
        (
            "User_Agent",
            "",
            DROPPED,
            Some((KEPT, "nothing that it could pose as was sent")),
        ),
        ("Some", "", KEPT, None),
        ("Some-Thing", "", KEPT, None),
        ("Some_Thing", "", KEPT, None),
        ("Some_Thing", "Some-Thing", DROPPED, None),
        ("Some+Thing", "Some-Thing", DROPPED, None),
        ("Some.Thing", "Some-Thing", DROPPED, None),
    ] {
        let rules = FieldRules::default().with_pass_underscores(true);
        let fields = [(name, "posed"), (beside, "proper")];
        let sent = &fields[..if beside.is_empty() { 1 } else { 2 }];
        let params = super::env::write_with(rules, sent).expect("valid");
        let is_told = params.iter().any(|(_, value)| value == b"posed");
        let expected = match ours {
            None => theirs,
            Some((ours, reason)) => {
                assert_ne!(ours, theirs, "{reason}");
                ours
            }
        };
        assert_eq!(is_told, expected, "{name} beside '{beside}'");
    }
}

/// Paths are divided as nginx's `fastcgi_split_path_info` and lighttpd divide them.
#[test]
fn paths_are_divided_as_by_nginx_and_lighttpd() {
    let php = || ScriptMap::remote("/srv");
    let cgi = || ScriptMap::remote("/srv").with_extension(".cgi");
    for (map, target, name, path_info) in [
        (php(), "/", "/index.php", ""),
        (php(), "/a.php", "/a.php", ""),
        (php(), "/a.php/more/path", "/a.php", "/more/path"),
        (cgi(), "/a.cgi?env=b", "/a.cgi", ""),
        (cgi(), "/a.cgi/b/c?env=b", "/a.cgi", "/b/c"),
    ] {
        let Resolution::Script(script) = map.resolve(target.as_bytes()) else {
            panic!("{target} is no script");
        };
        assert_eq!(script.name, name.as_bytes(), "{target}");
        assert_eq!(script.path_info, path_info.as_bytes(), "{target}");
    }
    // lighttpd: a name that only begins like the script's is none.
    let other = cgi().resolve(b"/a.cgi-other");
    assert!(!matches!(other, Resolution::Script(_)), "{other:?}");
}

/// Paths are simplified as by lighttpd, whose parser takes what leads out of the root for the root.
#[test]
fn paths_are_simplified_as_by_lighttpd() {
    for (target, theirs, ours) in [
        ("/", "/", None),
        ("//", "/", None),
        ("/p//", "/p/", None),
        ("/p//q", "/p/q", None),
        ("/p/./q", "/p/q", None),
        ("/p/.//q", "/p/q", None),
        ("/p//./q", "/p/q", None),
        ("/p/../q", "/q", None),
        ("/p/../q/.", "/q/", None),
        ("/p/./q/..", "/p/", None),
        ("/...", "/...", None),
        ("/....", "/....", None),
        ("/.../", "/.../", None),
        ("/./q/..", "/", None),
        ("/p/../q/..", "/", None),
        ("/p%2fq", "/p/q", None),
        ("/p%2Fq?r=%2f", "/p/q", None),
        ("/%2b%3A", "/+:", None),
        ("/p?q=r#s", "/p", None),
        (
            "/.././q/..",
            "/",
            Some((OUTSIDE, "no client sends it by mistake")),
        ),
        (
            "../p/q",
            "/p/q",
            Some((NO_SLASH, "a path begins with a slash (RFC 9112, 3.2.1)")),
        ),
        (
            "./p/q",
            "/p/q",
            Some((NO_SLASH, "a path begins with a slash (RFC 9112, 3.2.1)")),
        ),
        (
            "%2fp",
            "/p",
            Some((NO_SLASH, "a path begins with a slash (RFC 9112, 3.2.1)")),
        ),
        (
            "p",
            "p",
            Some((NO_SLASH, "a path begins with a slash (RFC 9112, 3.2.1)")),
        ),
    ] {
        let found = normalized_path(target);
        match ours {
            None => assert_eq!(found, Ok(theirs.into()), "{target}"),
            Some((ours, reason)) => assert_eq!(found, Err(ours), "{target}: {reason}"),
        }
    }
}

const OUTSIDE: Resolution = Resolution::Forbidden(ForbiddenReason::OutsideRoot);
const NO_SLASH: Resolution = Resolution::Invalid(InvalidTarget::NoSlash);
