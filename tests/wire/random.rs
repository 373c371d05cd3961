//! Random conversations, pairs, cuts and damage.

use mio_fcgi::wire::{self, Pairs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{read, record};

/// Records of any type, some of them longer than 255 bytes, and some with a damaged byte.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let content = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 250..600)];
    let one = (0..14_u8, any::<u16>(), content, any::<u8>()).prop_map(
        |(record_type, id, content, padding_len)| record(record_type, id, &content, padding_len),
    );
    let damage = proptest::option::of((any::<Index>(), any::<u8>()));
    (vec(one, 1..8), damage).prop_map(|(records, damage)| {
        let mut bytes = records.concat();
        if let Some((at, byte)) = damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cuts_give_the_same_items_and_the_same_error(bytes in bytes(), cuts in vec(any::<Index>(), 0..12)) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        pieces.push(&bytes[start..]);
        let whole = read([&bytes[..]]);
        prop_assert_eq!(read(pieces), whole.clone());
        prop_assert_eq!(read(bytes.chunks(1)), whole);
    }

    #[test]
    fn pairs_survive_a_round_trip(pairs in vec((vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300)), 0..20)) {
        let mut encoded = Vec::new();
        for (name, value) in &pairs {
            wire::write_pair(&mut encoded, name, value).expect("short enough");
        }
        let read: Vec<_> = Pairs::new(&encoded)
            .map(|pair| pair.map(|(name, value)| (name.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .expect("as written");
        prop_assert_eq!(read, pairs);
    }

    #[test]
    fn any_bytes_read_as_pairs_end(encoded in vec(any::<u8>(), 0..400)) {
        let pairs: Vec<_> = Pairs::new(&encoded).collect();
        let read: usize = pairs.iter().flatten().map(|(name, value)| name.len() + value.len()).sum();
        prop_assert!(read <= encoded.len());
        prop_assert!(pairs.iter().rev().skip(1).all(Result::is_ok), "an error is the last item");
    }

    #[test]
    fn framed_pairs_are_whole_in_each_record(lens in vec((0..200_usize, 0..40_000_usize), 0..12), cut in any::<Index>()) {
        let mut blocks = [Vec::new(), Vec::new()];
        let cut = cut.index(lens.len() + 1);
        for (at, (name_len, value_len)) in lens.iter().enumerate() {
            let block = &mut blocks[usize::from(at >= cut)];
            wire::write_pair(block, &vec![b'n'; *name_len], &vec![at as u8; *value_len]).expect("short enough");
        }
        let mut out = Vec::new();
        wire::write_params_records(&mut out, 1, &[&blocks[0], &blocks[1]]);
        let mut rest = out.as_slice();
        let mut content = Vec::new();
        while let Some((header, after)) = rest.split_first_chunk::<8>() {
            let header = wire::Header::decode(header).expect("as written");
            let (data, after) = after.split_at(usize::from(header.content_len));
            prop_assert!(!data.is_empty() && data.len() <= 65_528);
            prop_assert!(Pairs::new(data).all(|pair| pair.is_ok()));
            content.extend_from_slice(data);
            rest = &after[usize::from(header.padding_len)..];
        }
        prop_assert!(content == blocks.concat());
    }
}
