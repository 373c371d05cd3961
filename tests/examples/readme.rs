//! The output of the examples that README.md quotes.

use std::fs;
use std::path::Path;

use crate::program::{example, run};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    fs::read_to_string(path).expect("it lies beside Cargo.toml")
}

#[test]
fn the_command_of_the_readme_prints_the_output_quoted_below_it() {
    let readme = readme();
    let command = "\n$ cargo run -q --example get -- ";
    let (_, session) = readme.split_once(command).expect("a command to try");
    let (line, rest) = session.split_once('\n').expect("more lines");
    let (printed, _) = rest.split_once("\n```").expect("the block's end");
    let arguments = line.split(' ').map(|word| word.trim_matches('\''));
    let ended = run(example("get").args(arguments), b"");
    ended.succeeded();
    assert_eq!(ended.text().replace('\r', ""), printed);
}

#[test]
fn the_error_in_the_readme_is_the_one_that_is_shown() {
    let readme = readme();
    let shown = readme.lines().find(|line| line.starts_with("get: "));
    let shown = shown.expect("an error as an example");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = format!("unix:{}/fpm.sock", directory.path().display());
    let ended = run(
        example("get").args(["--connect", &address, "--script", "/x.php"]),
        b"",
    );
    let expected = shown.replace("unix:/run/php/fpm.sock", &address);
    assert_eq!(ended.stderr.trim_end(), expected);
}
