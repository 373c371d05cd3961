//! The layers of the library: who may import what. Reads the sources and fails on a forbidden import, and on a file
//! that is too long.
//!
//! ```text
//! testkit   blocking -> net -> engine -> words -> wire        cgi -> words; commands -> net, cgi; guide: prose
//!      \________________________/
//!
//! words: address, config, config_error, error, event, limits, params, report, request, retry,
//!        server, settings, timeouts
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What the files of a layer may use besides `core` and `std`.
struct Layer {
    /// The modules directly below `src/` that belong to it.
    modules: &'static [&'static str],
    /// Modules of other layers.
    below: &'static [&'static [&'static str]],
    crates: &'static [&'static str],
    /// Parts of `std` from [`RESTRICTED`] that this layer may use.
    allowed: &'static [&'static str],
}

const WIRE: &[&str] = &["wire"];
const WORDS: &[&str] = &[
    "address",
    "config",
    "config_error",
    "error",
    "event",
    "limits",
    "params",
    "report",
    "request",
    "retry",
    "server",
    "settings",
    "timeouts",
];
const CGI: &[&str] = &["cgi"];
const ENGINE: &[&str] = &["engine"];
const NET: &[&str] = &["net"];
const BLOCKING: &[&str] = &["blocking"];
const COMMANDS: &[&str] = &["commands"];
const TESTKIT: &[&str] = &["testkit"];

const LAYERS: [Layer; 9] = [
    Layer {
        modules: WIRE,
        below: &[],
        crates: &["thiserror"],
        allowed: &[],
    },
    Layer {
        modules: WORDS,
        below: &[WIRE],
        crates: &["thiserror"],
        // An address is a value that the driver takes, made of the system's too; `resolve` asks the system's resolver.
        allowed: &["std::net", "std::os"],
    },
    Layer {
        modules: CGI,
        below: &[WIRE, WORDS],
        crates: &["thiserror"],
        // Socket addresses, of which parameters are made; paths of bytes that need not be UTF-8.
        allowed: &["std::net", "std::os"],
    },
    Layer {
        modules: ENGINE,
        below: &[WIRE, WORDS],
        crates: &["slab", "log"],
        allowed: &[],
    },
    Layer {
        modules: NET,
        below: &[WIRE, WORDS, ENGINE],
        crates: &["mio", "log"],
        allowed: &["std::net", "std::os"],
    },
    Layer {
        // What the engine and the driver share.
        modules: COMMANDS,
        below: &[WIRE, WORDS, CGI, ENGINE, NET],
        crates: &[],
        allowed: &[],
    },
    Layer {
        modules: BLOCKING,
        below: &[WIRE, WORDS, CGI, ENGINE, NET],
        crates: &["mio", "log", "thiserror"],
        allowed: &["Instant::now"],
    },
    Layer {
        // Prose; what it imports it links to.
        modules: &["guide"],
        below: &[WIRE, WORDS, CGI, ENGINE, NET, COMMANDS, BLOCKING, TESTKIT],
        crates: &[],
        // In the session that the page on HTTP servers shows: a program has addresses.
        allowed: &["std::net"],
    },
    Layer {
        modules: TESTKIT,
        below: &[WIRE, WORDS, ENGINE, NET],
        crates: &[],
        // The origin from which its time is counted.
        allowed: &["Instant::now"],
    },
];

/// The library's dependencies.
const CRATES: [&str; 4] = ["mio", "slab", "thiserror", "log"];

/// Parts of `std` that only the layers that list them may use.
const RESTRICTED: [&str; 7] = [
    "std::net",
    "std::os",
    "std::thread",
    "std::process",
    "std::env",
    "Instant::now",
    "SystemTime::now",
];

/// The longest file that README promises.
const MAX_LINES: usize = 500;

#[test]
fn every_import_points_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let exports = exports(&read(&root.join("lib.rs")));
    assert!(exports.len() > 40, "the crate's names: {exports:?}");
    let mut files = Vec::new();
    find_sources(&root, &mut files);
    assert!(files.len() > 40, "the sources: {files:?}");
    let mut faults = Vec::new();
    for file in &files {
        let path = file.strip_prefix(&root).expect("below src");
        if path != Path::new("lib.rs") {
            faults.extend(faults_of(path, &read(file), &exports));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_root_of_the_crate_has_no_logic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let words = words(read(&root).parse().expect("Rust"));
    for word in ["fn", "impl", "struct", "enum", "static", "macro_rules"] {
        assert!(!words.iter().any(|it| it == word), "{word} in lib.rs");
    }
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_go() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "examples", "tests"] {
        find_sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 200, "the sources: {files:?}");
    files.retain(|file| read(file).lines().count() > MAX_LINES);
    assert!(files.is_empty(), "more than {MAX_LINES} lines: {files:?}");
}

#[test]
fn a_forbidden_import_is_seen_in_whatever_form() {
    let exports = vec![("Client".to_owned(), "net".to_owned())];
    let bad = [
        ("engine/pool.rs", "use mio::Token;"),
        ("engine/pool.rs", "fn f() { let _ = mio::Token(1); }"),
        ("engine/pool.rs", "use std::net::TcpStream;"),
        ("engine/pool.rs", "use std::{fmt, net::TcpStream};"),
        ("engine/pool.rs", "use std::os::fd::AsFd;"),
        ("engine/pool.rs", "fn f() { std::time::Instant::now(); }"),
        (
            "engine/pool.rs",
            "fn f() { debug!(\"{:?}\", Instant::now()); }",
        ),
        ("engine/pool.rs", "use crate::net::Client;"),
        ("engine/pool.rs", "use crate::Client;"),
        ("engine/pool.rs", "use crate::{wire, event::{Tag}, net};"),
        ("engine/pool.rs", "use super::super::net::Client;"),
        ("engine/mod.rs", "use super::net::Client;"),
        ("engine/pool/mod.rs", "use super::super::net::Client;"),
        ("wire/demux.rs", "use log::debug;"),
        ("wire/demux.rs", "use crate::event::Tag;"),
        ("config.rs", "use crate::engine::Engine;"),
        ("config.rs", "use super::engine::Engine;"),
        ("cgi/env.rs", "use crate::engine::Engine;"),
        ("net/client.rs", "fn f() { Instant::now(); }"),
        ("net/client.rs", "use crate::testkit::Sim;"),
        ("engine/pool.rs", "use crate::unheard_of;"),
        ("unheard_of.rs", ""),
    ];
    for (path, source) in bad {
        let faults = faults_of(Path::new(path), source, &exports);
        assert_eq!(faults.len(), 1, "{path}: {source}: {faults:?}");
    }
    let good = [
        (
            "engine/pool.rs",
            "// use mio::Token;\n/// [`Client`](crate::Client)\nfn f() {}",
        ),
        (
            "engine/pool.rs",
            "use std::{fmt, io}; use crate::event::{Event, Tag};",
        ),
        (
            "engine/pool.rs",
            "#[cfg(test)] mod tests { fn f() { Instant::now(); } } fn g() {}",
        ),
        (
            "engine/pool.rs",
            "use super::connection::{CloseReason, mio_like};",
        ),
        ("engine/pool/mod.rs", "use super::connection::Connection;"),
        (
            "net/client.rs",
            "use mio::Token; use crate::{Engine2 as _, Client};",
        ),
        (
            "engine/stats.rs",
            "#[cfg(all(test, unix))] mod tests { use super::super::Engine; }",
        ),
        ("blocking.rs", "fn f() { Instant::now(); }"),
    ];
    let exports = [exports, vec![("Engine2".to_owned(), "engine".to_owned())]].concat();
    for (path, source) in good {
        let faults = faults_of(Path::new(path), source, &exports);
        assert!(faults.is_empty(), "{faults:?}");
    }
    let hidden = "#[cfg(test)] mod tests { fn f() {} } use mio::Token;";
    assert_eq!(faults_of(Path::new("engine/pool.rs"), hidden, &[]).len(), 1);
}

/// What is wrong in one file; `path` is relative to `src/`.
fn faults_of(path: &Path, source: &str, exports: &[(String, String)]) -> Vec<String> {
    let shown = path.display();
    let module = path.components().next().expect("a file");
    let module = module.as_os_str().to_string_lossy();
    let module = module.trim_end_matches(".rs");
    let Some(layer) = LAYERS.iter().find(|layer| layer.modules.contains(&module)) else {
        return vec![format!("{shown}: no layer has the module {module}")];
    };
    let tokens: TokenStream = source.parse().expect("Rust");
    let words = words(tokens);
    let depth = path.components().count();
    // Where `super` is the root of the crate.
    let is_root = depth == 1 || (depth == 2 && path.ends_with("mod.rs"));
    let mut faults = Vec::new();
    for path in paths(&words) {
        let names: Vec<&str> = path.split("::").collect();
        let fault = match names[..] {
            ["crate", name, ..] => {
                let target = exports.iter().find(|export| export.0 == name);
                let target = target.map_or(name, |export| export.1.as_str());
                let inside = layer.modules.contains(&target);
                let below = layer.below.iter().any(|them| them.contains(&target));
                !inside && !below
            }
            ["super", "super", ..] => true,
            ["super", ..] => is_root,
            [first, ..] => CRATES.contains(&first) && !layer.crates.contains(&first),
            [] => false,
        };
        let restricted = RESTRICTED.iter().any(|part| {
            let whole = format!("::{path}::");
            whole.contains(&format!("::{part}::")) && !layer.allowed.contains(part)
        });
        if fault || restricted {
            faults.push(format!("{shown}: {path}"));
        }
    }
    faults
}

/// The names that the crate's root re-exports, with the module each comes from.
fn exports(source: &str) -> Vec<(String, String)> {
    let words = words(source.parse().expect("Rust"));
    paths(&words)
        .into_iter()
        .filter_map(|path| {
            let (module, name) = path.split_once("::")?;
            Some((name.to_owned(), module.to_owned()))
        })
        .collect()
}

/// Every path of two names or more, those in braces written out: `std::{fmt, net::IpAddr}` is `std::fmt` and
/// `std::net::IpAddr`.
fn paths(words: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if is_name(&words[at]) {
            at = path_from(words, at, "", &mut all);
        } else {
            at += 1;
        }
    }
    all
}

/// Reads the path that begins at `at`; returns the position after it.
fn path_from(words: &[String], mut at: usize, prefix: &str, all: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    loop {
        match words.get(at).map(String::as_str) {
            Some(name) if is_name(name) || name == "*" => {
                path.push_str(name);
                at += 1;
            }
            Some("{") => {
                at += 1;
                while at < words.len() && words[at] != "}" {
                    at = path_from(words, at, &path, all);
                    // `as` and a new name, then the comma.
                    while at < words.len() && !matches!(words[at].as_str(), "," | "}") {
                        at += 1;
                    }
                    at += usize::from(words.get(at).is_some_and(|word| word == ","));
                }
                return at + 1;
            }
            _ => break,
        }
        if words.get(at).is_none_or(|word| word != "::") {
            break;
        }
        path.push_str("::");
        at += 1;
    }
    if path.contains("::") && !path.ends_with("::") {
        all.push(path);
    }
    at
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The tokens of a file in a row, without comments, documentation, literals and test modules.
fn words(tokens: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    let mut is_test = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let text = group.stream().to_string().replace(' ', "");
                if ["cfg(test", "cfg(all(test", "cfg(doctest"]
                    .iter()
                    .any(|it| text.starts_with(it))
                {
                    is_test = true;
                } else if group.delimiter() == Delimiter::Brace {
                    if !std::mem::take(&mut is_test) {
                        words.push("{".to_owned());
                        words.extend(self::words(group.stream()));
                        words.push("}".to_owned());
                    }
                } else if !text.starts_with("doc=") {
                    words.push("(".to_owned());
                    words.extend(self::words(group.stream()));
                    words.push(")".to_owned());
                }
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) if is_test => {}
            TokenTree::Ident(name) => words.push(name.to_string()),
            TokenTree::Punct(sign) => {
                let next =
                    matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                if sign.as_char() == ':' && next {
                    tokens.next();
                    words.push("::".to_owned());
                } else {
                    // A test module in a file of its own, or a documentation test, ends here.
                    is_test &= sign.as_char() != ';';
                    words.push(sign.as_char().to_string());
                }
            }
            TokenTree::Literal(_) => words.push("0".to_owned()),
        }
    }
    words
}

fn find_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            find_sources(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
