//! `/-/metrics`: the figures for Prometheus, as OpenMetrics 1.0 text.

use std::fmt::{Display, Write};

use super::counters::PHASE_NAMES;
use super::totals::{Totals, Upstream};

/// The content type that Prometheus recognizes the format by.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A family of numbers: its name, its help, its label, and the value of the label for each group and name.
struct Family {
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    of: &'static [(&'static str, &'static str, &'static str)],
}

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

const FAMILIES: &[Family] = &[
    Family {
        kind: "gauge",
        name: "fcgi_proxy_clients",
        help: "Connections of HTTP clients.",
        label: "",
        of: &[("server", "clients", "")],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_clients_refused",
        help: "Connections of HTTP clients that were refused for --max-per-address.",
        label: "",
        of: &[("server", "refused", "")],
    },
    Family {
        kind: "gauge",
        name: "fcgi_proxy_kept_bytes",
        help: "Bytes of bodies and responses that are kept for clients.",
        label: "where",
        of: &[("kept", "memory", "memory"), ("kept", "disk", "disk")],
    },
    Family {
        kind: "gauge",
        name: "fcgi_proxy_kept_files",
        help: "Temporary files that are open.",
        label: "",
        of: &[("kept", "files", "")],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_responses",
        help: "Responses to HTTP requests.",
        label: "class",
        of: &[
            ("responses", "1xx", "1xx"),
            ("responses", "2xx", "2xx"),
            ("responses", "3xx", "3xx"),
            ("responses", "4xx", "4xx"),
            ("responses", "5xx", "5xx"),
        ],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_response_body_bytes",
        help: "Bytes of response bodies that were sent to clients.",
        label: "",
        of: &[("responses", "body_bytes", "")],
    },
    Family {
        kind: "gauge",
        name: "fcgi_proxy_requests",
        help: "Requests to applications.",
        label: "state",
        of: &[
            ("requests", "queued", "queued"),
            ("requests", "connecting", "connecting"),
            ("requests", "in_flight", "in_flight"),
            ("requests", "aborting", "aborting"),
        ],
    },
    Family {
        kind: "gauge",
        name: "fcgi_proxy_paused_requests",
        help: "Requests whose client does not read the response.",
        label: "",
        of: &[("requests", "paused", "")],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_requests_submitted",
        help: "Requests that were accepted for an application.",
        label: "",
        of: &[("requests", "submitted", "")],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_retries",
        help: "Requests that were sent again.",
        label: "",
        of: &[("requests", "retries", "")],
    },
    Family {
        kind: "gauge",
        name: "fcgi_proxy_connections",
        help: "Connections to applications.",
        label: "state",
        of: &[
            ("pool", "connecting", "connecting"),
            ("pool", "probing", "probing"),
            ("pool", "idle", "idle"),
            ("pool", "busy", "busy"),
            ("pool", "draining", "draining"),
        ],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_connects",
        help: "Connects to applications.",
        label: "result",
        of: &[
            ("pool", "connected", "connected"),
            ("pool", "connect_failures", "failed"),
            ("pool", "backlog_full", "backlog_full"),
            ("pool", "shortages", "shortage"),
        ],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_upstream_sent_bytes",
        help: "Bytes that were sent to applications.",
        label: "",
        of: &[("bytes", "sent", "")],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_upstream_received_bytes",
        help: "Bytes that were received from applications.",
        label: "",
        of: &[("bytes", "received", "")],
    },
    Family {
        kind: "counter",
        name: "fcgi_proxy_protocol_errors",
        help: "Connections that were closed because an application broke the protocol.",
        label: "",
        of: &[("bytes", "protocol_errors", "")],
    },
];
