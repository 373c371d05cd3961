//! Checks the lengths of a pair; the pair itself is not needed.

use crate::wire;

/// The two encoded lengths of a pair, and the length of the whole pair, in bytes. The pair follows `used` bytes of
/// other pairs. `None` for a length of 2^31 bytes or more (FastCGI 1.0, 3.4), and for pairs that exceed `most` bytes
/// together.
pub(super) fn encodable(
    name_len: usize,
    value_len: usize,
    used: usize,
    most: usize,
) -> Option<(wire::LenBytes, usize)> {
    let lens = wire::LenBytes::of(name_len, value_len).ok()?;
    // In 64 bits: the sum of two lengths of nearly 2^31 exceeds a 32-bit usize.
    let pair_len = lens.bytes().len() as u64 + name_len as u64 + value_len as u64;
    if used as u64 + pair_len > most as u64 {
        return None;
    }
    Some((lens, usize::try_from(pair_len).ok()?))
}

/// Stored as the length of a pair that cannot be encoded. No real pair is that long: memory is limited to half of it.
pub(super) const UNENCODABLE: usize = usize::MAX;

/// The largest size that an object in memory can have, in bytes.
pub(super) const MAX_MEMORY: usize = isize::MAX as usize;

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::*;
    use crate::error::SubmitError;

    /// Pushes a pair of these lengths. The pair itself does not exist.
    fn push_lengths(params: &mut Params, name_len: usize, value_len: usize) {
        params.push_with(name_len, value_len, |_| panic!("a place for 2^31 bytes"));
    }

    // case 149
    #[test]
    fn a_name_or_a_value_of_2_to_the_31_is_refused_in_every_configuration() {
        for (name_len, value_len) in [
            (1 << 31, 0),
            (0, 1 << 31),
            (1 << 31, 1 << 31),
            (5, u32::MAX as usize),
            (usize::MAX, 0),
            (usize::MAX, usize::MAX),
        ] {
            for (max_len, split_long_pairs) in [
                (1_048_576, false),
                (usize::MAX, false),
                (usize::MAX, true),
                (0, true),
            ] {
                let mut params = Params::default();
                params.push("A", "1");
                push_lengths(&mut params, name_len, value_len);
                let refused = Err(SubmitError::ParamLengthTooLong);
                assert_eq!(params.check(0, max_len, split_long_pairs), refused);
                // The pair is also refused when other pairs follow it, and when it is in a shared block.
                params.push("B", "x".repeat(70_000));
                assert_eq!(params.check(0, max_len, split_long_pairs), refused);
                let shared = params.into_shared();
                let mut params = Params::with_shared(&shared);
                assert_eq!(params.check(0, max_len, split_long_pairs), refused);
                assert_eq!(params.iter().count(), 2);
                params.clear();
                assert_eq!(params.check(0, max_len, split_long_pairs), Ok(()));
            }
        }
    }

    // case 149
    #[test]
    fn the_longest_name_and_value_are_encoded_where_memory_can_hold_them() {
        let longest = 0x7fff_ffff;
        let encoded_len = |name_len, value_len, used, most| {
            encodable(name_len, value_len, used, most).map(|(_, pair_len)| pair_len as u64)
        };
        let memory = usize::try_from(i64::MAX).unwrap_or(MAX_MEMORY);
        assert_eq!(encoded_len(longest - 8, 0, 0, memory), Some(0x7fff_fffc));
        assert_eq!(encoded_len(longest + 1, 0, 0, memory), None);
        // On a 32-bit machine: pairs that a usize can count but memory cannot hold, and pairs that it cannot count.
        let memory = i32::MAX as usize;
        assert_eq!(encoded_len(longest - 5, 0, 0, memory), Some(0x7fff_ffff));
        for (name_len, value_len, used) in [
            (longest - 4, 0, 0),
            (longest - 5, 0, 1),
            (0x4000_0000, 0x4000_0000, 0),
            (longest, longest, 0),
            (longest, longest, memory),
        ] {
            assert_eq!(encoded_len(name_len, value_len, used, memory), None);
        }
    }

    #[test]
    fn limits_of_zero_and_of_the_greatest_length_hold_as_they_are() {
        let mut params = Params::default();
        assert_eq!(params.check(0, 0, false), Ok(()));
        params.push("A", "");
        let refused = Err(SubmitError::ParamsTooLarge { len: 3, limit: 0 });
        assert_eq!(params.check(0, 0, true), refused);
        assert_eq!(params.check(0, usize::MAX, false), Ok(()));
        params.push("B", "x".repeat(65_536));
        let (len, limit) = (65_542, 65_535);
        let refused = Err(SubmitError::PairTooLarge { len, limit });
        assert_eq!(params.check(0, usize::MAX, false), refused);
        assert_eq!(params.check(0, usize::MAX, true), Ok(()));
        // A pair that may be split is no longer than its limit allows: the other limit is why it is refused.
        let refused = Err(SubmitError::ParamsTooLarge {
            len: 65_545,
            limit: 65_536,
        });
        assert_eq!(params.check(0, 65_536, true), refused);
    }
}
