//! litmus, with which WebDAV servers are tested, over WsgiDAV.

use super::{Report, Site, ways_to_flup};
use crate::harness::{Tool, temporary_directory};

/// Of litmus 0.13.
const COUNT: usize = 104;

#[test]
#[ignore = "needs litmus and WsgiDAV; run tests/run"]
fn every_case_of_litmus_passes() {
    for (way, program) in ways_to_flup("dav") {
        let site = Site::start(program, &way);
        // litmus writes its own log into the current directory.
        let directory = temporary_directory();
        let (_, printed) = Tool::new("litmus")
            .current_dir(directory.path())
            .args(["-k", &site.url()])
            .finish();
        let what = format!("litmus over WsgiDAV, {}", way.name);
        report(&printed).check(&what, COUNT, &[], &printed);
    }
}

/// A line for each case: its number, its name with dots up to a column, and what became of it.
fn report(printed: &str) -> Report {
    let mut report = Report::default();
    let mut group = "";
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix("-> running `") {
            group = name.trim_end_matches("':");
        }
        // What was printed while the case ran is written over.
        let line = line.rsplit('\r').next().unwrap_or_default().trim_start();
        let Some((number, rest)) = line.split_once(". ") else {
            continue;
        };
        if number.parse::<u32>().is_err() {
            continue;
        }
        let (name, result) = rest.split_once(' ').unwrap_or((rest, ""));
        let case = format!("{group} {number} {}", name.trim_end_matches('.'));
        if result == "pass" {
            report.passed.push(case);
        } else {
            report.failed.push(format!("{case}: {result}"));
        }
    }
    report
}
