//! The limits over all clients: what is taken of them is given back.

use crate::proxy::site::budget::{Budget, Held, Used};
use crate::proxy::site::options::Options;

fn budget(max_buffered: u64, max_on_disk: u64, max_files: u64) -> Budget {
    let options = Options {
        max_buffered,
        max_on_disk,
        max_files,
        ..Options::default()
    };
    Budget::new(&options, 0)
}

/// Options with which bodies are collected or not, and with budgets that often run out.
pub(crate) fn narrow(seed: u64) -> Options {
    let pick = |turn: u64, from: &[u64]| from[(seed / turn) as usize % from.len()];
    Options {
        buffer_request: pick(1, &[u64::MAX, 0, 5000]),
        max_buffered: pick(3, &[1 << 30, 0, 10_000, 100_000]),
        max_on_disk: pick(12, &[1 << 30, 0, 50_000, 200_000]),
        max_files: pick(48, &[u64::MAX, 0, 1]),
        min_rate: pick(5, &[500, 0, 50_000]),
        ..Options::default()
    }
}

#[test]
fn what_is_held_is_given_back_when_it_is_dropped() {
    let budget = budget(10, 20, 2);
    let mut first = Held::none_of(&budget);
    assert!(first.take_memory(4) && first.take_disk(20) && first.take_file());
    let mut second = Held::none_of(&budget);
    assert!(second.take_memory(6) && second.take_file());
    // What is refused takes nothing.
    assert!(!second.take_memory(1) && !second.take_disk(1) && !second.take_file());
    assert_eq!(budget.used(), budget.limits());
    first.give_memory();
    assert!(second.take_memory(4));
    drop(first);
    assert!(second.take_disk(20));
    drop(second);
    assert_eq!(budget.used(), Used::default());
}

#[test]
fn limits_of_zero_and_the_largest_ones_hold() {
    let none = budget(0, 0, 0);
    let mut held = Held::none_of(&none);
    assert!(held.take_memory(0) && held.take_disk(0));
    assert!(!held.take_memory(1) && !held.take_disk(1) && !held.take_file());
    let all = budget(u64::MAX, u64::MAX, u64::MAX);
    let mut held = Held::none_of(&all);
    assert!(held.take_memory(usize::MAX) && held.take_disk(u64::MAX) && held.take_file());
    assert!(!held.take_memory(1) && !held.take_disk(1) && held.take_file());
}

#[test]
fn the_loops_divide_the_whole() {
    let options = Options {
        threads: 3,
        max_buffered: 10,
        max_on_disk: 2,
        max_files: 4,
        ..Options::default()
    };
    let limits = (0..3).map(|index| Budget::new(&options, index).limits());
    let whole = limits.fold(Used::default(), |sum, one| Used {
        memory: sum.memory + one.memory,
        disk: sum.disk + one.disk,
        files: sum.files + one.files,
    });
    let (memory, disk, files) = (10, 2, 4);
    assert_eq!(
        whole,
        Used {
            memory,
            disk,
            files
        }
    );
}
