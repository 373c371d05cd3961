//! What is sent: correct requests, and anything that shows how applications differ.

use mio_fcgi::testkit::Records;
use mio_fcgi::wire::{RecordType, Role, write_pair};

/// A part of a conversation: what to send, after which the application's answer is waited for.
pub(super) type Part = Vec<u8>;

/// A conversation on a connection of its own.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) parts: Vec<Part>,
}

const BODY: &[u8] = b"0123456789";

/// How a request names an application's page.
#[derive(Clone, Copy)]
pub(super) struct Pages {
    /// The directory of its scripts; `None` if it chooses by the path.
    pub(super) script: fn(&str) -> Option<String>,
}

impl Pages {
    fn params(self, uri: &str, len: Option<usize>) -> Vec<(String, String)> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let method = if len.is_some() { "POST" } else { "GET" };
        let mut params: Vec<(String, String)> = [
            ("REQUEST_METHOD", method),
            ("REQUEST_URI", uri),
            ("SCRIPT_NAME", path),
            ("QUERY_STRING", query),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", "80"),
            ("HTTP_HOST", "localhost"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some(script) = (self.script)(path) {
            params.push(("SCRIPT_FILENAME".into(), script));
        }
        if let Some(len) = len {
            params.push(("CONTENT_LENGTH".into(), len.to_string()));
            params.push(("CONTENT_TYPE".into(), "application/octet-stream".into()));
        }
        params
    }

    /// BEGIN and PARAMS.
    fn head(self, id: u16, role: Role, keep: bool, uri: &str, len: Option<usize>) -> Records {
        let params = self.params(uri, len);
        let pairs: Vec<(&str, &str)> = params.iter().map(|(n, v)| (&**n, &**v)).collect();
        let begun = Records::new().begin(id, role, keep);
        begun.params(id, &pairs).params_end(id)
    }

    /// A whole request that keeps its connection.
    fn get(self, id: u16, uri: &str) -> Records {
        self.head(id, Role::Responder, true, uri, None)
            .stdin_end(id)
    }

    fn echo_head(self, id: u16, len: usize) -> Records {
        self.head(id, Role::Responder, true, "/echo", Some(len))
    }

    fn post(self, id: u16) -> Records {
        self.echo_head(id, 10).stdin(id, BODY).stdin_end(id)
    }
}

const VALUES: [&str; 3] = ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"];
const UNASSIGNED: RecordType = RecordType::Unassigned(77);

/// All conversations.
pub(super) fn scenarios(pages: Pages) -> Vec<Scenario> {
    let mut all = usual(pages);
    all.extend(management(pages));
    all.extend(sharing(pages));
    all.extend(bodies(pages));
    all.extend(records_of_all_kinds(pages));
    all
}

fn scenario(name: &'static str, parts: impl IntoIterator<Item = Records>) -> Scenario {
    let parts = parts.into_iter().map(Records::into_bytes).collect();
    Scenario { name, parts }
}

fn usual(it: Pages) -> Vec<Scenario> {
    let not_kept = |uri, len| it.head(1, Role::Responder, false, uri, len);
    vec![
        scenario(
            "two requests in turn",
            [it.post(1), it.get(1, "/slow?ms=1")],
        ),
        scenario(
            "a request not to be kept",
            [not_kept("/echo", Some(10)).stdin(1, BODY).stdin_end(1)],
        ),
        scenario(
            "output and errors",
            [it.get(1, "/stderr"), it.get(1, "/stderr")],
        ),
        scenario("two in one write", [it.post(1).then(&it.post(2))]),
        scenario("an unknown role", {
            let mut bytes = it.get(1, "/slow?ms=1").into_bytes();
            bytes[9] = 9;
            [Records::new().raw(&bytes), it.post(2)]
        }),
        scenario(
            "an authorizer",
            [it.head(1, Role::Authorizer, true, "/slow?ms=1", None)
                .stdin_end(1)],
        ),
        scenario("a filter", {
            let request = it.head(1, Role::Filter, true, "/echo", Some(10));
            let request = request.stdin(1, BODY).stdin_end(1);
            let data =
                request
                    .record(RecordType::Data, 1, BODY, 6)
                    .record(RecordType::Data, 1, &[], 0);
            [data, it.post(2)]
        }),
    ]
}

fn management(it: Pages) -> Vec<Scenario> {
    let unpadded = |name: &str| {
        let mut content = Vec::new();
        write_pair(&mut content, name.as_bytes(), b"").expect("it is short");
        Records::new().record(RecordType::GetValues, 0, &content, 0)
    };
    vec![
        scenario("values", [Records::new().get_values(&VALUES), it.post(1)]),
        scenario("values without padding", [unpadded(VALUES[2]), it.post(1)]),
        scenario(
            "values and a request in one write",
            [Records::new().get_values(&VALUES).then(&it.post(1))],
        ),
        scenario(
            "values of other names",
            [Records::new().get_values(&["SOMETHING"]), it.post(1)],
        ),
        scenario(
            "values without names",
            [
                Records::new().record(RecordType::GetValues, 0, &[], 8),
                it.post(1),
            ],
        ),
        scenario("values during a body", {
            let start = it.echo_head(1, 10).stdin(1, &BODY[..5]);
            let rest = Records::new()
                .get_values(&VALUES)
                .stdin(1, &BODY[5..])
                .stdin_end(1);
            [start, rest, it.post(2)]
        }),
        scenario(
            "an unknown management record",
            [Records::new().record(UNASSIGNED, 0, b"what", 4), it.post(1)],
        ),
        scenario(
            "an unknown management record without content",
            [Records::new().record(UNASSIGNED, 0, &[], 0), it.post(1)],
        ),
        scenario("an unknown record of a request", {
            let start = it.echo_head(1, 10).record(UNASSIGNED, 1, b"what", 4);
            [start.stdin(1, BODY).stdin_end(1), it.post(2)]
        }),
    ]
}

fn sharing(it: Pages) -> Vec<Scenario> {
    let head = |uri| it.head(1, Role::Responder, true, uri, Some(10));
    let start = |uri| head(uri).stdin(1, &BODY[..5]);
    let rest = || Records::new().stdin(1, &BODY[5..]).stdin_end(1);
    let abort = || Records::new().abort(1);
    let not_kept = |id, uri| {
        let head = it.head(id, Role::Responder, false, uri, None);
        head.stdin_end(id)
    };
    vec![
        scenario(
            "a second begin during a body",
            [start("/echo"), it.post(2), rest(), it.post(3)],
        ),
        scenario(
            "a second begin while the first runs",
            [it.get(1, "/slow?ms=300").then(&Records::new()), it.post(2)],
        ),
        scenario("the same ID during a body", [start("/echo"), it.post(1)]),
        scenario("an abort before the end of the parameters", {
            let begun = Records::new().begin(1, Role::Responder, true);
            [begun.abort(1), it.post(2)]
        }),
        scenario(
            "an abort during a body",
            [start("/echo"), abort(), it.post(2)],
        ),
        scenario(
            "an abort during a body that nobody reads",
            [start("/slow?ms=1"), abort(), it.post(2)],
        ),
        scenario("an abort of what runs", {
            [it.get(1, "/slow?ms=600").abort(1), it.post(2)]
        }),
        scenario(
            "an abort of an unknown ID",
            [Records::new().abort(9), it.post(1)],
        ),
        scenario(
            "two not to be kept",
            [not_kept(1, "/slow?ms=600").then(&not_kept(2, "/slow?ms=1"))],
        ),
    ]
}

fn bodies(it: Pages) -> Vec<Scenario> {
    let head = |uri, len| it.head(1, Role::Responder, true, uri, len);
    let ended = |head: Records| head.stdin_end(1);
    vec![
        scenario(
            "no record of the body",
            [head("/slow?ms=1", None), it.post(2)],
        ),
        scenario(
            "the end of the body late",
            [
                it.echo_head(1, 10).stdin(1, BODY),
                Records::new().stdin_end(1),
                it.post(2),
            ],
        ),
        scenario(
            "two ends of the body",
            [it.post(1).stdin_end(1), it.post(2)],
        ),
        scenario(
            "a body too short",
            [
                it.echo_head(1, 10).stdin(1, &BODY[..5]).stdin_end(1),
                it.post(2),
            ],
        ),
        scenario(
            "a body too long",
            [ended(it.echo_head(1, 5).stdin(1, BODY)), it.post(2)],
        ),
        scenario(
            "a body of no length",
            [ended(head("/echo", None).stdin(1, BODY)), it.post(2)],
        ),
        scenario("an answer before the body", {
            let start = head("/slow?ms=1", Some(10)).stdin(1, &BODY[..5]);
            let rest = Records::new().stdin(1, &BODY[5..]).stdin_end(1);
            [start, rest, it.post(2)]
        }),
        scenario(
            "a body that nobody reads",
            [
                ended(head("/slow?ms=1", Some(10)).stdin(1, BODY)),
                it.post(2),
            ],
        ),
        scenario("a body of another's ID", {
            let mixed = it.echo_head(1, 10).stdin(9, BODY);
            [
                mixed,
                Records::new().stdin(1, BODY).stdin_end(1),
                it.post(2),
            ]
        }),
    ]
}

fn records_of_all_kinds(it: Pages) -> Vec<Scenario> {
    let of_version = |records: Records, version: u8| {
        let mut bytes = records.into_bytes();
        let mut at = 0;
        while at < bytes.len() {
            bytes[at] = version;
            let content = u16::from_be_bytes([bytes[at + 4], bytes[at + 5]]);
            at += 8 + usize::from(content) + usize::from(bytes[at + 6]);
        }
        Records::new().raw(&bytes)
    };
    let pair = |len: usize| {
        let mut pair = Vec::new();
        write_pair(&mut pair, b"FILLING", &vec![b'x'; len]).expect("it fits");
        pair
    };
    // In front of the request's own parameters.
    let with_params = |id: u16, params: Records| {
        let head = it.post(id).into_bytes();
        Records::new()
            .raw(&head[..16])
            .then(&params)
            .then(&Records::new().raw(&head[16..]))
    };
    let record =
        |content: &[u8], padding| Records::new().record(RecordType::Params, 1, content, padding);
    let split = pair(2000);
    let split_path = {
        let mut params = it.params("/slow?ms=1", None);
        params.retain(|(name, _)| !matches!(&**name, "REQUEST_URI" | "SCRIPT_NAME"));
        let pairs: Vec<(&str, &str)> = params.iter().map(|(n, v)| (&**n, &**v)).collect();
        let mut path = Vec::new();
        write_pair(&mut path, b"REQUEST_URI", b"/slow?ms=1").expect("it is short");
        let (first, rest) = path.split_at(16);
        let head = Records::new()
            .begin(1, Role::Responder, true)
            .params(1, &pairs);
        let both = record(first, 0).then(&record(rest, 0));
        head.then(&both).params_end(1).stdin_end(1)
    };
    vec![
        scenario("version 2", [of_version(it.post(1), 2), it.post(2)]),
        scenario("version 0", [of_version(it.post(1), 0), it.post(2)]),
        scenario("ID 0", [it.post(0), it.post(2)]),
        scenario("ID 65535", [it.post(65_535), it.post(256)]),
        scenario("a pair over two records", {
            let both = record(&split[..1000], 0).then(&record(&split[1000..], 3));
            [with_params(1, both), it.post(2)]
        }),
        scenario("the path over two records", [split_path]),
        scenario("whole pairs in many records", {
            let many = (0..40).fold(Records::new(), |all, _| all.then(&record(&pair(7000), 1)));
            [with_params(1, many), it.post(2)]
        }),
        scenario(
            "padding of 255",
            [with_params(1, record(&pair(2000), 255)), it.post(2)],
        ),
        scenario("content and padding of 65,535", {
            [with_params(1, record(&pair(65_528 - 12), 7)), it.post(2)]
        }),
        scenario("content and padding above 65,535", {
            [with_params(1, record(&pair(65_528 - 12), 255)), it.post(2)]
        }),
        scenario("a record that only applications send", {
            [
                it.echo_head(1, 10).end(1, 0).stdin(1, BODY).stdin_end(1),
                it.post(2),
            ]
        }),
    ]
}
