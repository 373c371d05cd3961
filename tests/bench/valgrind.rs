//! Instructions in user space, counted by valgrind.

use std::io;
use std::process::{Command, Output};

/// A command that the caller completes with a program and its arguments.
pub(crate) fn command() -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command
}

/// Adds the name of the missing program to an error.
pub(crate) fn cannot_start(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("valgrind: {error}"))
}

/// The instructions of a program that has ended.
///
/// # Errors
/// If the program failed, or valgrind prints no count.
pub(crate) fn collected(output: &Output) -> io::Result<i64> {
    let told = String::from_utf8_lossy(&output.stderr);
    told.lines()
        .filter(|_| output.status.success())
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("valgrind does not say: {told}")))
}
