//! A strict reader of OpenMetrics 1.0 text, for what the proxy writes: gauges, counters and histograms.

use std::collections::{BTreeMap, BTreeSet, HashSet};

type Labels = BTreeMap<String, String>;

/// The samples of a document, by name and labels.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    samples: BTreeMap<(String, Labels), f64>,
    /// The names of samples that only grow.
    growing: HashSet<String>,
}

impl Metrics {
    /// The sum of the samples with a name and with these labels among theirs.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |of: &Labels| {
            labels
                .iter()
                .all(|it| of.get(it.0).is_some_and(|is| is == it.1))
        };
        let samples = self
            .samples
            .iter()
            .filter(|it| it.0.0 == name && has(&it.0.1));
        let values: Vec<f64> = samples.map(|it| *it.1).collect();
        assert!(!values.is_empty(), "{name} {labels:?}");
        values.iter().sum()
    }

    /// The values of a label of the samples with a name.
    pub(crate) fn labels<'m>(&'m self, name: &str, label: &str) -> impl Iterator<Item = &'m str> {
        let samples = self.samples.keys().filter(move |it| it.0 == name);
        samples.map(move |it| it.1[label].as_str())
    }

    /// Checks that no counter is less than it was.
    pub(crate) fn assert_not_less_than(&self, earlier: &Self) {
        for (key, value) in &earlier.samples {
            if earlier.growing.contains(&key.0) {
                assert!(self.samples[key] >= *value, "{key:?}");
            }
        }
    }
}

/// A family whose samples are being read.
#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    /// Lines of metadata that were there.
    metadata: BTreeSet<&'static str>,
    has_samples: bool,
}

/// Reads a document.
///
/// # Panics
/// If it is not valid.
pub(crate) fn parse(text: &str) -> Metrics {
    let body = text.strip_suffix("# EOF\n").expect("# EOF at the end");
    let (mut metrics, mut family) = (Metrics::default(), Family::default());
    let mut families = HashSet::new();
    for line in body.split_terminator('\n') {
        assert!(!line.is_empty() && !line.contains('\r'), "{line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let (what, rest) = rest.split_once(' ').expect("a word");
            let (name, value) = rest.split_once(' ').expect("a name and a value");
            assert!(is_name(name), "{line}");
            if what == "TYPE" {
                assert!(families.insert(name.to_owned()), "again: {line}");
                assert!(["gauge", "counter", "histogram"].contains(&value), "{line}");
                family = Family {
                    name: name.to_owned(),
                    kind: value.to_owned(),
                    ..Family::default()
                };
            }
            assert!(
                name == family.name && !family.has_samples,
                "out of place: {line}"
            );
            let what = ["TYPE", "UNIT", "HELP"].into_iter().find(|it| *it == what);
            assert!(
                family.metadata.insert(what.expect("metadata")),
                "again: {line}"
            );
            assert!(
                what != Some("UNIT") || name.ends_with(&format!("_{value}")),
                "{line}"
            );
            continue;
        }
        family.has_samples = true;
        let (name, labels, value) = sample(line);
        let suffix = name
            .strip_prefix(&family.name)
            .unwrap_or_else(|| panic!("no family: {line}"));
        let suffixes: &[&str] = match family.kind.as_str() {
            "gauge" => &[""],
            "counter" => &["_total"],
            _ => &["_bucket", "_count", "_sum"],
        };
        assert!(suffixes.contains(&suffix), "{line}");
        assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
        if family.kind != "gauge" {
            assert!(value >= 0.0, "{line}");
            metrics.growing.insert(name.clone());
        }
        assert!(
            metrics.samples.insert((name, labels), value).is_none(),
            "again: {line}"
        );
    }
    assert_buckets(&metrics);
    metrics
}

/// Splits a line into name, labels and value.
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if rest.starts_with('{') {
        loop {
            let (label, after) = rest[1..].split_once("=\"").expect("a label");
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, after) = quoted(after);
            assert!(
                labels.insert(label.to_owned(), value).is_none(),
                "again: {line}"
            );
            rest = after;
            if !rest.starts_with(',') {
                break;
            }
        }
        rest = rest.strip_prefix('}').expect("the end of the labels");
    }
    let value = rest.strip_prefix(' ').expect("a blank");
    (name.to_owned(), labels, value.parse().expect("a number"))
}

/// Takes a value up to its closing quote. Returns what is after it.
fn quoted(text: &str) -> (String, &str) {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match letters.next().expect("an escape").1 {
                'n' => '\n',
                letter @ ('\\' | '"') => letter,
                letter => panic!("the escape {letter:?} in {text}"),
            }),
            letter => value.push(letter),
        }
    }
    panic!("no closing quote: {text}");
}

fn is_name(name: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    !name.starts_with(|letter: char| letter.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(is_part)
}

/// Each histogram has buckets that only grow, with its count as the last, `+Inf`.
fn assert_buckets(metrics: &Metrics) {
    let mut buckets: BTreeMap<(String, Labels), Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, labels), value) in &metrics.samples {
        if let Some(name) = name.strip_suffix("_bucket") {
            let mut labels = labels.clone();
            let bound = labels.remove("le").expect("a bound");
            let bound = bound.parse().expect("a number");
            buckets
                .entry((name.to_owned(), labels))
                .or_default()
                .push((bound, *value));
        }
    }
    for ((name, labels), mut of) in buckets {
        of.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(
            of.is_sorted_by(|one, other| one.1 <= other.1),
            "{name}: {of:?}"
        );
        let last = of.last().expect("buckets");
        let count = metrics.samples[&(format!("{name}_count"), labels.clone())];
        assert_eq!(*last, (f64::INFINITY, count), "{name}");
        assert!(
            metrics
                .samples
                .contains_key(&(format!("{name}_sum"), labels)),
            "{name}"
        );
    }
}
