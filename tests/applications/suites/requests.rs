//! The tests of Python's `requests` that ask httpbin.

use super::{Report, Site, WAYS};
use crate::harness::{Program, Tool, source, suites};

/// Of requests 2.34.2. Its other tests ask nobody, a server of their own, or an address on another network.
const COUNT: usize = 196;

const KNOWN: [(&str, &str); 2] = [
    (
        "XFAIL tests/test_requests.py::TestRequests::test_response_iter_lines_reentrant",
        "requests itself expects that it fails",
    ),
    (
        "FAILED tests/test_requests.py::TestRequests::test_proxy_authorization_preserved_on_request",
        "Proxy-Authorization is for the proxy that asked for it (RFC 9110, 11.7.2): the application does not get it",
    ),
];

#[test]
#[ignore = "needs httpbin and pytest; run tests/run"]
fn the_tests_of_requests_pass_over_httpbin() {
    let program = Program::Wsgi {
        name: "httpbin",
        multiplexed: false,
    };
    let way = &WAYS[0];
    let site = Site::start(program, way);
    let tests = suites().join("requests-2.34.2");
    let path = [tests.join("src"), source("suites")];
    let path = path.map(|path| path.to_str().expect("UTF-8").to_owned());
    let (_, printed) = Tool::new(suites().join("bin/python"))
        .current_dir(&tests)
        .env("PYTHONPATH", &path.join(":"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HTTPBIN_URL", &site.url())
        .args([
            "-m",
            "pytest",
            "-p",
            "httpbin_fixtures",
            "-p",
            "no:cacheprovider",
        ])
        .args(["-q", "-rA", "--tb=short", "tests/test_requests.py"])
        .finish();
    report(&printed).check("requests' tests over httpbin", COUNT, &KNOWN, &printed);
}

/// A line for each test, after a heading, with a reason behind ` - ` where it failed.
fn report(printed: &str) -> Report {
    let mut report = Report::default();
    let (_, summary) = printed
        .split_once("short test summary info")
        .unwrap_or_default();
    for line in summary.lines() {
        if let Some(name) = line.strip_prefix("PASSED ") {
            report.passed.push(name.to_owned());
        } else if ["FAILED ", "ERROR ", "SKIPPED ", "XFAIL ", "XPASS "]
            .iter()
            .any(|result| line.starts_with(result))
        {
            let (name, _) = line.split_once(" - ").unwrap_or((line, ""));
            report.failed.push(name.to_owned());
        }
    }
    report
}
