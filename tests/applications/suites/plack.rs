//! `Plack::Test::Suite`, with which Perl's web servers are tested.

use super::{Report, Site, WAYS};
use crate::harness::{Program, Tool, source};
use crate::http::eventually;

/// Of libplack-perl 1.0050.
const COUNT: usize = 102;

#[test]
#[ignore = "needs Plack; run tests/run"]
fn every_check_of_placks_suite_passes() {
    for way in &WAYS {
        let site = Site::start(Program::Plack, way);
        let port = site.proxy.address().port().to_string();
        let script = source("suites/plack.pl");
        let (_, asked) = Tool::new("perl")
            .args([script.to_str().expect("UTF-8"), "ask", &port])
            .finish();
        // The application's own check may come after its response.
        eventually(
            || site.app.log().contains("ok 1 - closed"),
            || site.app.log(),
        );
        let mut report = Report::default();
        for line in asked.lines().chain(site.app.log().lines()) {
            if line.starts_with("ok ") {
                report.passed.push(line.to_owned());
            } else if line.starts_with("not ok ") {
                report.failed.push(line.to_owned());
            }
        }
        let what = format!("Plack::Test::Suite, {}", way.name);
        report.check(&what, COUNT, &[], &asked);
    }
}
