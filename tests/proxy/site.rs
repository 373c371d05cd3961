//! Applications that answer with what they were told, and directories of files for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;

use super::harness::{Answer, Proxy};
use super::witness::witness;

/// An application that answers with its name and with where it was told that the script is.
pub(crate) fn application(name: &'static str) -> String {
    let (address, requests) = witness(move |request| {
        let told = ["SCRIPT_NAME", "PATH_INFO", "SCRIPT_FILENAME"].map(|it| request.param(it));
        let told = told.join("|");
        format!("Content-Type: text/plain\r\n\r\n{name}|{told}").into_bytes()
    });
    // As long as somebody takes them, the application keeps its connections.
    thread::spawn(move || requests.iter().for_each(drop));
    address
}

/// A directory with files. A name that ends in a slash is a directory.
pub(crate) fn directory(names: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), names);
    directory
}

pub(crate) fn write(directory: &Path, names: &[&str]) {
    for name in names {
        let path = directory.join(name);
        let folder = match name.strip_suffix('/') {
            Some(_) => &path,
            None => path.parent().expect("below the root"),
        };
        fs::create_dir_all(folder).expect("a directory");
        if !name.ends_with('/') {
            fs::write(&path, format!("the file {name}")).expect("a file");
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

pub(crate) fn real(directory: &TempDir) -> PathBuf {
    directory.path().canonicalize().expect("it is there")
}

/// Checks statuses, and texts where they are given.
#[track_caller]
pub(crate) fn assert_answers(proxy: &Proxy, rows: &[(&str, u16, &str)]) {
    for (target, status, expected) in rows {
        let Answer {
            status: got, body, ..
        } = proxy.get(target);
        let body = String::from_utf8_lossy(&body);
        assert_eq!(got, *status, "{target}: {body}");
        if *status == 200 {
            assert_eq!(body, *expected, "{target}");
        }
    }
}
