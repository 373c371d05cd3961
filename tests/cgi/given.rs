//! Parameters that are set before those of a request: the embedder's own, and the constants of a site.

use mio_fcgi::Params;
use mio_fcgi::cgi::{Env, EnvError, Script, site_params};

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

#[test]
fn the_parameters_of_a_script_are_the_same_if_they_were_encoded_before() {
    let mut without_file = Script::new("", "/x.php", "/y");
    without_file.filename.clear();
    let scripts = [
        Script::new("/srv/www", "/x.php", ""),
        Script::new("/srv/www", "/x.php", "/y"),
        Script::new("/", format!("/{}.php", "x".repeat(70_000)), ""),
        without_file,
    ];
    let given: [&[(&str, &str)]; 5] = [
        &[],
        &[("SCRIPT_NAME", "set"), ("X", "1")],
        &[("DOCUMENT_ROOT", "set"), ("PATH_INFO", "")],
        &[("SERVER_SOFTWARE", "set"), ("HTTP_A", "1")],
        &[("SCRIPT_FILENAMF", "set")],
    ];
    for script in &scripts {
        for authorizer in [false, true] {
            let script_params = script.params(authorizer).expect("valid");
            for given in given {
                let fields = bytes(&[("Host", "a.example")]);
                let env = Env::new(b"GET", b"/x.php/y?a=b", fields, script);
                let env = env.with_authorizer(authorizer);
                let encoded = env.clone().with_script_params(&script_params);
                let [made, encoded] = [env, encoded].map(|env| {
                    let mut params = Params::from_iter(given.iter().copied());
                    env.write_to(&mut params).expect("valid");
                    params
                });
                assert_eq!(encoded, made, "{given:?}");
            }
        }
    }
}

#[test]
fn a_block_with_any_names_takes_nothing_from_the_embedder() {
    let script = Script::new("/srv/www", "/x.php", "");
    let mut block = Params::default();
    block.push("A", "block").push("SCRIPT_NAME", "/block");
    let block = block.into_shared();
    let env = Env::new(b"GET", b"/x.php", bytes(&[]), &script).with_script_params(&block);
    let mut params = Params::from_iter([("A", "set")]);
    env.write_to(&mut params).expect("valid");
    let values = |name: &str| {
        let named = params.iter().filter(|pair| pair.0 == name.as_bytes());
        named.map(|pair| pair.1).collect::<Vec<_>>()
    };
    assert_eq!(values("A"), [b"set"]);
    assert_eq!(values("SCRIPT_NAME"), [b"/block"]);
    assert!(values("SCRIPT_FILENAME").is_empty());
}

#[test]
fn a_script_with_a_line_break_has_no_parameters() {
    let script = Script::new("/srv/www", "/x.php", "/\n");
    assert_eq!(script.params(false), Err(EnvError::Script { byte: b'\n' }));
}
