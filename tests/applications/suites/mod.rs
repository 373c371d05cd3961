//! Test suites that others have written, run through the example `proxy`: their client, the proxy, and an application
//! of theirs on the FastCGI library of its language.
//!
//! The number of cases is checked, so that a suite that ran fewer, or none, fails. A case that fails is listed with the
//! reason; one that fails and is not listed fails the test, and so does one that is listed and passes.

mod litmus;
mod plack;
mod rack;
mod requests;
mod validator;

use crate::harness::{App, Program, Transport};
use crate::http::Proxy;

/// What a suite reports.
#[derive(Debug, Default)]
struct Report {
    passed: Vec<String>,
    /// All that did not pass.
    failed: Vec<String>,
}

impl Report {
    /// Checks how many cases there were, and that those failed which are `known` to: name and reason. A test that fails
    /// shows what was `printed`.
    fn check(&self, what: &str, count: usize, known: &[(&str, &str)], printed: &str) {
        let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        assert_eq!(self.failed, known, "{what}: other failures\n{printed}");
        let (passed, all) = (self.passed.len(), self.passed.len() + self.failed.len());
        assert_eq!(all, count, "{what}: another number of cases\n{printed}");
        println!("{passed:4} of {count}: {what}");
    }
}

/// An application with the proxy in front, which passes each path to it.
struct Site {
    proxy: Proxy,
    app: App,
}

impl Site {
    /// With `--pass-authorization`, since the suites have cases in which the application checks passwords.
    fn start(program: Program, way: &Way) -> Self {
        let app = App::start(program, way.transport);
        let mount = format!("/={}", app.listen());
        let fixed = ["--mount", &mount, "--pass-authorization"];
        Self {
            proxy: Proxy::start(&[&fixed[..], &UNHURRIED, way.arguments].concat()),
            app,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.proxy.address())
    }
}

/// No suite is about time limits.
const UNHURRIED: [&str; 12] = [
    "--header-timeout",
    "3600",
    "--client-timeout",
    "3600",
    "--connect-timeout",
    "3600",
    "--read-timeout",
    "3600",
    "--write-timeout",
    "3600",
    "--min-rate",
    "0",
];

/// How requests get from the client to the application.
struct Way {
    name: &'static str,
    transport: Transport,
    arguments: &'static [&'static str],
}

/// The proxy as it is by default, and with as little of its own as possible.
const WAYS: [Way; 2] = [
    Way {
        name: "by default",
        transport: Transport::Unix,
        arguments: &[],
    },
    Way {
        name: "passed on as it comes",
        transport: Transport::Tcp,
        arguments: &[
            "--max-idle",
            "0",
            "--buffer-request",
            "off",
            "--buffer-response",
            "0",
        ],
    },
];

/// All requests on one connection, for applications that take more than one at a time.
const SHARED: Way = Way {
    name: "on a shared connection",
    transport: Transport::Unix,
    arguments: &["--multiplex", "on", "--max-conns", "1"],
};

/// The ways to an application of `wsgi.py`.
fn ways_to_flup(name: &'static str) -> impl Iterator<Item = (Way, Program)> {
    let plain = WAYS.into_iter().map(|way| (way, false));
    plain
        .chain([(SHARED, true)])
        .map(move |(way, multiplexed)| (way, Program::Wsgi { name, multiplexed }))
}

#[test]
#[should_panic(expected = "another number of cases")]
fn a_suite_that_runs_nothing_fails() {
    Report::default().check("nothing", 1, &[], "");
}

#[test]
#[should_panic(expected = "other failures")]
fn a_known_failure_that_passes_fails() {
    let report = Report {
        passed: vec!["a".to_owned()],
        failed: vec![],
    };
    report.check("one", 1, &[("a", "known to fail")], "");
}

#[test]
#[should_panic(expected = "other failures")]
fn a_failure_that_is_not_known_fails() {
    let report = Report {
        passed: vec![],
        failed: vec!["a".to_owned()],
    };
    report.check("one", 1, &[], "");
}
