//! The sources of a folder, parsed, without what is compiled for tests only.

use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item};

/// One file.
pub(crate) struct Source {
    /// Relative to `src/`.
    pub(crate) path: String,
    pub(crate) items: Vec<Item>,
}

impl Source {
    /// # Panics
    /// When the text is not Rust.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let items = file.items.into_iter();
        Self {
            path: path.to_owned(),
            items: items.filter(|item| !is_for_tests(item)).collect(),
        }
    }

    /// The folder that the file is in: its room.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |it| it.0)
    }

    /// Whether what is private to this file can be seen in another one.
    pub(crate) fn shows_to(&self, other: &Self) -> bool {
        let is_root = self.path.ends_with("/mod.rs");
        self.path == other.path
            || (is_root && other.path.starts_with(&format!("{}/", self.folder())))
    }
}

/// The sources below `src/` in a folder, subfolders included, in order.
pub(crate) fn below(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    find(&root.join(folder), &mut paths);
    paths.sort();
    let sources = paths.iter().map(|path| {
        let text = fs::read_to_string(path).expect("a source");
        let path = path.strip_prefix(&root).expect("below src");
        Source::parse(&path.to_string_lossy().replace('\\', "/"), &text)
    });
    sources.collect()
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|it| it == "rs") {
            paths.push(path);
        }
    }
}

fn is_for_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    };
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        let arguments = attribute.meta.require_list();
        is_cfg && arguments.is_ok_and(|it| it.tokens.to_string().contains("test"))
    })
}
