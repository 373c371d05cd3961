//! What the command lines of the examples have in common: reporting errors, and parsers for some kinds of values.

#![allow(dead_code, reason = "each example uses its own part")]

use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Prints the requested help, or one line that says what is wrong. Returns the exit status.
pub(crate) fn report(program: &str, error: &Error) -> ExitCode {
    if error.use_stderr() {
        eprintln!("{program}: {} (see --help)", line_of(error));
        return ExitCode::from(2);
    }
    // A reader of stdout that stops reading is no error.
    let _ = write!(io::stdout(), "{}", error.render());
    ExitCode::SUCCESS
}

/// One line that names the option and says what it expects.
pub(crate) fn line_of(error: &Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    // The argument is the whole `--threads <N>`.
    let argument = context(ContextKind::InvalidArg);
    let option = argument.map(|argument| argument.split(" <").next().unwrap_or(argument));
    let value = context(ContextKind::InvalidValue);
    let line = match (error.kind(), option, value, error.source()) {
        (ErrorKind::ValueValidation, Some(option), Some(value), Some(why)) => {
            let why = why.to_string();
            match why.starts_with("expects ") {
                true => format!("{option} {why}, not '{value}'"),
                false => format!("{option} {value}: {why}"),
            }
        }
        (ErrorKind::InvalidUtf8, ..) => "a value that has to be text is not UTF-8".to_owned(),
        (ErrorKind::InvalidValue, Some(option), Some(""), _) => format!("{option} expects a value"),
        (ErrorKind::UnknownArgument, Some(argument), _, _) if !argument.starts_with('-') => {
            format!("'{argument}' is not the value of an option")
        }
        (ErrorKind::UnknownArgument, Some(argument), _, _) => {
            match context(ContextKind::SuggestedArg) {
                Some(other) => format!("unknown option {argument}; did you mean {other}?"),
                None => format!("unknown option {argument}"),
            }
        }
        _ => {
            let text = error.to_string();
            let text = text.trim_start_matches("error: ");
            let first = text.split("\n\n").next().unwrap_or(text);
            first.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    };
    in_one_line(&line)
}

/// Escapes control characters: the line quotes user input, which may contain line ends.
fn in_one_line(text: &str) -> String {
    let mut line = String::new();
    for sign in text.chars() {
        if sign.is_control() {
            line.extend(sign.escape_default());
        } else {
            line.push(sign);
        }
    }
    line
}

/// A number from `least` to `most`.
pub(crate) fn number<N>(
    least: N,
    most: N,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync
where
    N: FromStr + PartialOrd + Display + Copy + Send + Sync,
{
    move |text| match text.parse() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!("expects a number from {least} to {most}")),
    }
}

/// A time in seconds, which may have a fraction. At most a day.
pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    any_seconds(text)
        .ok()
        .filter(|time| *time <= MAX_TIME)
        .ok_or("expects seconds above 0 and up to 86400, such as 30 or 0.5")
}

/// A time in seconds, which may have a fraction. Without upper limit.
pub(crate) fn any_seconds(text: &str) -> Result<Duration, &'static str> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or("expects seconds above 0, such as 30 or 0.5")
}

const MAX_TIME: Duration = Duration::from_secs(86_400);

/// `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expects NAME=VALUE"),
    }
}
