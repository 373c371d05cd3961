//! What the parts of the library cost, in nanoseconds or in instructions.
//!
//! ```text
//! cargo bench                              all parts, in nanoseconds
//! cargo bench -- engine                    those with "engine" in their names
//! cargo bench -- --instructions            in instructions, counted by valgrind: the same on each run
//! cargo bench -- --scale                   instructions of a request among more and more others, as tables
//! ```
//!
//! Nanoseconds are the median and the best of 30 samples of about 10 ms each: compare figures of one machine
//! and one hour. Instructions are those of user space, the system calls' own left out; they are the
//! difference of two runs of different length, so what happens once is not in them. The example `proxy` is counted as a
//! process of its own, and not timed: `tests/bench/compare` does that.
//!
//! README.md beside this file has figures, and says how to compare two revisions. To see where they go, run one part
//! under callgrind:
//! `valgrind --tool=callgrind target/release/deps/bench-… --rounds 20000 "engine, one request"`.

use std::hint::black_box;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod cgi;
#[cfg(unix)]
mod clients;
mod parts;
#[cfg(unix)]
mod proxy;
mod request;
#[cfg(unix)]
mod round_trip;
mod scale;
mod valgrind;

use parts::Part;
use scale::{AXES, Axis};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_flag = |argument: &&String| argument.starts_with("--");
    let wanted: Vec<&String> = arguments.iter().filter(|it| !is_flag(it)).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if let [flag, rounds, name] = &arguments[..]
        && flag == "--rounds"
    {
        return run_rounds(rounds, name);
    }
    if has("--scale") {
        return tell(axes().try_for_each(print_axis));
    }
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|text| name.contains(*text));
    let mut parts = parts::all().filter(|part| is_wanted(part.name));
    if !has("--instructions") {
        parts.for_each(time);
        return ExitCode::SUCCESS;
    }
    let counted = parts.try_for_each(|part| {
        print_instructions(part.name, instructions(part.name, part.rounds)?);
        Ok(())
    });
    #[cfg(unix)]
    let counted = counted.and_then(|()| {
        let mut loads = proxy::LOADS.iter().filter(|load| is_wanted(load.name));
        loads.try_for_each(|load| {
            print_instructions(load.name, load.instructions()?);
            Ok(())
        })
    });
    tell(counted)
}

fn print_instructions(name: &str, count: f64) {
    println!("{name:<44} {count:>10.0} instructions");
}

fn tell(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn axes() -> impl Iterator<Item = &'static Axis> {
    #[cfg(unix)]
    let more = Some(&clients::AXIS);
    #[cfg(not(unix))]
    let more = None;
    AXES.iter().chain(more)
}

/// A table in Markdown.
fn print_axis(axis: &Axis) -> io::Result<()> {
    println!("| {} | instructions per request |", axis.name);
    println!("|---:|---:|");
    for size in axis.sizes {
        let count = instructions(&format!("{} {size}", axis.name), 1000)?;
        println!("| {size} | {count:.0} |");
    }
    println!();
    Ok(())
}

/// The rounds of a part by its name, or of an axis by its name and a size.
fn find(name: &str) -> Option<Box<dyn FnMut()>> {
    if let Some(part) = parts::all().find(|part| part.name == name) {
        return Some((part.set_up)());
    }
    let (name, size) = name.rsplit_once(' ')?;
    let axis = axes().find(|axis| axis.name == name)?;
    Some((axis.set_up)(size.parse().ok()?))
}

/// Runs a part `rounds` times, for a profiler.
fn run_rounds(rounds: &str, name: &str) -> ExitCode {
    let (Some(mut round), Ok(rounds)) = (find(name), rounds.parse::<u64>()) else {
        eprintln!("bench: --rounds NUMBER NAME");
        return ExitCode::from(2);
    };
    for _ in 0..rounds {
        round();
    }
    ExitCode::SUCCESS
}

fn time(part: Part) {
    let mut round = (part.set_up)();
    let mut sample = |rounds: u64| {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(&mut round)();
        }
        start.elapsed()
    };
    let mut rounds = 1;
    while sample(rounds) < SAMPLE {
        rounds *= 2;
    }
    let per_round = |took: Duration| took.as_secs_f64() * 1e9 / rounds as f64;
    let mut samples: Vec<f64> = (0..SAMPLES).map(|_| per_round(sample(rounds))).collect();
    samples.sort_unstable_by(f64::total_cmp);
    let (best, median) = (samples[0], samples[SAMPLES / 2]);
    println!("{:<44} {median:>10.1} ns, best {best:.1}", part.name);
}

/// Counts the instructions of one round.
///
/// # Errors
/// If valgrind is not installed, or prints no count.
fn instructions(name: &str, rounds: u64) -> io::Result<f64> {
    let (few, many) = (rounds, 3 * rounds);
    let more = collected(name, many)? - collected(name, few)?;
    Ok(more as f64 / (many - few) as f64)
}

fn collected(name: &str, rounds: u64) -> io::Result<i64> {
    let output = valgrind::command()
        .arg(std::env::current_exe()?)
        .args(["--rounds", &rounds.to_string(), name])
        .output()
        .map_err(valgrind::cannot_start)?;
    valgrind::collected(&output)
}

const SAMPLE: Duration = Duration::from_millis(10);
const SAMPLES: usize = 30;
