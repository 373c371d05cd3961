//! Parameters that are set before those of a request: the embedder's own, and the constants of a site.

use mio_fcgi::Params;
use mio_fcgi::cgi::{Env, Script, site_params};

use crate::env::{Fields, bytes, get, pairs};

// case 120
#[test]
fn what_the_embedder_set_wins_over_the_client() {
    let shared = {
        let mut constants = site_params("/elsewhere");
        constants.push("SERVER_NAME", "set");
        constants.into_shared()
    };
    let mut params = Params::with_shared(&shared);
    params
        .push("HTTP_X_REAL_IP", "192.0.2.1")
        .push("SCRIPT_FILENAME", "/elsewhere/x.php")
        .push("CONTENT_TYPE", "set")
        .push("DOCUMENT_URI", "set")
        .push("SERVER_PORT", "1");
    let given = pairs(&params);
    let script = Script::new("/srv", "/x.php", "");
    let fields: Fields<'_> = &[
        ("X-Real-IP", "evil"),
        ("Content-Type", "evil"),
        ("Host", "evil"),
        ("X-Other", "fine"),
    ];
    Env::new(b"GET", b"/x.php", bytes(fields), &script)
        .write_to(&mut params)
        .expect("valid");
    let all = pairs(&params);
    assert_eq!(all[..given.len()], given);
    for (name, value) in &given {
        let values: Vec<&String> = all.iter().filter(|p| p.0 == *name).map(|p| &p.1).collect();
        assert_eq!(values, [value], "{name} is there once");
    }
    assert_eq!(get(&params, "HTTP_X_OTHER").as_deref(), Some("fine"));
    assert_eq!(get(&params, "HTTP_HOST").as_deref(), Some("evil"));
}

#[test]
fn a_set_parameter_that_only_resembles_another_takes_nothing_away() {
    let script = Script::new("/srv/www", "/x.php", "/y");
    let fields = bytes(&[
        ("Host", "a.example"),
        ("Accept", "x"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
    ]);
    let env = Env::new(b"GET", b"/x.php/y?a=b", fields, &script)
        .with_remote(([192, 0, 2, 9], 50_000).into());
    let mut alone = Params::default();
    env.write_to(&mut alone).expect("valid");
    for (name, _) in alone.iter() {
        for at in [0, name.len() / 2, name.len() - 2] {
            let mut resembling = name.to_vec();
            resembling[at] = b'#';
            let mut params = Params::default();
            params
                .push(&resembling, "set")
                .push("REQUEST_METHOD", "GET");
            env.write_to(&mut params).expect("valid");
            assert_eq!(params.get(&resembling), Some(&b"set"[..]));
            for (name, value) in alone.iter() {
                let shown = String::from_utf8_lossy(name);
                assert_eq!(params.get(name), Some(value), "{shown}");
            }
        }
    }
}

#[test]
fn the_constants_of_a_site_are_those_of_each_of_its_requests() {
    let script = Script::new("/srv/www", "/x.php", "");
    let env = Env::new(b"GET", b"/x.php", bytes(&[]), &script);
    let mut alone = Params::default();
    env.write_to(&mut alone).expect("valid");
    let constants = site_params("/srv/www");
    let names: Vec<String> = pairs(&constants).into_iter().map(|pair| pair.0).collect();
    assert_eq!(
        names,
        [
            "GATEWAY_INTERFACE",
            "SERVER_SOFTWARE",
            "REDIRECT_STATUS",
            "DOCUMENT_ROOT"
        ]
    );
    let mut params = Params::with_shared(&constants.into_shared());
    env.write_to(&mut params).expect("valid");
    let sorted = |params: &Params| {
        let mut pairs = pairs(params);
        pairs.sort();
        pairs
    };
    assert_eq!(sorted(&params), sorted(&alone));
}
