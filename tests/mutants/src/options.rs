//! Arguments.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::mutate::Mutant;

const USAGE: &str = "\
usage: tests/mutants/run wire|engine|net|cgi [OPTION]...

  --file PATH     mutants of this file only; may be given again
  --match TEXT    those whose line has this text in it
  --again LOG     those that an earlier run, printed into that file, has missed
  --jobs N        mutants tried at a time (2)
  --list          names them, and tries none
  --verbose       a line for each one
  --help";

pub(crate) struct Options {
    pub(crate) module: String,
    pub(crate) files: Vec<String>,
    pub(crate) matching: Option<String>,
    /// Known as in `survivors.md`.
    pub(crate) again: Option<BTreeSet<String>>,
    pub(crate) jobs: usize,
    pub(crate) list: bool,
    pub(crate) verbose: bool,
    /// Where the library's copy is made.
    pub(crate) tree: PathBuf,
    pub(crate) target: PathBuf,
}

impl Options {
    /// `None` when only help was asked for.
    ///
    /// # Errors
    /// A wrong argument.
    pub(crate) fn parse() -> Result<Option<Self>> {
        let base =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let base = std::path::absolute(base.join("mutants"))?;
        let mut options = Self {
            module: String::new(),
            files: Vec::new(),
            matching: None,
            again: None,
            jobs: 2,
            list: false,
            verbose: false,
            tree: base.join("tree"),
            target: base.join("target"),
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("file") => options.files.push(parser.value()?.string()?),
                Long("match") => options.matching = Some(parser.value()?.string()?),
                Long("again") => options.again = Some(missed(&parser.value()?)?),
                Long("jobs") => options.jobs = parser.value()?.parse::<usize>()?.max(1),
                Long("list") => options.list = true,
                Long("verbose") => options.verbose = true,
                Long("help") => {
                    println!("{USAGE}");
                    return Ok(None);
                }
                Value(module) if options.module.is_empty() => options.module = module.string()?,
                other => return Err(other.unexpected().into()),
            }
        }
        if !["wire", "engine", "net", "cgi"].contains(&&*options.module) {
            bail!("which module?\n{USAGE}");
        }
        Ok(Some(options))
    }

    /// Test targets that are about the module; the library's own tests come on top.
    pub(crate) fn test_targets(&self) -> &'static [&'static str] {
        match &*self.module {
            "wire" => &["wire", "fuzz", "meta"],
            "cgi" => &["cgi", "fuzz", "meta"],
            "net" => &["net", "meta", "sim"],
            _ => &["engine", "fuzz", "meta", "sim"],
        }
    }

    /// Whether the tests wait on real sockets.
    pub(crate) fn waits(&self) -> bool {
        self.module == "net"
    }

    pub(crate) fn wants(&self, mutant: &Mutant) -> bool {
        let text = format!("{}:{} {}", mutant.file, mutant.line, mutant.what);
        (self.files.is_empty() || self.files.contains(&mutant.file))
            && self.matching.as_ref().is_none_or(|it| text.contains(it))
            && self
                .again
                .as_ref()
                .is_none_or(|it| it.contains(&mutant.known_as()))
    }
}

/// What a run before has missed.
fn missed(log: &OsStr) -> Result<BTreeSet<String>> {
    let printed = fs::read_to_string(log).with_context(|| log.display().to_string())?;
    let missed = printed.lines().filter_map(|line| {
        let mut parts = line.strip_prefix("missed  ")?.splitn(4, ':');
        let (file, what) = (parts.next()?, parts.nth(2)?);
        Some(format!("{file}:{what}"))
    });
    Ok(missed.collect())
}
