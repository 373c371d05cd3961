//! `tests/TRUST.md`, the page for whoever decides whether to embed the library: what it names is there, its numbers are
//! not above the truth, and each planted fault is listed under one promise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How many promises the page has.
const PROMISES: usize = 11;

/// What begins a path of the repository.
const FOLDERS: [&str; 4] = ["tests/", "src/", "examples/", ".ci/"];

#[test]
fn each_planted_fault_is_listed_under_one_promise() {
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    for (title, text) in promises() {
        let names = faults_of(&text);
        assert!(!names.is_empty(), "no planted fault: {title}");
        for name in names {
            *listed.entry(name).or_default() += 1;
        }
    }
    let planted = planted();
    let left_out: Vec<_> = planted
        .iter()
        .filter(|it| !listed.contains_key(*it))
        .collect();
    assert!(left_out.is_empty(), "under no promise: {left_out:?}");
    listed.retain(|name, count| *count != 1 || !planted.contains(name));
    assert!(
        listed.is_empty(),
        "not planted, or listed more than once: {listed:?}"
    );
}

#[test]
fn the_promises_are_numbered_and_each_says_how_to_repeat_its_checks() {
    let promises = promises();
    assert_eq!(promises.len(), PROMISES);
    for (index, (title, text)) in promises.iter().enumerate() {
        assert!(title.starts_with(&format!("{}. ", index + 1)), "{title}");
        let (_, repeat) = text.split_once("\nRepeat: ").expect(title);
        assert!(repeat.starts_with("`cargo test "), "{title}");
    }
}

#[test]
fn what_the_page_names_is_there() {
    let code = code(&page());
    let commands = code.iter().filter(|it| is_command(it)).count();
    assert!(commands > 20, "{commands} commands");
    let paths = code.iter().filter(|it| is_path(it)).count();
    assert!(paths > 60, "{paths} paths");
    let wrong: Vec<_> = code.iter().filter_map(|it| check(it).err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_not_there_is_seen() {
    let wrong = [
        "tests/nowhere.rs",
        "tests/engine/nothing.rs",
        "src/engine/nowhere",
        "tests/faults/run tests/faults/nothing.fault",
        "cargo test --test nothing",
        "cargo test --all-features --test engine nothing::",
        "cargo test --all-features --test engine no_test_has_this_name",
        "cargo test --profile nothing --test sim",
        "cargo test --features nothing --test sim",
        "NOBODY_READS_THIS=1 cargo test --test sim",
        "SIM_RUNS=1 cargo",
        "cargo +nightly fuzz run --fuzz-dir tests/fuzz nothing",
    ];
    for code in wrong {
        assert!(check(code).is_err(), "{code}");
    }
    let right = [
        "tests/engine",
        "tests/faults/*.fault",
        "tests/faults/run tests/faults/cap-off-by-one.fault",
        "cargo test --all-features --test engine promises::",
        "cargo test --test budgets syscalls:: -- --ignored",
        "SIM_RUNS=1 cargo test --profile sim --features testkit --test sim -- --nocapture",
        "cargo +nightly fuzz run --fuzz-dir tests/fuzz received",
        "QueueFull",
    ];
    for code in right {
        assert_eq!(check(code), Ok(()), "{code}");
    }
}

/// The numbers of the first table: the page need not be changed for each new test, and must not boast.
#[test]
fn the_numbers_of_tests_are_reached_and_not_far_too_low() {
    let page = page();
    let mut rows = 0;
    let mut wrong = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| `tests/")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (place, Some(Ok(least))) = (cells[1], cells.get(2).map(|it| it.parse::<usize>()))
        else {
            continue;
        };
        rows += 1;
        let count = count(place.trim_matches('`'));
        if count < least || count > least + least / 4 + 5 {
            wrong.push(format!("{place}: at least {least}, in truth {count}"));
        }
    }
    assert!(rows > 12, "{rows} rows");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("tests/TRUST.md")).expect("the page")
}

/// The titles and the texts of the promises.
fn promises() -> Vec<(String, String)> {
    let page = page();
    let (_, part) = page.split_once("\n## The promises\n").expect("the part");
    let (part, _) = part.split_once("\n## ").expect("another part after it");
    let sections = part.split("\n### ").skip(1);
    let sections = sections.map(|it| it.split_once('\n').expect("a title and a text"));
    sections
        .map(|(title, text)| (title.to_owned(), text.to_owned()))
        .collect()
}

/// The planted faults that the text of a promise lists.
fn faults_of(text: &str) -> Vec<String> {
    let list = text.split_once("\nPlanted faults: ").unwrap_or_default().1;
    let list = list.split("\n\n").next().unwrap_or_default();
    code(list)
}

/// The names of all planted faults.
fn planted() -> Vec<String> {
    let files = files(&root().join("tests/faults"), "fault");
    let names = files.iter().filter_map(|it| it.file_stem());
    names.map(|it| it.to_string_lossy().into_owned()).collect()
}

/// What a text has between backticks, and the lines of its blocks of code without their comments.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            let lines = part.lines().skip(1);
            let lines = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
            code.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
        } else {
            let spans = part.split('`').skip(1).step_by(2);
            code.extend(spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    code
}

fn is_path(code: &str) -> bool {
    FOLDERS.iter().any(|folder| code.starts_with(folder))
}

fn is_command(code: &str) -> bool {
    is_path(code) || code.split(' ').any(|word| word == "cargo")
}

/// Checks that the files, tests, targets and settings exist which a piece of code names.
fn check(code: &str) -> Result<(), String> {
    let words: Vec<&str> = code.split(' ').collect();
    for word in words.iter().filter(|word| is_path(word)) {
        // Of a pattern, the folder.
        let path = word.split('*').next().unwrap_or_default();
        if !root().join(path).exists() {
            return Err(format!("{code}: no {word}"));
        }
    }
    let Some(at) = words.iter().position(|word| *word == "cargo") else {
        return Ok(());
    };
    for setting in &words[..at] {
        let name = setting.split('=').next().unwrap_or_default();
        if !is_read(name) {
            return Err(format!("{code}: nothing reads {name}"));
        }
    }
    match words.get(at + 1) {
        Some(&"test") => check_test(&words[at + 2..]).map_err(|what| format!("{code}: {what}")),
        Some(&"+nightly") => {
            let target = words.last().unwrap_or(&"");
            let file = format!("tests/fuzz/fuzz_targets/{target}.rs");
            match root().join(file).exists() {
                true => Ok(()),
                false => Err(format!("{code}: no {target}")),
            }
        }
        _ => Err(format!("{code}: not known to this test")),
    }
}

/// Checks the arguments of `cargo test`.
fn check_test(arguments: &[&str]) -> Result<(), String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let mut arguments = arguments.iter();
    let mut target = PathBuf::new();
    while let Some(&argument) = arguments.next() {
        let mut value = || arguments.next().copied().unwrap_or_default();
        let (what, exists) = match argument {
            "--test" => {
                let name = value();
                target = root().join("tests").join(name);
                (name, target.join("main.rs").exists())
            }
            "--profile" => {
                let name = value();
                (name, manifest.contains(&format!("\n[profile.{name}]")))
            }
            "--features" => {
                let name = value();
                (name, manifest.contains(&format!("\n{name} = [")))
            }
            option if option.starts_with('-') => (option, true),
            filter => (filter, has_test(&target, filter)),
        };
        if !exists {
            return Err(format!("no {what}"));
        }
    }
    Ok(())
}

/// Whether a filter chooses something of a test target. One that ends with `::` is the whole name of a module.
fn has_test(target: &Path, filter: &str) -> bool {
    let files = files(target, "rs");
    let module = filter.trim_end_matches("::").replace("::", "/");
    let mut modules = files.iter().map(|file| {
        let path = file.strip_prefix(target).unwrap_or(file).with_extension("");
        path.to_string_lossy().replace('\\', "/")
    });
    if filter.ends_with("::") {
        let folder = format!("{module}/");
        return modules.any(|path| path == module || path.starts_with(&folder));
    }
    let name = filter.rsplit("::").next().unwrap_or_default();
    let test = format!("fn {name}");
    modules.any(|path| path.starts_with(&module)) || files.iter().any(|it| read(it).contains(&test))
}

/// Whether a test reads a variable of the environment.
fn is_read(name: &str) -> bool {
    let name = format!("\"{name}\"");
    let files = files(&root().join("tests"), "rs");
    files.iter().any(|file| read(file).contains(&name))
}

/// How many tests are in a folder. Of the faults, how many there are; of a table, how many rows it has.
fn count(place: &str) -> usize {
    let path = root().join(place);
    if place == "tests/faults" {
        return planted().len();
    }
    if path.is_file() {
        let text = read(&path);
        let rows = text.lines().filter(|line| line.starts_with("| "));
        return rows.count().saturating_sub(1);
    }
    let files = files(&path, "rs");
    let tests = files.iter().map(|file| {
        let text = read(file);
        text.lines().filter(|line| line.trim() == "#[test]").count()
    });
    tests.sum()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a text")
}

/// All files in a folder and the folders in it whose names end like this.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}
