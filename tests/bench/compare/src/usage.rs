//! What this process, which has one thread, has used.

use std::time::Duration;

use anyhow::{Context, Result};

/// User and system, to the nanosecond.
pub(crate) fn cpu_time() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos = text.split_whitespace().next().context("schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// The most resident memory, in KiB.
pub(crate) fn peak_kib() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.context("VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kib.parse()?)
}
