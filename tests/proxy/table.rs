//! What clients may do to a proxy, and what happens then: `tests/proxy/attacks.md`, generated from the tests.
//!
//! The first part is what `attacks` refuses. The second part comes from comments right before the attributes of other
//! tests, `// edge: what | outcome`. `UPDATE_CASES=1 cargo test --test proxy table` writes the file.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::attacks::refused;

#[test]
fn the_table_is_what_the_tests_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy");
    let table = table(&folder);
    let file = folder.join("attacks.md");
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&file, &table).expect("the table can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == table,
        "tests/proxy/attacks.md is out of date: UPDATE_CASES=1 cargo test --test proxy table"
    );
}

fn table(folder: &Path) -> String {
    let mut table = String::from(
        "# HTTP attacks and edge cases, and what the proxy does\n\n\
         Written by `UPDATE_CASES=1 cargo test --test proxy table` from the tests; each row is one test, on a raw socket.\n\n\
         ## Refused\n\n\
         Each of these requests gets the status, and its connection is closed: the request that every test sends right \
         after it is not served. Other clients are served as before.\n",
    );
    for (group, cases) in refused() {
        write(&mut table, format_args!("\n### {group}\n\n"));
        table.push_str("| test in `attacks` | sent | status |\n|---|---|---|\n");
        for case in cases {
            let (name, status) = (case.name, case.status);
            let sent = shown(&case.sent);
            write(
                &mut table,
                format_args!("| `{name}` | {sent} | {status} |\n"),
            );
        }
    }
    table.push_str("\n## Served, answered with an error, timed out or cut\n");
    for module in MODULES {
        let path = folder.join(format!("{module}.rs"));
        let text = fs::read_to_string(&path).expect("a module of this test");
        write(&mut table, format_args!("\n### `{module}`\n\n"));
        table.push_str("| test | what | outcome |\n|---|---|---|\n");
        for edge in edges(&text) {
            let [what, outcome, test] = edge;
            write(
                &mut table,
                format_args!("| `{test}` | {what} | {outcome} |\n"),
            );
        }
    }
    table
}

/// The claims of a module: what, outcome, test.
fn edges(text: &str) -> Vec<[String; 3]> {
    let lines: Vec<&str> = text.lines().collect();
    let claims = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, line.trim_start().strip_prefix("// edge: ")?)));
    let edges = claims.map(|(at, claim)| {
        let (what, outcome) = claim.split_once(" | ").expect("what and outcome");
        // Between a claim and its test there are other claims and attributes, `#[test]` among them.
        let between = lines[at..]
            .iter()
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .count();
        let is_test = lines[at..at + between].contains(&"#[test]");
        let test = lines[at + between].strip_prefix("fn ").filter(|_| is_test);
        let test = test.and_then(|rest| rest.split('(').next());
        let test = test.unwrap_or_else(|| panic!("'{claim}' is not right before a test"));
        [what.to_owned(), outcome.to_owned(), test.to_owned()]
    });
    let edges: Vec<_> = edges.collect();
    assert!(!edges.is_empty(), "a module without a claim");
    edges
}

/// Bytes as text for a table cell. The middle of long ones is left out.
fn shown(bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let text: String = bytes
            .iter()
            .map(|byte| match byte {
                b'\r' => "\\r".to_owned(),
                b'\n' => "\\n".to_owned(),
                b'\t' => "\\t".to_owned(),
                b'|' => "\\x7c".to_owned(),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            })
            .collect();
        format!("`{text}`")
    };
    if bytes.len() <= LONGEST {
        return text(bytes);
    }
    let (head, tail) = (&bytes[..LONGEST / 2], &bytes[bytes.len() - 16..]);
    let left_out = bytes.len() - head.len() - tail.len();
    format!("{} and {left_out} bytes, then {}", text(head), text(tail))
}

fn write(table: &mut String, text: std::fmt::Arguments<'_>) {
    table.write_fmt(text).expect("a String takes every text");
}

/// The modules with claims.
const MODULES: &[&str] = &[
    "attacks",
    "forms",
    "noise",
    "limits",
    "uploads",
    "slow_uploads",
    "rates",
    "flow",
    "files",
    "front",
    "lookups",
    "mounts",
    "roots",
    "params",
    "sharing",
    "failures",
    "stop",
    "log",
    "log_limits",
    "status",
    "idle",
    "redirects",
    "terminator",
    "trace",
    "proxy_protocol",
    "listen",
    "peers",
    "process",
    "sent_files",
    "swaps",
    "permissions",
    "open_files",
    "slow_readers",
    "endless",
];

/// Up to this many bytes are shown completely.
const LONGEST: usize = 160;
