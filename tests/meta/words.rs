//! Words and names that were given up: none comes back into the sources, the tests or the documents.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// This file spells the retired words, and is not read.
const OWN: &str = "tests/meta/words.rs";

/// What else stays unread: the output of builds and of the fuzzer, and lists of other crates' names.
const UNREAD: [&str; 4] = ["target", "artifacts", "coverage", "Cargo.lock"];

/// Names of others that have a retired word in them.
const FOREIGN: [&str; 2] = ["octet-stream", "octet_stream"];

/// Retired wherever they are found, in capitals, plurals and longer names too; and what to say instead.
const PARTS: [(&str, &str); 8] = [
    (concat!("oct", "et"), "byte"),
    ("guest", "client, or embedded"),
    ("patience", "connect_retry_timeout"),
    ("yield_after", "preempt_idle_after"),
    ("habits", "Quirks"),
    ("quarrel", "close_if_unsolicited"),
    ("roomy", "shareable, has_free_slot"),
    ("woven", "inlined"),
];

/// Retired as whole names, written exactly like this; and what to say instead.
const NAMES: [(&str, &str); 82] = [
    // The configuration.
    ("Limits::max_connections", "max_connections_per_server"),
    ("limits.max_connections", "max_connections_per_server"),
    ("Limits::max_idle", "max_idle_per_server"),
    ("limits.max_idle", "max_idle_per_server"),
    ("Limits::min_idle", "min_idle_per_server"),
    ("limits.min_idle", "min_idle_per_server"),
    ("max_queue", "max_queued_requests"),
    ("max_age", "max_lifetime"),
    ("Timeouts::silence", "between_bytes"),
    ("timeouts.silence", "between_bytes"),
    ("Stall", "PauseBuffer"),
    ("config.stall", "pause_buffer"),
    ("Config::stall", "pause_buffer"),
    ("AtLimit", "OverflowPolicy"),
    ("Backoff::first", "initial"),
    ("Backoff::longest", "max"),
    // Errors, ends and figures.
    ("TimeoutKind::Silence", "BetweenBytes"),
    ("MaxAge", "MaxLifetime"),
    ("Yielded", "Preempted"),
    ("Stalled", "PauseBufferFull"),
    ("IfNotSent", "IfNotProcessed"),
    ("NotSent", "NotProcessed"),
    ("MaybeSent", "MaybeProcessed"),
    ("LostReason", "ConnectionLostReason"),
    ("RequestError::Lost", "ConnectionLost"),
    ("ConnectError::Busy", "BacklogFull"),
    ("ProtocolError::Direction", "UnexpectedRecord"),
    ("ProtocolError::OutOfTurn", "Unsolicited"),
    ("CloseReason::OutOfTurn", "UnsolicitedData"),
    ("CloseReason::Stray", "LateRecord"),
    ("KeepOff", "KeepAliveOff"),
    ("ParamTooLarge", "PairTooLarge"),
    ("Phase::Collecting", "Buffering"),
    ("Phase::Waiting", "Queued"),
    ("RequestGauges::collecting", "buffering"),
    ("RequestGauges::waiting", "queued"),
    ("RequestGauges::holding", "draining"),
    ("Report::sent", "bytes_sent"),
    ("Report::received", "bytes_received"),
    ("Timings::assigned", "queued"),
    ("Timings::connecting", "connect"),
    ("Timings::end", "total"),
    ("bytes_held", "bytes_buffered"),
    // `cgi` and `testkit`.
    ("ResponseError::Cut", "Truncated"),
    ("ResponseError::Inconsistent", "LengthMismatch"),
    ("Response::discarded", "stdout_discarded"),
    ("stderr_dropped", "stderr_discarded"),
    ("is_host", "is_valid_host"),
    ("cgi::Forbidden", "ForbiddenReason"),
    ("cgi::Invalid", "InvalidTarget"),
    ("testkit::Wire", "Link"),
    ("Wire::", "Link"),
    ("testkit::Script", "Behavior"),
    ("testkit::Received", "ReceivedRequest"),
    // Options of the examples.
    ("--grace", "--shutdown-timeout"),
    ("--keep-alive", "--keepalive-timeout"),
    ("--head-timeout", "--header-timeout"),
    ("--clients", "--max-clients"),
    ("--links-to", "--allow-symlinks-into"),
    // Inside.
    ("may_hope_for", "should_dial"),
    ("prospects", "expected_slots"),
    ("takes_more", "has_free_slot"),
    ("Placement::Behind", "Placement::UseBlocked"),
    ("Placement::Nowhere", "Placement::None"),
    ("held.rs", "output_buffer.rs"),
    ("facts.rs", "driver.rs"),
    ("Spares", "BufferPool"),
    ("more_read", "has_unparsed_input"),
    ("blind_until", "failure_epoch"),
    ("aside_until", "backoff_until"),
    ("answer_time", "mean_first_byte"),
    ("unasked", "unprobed"),
    ("asked_by", "probe_request"),
    ("Sharing::Asking", "Multiplexing::Probing"),
    ("Sharing::Plain", "Multiplexing::Single"),
    ("Sharing::Upto", "Multiplexing::Limited"),
    ("wrong_way", "unexpected_direction"),
    ("end_with_event", "finish"),
    ("end_event", "finish"),
    ("end_received", "finish"),
    ("end_dry", "finish"),
    ("far_side", "application_side"),
];

#[test]
fn no_retired_word_comes_back() {
    let files = files();
    assert!(files.len() > 400, "{} files", files.len());
    let hits: Vec<_> = files.iter().flat_map(|it| hits(&it.0, &it.1)).collect();
    assert!(hits.is_empty(), "{hits:#?}");
}

/// A link keeps working when its target is renamed, and its text goes on to show the old name.
#[test]
fn the_text_of_a_link_is_the_name_of_its_target() {
    let files = files();
    let links: Vec<_> = files.iter().flat_map(|it| links(&it.0, &it.1)).collect();
    assert!(links.len() > 50, "{} links", links.len());
    let stale: Vec<_> = links.into_iter().filter(|it| it.1 != it.2).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

#[test]
fn a_retired_word_is_seen_in_whatever_form() {
    for text in [
        concat!("the first Oct", "ets"),
        "let first_octet = 1;",
        "FirstOctet",
        "OCTETS_LEN",
        "two guests",
        "enum LostReason {}",
        "Delivery::NotSent,",
        "`--grace`",
        "--keep-alive=5",
        "it.limits.max_idle = 1",
        "use mio_fcgi::testkit::Wire;",
    ] {
        let found = hits("src/a.rs", &format!("fn\n\n{text}\n"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
    }
    assert_eq!(
        hits("src/a.rs", concat!("one\nan oct", "et")),
        [concat!("src/a.rs:2: oct", "et is retired, say: byte")]
    );
}

#[test]
fn a_longer_name_and_a_name_of_others_are_not_a_retired_word() {
    for text in [
        "ConnectionLostReason",
        "max_queued_requests",
        "limits.max_idle_per_server",
        "--max-idle",
        "--max-clients --clients-of-mine",
        "Connection: keep-alive",
        "application/octet-stream",
        "mime.first_or_octet_stream()",
    ] {
        assert!(hits("src/a.rs", text).is_empty(), "{text}");
    }
}

#[test]
fn a_table_of_the_changelog_may_name_what_was_renamed() {
    let text = "| `first_octet` | `first_byte` |\n- first_octet\n";
    assert_eq!(hits("CHANGELOG.md", text).len(), 1);
    assert_eq!(hits("README.md", text).len(), 2);
}

#[test]
fn a_link_with_another_text_is_seen() {
    let text = "[`Lost`](RequestError::ConnectionLost) [`End`](Event::End) [`the end`](Event::End)\n[`a`](b.md)";
    let found = links("a.md", text);
    let shown: Vec<_> = found.iter().map(|it| (it.1, it.2)).collect();
    assert_eq!(shown, [("Lost", "ConnectionLost"), ("End", "End")]);
}

/// The retired words in a text, with what to say instead.
fn hits(path: &str, text: &str) -> Vec<String> {
    let low = text.to_ascii_lowercase();
    // Most texts have none at all, and are not read line by line. What is rare in a name is its last word.
    let words: HashSet<&str> = text.split(|it| !is_open(it)).collect();
    let last = |name: &'static str| name.split(|it| !is_open(it)).rfind(|it| !it.is_empty());
    let parts: Vec<_> = PARTS.iter().filter(|it| low.contains(it.0)).collect();
    let names: Vec<_> = NAMES
        .iter()
        .filter(|it| last(it.0).is_some_and(|it| words.contains(it)))
        .collect();
    let is_row = |line: &str| path == "CHANGELOG.md" && line.starts_with('|');
    let mut hits = Vec::new();
    if parts.is_empty() && names.is_empty() {
        return hits;
    }
    for (at, (line, low)) in text.lines().zip(low.lines()).enumerate() {
        if is_row(line) {
            continue;
        }
        let own = || {
            FOREIGN
                .iter()
                .fold(low.to_owned(), |it, foreign| it.replace(foreign, ""))
        };
        let parts = parts.iter().filter(|it| own().contains(it.0));
        let names = names.iter().filter(|it| has_name(line, it.0));
        for (word, instead) in parts.chain(names) {
            let at = at + 1;
            hits.push(format!("{path}:{at}: {word} is retired, say: {instead}"));
        }
    }
    hits
}

/// Whether a line has a name that is not part of a longer one.
fn has_name(line: &str, name: &str) -> bool {
    let is_option = name.starts_with("--");
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].chars().next();
        let goes_on = |it| is_open(it) || (is_option && it == '-');
        let is_preceded = name.starts_with(is_open) && before.is_some_and(is_open);
        let is_followed = name.ends_with(is_open) && after.is_some_and(goes_on);
        !is_preceded && !is_followed
    })
}

/// Whether a name goes on with this.
fn is_open(it: char) -> bool {
    it == '_' || it.is_alphanumeric()
}

/// The links of a text from one name to an item: where, the name shown and the last name of the target.
fn links<'a>(path: &str, text: &'a str) -> Vec<(String, &'a str, &'a str)> {
    let is_name = |it: &str| it.chars().all(|it| it == ':' || is_open(it));
    let last = |it: &'a str| it.rsplit("::").next().unwrap_or(it);
    let mut links = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for piece in line.split("[`").skip(1) {
            let Some((shown, rest)) = piece.split_once("`](") else {
                continue;
            };
            let Some((target, _)) = rest.split_once(')') else {
                continue;
            };
            let shown = shown.trim_end_matches("()");
            if is_name(shown) && is_name(target) {
                links.push((format!("{path}:{}", at + 1), last(shown), last(target)));
            }
        }
    }
    links
}

/// By path: each text of the repository in which a word may come back.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["src", "examples", "tests"] {
        find(&root.join(folder), &mut paths);
    }
    paths.sort();
    let texts = paths.iter().filter_map(|path| {
        // Inputs of the fuzzer are no texts.
        let text = String::from_utf8(fs::read(path).expect("a file")).ok()?;
        let path = path.strip_prefix(root).expect("below the root");
        Some((path.to_string_lossy().replace('\\', "/"), text))
    });
    texts.filter(|it| it.0 != OWN).collect()
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if UNREAD.iter().any(|it| path.ends_with(it)) {
            continue;
        }
        match path.is_dir() {
            true => find(&path, paths),
            false => paths.push(path),
        }
    }
}
