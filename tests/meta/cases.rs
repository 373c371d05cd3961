//! The edge cases of a FastCGI client, numbered, and the test that proves each: `tests/cases.md`.
//!
//! A test claims cases with a comment on the line before its attributes or in its body: `// case 7`, or
//! `// cases 7, 8`. The tests here fail when a case has no test and `UNPROVEN` does not admit it, when a case that it
//! lists has one, when a comment names no case, and when `tests/cases.md` is not what the comments say;
//! `UPDATE_CASES=1 cargo test --test meta` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What each case is about; the first is case 1.
const CASES: &[&str] = &[
    "any cut of the same bytes gives the same events",
    "padding of 0 to 255 bytes, on every record",
    "a version other than 1, HTTP named as such",
    "FCGI_END_REQUEST for an ID never used",
    "output for an ID never used",
    "records for a quarantined ID",
    "records for an ID after its end",
    "a second end for an ID",
    "bytes on a connection without a request",
    "management records nobody asked for",
    "a record of an unassigned type for a live ID",
    "output with request ID 0",
    "records that only a Web server sends",
    "an end body shorter than 8 bytes",
    "an end body longer than 8 bytes",
    "reserved bytes of an end that are not zero",
    "an application status that is not 0",
    "an undefined protocol status",
    "empty stderr records around the output",
    "stderr after the end of stdout",
    "stdout after the end of stdout",
    "16 MB in records of one byte",
    "a record of 65,535 bytes with 255 of padding",
    "readiness left over by a budget is taken up again",
    "the end without any output",
    "the end in the middle of a head",
    "the connection lost in the middle of a head",
    "every spelling of Status",
    "a Status that is no status",
    "neither Status nor Location",
    "Location alone",
    "a local Location",
    "a head that begins with an HTTP status line",
    "an interim head before the final one",
    "line ends of LF, CRLF and both",
    "a head cut between its last two line ends",
    "no head at all",
    "a head above its limit",
    "repeated fields",
    "Content-Length twice",
    "a Content-Length that is no length",
    "a blank before the colon, an empty name",
    "NUL and bare CR in a value",
    "Transfer-Encoding from the application",
    "a body where none may be",
    "folded lines",
    "head, body and end in one read",
    "lost after some of the body",
    "lost after the end of stdout",
    "lost with Content-Length delivered",
    "lost short of Content-Length",
    "the end short of Content-Length",
    "a body longer than Content-Length",
    "a reset after a complete end",
    "a reset before the first byte, reused connection",
    "a reset before the first byte, fresh connection",
    "closed before the first byte, fresh connection, request sent",
    "closed with half of the request sent, reused connection",
    "FCGI_CANT_MPX_CONN",
    "FCGI_OVERLOADED",
    "FCGI_UNKNOWN_ROLE",
    "a refusal after some output",
    "connect refused by the first server",
    "connect refused by all servers",
    "retries end with the total time limit",
    "what must not run twice is not sent twice",
    "no pair straddles two records",
    "content and padding within 65,535 bytes",
    "a pair above a record's limit",
    "lengths of names and values at their borders",
    "300 KB of parameters",
    "order and duplicates of parameters",
    "the empty PARAMS record, once",
    "the empty STDIN record, once",
    "bodies of 65,535 to 65,537 bytes",
    "an answer while the body is being sent",
    "EPIPE with an answer in the socket",
    "an application that neither reads nor writes",
    "a body short of its length",
    "a body beyond its length",
    "a body of unknown length",
    "a partial write at any byte",
    "a large upload beside another request's parameters",
    "no sharing and no pipelining without proof",
    "a shared connection is always kept",
    "ends out of order",
    "one slow consumer among others",
    "IDs of aborted and early-ended requests stay unused",
    "all request IDs used",
    "a connection lost with five requests",
    "a time-out on a shared connection",
    "FCGI_GET_VALUES carries padding",
    "no answer to FCGI_GET_VALUES",
    "closed after FCGI_GET_VALUES",
    "FCGI_UNKNOWN_TYPE for FCGI_GET_VALUES",
    "an empty result, and two results",
    "values that are no numbers, zero, huge",
    "MAX_CONNS and MAX_REQS of one process",
    "an idle connection that closes or speaks",
    "idle time from the end, last used first",
    "caps while connecting",
    "queue full, queue wait over",
    "cancel in every phase",
    "abort alone on a connection closes it",
    "keep off: closed by us after the end",
    "a full Unix backlog",
    "independent time limits, each its own kind",
    "no stray time-out for a slot's next owner",
    "the most requests of a connection",
    "shut-down drains and reports once",
    "a client dropped with requests in flight",
    "a clock that goes back, a tick that is late",
    "the field Proxy",
    "a field with underscores beside one with hyphens",
    "Content-Length and Content-Type fields",
    "field names that are no names",
    "fields that repeat",
    "NUL, CR and LF in path, script, query",
    "the split on .php",
    "the embedder's parameters win over fields",
    "credentials are not logged",
    "an idle connection whose close is announced and not read yet",
    "an end that stops at the edge of the read buffer, with more in the socket",
    "output of an earlier request before a byte of the next one left",
    "output of an earlier request after the next one began, and an application that knows only ID 1",
    "a request that may not run twice, on a reused connection",
    "a worker killed long after it got the request",
    "a POST and a GET on a stale connection",
    "a body still in memory when its connection is lost",
    "descriptors or ports run out",
    "the first of several addresses does not answer",
    "one connect that hangs",
    "a retried request that only a fresh connection may serve, at the front of the queue",
    "the write limit beside a neighbour's bytes, and while paused",
    "StdinReady after a write that took less",
    "every limit at zero and at its greatest",
    "the connect retry limit ends on time",
    "a process that was stopped beyond a limit",
    "a thousand bodies that fail at once",
    "a write that fails with nothing left to read",
    "reads cut short, and selectors that are not edge-triggered",
    "min_idle_per_server on a client that has done nothing yet",
    "the application's limits hold over all its connections",
    "shutdown waits for sockets, not for padding",
    "a refused request gives its body back unread",
    "requests whose connection is being opened are not queued",
    "one read buffer and two clients, and scratch memory that is too small",
    "a write handed to the kernel and not reported yet",
    "a name or a value of 2^31 bytes",
    "servers change while requests are in flight",
    "a GET whose worker dies before output runs once more at most",
    "files and scripts that appear or go are seen by the next request",
    "as many slow uploads as workers",
    "as many slow readers of large responses as workers",
    "a route with a segment that begins with a dot and is no file",
    "a liveness probe of a small pool beside an idle proxy",
    "a target that is a URI with https",
    "X-Accel-Redirect and X-Sendfile",
    "PUT and POST with a declared length of 0",
    "a name with two addresses and --max-conns",
    "405 and what Allow lists",
    "addresses and schemes from a trusted proxy in front, and from nobody else",
    "an application at the root or below a prefix",
    "files here, scripts at another path of the application's",
    "a release that is switched by a symbolic link",
    "directories in which nothing is run",
    "php-fpm's status and ping pages",
    "a client that half-closes after its request",
    "more requests on a shared connection than one constant allows",
    "an application that dies of FCGI_GET_VALUES",
    "a chunk line with blanks before an extension",
    "a target with an empty path and a query",
    "a Transfer-Encoding that does not end in one chunked",
    "malformed request lines, and versions above 1.1",
    "credentials twice, folded fields, the limits of a head",
    "an application that goes on after a response that is complete",
    "a file that is swapped for a link out of the root",
    "slow downloads and the limit of descriptors",
    "crowds that each send much of a head or a body",
    "bodies on disk have a bound on their sum",
    "a proxy that runs as root",
    "what lies outside of a root behind a link",
    "names that Windows reads in another way, in a remote map",
    "the status page under a foreign host",
    "terminal escapes in the lines of get",
    "the log lines of one request, and an application's stderr without end",
    "links to hidden files, and sources under other names",
    "one endless stream among others on a connection of the responder",
];

/// Cases that no test claims yet. Strike a number when its test comes: an entry that is out of date fails.
const UNPROVEN: &[usize] = &[];

/// The tests that claim each case, as `file::function`.
fn claims() -> BTreeMap<usize, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(&root.join(folder), &mut files);
    }
    files.sort();
    let mut claims: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for file in files
        .iter()
        .filter(|file| !file.ends_with("tests/meta/cases.rs"))
    {
        let text = fs::read_to_string(file).expect("a source file of this crate");
        let name = file
            .strip_prefix(root)
            .unwrap_or(file)
            .display()
            .to_string();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            for case in claimed(line) {
                let test = test_of(&lines, index)
                    .filter(|test| is_test(&lines, test))
                    .unwrap_or_else(|| panic!("{name}:{}: a claim outside a test", index + 1));
                let tests = claims.entry(case).or_default();
                let test = format!("{name}::{test}");
                if !tests.contains(&test) {
                    tests.push(test);
                }
            }
        }
    }
    claims
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of this crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The numbers of a comment such as `// case 1`, `// cases 1, 2 and 4 to 6` or `// case 1, case 2`.
fn claimed(line: &str) -> Vec<usize> {
    let Some((_, comment)) = line.split_once("// case") else {
        return Vec::new();
    };
    let comment = format!("case{comment}")
        .replace("cases", "")
        .replace("case", "");
    let numbers = comment.split([':', '.', ';']).next().unwrap_or_default();
    let mut cases = Vec::new();
    for part in numbers.replace(" and ", ",").split(',') {
        let part = part.trim();
        match part.split_once('-').or_else(|| part.split_once(" to ")) {
            Some((first, last)) => {
                if let (Ok(first), Ok(last)) =
                    (first.trim().parse::<usize>(), last.trim().parse::<usize>())
                {
                    cases.extend(first..=last);
                }
            }
            None => cases.extend(part.parse::<usize>()),
        }
    }
    cases
}

/// The test function that a line belongs to: the function around it, right after it, or on the same line.
fn test_of(lines: &[&str], index: usize) -> Option<String> {
    let is_start = |line: &str| line.trim_start().starts_with("fn ") || line.contains(" fn ");
    let name = |line: &str| {
        let rest = line.split("fn ").nth(1)?;
        Some(rest.split(['(', '<']).next()?.trim().to_owned())
    };
    let indent = |line: &str| line.len() - line.trim_start().len();
    if is_start(lines[index]) {
        return name(lines[index]);
    }
    // Before a test: only attributes and comments are in between.
    let before = lines[index..]
        .iter()
        .take_while(|line| {
            let line = line.trim_start();
            line.starts_with("//") || line.starts_with("#[") || is_start(line)
        })
        .find(|line| is_start(line));
    if let Some(line) = before {
        return name(line);
    }
    lines[..index]
        .iter()
        .rev()
        .find(|line| is_start(line) && indent(line) < indent(lines[index]))
        .and_then(|line| name(line))
}

/// Whether a function has the attribute of a test, so that a helper cannot pass for one.
fn is_test(lines: &[&str], name: &str) -> bool {
    let start = format!("fn {name}(");
    lines.iter().enumerate().any(|(index, line)| {
        line.contains(&start)
            && lines[..index]
                .iter()
                .rev()
                .map(|line| line.trim_start())
                .take_while(|line| line.starts_with("//") || line.starts_with("#["))
                .any(|line| line == "#[test]")
    })
}

fn table(claims: &BTreeMap<usize, Vec<String>>) -> String {
    let mut table = String::from(
        "# Edge cases and the tests that prove them\n\n\
         Written by `UPDATE_CASES=1 cargo test --test meta` from the comments in the tests.\n\n\
         | case | what | proven by |\n|---|---|---|\n",
    );
    for (index, what) in CASES.iter().enumerate() {
        let case = index + 1;
        let tests = claims.get(&case).map(Vec::as_slice).unwrap_or_default();
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        let _ = writeln!(table, "| {case} | {what} | {} |", tests.join("<br>"));
    }
    table
}

#[test]
fn every_case_has_a_test() {
    let claims = claims();
    let without: Vec<usize> = (1..=CASES.len())
        .filter(|case| !claims.contains_key(case))
        .collect();
    assert_eq!(
        without, UNPROVEN,
        "left: the cases without a test; right: those that UNPROVEN admits to"
    );
}

#[test]
fn every_claim_names_a_case() {
    let beyond: Vec<(usize, Vec<String>)> = claims()
        .into_iter()
        .filter(|(case, _)| !(1..=CASES.len()).contains(case))
        .collect();
    assert!(beyond.is_empty(), "no such case: {beyond:?}");
}

#[test]
fn the_table_is_what_the_comments_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases.md");
    let table = table(&claims());
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&file, &table).expect("the table can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == table,
        "tests/cases.md is out of date: UPDATE_CASES=1 cargo test --test meta"
    );
}
