//! Tables in Markdown, and the medians in them.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

/// A table that is printed as a whole.
pub(crate) struct Report {
    text: String,
}

impl Report {
    pub(crate) fn new(title: &str, note: &str) -> Self {
        Self {
            text: format!("## {title}\n\n{note}\n\n"),
        }
    }

    pub(crate) fn head(&mut self, cells: &[&str]) {
        self.row(&cells.iter().map(ToString::to_string).collect::<Vec<_>>());
        let rule: Vec<_> = (0..cells.len())
            .map(|at| if at == 0 { "---" } else { "---:" }.to_owned())
            .collect();
        self.row(&rule);
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// Prints it, and appends it to a file.
    pub(crate) fn finish(self, out: Option<&Path>) -> Result<()> {
        println!("{}", self.text);
        append(out, &self.text)
    }
}

/// Appends to the file that is asked for, if one is.
pub(crate) fn append(out: Option<&Path>, text: &str) -> Result<()> {
    if let Some(path) = out {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{text}")?;
    }
    Ok(())
}

/// The middle one; NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// A figure with as many digits as mean something, or a dash.
pub(crate) fn figure(value: f64) -> String {
    match value {
        _ if value.is_nan() => "–".to_owned(),
        _ if value.abs() < 0.005 => "0".to_owned(),
        _ if value >= 1000.0 => thousands(value),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
