//! The copy of the library with the mutants in it: made, and built.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::options::Options;

pub(crate) enum Outcome {
    /// The test binaries, the quickest first.
    Built(Vec<PathBuf>),
    /// Mutants that do not compile.
    Refused(BTreeSet<u32>),
}

/// Copies what is tracked; files that are as they were keep their time, so that less is built.
pub(crate) fn copy_tree(tree: &Path) -> Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).output()?;
    for name in listed
        .stdout
        .split(|byte| *byte == 0)
        .filter(|it| !it.is_empty())
    {
        let name = Path::new(std::str::from_utf8(name)?);
        let (from, to) = (fs::read(name), tree.join(name));
        let Ok(from) = from else {
            continue; // Deleted, and not committed.
        };
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        if fs::read(&to).ok().as_ref() != Some(&from) {
            fs::write(&to, from)?;
        }
    }
    Ok(())
}

/// The switch that all mutants look at.
pub(crate) fn add_switch(tree: &Path) -> Result<()> {
    fs::write(tree.join("src/mutant.rs"), SWITCH)?;
    let root = tree.join("src/lib.rs");
    let text = fs::read_to_string(&root)?;
    let with_switch = text.replacen("\nmod address;", "\nmod mutant;\nmod address;", 1);
    if with_switch == text {
        bail!("src/lib.rs has no place for the switch");
    }
    Ok(fs::write(&root, with_switch)?)
}

const SWITCH: &str = r#"
static ACTIVE: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
    std::env::var("MUTANT").ok().and_then(|it| it.parse().ok()).unwrap_or(0)
});

pub(crate) fn active(mutant: u32) -> bool {
    *ACTIVE == mutant
}
"#;

pub(crate) fn build(options: &Options) -> Result<Outcome> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&options.tree)
        .args([
            "test",
            "--no-run",
            "--message-format=json",
            "--features",
            "testkit",
            "--lib",
        ])
        .env("CARGO_TARGET_DIR", &options.target)
        // Runs are many, builds few. Overflow is still checked.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("RUSTFLAGS", "-Awarnings")
        .stderr(Stdio::inherit());
    for target in options.test_targets() {
        cargo.args(["--test", target]);
    }
    let output = cargo.output().context("cargo")?;
    let messages: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    if output.status.success() {
        let built = messages.iter().filter_map(|it| it["executable"].as_str());
        return Ok(Outcome::Built(built.map(PathBuf::from).collect()));
    }
    let mut refused = BTreeSet::new();
    for error in messages
        .iter()
        .filter(|it| it["message"]["level"] == "error")
    {
        let spans = error["message"]["spans"].as_array();
        let primary = spans
            .into_iter()
            .flatten()
            .filter(|span| span["is_primary"] == true);
        for span in primary {
            if let Some(id) = mutant_at(&options.tree, span) {
                refused.insert(id);
            }
        }
        if spans.is_some_and(|spans| !spans.is_empty()) && refused.is_empty() {
            bail!("not a mutant's fault: {}", error["message"]["rendered"]);
        }
    }
    if refused.is_empty() {
        bail!("the build fails, and not for a mutant");
    }
    Ok(Outcome::Refused(refused))
}

/// The mutant whose switch stands before an error.
fn mutant_at(tree: &Path, span: &Value) -> Option<u32> {
    let text = fs::read_to_string(tree.join(span["file_name"].as_str()?)).ok()?;
    let end = usize::try_from(span["byte_end"].as_u64()?).ok()?;
    let before = text.get(..end)?;
    let lines: Vec<&str> = before.lines().rev().take(FARTHEST).collect();
    let switch = lines
        .iter()
        .find_map(|line| line.rsplit_once("mutant::active("))?
        .1;
    switch.split(')').next()?.parse().ok()
}

/// Lines between a switch and what it switches on.
const FARTHEST: usize = 12;
