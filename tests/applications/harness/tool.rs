//! Programs that run to their end: load generators, a browser and its driver.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::app::{python, source, temporary_directory};
use super::process::{Process, command};

/// A program and its arguments.
#[derive(Debug)]
pub(crate) struct Tool(Command);

impl Tool {
    pub(crate) fn new(program: impl AsRef<Path>) -> Self {
        Self(command(program))
    }

    /// A script of `tests/applications`.
    pub(crate) fn python(script: &str) -> Self {
        let mut tool = Self::new(python());
        tool.0.arg(source(script));
        tool
    }

    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn current_dir(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Runs the program and returns its output, errors included. Fails with that output unless the program succeeds.
    pub(crate) fn run(self) -> String {
        let shown = format!("{:?}", self.0);
        let (status, printed) = self.finish();
        assert!(status.success(), "{shown} ended with {status}:\n{printed}");
        printed
    }

    /// Runs the program to its end and returns how it ended, and its output, errors included.
    pub(crate) fn finish(self) -> (ExitStatus, String) {
        let shown = format!("{:?}", self.0);
        let directory = temporary_directory();
        let mut process = Process::start(self.0, &directory.path().join("log"));
        let status = process.wait(TOOL_TIME_LIMIT);
        let printed = process.log();
        let status = status.unwrap_or_else(|| panic!("{shown} does not end:\n{printed}"));
        (status, printed)
    }
}

/// A browser takes its time to start.
const TOOL_TIME_LIMIT: Duration = Duration::from_secs(180);
