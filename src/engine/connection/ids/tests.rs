//! Tests of the table of request IDs.

use super::*;
use crate::engine::connection::{Connection, Expected};
use crate::engine::time::Time;

#[test]
fn one_request_at_a_time_has_ids_1_and_2_in_turn() {
    let mut ids = IdTable::default();
    for request in 0..10 {
        let id = 1 + request as u16 % 2;
        assert_eq!(ids.allocate(request), Some(id));
        ids.release(id);
        ids.make_reusable();
    }
}

#[test]
fn an_application_that_knows_only_id_1_gets_it_always_and_one_request_at_a_time() {
    let mut ids = IdTable::default();
    ids.set_always_one(true);
    for request in 0..10 {
        assert!(ids.has_free_id());
        assert_eq!(ids.allocate(request), Some(1));
        assert!(!ids.has_free_id());
        ids.release(1);
        ids.make_reusable();
    }
    ids.quarantine(1);
    assert!(!ids.has_free_id());
}

#[test]
fn the_id_freed_last_is_never_the_next_whatever_became_of_the_lists() {
    for last in 1..=6 {
        let mut ids = IdTable::default();
        (0..6).for_each(|request| assert!(ids.allocate(request).is_some()));
        for id in (1..=6).filter(|id| *id != last) {
            ids.release(id);
        }
        ids.release(last);
        ids.make_reusable();
        ids.shrink_idle();
        let next = ids.allocate(0).expect("room");
        assert_ne!(next, last);
        assert!(next <= 2, "{next}");
    }
}

#[test]
fn a_late_record_after_a_shrink_leaves_the_id_freed_last_behind_those_it_brings_back() {
    for last in 1..=6 {
        let mut ids = IdTable::default();
        for request in 0..6 {
            ids.allocate(request);
        }
        for id in (1..=6).filter(|id| *id != last).chain([last]) {
            ids.release(id);
        }
        ids.shrink_idle();
        let [one, two] = [0; 2].map(|_| ids.allocate(0).expect("one of six"));
        ids.note_framed(two);
        ids.release(two);
        ids.release(one);
        ids.make_reusable();
        ids.quarantine(5);
        let next = ids.allocate(0).expect("there are others");
        assert!(next != one && next != two, "freed and sent last");
    }
}

#[test]
fn the_id_sent_last_is_not_the_next_either_whatever_was_freed_after_it() {
    for is_shrunk in [false, true] {
        let mut ids = IdTable::default();
        for id in 1..=3 {
            assert_eq!(ids.allocate(0), Some(id));
            ids.note_framed(id);
        }
        for id in [3, 2, 1] {
            ids.release(id);
        }
        ids.make_reusable();
        if is_shrunk {
            ids.shrink_idle();
        }
        assert_eq!(
            ids.allocate(0),
            Some(2),
            "3 was sent last, and 1 freed last"
        );
        ids.note_framed(2);
        assert_eq!(ids.allocate(0), Some(3));
    }
}

#[test]
fn a_quarantined_id_is_not_handed_out_again() {
    let mut ids = IdTable::default();
    assert_eq!(ids.allocate(7), Some(1));
    ids.quarantine(1);
    assert_eq!(ids.allocate(8), Some(2));
    ids.release(2);
    ids.make_reusable();
    ids.quarantine(2);
    assert_eq!(ids.allocate(9), Some(3));
    assert_eq!(ids.get(1), Some(Slot::Quarantined));
    assert_eq!(ids.get(3), Some(Slot::Live(9)));
    assert_eq!(ids.get(4), None);
    assert_eq!(ids.get(0), None);
}

#[test]
fn a_released_id_rests_and_one_that_is_quarantined_meanwhile_never_comes_back() {
    let mut ids = IdTable::default();
    for request in 0..3 {
        ids.allocate(request);
    }
    ids.release(2);
    ids.make_reusable();
    ids.release(1);
    ids.release(3);
    assert_eq!(ids.allocate(5), Some(2));
    assert_eq!(ids.allocate(6), Some(4), "1 and 3 rest");
    ids.quarantine(3);
    ids.make_reusable();
    assert_eq!(ids.allocate(7), Some(5), "1 was freed last");
    ids.release(5);
    ids.make_reusable();
    assert_eq!(ids.allocate(8), Some(1));
}

#[test]
fn after_a_burst_nothing_is_held_but_the_ids_are_known_as_used() {
    let mut ids = IdTable::default();
    for request in 0..100 {
        ids.allocate(request);
    }
    for id in 1..=100 {
        ids.release(id);
    }
    ids.make_reusable();
    ids.shrink_idle();
    assert_eq!(ids.heap_len(), 0);
    assert_eq!(ids.get(100), Some(Slot::Free));
    assert_eq!(ids.get(101), None);
    assert_eq!(ids.get(0), None);
    ids.quarantine(3);
    ids.make_reusable();
    let mut given: Vec<_> = (0..4).filter_map(|it| ids.allocate(it)).collect();
    given.sort_unstable();
    assert_eq!(given, [1, 4, 5, 6], "one that is free is kept back");
}

#[test]
fn all_65_535_ids_can_live_at_once_and_then_there_is_no_room() {
    let mut ids = IdTable::default();
    for request in 0..65_535 {
        assert!(ids.has_free_id());
        assert_eq!(ids.allocate(request), Some(request as u16 + 1));
    }
    assert!(!ids.has_free_id());
    assert_eq!(ids.allocate(0), None);
    ids.release(40_000);
    ids.make_reusable();
    assert!(!ids.has_free_id(), "the last one freed is kept back");
    ids.release(7);
    ids.make_reusable();
    assert!(ids.has_free_id());
    assert_eq!(ids.allocate(1), Some(40_000));
}

#[test]
fn too_many_quarantined_ids_retire_the_connection() {
    let mut ids = IdTable::default();
    for request in 0..MAX_QUARANTINED {
        let id = ids.allocate(request).expect("room");
        ids.quarantine(id);
    }
    assert!(!ids.has_free_id());
}

#[test]
fn beyond_the_most_a_free_id_stays_free_and_nothing_else_changes() {
    let mut ids = IdTable::default();
    for request in 0..MAX_QUARANTINED + 2 {
        ids.allocate(request);
    }
    for id in 1..=MAX_QUARANTINED as u16 {
        ids.quarantine(id);
    }
    let free = MAX_QUARANTINED as u16 + 1;
    ids.release(free);
    ids.quarantine(free);
    assert_eq!(ids.get(free), Some(Slot::Free));
    assert_eq!(ids.get(free + 1), Some(Slot::Live(u32::from(free))));
}

#[test]
fn one_that_is_quarantined_leaves_no_rest_to_those_that_are_freed_later() {
    let mut ids = IdTable::default();
    for request in 0..3 {
        ids.allocate(request);
    }
    for id in 1..=3 {
        ids.release(id);
    }
    ids.make_reusable();
    ids.quarantine(2);
    for id in [1, 3] {
        assert_eq!(ids.allocate(0), Some(id));
        ids.release(id);
    }
    assert_eq!(ids.allocate(0), Some(4), "1 and 3 rest");
}

#[test]
fn only_a_connection_that_may_be_shared_has_other_ids_than_1_for_a_server_that_knows_no_other() {
    let mut connection = Connection::new(Time::START, 0, 0, Expected::default());
    connection.connected(Time::START, 1, true);
    assert_eq!(connection.ids.allocate(0), Some(1));
    connection.set_max_requests(1);
    assert!(connection.is_out_of_ids());
    connection.set_max_requests(2);
    assert!(!connection.is_out_of_ids());
    assert_eq!(connection.ids.allocate(1), Some(2));
}

#[test]
fn room_is_made_for_the_two_ids_that_take_turns_and_no_more() {
    let mut ids = IdTable::default();
    ids.reserve_one();
    let room = 2 * (size_of::<Slot>() + size_of::<u16>());
    assert_eq!(ids.heap_len(), room);
    for id in [1, 2, 1, 2] {
        assert_eq!(ids.allocate(0), Some(id));
        ids.release(id);
        ids.make_reusable();
    }
    assert_eq!(ids.heap_len(), room);
}

#[test]
fn a_few_ids_keep_their_room_and_quarantined_ones_are_never_forgotten() {
    let mut few = IdTable::default();
    for _ in 0..KEPT / 2 {
        few.reserve_one();
        few.allocate(0);
        few.allocate(0);
    }
    assert_eq!((few.is_large(), few.slots.capacity()), (false, KEPT));
    few.reserve_one();
    few.allocate(0);
    assert!(few.is_large());

    let mut many = IdTable::default();
    for request in 0..100 {
        many.allocate(request);
    }
    many.quarantine(50);
    assert!(!many.is_large());
    assert_eq!(many.get(50), Some(Slot::Quarantined));
}

#[test]
fn ids_that_come_back_unused_are_the_next_ones_and_unknown_again() {
    let mut ids = IdTable::default();
    for id in 1..=3 {
        assert_eq!(ids.allocate(0), Some(id));
    }
    for used in [3, 2, 2] {
        for id in (1..=used).rev() {
            ids.withdraw(id);
            assert_eq!(ids.get(id), None);
        }
        assert_eq!([ids.allocate(0), ids.allocate(0)], [Some(1), Some(2)]);
    }
}

#[test]
fn an_id_that_a_shrunk_table_has_forgotten_stays_known_when_it_comes_back_unused() {
    let mut ids = IdTable::default();
    for id in [1, 2] {
        assert_eq!(ids.allocate(0), Some(id));
        ids.note_framed(id);
    }
    ids.note_framed(1);
    ids.release(2);
    ids.release(1);
    ids.shrink_idle();
    assert_eq!(ids.allocate(0), Some(2));
    ids.withdraw(2);
    assert_eq!(ids.get(2), Some(Slot::Free));
}

#[test]
fn ids_that_a_late_record_brings_back_rest_as_the_one_freed_last_does() {
    let mut ids = IdTable::default();
    for id in 1..=6 {
        assert_eq!(ids.allocate(0), Some(id));
    }
    for id in (1..=6).rev() {
        ids.release(id);
    }
    ids.shrink_idle();
    // 1 was freed last, so 2 and 3 are handed out.
    assert_eq!([ids.allocate(0), ids.allocate(0)], [Some(2), Some(3)]);
    ids.release(2);
    ids.release(3);
    ids.make_reusable();
    ids.quarantine(6);
    let next = [0; 3].map(|_| ids.allocate(0));
    assert_eq!(
        next,
        [Some(1), Some(2), Some(7)],
        "3 was freed last, 4 and 5 rest"
    );
}
