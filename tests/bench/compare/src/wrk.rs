//! The load on HTTP servers: `wrk`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{self, OTHERS};

/// What `wrk` says of a run.
pub(crate) struct Done {
    pub(crate) requests: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) p99_ms: f64,
    /// Answers with a status of an error.
    pub(crate) failed: f64,
}

/// Clients that each ask as soon as they were answered.
pub(crate) struct Load {
    clients: u32,
    /// What it reads when a body is to be sent.
    script: Option<PathBuf>,
    cores: &'static str,
    threads: u32,
}

impl Load {
    /// GETs, or POSTs of so many bytes.
    pub(crate) fn new(clients: u32, post_len: usize, directory: &Path) -> Result<Self> {
        let script = (post_len > 0).then(|| directory.join("post.lua"));
        if let Some(script) = &script {
            let text = format!(
                "wrk.method = 'POST'
wrk.headers['Content-Type'] = 'application/octet-stream'
wrk.body = string.rep('x', {post_len})
"
            );
            fs::write(script, text)?;
        }
        Ok(Self {
            clients,
            script,
            cores: OTHERS,
            threads: 1,
        })
    }

    /// On these cores instead of that of all the rest, with so many threads.
    pub(crate) fn on(self, cores: &'static str, threads: u32) -> Self {
        Self {
            cores,
            threads,
            ..self
        }
    }

    /// Runs for so long, in whole seconds.
    pub(crate) fn run(&self, duration: Duration, address: SocketAddr) -> Result<Done> {
        // wrk counts in whole seconds.
        let seconds = duration.as_secs_f64().ceil().max(1.0);
        let arguments = [
            format!("-t{}", self.threads),
            format!("-c{}", self.clients),
            format!("-d{seconds:.0}s"),
            "--latency".to_owned(),
            // A client that waits for long is a bad 99th percentile, and no failure.
            "--timeout".to_owned(),
            "20s".to_owned(),
            format!("http://{address}/bench"),
        ];
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if let Some(script) = self.script.as_ref().and_then(|path| path.to_str()) {
            arguments.extend(["-s", script]);
        }
        let output = process::run(self.cores, &PathBuf::from("/usr/bin/wrk"), &arguments)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let is_clean = output.status.success() && !text.contains("Socket errors");
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(is_clean, "wrk ends with {}:\n{text}{errors}", output.status);
        let after = |label: &str| {
            let mut words = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix(label));
            words.next().map(str::trim)
        };
        let requests = text
            .lines()
            .find_map(|line| line.trim().split_once(" requests in "))
            .context("no number of requests")?
            .0;
        ensure!(requests != "0", "wrk got no answer");
        Ok(Done {
            requests: requests.parse()?,
            requests_per_s: after("Requests/sec:").context("no rate")?.parse()?,
            p99_ms: milliseconds(after("99%").context("no p99")?)?,
            failed: match after("Non-2xx or 3xx responses:") {
                Some(count) => count.parse()?,
                None => 0.0,
            },
        })
    }
}

/// `12.34ms`, `870.00us` or `1.02s`.
fn milliseconds(text: &str) -> Result<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    for (unit, factor) in units {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<f64>()
        {
            return Ok(number * factor);
        }
    }
    anyhow::bail!("'{text}' is no time")
}
