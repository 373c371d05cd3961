//! The files of the example `proxy`: which import which, and which another server can copy.

use std::path::{Path, PathBuf};

#[test]
fn what_is_taken_needs_nothing_that_is_left_and_no_crate_that_is_not_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("examples/proxy");
    let main = read(&folder.join("main.rs"));
    assert!(main.contains("Take all folders but `program`"));
    let manifest = read(&root.join("Cargo.toml"));
    let crates = manifest
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.replace('-', "_"));
    let crates: Vec<String> = crates.collect();
    let named = main.split("//! Crates:").nth(1).expect("the crates");
    let named = named.split("\n\n").next().unwrap_or_default();
    for name in files(&folder) {
        if name.starts_with("program/") {
            continue;
        }
        let code = read(&folder.join(&name));
        let mut lines = code.lines().filter(|line| !line.trim().starts_with("//"));
        let is_import = |line: &str| line.contains("use ") || line.contains("super::");
        assert!(
            !lines.any(|line| is_import(line) && line.contains("program")),
            "{name} needs what is left"
        );
        for used in &crates {
            let is_used = code.contains(&format!("use {used}::"))
                || code.contains(&format!(" {used}::"))
                || code.contains(&format!("({used}::"));
            // `log` is a folder of its own.
            let is_own = used == "log";
            assert!(
                !is_used || is_own || named.contains(used),
                "{name} needs the crate {used}"
            );
        }
    }
}

/// Calls go down, values come back: no file imports one that needs it, directly or indirectly.
#[test]
fn the_files_import_each_other_in_one_direction() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/proxy");
    let mut left: Vec<(String, Vec<String>)> = Vec::new();
    for name in files(&folder) {
        let code = read(&folder.join(&name));
        let own = name.split('/').next().expect("a folder");
        // What a part of a file imports from that file makes no circle: the file imports none of its parts.
        let import = format!("use {}", "super::".repeat(name.matches('/').count()));
        let imported = code
            .lines()
            .filter_map(|line| line.strip_prefix(&import))
            .flat_map(|path| path.split(['{', ',', '}']))
            .map(|path| {
                let path: Vec<&str> = path.trim_matches([' ', ';']).split("::").collect();
                match path[..] {
                    [first, second, ..] if folder.join(first).is_dir() => {
                        format!("{first}/{second}.rs")
                    }
                    [first, ..] => format!("{own}/{first}.rs"),
                    [] => String::new(),
                }
            });
        left.push((name.clone(), imported.collect()));
    }
    let is_known = |name: &String| left.iter().any(|file| file.0 == *name);
    let known = left
        .iter()
        .flat_map(|file| &file.1)
        .filter(|it| is_known(it));
    assert!(known.count() > 60, "the imports: {left:?}");
    // Files that import none of the remaining ones are removed until none remains.
    while !left.is_empty() {
        let names: Vec<String> = left.iter().map(|file| file.0.clone()).collect();
        left.retain(|file| file.1.iter().any(|it| names.contains(it)));
        assert!(left.len() < names.len(), "a circle: {left:#?}");
    }
}

/// The files of the proxy but `main.rs`, such as `http/head.rs`, or `request/exchange/output.rs` for a part of a file.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = entries(folder).filter(|path| path.is_dir()).collect();
    while let Some(next) = folders.pop() {
        for path in entries(&next) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below it");
            files.push(name.to_str().expect("UTF-8").replace('\\', "/"));
        }
    }
    assert!(files.len() > 20, "{files:?}");
    files
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of the proxy");
    entries.map(|entry| entry.expect("an entry").path())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file of the proxy")
}
