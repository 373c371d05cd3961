//! The deliberate faults of tests/faults: each can still be applied.
//!
//! `tests/faults/run` applies them one after another and looks which test notices, which takes an hour. This test only
//! checks that each text is still in its source, once.

use std::fs;
use std::path::Path;

#[test]
fn every_fault_can_still_be_made() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root.join("tests/faults")).expect("the faults' folder") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "fault")
        {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).expect("a text");
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if let Err(what) = check(root, &text) {
            wrong.push(format!("{name}: {what}"));
        }
    }
    assert!(count >= 30, "{count} faults");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(root: &Path, fault: &str) -> Result<(), String> {
    let parts: Vec<&str> = fault.split("\n---\n").collect();
    let &[first, old, new] = &parts[..] else {
        return Err(format!("{} parts", parts.len()));
    };
    let file = first.split(' ').next().unwrap_or_default();
    let source = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
    let old = old.trim_end_matches('\n');
    match source.matches(old).count() {
        1 if old == new.trim_end_matches('\n') => Err("changes nothing".into()),
        1 => Ok(()),
        count => Err(format!("its text is in {file} {count} times")),
    }
}
