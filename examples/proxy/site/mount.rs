//! The parts of the site: what is at which path and below it, and which application serves it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mio_fcgi::Address;

use super::prefix::Prefix;
use super::values::{extension, file_name, path, upstream};

/// A part of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// What the names of its options begin with in messages: `--`, or `--mount /blog: `.
    pub(crate) named: String,
    pub(crate) prefix: Prefix,
    /// Empty: the demo application.
    pub(crate) upstreams: Vec<Address>,
    pub(crate) serves: Serves,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Serves {
    /// An application that gets each path, except those of the files below a directory.
    Application { files: Option<PathBuf> },
    /// The scripts and files below a directory.
    Scripts(Scripts),
}

/// The scripts and files below a directory. What is `None` is as for the whole site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scripts {
    pub(crate) root: PathBuf,
    /// The directory as the application sees it, if that is another one.
    pub(crate) script_root: Option<PathBuf>,
    /// The directory is on the application's machine.
    pub(crate) is_remote: bool,
    /// The application is told the directory without symbolic links.
    pub(crate) is_real: bool,
    pub(crate) index: Option<String>,
    pub(crate) extension: Option<String>,
    pub(crate) fallback: Option<String>,
}

/// Parses `PREFIX=ADDR[,ADDR...][,KEY=VALUE...]`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    let Some((prefix, items)) = text.split_once('=') else {
        return Err("expects PREFIX=ADDR, such as /blog=127.0.0.1:9000,root=/srv/blog".to_owned());
    };
    let prefix = Prefix::parse(prefix)?;
    let mut upstreams = Vec::new();
    let mut values = BTreeMap::new();
    for item in items.split(',') {
        let (key, value) = item.split_once('=').unwrap_or((item, ""));
        let is_flag = FLAGS.contains(&item);
        if is_flag || (KEYS.contains(&key) && !value.is_empty()) {
            if values.insert(key, value).is_some() {
                return Err(format!("expects {key} once"));
            }
        } else if item.contains('=') && key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-')) {
            let (keys, flags) = (KEYS.join("=, "), FLAGS.join(" and "));
            return Err(format!(
                "expects a value after each of {keys}=, and {flags} alone"
            ));
        } else {
            upstreams.push(upstream(item).map_err(|why| format!("expects ADDR: '{item}': {why}"))?);
        }
    }
    if upstreams.is_empty() {
        return Err("expects the ADDR of an application after PREFIX=".to_owned());
    }
    Ok(Mount {
        named: format!("--mount {prefix}: "),
        prefix,
        upstreams,
        serves: serves(&values)?,
    })
}

const KEYS: &[&str] = &[
    "root",
    "script-root",
    "files",
    "index",
    "extension",
    "fallback",
];
const FLAGS: &[&str] = &["remote", "realpath"];

fn serves(values: &BTreeMap<&str, &str>) -> Result<Serves, String> {
    let value = |key| values.get(key).copied();
    let Some(root) = value("root") else {
        if let Some(key) = values.keys().find(|key| **key != "files") {
            return Err(format!("expects root=DIR beside {key}"));
        }
        let files = value("files").map(PathBuf::from);
        return Ok(Serves::Application { files });
    };
    if value("files").is_some() {
        return Err(
            "expects root=DIR or files=DIR: files below the root are sent anyway".to_owned(),
        );
    }
    let scripts = Scripts {
        root: root.into(),
        script_root: value("script-root").map(PathBuf::from),
        is_remote: value("remote").is_some(),
        is_real: value("realpath").is_some(),
        index: value("index").map(file_name).transpose()?,
        extension: value("extension").map(extension).transpose()?,
        fallback: value("fallback").map(path).transpose()?,
    };
    Ok(Serves::Scripts(scripts))
}

impl Mount {
    /// Checks what is said against the file system of this machine.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        let named = &self.named;
        let scripts = match &self.serves {
            Serves::Application { files: None } => return Ok(()),
            Serves::Application { files: Some(files) } => {
                return is_readable(files).map_err(|why| format!("{named}files {why}"));
            }
            Serves::Scripts(scripts) => scripts,
        };
        let is_elsewhere = scripts.is_remote || scripts.script_root.is_some();
        if scripts.is_real && is_elsewhere {
            return Err(format!(
                "{named}realpath needs the files that the application has: not with remote or script-root"
            ));
        }
        if scripts.is_remote {
            return Ok(());
        }
        is_readable(&scripts.root).map_err(|why| match scripts.root.is_dir() {
            true => format!("{named}root {why}"),
            false => {
                let dashes = if named == "--" { "--" } else { "" };
                format!(
                    "{named}root {why}; if it is one on the application's machine, add {dashes}remote"
                )
            }
        })
    }
}

fn is_readable(directory: &Path) -> Result<(), String> {
    let shown = directory.display();
    if !directory.is_dir() {
        return Err(format!("'{shown}' is not a directory here"));
    }
    match std::fs::metadata(directory.join(".")) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("'{shown}': {error}")),
    }
}
