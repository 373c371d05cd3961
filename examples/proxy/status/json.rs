//! `/-/status.json`.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::counters::PHASE_NAMES;
use super::histogram::Histogram;
use super::history::{GAUGE_NAMES, Second, Times};
use super::present::{PresentConnection, PresentRequest};
use super::totals::{Totals, Upstream};

/// The document. `requests` and `connections` are those without progress, longest first.
pub(crate) fn document<'p>(
    totals: &Totals,
    requests: impl Iterator<Item = &'p PresentRequest>,
    connections: impl Iterator<Item = &'p PresentConnection>,
    now: Instant,
) -> String {
    let mut all = json!(totals.groups);
    all["latency"] = latency(totals);
    all["upstreams"] = totals.upstreams.iter().map(upstream).collect();
    all["present"] = json!({
        "requests": requests.map(|it| request(it, now)).collect::<Value>(),
        "connections": connections.map(|it| connection(it, now)).collect::<Value>(),
    });
    all["history"] = history(totals);
    format!("{all}\n")
}

/// For each phase: how many times there were, their sum, and how many were not longer than each bound.
fn latency(totals: &Totals) -> Value {
    let mut all = Map::new();
    for (at, name) in PHASE_NAMES.iter().enumerate() {
        let mut sum = Histogram::default();
        for upstream in totals.upstreams.values() {
            sum.add(&upstream.phases[at]);
        }
        let buckets = sum.cumulative().filter_map(|(bound, count)| {
            bound.map(|bound| json!({"le_s": bound.as_secs_f64(), "count": count}))
        });
        let buckets: Value = buckets.collect();
        let row =
            json!({"count": sum.count(), "sum_s": sum.sum().as_secs_f64(), "buckets": buckets});
        all.insert((*name).to_owned(), row);
    }
    Value::Object(all)
}

fn upstream((name, upstream): (&String, &Upstream)) -> Value {
    let total = upstream.phases[PHASE_NAMES.len() - 1];
    json!({
        // Without an address: the requests that were sent to no application.
        "address": (!name.is_empty()).then_some(name),
        "completed": upstream.completed,
        "failed": upstream.failed,
        "total_s": total.sum().as_secs_f64(),
        "connections": upstream.connections,
        "idle": upstream.idle,
        "requests": upstream.requests,
        "set_aside": upstream.set_aside,
        "problem": upstream.problem,
    })
}

fn request(present: &PresentRequest, now: Instant) -> Value {
    let (info, asker) = (&present.info, present.asker.as_ref());
    let later = now.saturating_duration_since(present.at);
    let seconds = |time: Duration| (time + later).as_secs_f64();
    json!({
        "id": asker.map(|it| &it.id),
        "client": asker.map(|it| &it.client),
        "request": asker.map(|it| &it.line),
        "state": info.state.to_string(),
        "why": present.why(),
        "without_progress_s": seconds(info.since_progress),
        "in_state_s": seconds(info.time_in_state),
        "age_s": seconds(info.age()),
        "upstream": (!present.upstream.is_empty()).then_some(&present.upstream),
        "connection": info.connection.map(|it| it.index()),
        "bytes_sent": info.report.bytes_sent,
        "bytes_received": info.report.bytes_received,
        "bytes_buffered": info.bytes_buffered,
        "retries": info.report.retries,
    })
}

fn connection(present: &PresentConnection, now: Instant) -> Value {
    let info = &present.info;
    let later = now.saturating_duration_since(present.at);
    let seconds = |time: Duration| (time + later).as_secs_f64();
    json!({
        "upstream": present.upstream,
        "connection": info.connection.index(),
        "state": info.state.to_string(),
        "without_activity_s": seconds(info.since_activity),
        "age_s": seconds(info.age),
        "requests": info.requests,
        "max_requests": info.max_requests,
        "served": info.served,
        "bytes_sent": info.bytes_sent,
        "bytes_unsent": info.bytes_unsent,
        "bytes_received": info.bytes_received,
        "bytes_buffered": info.bytes_buffered,
        "closes": info.close_reason.map(|it| it.to_string()),
    })
}

/// A number for each of the last seconds, oldest first.
fn history(totals: &Totals) -> Value {
    let each =
        |figure: &dyn Fn(&Second) -> Value| totals.seconds.iter().map(figure).collect::<Value>();
    let mut all = Map::new();
    all.insert("end_s".to_owned(), json!(totals.uptime.as_secs()));
    all.insert("responses".to_owned(), each(&|it| json!(it.answered)));
    all.insert("errors".to_owned(), each(&|it| json!(it.errors)));
    for (at, name) in GAUGE_NAMES.iter().enumerate() {
        all.insert((*name).to_owned(), each(&|it| json!(it.gauges[at])));
    }
    for (at, name) in PHASE_NAMES.iter().enumerate() {
        let mean = each(&|it| mean_ms(it.phases[at]));
        let longest = each(&|it| ms(it.longest[at] as f64, it.phases[at].count));
        all.insert(format!("{name}_mean_ms"), mean);
        all.insert(format!("{name}_longest_ms"), longest);
    }
    let upstreams = totals
        .upstreams
        .iter()
        .filter(|it| !it.1.seconds.is_empty());
    let upstreams = upstreams.map(|(name, upstream)| {
        let each = |figure: fn(&(Times, u64)) -> Value| {
            upstream.seconds.iter().map(figure).collect::<Value>()
        };
        json!({
            "address": (!name.is_empty()).then_some(name),
            "requests": each(|it| json!(it.0.count)),
            "failed": each(|it| json!(it.1)),
            "total_mean_ms": each(|it| mean_ms(it.0)),
        })
    });
    all.insert("upstreams".to_owned(), upstreams.collect());
    Value::Object(all)
}

fn mean_ms(times: Times) -> Value {
    ms(times.sum as f64 / times.count as f64, times.count)
}

/// Nanoseconds as milliseconds, to a hundredth. `null` if there was nothing to measure.
fn ms(nanos: f64, count: u64) -> Value {
    match count {
        0 => Value::Null,
        _ => json!((nanos / 1e4).round() / 100.0),
    }
}
