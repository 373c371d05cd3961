//! `/-/metrics`: the figures for Prometheus, as OpenMetrics 1.0 text.

use std::fmt::{Display, Write};

use super::counters::PHASE_NAMES;
use super::families::FAMILIES;
use super::totals::{Totals, Upstream};

/// The content type that Prometheus recognizes the format by.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text.
pub(crate) fn text(totals: &Totals) -> String {
    let mut out = Text(String::new());
    out.family(
        "gauge",
        "fcgi_proxy_uptime_seconds",
        "Time since the start.",
    );
    out.sample(
        "fcgi_proxy_uptime_seconds",
        &[],
        totals.uptime.as_secs_f64(),
    );
    for family in FAMILIES {
        out.family(family.kind, family.name, family.help);
        let suffix = if family.kind == "counter" {
            "_total"
        } else {
            ""
        };
        let name = format!("{}{suffix}", family.name);
        for (group, number, value) in family.of {
            let labels = [(family.label, *value)];
            let labels = if family.label.is_empty() {
                &labels[..0]
            } else {
                &labels[..]
            };
            out.sample(&name, labels, totals.number(group, number));
        }
    }
    let closed = "fcgi_proxy_connections_closed";
    out.family(
        "counter",
        closed,
        "Connections to applications that were closed.",
    );
    for (reason, count) in totals.groups.get("evictions").into_iter().flatten() {
        out.sample(&format!("{closed}_total"), &[("reason", reason)], count);
    }
    upstreams(&mut out, totals);
    out.0.push_str("# EOF\n");
    out.0
}

/// What is counted for each application. The label is empty for requests that were sent to none.
fn upstreams(out: &mut Text, totals: &Totals) {
    let ended = "fcgi_proxy_upstream_requests_ended";
    out.family(
        "counter",
        ended,
        "Requests to applications that have ended.",
    );
    for (name, upstream) in &totals.upstreams {
        for (outcome, count) in [
            ("completed", upstream.completed),
            ("failed", upstream.failed),
        ] {
            let labels = [("upstream", name.as_str()), ("outcome", outcome)];
            out.sample(&format!("{ended}_total"), &labels, count);
        }
    }
    type Gauge = (&'static str, &'static str, fn(&Upstream) -> u64);
    let gauges: [Gauge; 4] = [
        (
            "fcgi_proxy_upstream_connections",
            "Connections to an application.",
            |it| it.connections,
        ),
        (
            "fcgi_proxy_upstream_idle_connections",
            "Idle connections to an application.",
            |it| it.idle,
        ),
        (
            "fcgi_proxy_upstream_requests",
            "Requests at an application.",
            |it| it.requests,
        ),
        (
            "fcgi_proxy_upstream_set_aside",
            "Loops that send no request to an application, because it cannot be reached or is overloaded.",
            |it| it.set_aside,
        ),
    ];
    for (gauge, help, figure) in gauges {
        out.family("gauge", gauge, help);
        for (name, upstream) in totals.upstreams.iter().filter(|it| !it.0.is_empty()) {
            out.sample(gauge, &[("upstream", name)], figure(upstream));
        }
    }
    let helps = [
        "Time until a request had a connection to an application.",
        "Time until a connection for a request was open.",
        "Time until an application sent the first byte.",
        "Time until an application's request ended.",
    ];
    for (at, (phase, help)) in PHASE_NAMES.iter().zip(helps).enumerate() {
        let family = format!("fcgi_proxy_{phase}_seconds");
        out.family("histogram", &family, help);
        for (name, upstream) in &totals.upstreams {
            let histogram = &upstream.phases[at];
            for (bound, count) in histogram.cumulative() {
                let bound = bound.map_or_else(
                    || "+Inf".to_owned(),
                    |bound| format!("{:?}", bound.as_secs_f64()),
                );
                let labels = [("upstream", name.as_str()), ("le", bound.as_str())];
                out.sample(&format!("{family}_bucket"), &labels, count);
            }
            let labels = [("upstream", name.as_str())];
            out.sample(&format!("{family}_count"), &labels, histogram.count());
            out.sample(
                &format!("{family}_sum"),
                &labels,
                histogram.sum().as_secs_f64(),
            );
        }
    }
}

struct Text(String);

impl Text {
    /// Begins a family. A name that ends in a unit declares the unit.
    fn family(&mut self, kind: &str, name: &str, help: &str) {
        // Writing to memory does not fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if let Some(unit) = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| name.ends_with(unit))
        {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        let mut before = '{';
        for (label, value) in labels {
            let _ = write!(self.0, "{before}{label}=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    letter => self.0.push(letter),
                }
            }
            self.0.push('"');
            before = ',';
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}
