//! The results: as text, or as one line of JSON.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::tally::Tally;
use crate::usage::Usage;

/// Totals of a run, from the library or from raw sockets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// From the start to the end of the last request, the warm-up included.
    pub(crate) elapsed: Duration,
    pub(crate) connections: u64,
    pub(crate) retries: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

impl Totals {
    fn bytes_per_second(&self) -> f64 {
        (self.bytes_sent + self.bytes_received) as f64 / self.elapsed.as_secs_f64().max(0.001)
    }
}

/// The results of a run.
#[derive(Debug)]
pub(crate) struct Summary {
    tally: Tally,
    totals: Totals,
    usage: Usage,
    /// From the first request that counts to the end of the last one.
    elapsed: Duration,
}

impl Summary {
    pub(crate) fn new(tally: Tally, totals: Totals, usage: Usage, elapsed: Duration) -> Self {
        Self {
            tally,
            totals,
            usage,
            elapsed,
        }
    }

    /// Whether there were responses and no error.
    pub(crate) fn is_good(&self) -> bool {
        self.tally.errors == 0 && self.tally.requests > 0
    }

    /// # Errors
    /// The error of standard output.
    pub(crate) fn print_json(&self) -> io::Result<()> {
        let sets = self.tally.sets.iter().map(|set| {
            json!({
                "script": set.name,
                "requests": set.requests,
                "errors": set.errors,
                "latency_us": latencies_as_json(&set.latencies),
            })
        });
        let line = json!({
            "requests": self.tally.requests,
            "seconds": self.elapsed.as_secs_f64(),
            "cpu_user_s": self.usage.user.as_secs_f64(),
            "cpu_sys_s": self.usage.system.as_secs_f64(),
            "errors": self.tally.errors,
            "rss_kb": self.usage.peak_rss_kib,
            "requests_per_s": self.rate(),
            "latency_us": latencies_as_json(&self.tally.latencies()),
            "sets": sets.collect::<Vec<_>>(),
            "connections": self.totals.connections,
            "retries": self.totals.retries,
            "bytes_sent": self.totals.bytes_sent,
            "bytes_received": self.totals.bytes_received,
            "errors_by_kind": self.tally.errors_by_kind,
        });
        writeln!(io::stdout(), "{line}")
    }

    /// # Errors
    /// The error of standard output.
    pub(crate) fn print_text(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let Self {
            tally,
            totals,
            usage,
            elapsed,
        } = self;
        let count = tally.requests.max(1) as f64;
        let seconds = elapsed.as_secs_f64();
        writeln!(
            out,
            "requests     {} in {seconds:.2} s, {:.0}/s",
            tally.requests,
            self.rate()
        )?;
        writeln!(
            out,
            "connections  {} opened, {} retries",
            totals.connections, totals.retries
        )?;
        writeln!(
            out,
            "latency      {}",
            latencies_as_text(&tally.latencies())
        )?;
        writeln!(
            out,
            "bytes       {} sent, {} received, {:.1} MiB/s",
            totals.bytes_sent,
            totals.bytes_received,
            totals.bytes_per_second() / 1_048_576.0
        )?;
        writeln!(
            out,
            "processor    {:.2} s user, {:.2} s system, {:.2} µs per request",
            usage.user.as_secs_f64(),
            usage.system.as_secs_f64(),
            (usage.user + usage.system).as_secs_f64() * 1e6 / count
        )?;
        writeln!(out, "memory       {} KiB at most", usage.peak_rss_kib)?;
        writeln!(out, "errors       {}", tally.errors)?;
        for (kind, count) in &tally.errors_by_kind {
            writeln!(out, "             {count} times: {kind}")?;
        }
        if tally.sets.len() > 1 {
            for set in &tally.sets {
                let (requests, errors) = (set.requests, set.errors);
                writeln!(
                    out,
                    "{}\n             {requests} requests, {errors} errors, {}",
                    set.name,
                    latencies_as_text(&set.latencies)
                )?;
            }
        }
        Ok(())
    }

    fn rate(&self) -> f64 {
        self.tally.requests as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

fn latencies_as_json(latencies: &Histogram<u64>) -> Value {
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let at = |quantile| micros(latencies.value_at_quantile(quantile));
    json!({
        "mean": latencies.mean() / 1e3,
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p99_9": at(0.999),
        "max": micros(latencies.max()),
    })
}

fn latencies_as_text(latencies: &Histogram<u64>) -> String {
    let mut text = String::new();
    for (name, quantile) in QUANTILES {
        let nanos = latencies.value_at_quantile(quantile);
        text += &format!("{name} {} ", milliseconds(nanos));
    }
    text + "max " + &milliseconds(latencies.max())
}

/// Formats nanoseconds as milliseconds.
pub(crate) fn milliseconds(nanos: u64) -> String {
    format!("{:.3} ms", nanos as f64 / 1e6)
}

const QUANTILES: [(&str, f64); 4] = [
    ("median", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
];
