//! The queue in a file, for what clients do not take.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;

use proptest::prelude::*;

use crate::proxy::net::file_queue::FileQueue;

fn file() -> File {
    tempfile::tempfile().expect("a file")
}

fn read(queue: &mut FileQueue, most: usize) -> Vec<u8> {
    let mut space = vec![0; most];
    let len = queue.peek(&mut space).expect("bytes");
    queue.remove(len);
    space.truncate(len);
    space
}

#[test]
fn bytes_come_out_as_they_went_in() {
    let mut queue = FileQueue::new(file());
    assert_eq!(queue.write(b"first, ", u64::MAX).expect("room"), 7);
    assert_eq!(queue.write(b"second", u64::MAX).expect("room"), 6);
    assert_eq!(queue.len(), 13);
    assert_eq!(read(&mut queue, 3), b"fir");
    assert_eq!(read(&mut queue, 100), b"st, second");
    assert_eq!(queue.len(), 0);
    assert_eq!(read(&mut queue, 100), b"");
}

#[test]
fn what_was_peeked_stays_until_it_is_removed() {
    let mut queue = FileQueue::new(file());
    queue.write(b"abc", 3).expect("room");
    let mut space = [0; 2];
    for _ in 0..2 {
        assert_eq!(queue.peek(&mut space).expect("bytes"), 2);
        assert_eq!(&space, b"ab");
    }
    queue.remove(1);
    assert_eq!(read(&mut queue, 2), b"bc");
}

#[test]
fn a_full_file_goes_on_at_its_front() {
    let mut queue = FileQueue::new(file());
    assert_eq!(queue.write(b"0123456789", 8).expect("room"), 8);
    assert_eq!(queue.write(b"89", 8).expect("no room"), 0);
    assert_eq!(read(&mut queue, 3), b"012");
    assert_eq!(queue.wanted_size(2), Some(10));
    // Two bytes of the three that are free. The file does not grow while the oldest bytes are at its end.
    assert_eq!(queue.write(b"89", 8).expect("room"), 2);
    assert_eq!(queue.wanted_size(2), None);
    assert_eq!(queue.write(b"ab", 1000).expect("room"), 1);
    assert_eq!(queue.len(), 8);
    assert_eq!(read(&mut queue, 100), b"34567");
    assert_eq!(queue.wanted_size(2), Some(5));
    assert_eq!(queue.write(b"bcdefgh", 8).expect("room"), 5);
    assert_eq!(read(&mut queue, 100), b"89abcdef");
    assert_eq!(queue.len(), 0);
}

#[test]
fn a_file_without_room_takes_nothing() {
    let mut queue = FileQueue::new(file());
    assert_eq!(queue.write(b"a", 0).expect("no room"), 0);
    assert_eq!((queue.len(), queue.wanted_size(1)), (0, Some(1)));
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let read_only = {
        let mut named = tempfile::NamedTempFile::new().expect("a file");
        named.write_all(b"abc").expect("room");
        File::open(named.path()).expect("it exists")
    };
    let mut queue = FileQueue::new(read_only);
    assert!(queue.write(b"abc", 10).is_err());
    assert_eq!((queue.len(), queue.wanted_size(1)), (0, Some(1)));
}

#[test]
fn a_file_that_shrank_is_an_error_and_not_an_end() {
    let file = file();
    let mut queue = FileQueue::new(file.try_clone().expect("a descriptor"));
    queue.write(b"abc", 10).expect("room");
    file.set_len(0).expect("a file");
    assert!(queue.peek(&mut [0; 10]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// As in memory, whatever the order of writes and reads, also while the limit grows.
    #[test]
    fn any_order_of_writes_and_reads_keeps_the_bytes_and_the_limit(
        steps in prop::collection::vec((any::<bool>(), 0_usize..40, 0_u64..3), 0..200)
    ) {
        let file = file();
        let mut queue = FileQueue::new(file.try_clone().expect("a descriptor"));
        let (mut expected, mut next, mut limit) = (VecDeque::new(), 0_u8, 0);
        for (is_write, len, more) in steps {
            limit += more;
            if is_write {
                let bytes: Vec<u8> = (0..len).map(|at| next.wrapping_add(at as u8)).collect();
                let written = queue.write(&bytes, limit).expect("room or not");
                let is_full = queue.len() == limit || queue.wanted_size(1).is_none();
                prop_assert!(written == len || is_full);
                expected.extend(&bytes[..written]);
                next = next.wrapping_add(written as u8);
            } else {
                let bytes = read(&mut queue, len);
                prop_assert_eq!(bytes.is_empty(), expected.is_empty() || len == 0);
                let wanted: Vec<u8> = expected.drain(..bytes.len()).collect();
                prop_assert_eq!(bytes, wanted);
            }
            prop_assert_eq!(queue.len(), expected.len() as u64);
            prop_assert!(file.metadata().expect("a file").len() <= limit);
        }
    }
}
