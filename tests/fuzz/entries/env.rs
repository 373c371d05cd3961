//! From an HTTP request to parameters: no path leaves the root, and nothing that breaks lines gets through.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use mio_fcgi::Params;
use mio_fcgi::cgi::{Env, FieldRules, Resolution, Script, ScriptMap};

use super::choices::Choices;

/// A byte chooses the rules; then parts with `0xff` between them: method, target, server name, and fields whose name
/// and value have `0xfe` between them.
pub fn env(input: &[u8]) {
    let mut choices = Choices::new(input);
    let bits = choices.byte();
    let has = |bit: u8| bits >> bit & 1 == 1;
    let mut parts = choices.rest().split(|byte| *byte == 0xff);
    let mut next = || parts.next().unwrap_or_default();
    let (method, target, server_name) = (next(), next(), next());
    let fields: Vec<(&[u8], &[u8])> = parts
        .map(|field| {
            let at = field.iter().position(|byte| *byte == 0xfe);
            let (name, value) = field.split_at(at.unwrap_or(field.len()));
            (name, value.get(1..).unwrap_or_default())
        })
        .collect();

    remote(target);
    let local = local(target);
    let script = match (ScriptMap::remote("/srv/www").resolve(target), has(0)) {
        (_, true) => Script::new("/srv", target, method),
        (Resolution::Script(script), false) => script,
        (_, false) => local.unwrap_or_default(),
    };
    let mut rules = FieldRules::default();
    rules.pass_authorization = has(1);
    rules.pass_proxy_authorization = has(2);
    rules.pass_hop_by_hop = has(3);
    rules.pass_underscores = has(3) != has(4);
    rules.max_fields = if has(4) { 2 } else { 20 };
    let mut env = Env::new(method, target, fields.iter().copied(), &script);
    env.rules = rules;
    env.https = has(5);
    env.authorizer = has(6);
    env.server_name = has(7).then_some(server_name);
    env.content_length = Some(7);
    let mut params = Params::default();
    params
        .push("HTTP_HOST", "given")
        .push("QUERY_STRING", "given");
    if env.write_to(&mut params).is_ok() {
        assert!(fields.len() <= rules.max_fields);
        check(&params, rules);
        assert_eq!(params.get("HTTP_HOST"), Some(&b"given"[..]));
        assert_eq!(params.get("QUERY_STRING"), Some(&b"given"[..]));
    }
}

/// Checks what holds for the parameters of every request; the rules may pass some fields.
pub(super) fn check(params: &Params, rules: FieldRules) {
    let mut names = Vec::new();
    for (name, value) in params.iter() {
        let shown = String::from_utf8_lossy(name).into_owned();
        assert!(!names.contains(&shown), "{shown} twice");
        let in_name = |it: &u8| it.is_ascii_uppercase() || it.is_ascii_digit() || *it == b'_';
        assert!(!name.is_empty() && name.iter().all(in_name), "{shown:?}");
        let breaks = value.iter().any(|it| matches!(it, 0 | b'\r' | b'\n'));
        assert!(!breaks, "{shown} is {value:?}");
        names.push(shown);
    }
    let is_there = |name: &str| names.iter().any(|it| it == name);
    let never = ["HTTP_PROXY", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"];
    assert!(!never.iter().any(|name| is_there(name)), "{names:?}");
    let ruled = [
        (rules.pass_authorization, "HTTP_AUTHORIZATION"),
        (rules.pass_proxy_authorization, "HTTP_PROXY_AUTHORIZATION"),
        (rules.pass_hop_by_hop, "HTTP_CONNECTION"),
        (rules.pass_hop_by_hop, "HTTP_TE"),
        (rules.pass_hop_by_hop, "HTTP_TRANSFER_ENCODING"),
    ];
    for (passes, name) in ruled {
        assert!(passes || !is_there(name), "{name} is passed");
    }
}

/// The path that a target names, by the simplest reading; `None` if it leaves the root.
fn path_of(target: &[u8]) -> Option<Vec<String>> {
    let path = target.split(|byte| *byte == b'?').next()?;
    let text: String = path.iter().map(|byte| char::from(*byte)).collect();
    let mut pieces = text.split('%');
    let mut decoded = pieces.next()?.to_owned();
    for piece in pieces {
        let digits = piece.get(..2)?;
        let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_plain)?;
        decoded.push(char::from(byte));
        decoded.push_str(&piece[2..]);
    }
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            other => segments.push(other.to_owned()),
        }
    }
    Some(segments)
}

fn segments(path: &[u8]) -> Vec<String> {
    let text: String = path.iter().map(|byte| char::from(*byte)).collect();
    let segments = text.split('/').filter(|segment| !segment.is_empty());
    segments.map(str::to_owned).collect()
}

fn remote(target: &[u8]) {
    let map = ScriptMap::remote("/srv/www");
    let (name, is_script) = match map.resolve(target) {
        Resolution::Script(script) => {
            assert_eq!(script.filename, [&b"/srv/www"[..], &script.name].concat());
            ([script.name, script.path_info].concat(), true)
        }
        Resolution::RemoteFile { path } => {
            let relative = path.strip_prefix("/srv/www").expect("below the root");
            let bytes = relative.as_os_str().as_encoded_bytes();
            ([b"/", bytes].concat(), false)
        }
        Resolution::StaticFile { path, .. } => panic!("{path:?}, where nobody looked"),
        Resolution::Redirect { location } => panic!("{location:?} for names that no file backs"),
        _ => return,
    };
    let breaks = name.iter().any(|it| matches!(it, 0 | b'\r' | b'\n'));
    assert!(name.starts_with(b"/") && !breaks, "{name:?}");
    let mut expected = path_of(target).expect("a path that stays below the root");
    let found = segments(&name);
    if is_script && found.len() > expected.len() {
        expected.push("index.php".to_owned());
    }
    assert_eq!(found, expected);
    let is_hidden = |it: &String| it.starts_with('.') && it != ".well-known";
    let is_plain = |it: &&String| !it.to_ascii_lowercase().ends_with(".php");
    let shown = found.iter().take_while(is_plain);
    assert!(!shown.clone().any(is_hidden), "{found:?}");
}

/// Resolves a target among files, some of them links that lead out. Returns the script that is found.
fn local(target: &[u8]) -> Option<Script> {
    let (map, root) = site();
    let (path, script) = match map.resolve(target) {
        Resolution::Script(script) => (to_path(&script.filename), Some(script)),
        Resolution::StaticFile { path, .. } => (path, None),
        Resolution::Redirect { location } => {
            let location = location.as_bytes();
            let (path, query) = match location.iter().position(|byte| *byte == b'?') {
                Some(at) => location.split_at(at),
                None => (location, &[][..]),
            };
            assert!(path.starts_with(b"/") && !path.starts_with(b"//"));
            assert!(path.ends_with(b"/") && path.iter().all(u8::is_ascii_graphic));
            let breaks = query.iter().any(|it| it.is_ascii_control());
            assert!(!breaks, "{query:?} would split a response");
            assert_eq!(path_of(location), path_of(target));
            return None;
        }
        _ => return None,
    };
    let real = path.canonicalize().expect("what is given out is there");
    assert!(real.starts_with(root) && real.is_file(), "{real:?}");
    let below = path.strip_prefix(root).expect("below the root");
    for part in below.components() {
        let Component::Normal(name) = part else {
            panic!("{below:?}");
        };
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        assert!(!is_hidden || name == ".well-known", "{below:?}");
    }
    assert!(script.is_some() || real.extension().is_none_or(|it| it != "php"));
    script
}

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// A document root with scripts, directories that are named like scripts, and links that lead out of it.
fn site() -> &'static (ScriptMap, PathBuf) {
    static SITE: OnceLock<(ScriptMap, PathBuf)> = OnceLock::new();
    SITE.get_or_init(|| {
        // Always the same directory, so that runs leave only one.
        let within =
            option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let top = within.join("mio-fcgi-fuzz-site");
        let root = top.join("www");
        let files = [
            "www/index.php",
            "www/a.txt",
            "www/b/x.php",
            "www/b/.env",
            "www/b/index.php",
            "www/d.php/x.php",
            "www/d.php/e",
            "www/.git/c.php",
            "www/.well-known/a",
            "www/c/f",
            "s.php",
            "s/t",
        ];
        for file in files {
            let path = top.join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a directory is made");
            if !path.exists() {
                fs::write(path, file).expect("a file is written");
            }
        }
        link("../s.php", &root.join("o.php"));
        link("../s", &root.join("o"));
        link("b/x.php", &root.join("i.php"));
        let root = root.canonicalize().expect("it was made");
        (ScriptMap::local(&root).expect("a directory"), root)
    })
}

#[cfg(unix)]
fn link(to: &str, at: &Path) {
    let made = std::os::unix::fs::symlink(to, at);
    assert!(made.is_ok() || at.is_symlink(), "{made:?}");
}

#[cfg(not(unix))]
fn link(_to: &str, _at: &Path) {}
