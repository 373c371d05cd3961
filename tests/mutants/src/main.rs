//! Changes one place of the library at a time and tells which changes no test notices.
//!
//! All mutants are built into one copy of the library, each behind a switch that an environment variable turns on
//! (`mutate`), so that a mutant costs a run of the tests and not a build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};

mod build;
mod mutate;
mod options;
mod returns;
mod trial;

use mutate::Mutant;
use options::Options;
use trial::{Trial, Verdict};

fn main() -> ExitCode {
    match Options::parse().and_then(|options| options.map_or(Ok(true), |options| run(&options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Tries all mutants of a module; whether each was noticed or is justified.
fn run(options: &Options) -> Result<bool> {
    let justified = justified()?;
    let mut left_out = BTreeSet::new();
    let (mutants, binaries) = loop {
        let mutants = write_mutants(options, &left_out)?;
        if options.list {
            for mutant in &mutants {
                println!("{}", mutant.name());
            }
            return Ok(true);
        }
        match build::build(options)? {
            build::Outcome::Built(binaries) => break (mutants, binaries),
            build::Outcome::Refused(ids) => {
                eprintln!(
                    "{} mutants do not compile, built again without them",
                    ids.len()
                );
                left_out.extend(ids);
            }
        }
    };
    for gone in gone(options, &mutants, &justified) {
        println!("no mutant any more, and still in survivors.md: {gone}");
    }
    let trial = Trial::new(options, binaries)?;
    let mutants: Vec<Mutant> = mutants
        .into_iter()
        .filter(|mutant| options.wants(mutant))
        .collect();
    let viable: Vec<&Mutant> = mutants
        .iter()
        .filter(|it| !left_out.contains(&it.id))
        .collect();
    let verdicts = try_all(options, &trial, &viable);
    Ok(sum_up(&mutants, &viable, &verdicts, &justified))
}

/// The lines of `survivors.md` about the module that no mutant has.
fn gone<'a>(
    options: &Options,
    mutants: &[Mutant],
    justified: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a String> {
    let names: BTreeSet<String> = mutants.iter().map(Mutant::known_as).collect();
    let module = format!("src/{}/", options.module);
    justified
        .iter()
        .filter(move |it| it.starts_with(&module) && !names.contains(*it))
}

/// Writes the library's copy anew, with the mutants of the module in it.
fn write_mutants(options: &Options, left_out: &BTreeSet<u32>) -> Result<Vec<Mutant>> {
    build::copy_tree(&options.tree)?;
    let mut mutants = Vec::new();
    let mut next_id = 1;
    for path in sources(&Path::new("src").join(&options.module))? {
        let source = fs::read_to_string(&path)?;
        let shown = path.display().to_string();
        let (changed, found) =
            mutate::mutate(&shown, &source, next_id, left_out).with_context(|| shown.clone())?;
        next_id += found.len() as u32;
        mutants.extend(found);
        fs::write(options.tree.join(&path), changed)?;
    }
    build::add_switch(&options.tree)?;
    Ok(mutants)
}

/// All files below, without those that only tests are built with.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let modules = fs::read_to_string(directory.join("mod.rs")).unwrap_or_default();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if modules.contains(&format!("#[cfg(test)]\nmod {stem};")) {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn try_all(options: &Options, trial: &Trial, viable: &[&Mutant]) -> BTreeMap<u32, Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(BTreeMap::new());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(mutant) = viable.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = trial.try_one(mutant.id);
                    if verdict == Verdict::Missed {
                        println!("missed  {}", mutant.name());
                    } else if options.verbose {
                        println!("{verdict}  {}", mutant.name());
                    }
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.insert(mutant.id, verdict);
                        if verdicts.len() % 100 == 0 {
                            eprintln!(
                                "{} of {} after {:.0?}",
                                verdicts.len(),
                                viable.len(),
                                began.elapsed()
                            );
                        }
                    }
                }
            });
        }
    });
    verdicts.into_inner().unwrap_or_default()
}

/// Prints a line for each file and one for all; whether nothing survives that is not justified.
fn sum_up(
    mutants: &[Mutant],
    viable: &[&Mutant],
    verdicts: &BTreeMap<u32, Verdict>,
    justified: &BTreeSet<String>,
) -> bool {
    let mut files: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    let mut survivors = BTreeSet::new();
    for mutant in mutants {
        let column = match verdicts.get(&mutant.id) {
            Some(Verdict::Caught) => 0,
            Some(Verdict::TimedOut) => 1,
            Some(Verdict::Missed) if justified.contains(&mutant.known_as()) => 2,
            Some(Verdict::Missed) => {
                survivors.insert(mutant.known_as());
                3
            }
            None => 4,
        };
        files.entry(&mutant.file).or_default()[column] += 1;
    }
    println!("| file | caught | timed out | justified | missed | does not compile | noticed |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut all = [0; 5];
    for (file, counts) in &files {
        print_line(file, counts);
        for (sum, count) in all.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    print_line("all", &all);
    if !survivors.is_empty() {
        println!("survives, and is not justified:");
        for survivor in &survivors {
            println!("- `{survivor}`");
        }
    }
    println!("{} mutants tried", viable.len());
    survivors.is_empty()
}

fn print_line(file: &str, counts: &[usize; 5]) {
    let [caught, timed_out, justified, missed, unviable] = counts;
    let noticed = caught + timed_out;
    let tried = noticed + justified + missed;
    let share = 100.0 * noticed as f64 / tried.max(1) as f64;
    println!(
        "| {file} | {caught} | {timed_out} | {justified} | {missed} | {unviable} | {share:.1} % |"
    );
}

/// The survivors that `survivors.md` has a line for.
fn justified() -> Result<BTreeSet<String>> {
    let path = "tests/mutants/survivors.md";
    let listed = fs::read_to_string(path).context(path)?;
    let names = listed.lines().filter_map(|line| {
        let (known_as, reason) = line.strip_prefix("- `")?.split_once('`')?;
        (!reason.trim_matches([' ', ':', '-']).is_empty()).then(|| known_as.to_owned())
    });
    let names: BTreeSet<String> = names.collect();
    if listed
        .lines()
        .filter(|line| line.starts_with("- `"))
        .count()
        != names.len()
    {
        bail!("{path}: a line is there twice, or gives no reason");
    }
    Ok(names)
}
