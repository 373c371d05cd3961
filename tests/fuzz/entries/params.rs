//! Name-value pairs: read from any bytes, and packed into records.

use mio_fcgi::wire::{
    DecodeError, Demux, HEADER_LEN, Header, Item, MAX_ALIGNED_CONTENT_LEN, MAX_CONTENT_LEN, Pairs,
    RecordType, pair_len, write_pair, write_params_records,
};

use super::choices::Choices;

/// Decoded pairs are the same when they are encoded again. Encoded pairs are decoded from whole records.
pub fn params(input: &[u8]) {
    decoded(input);
    packed(input);
}

fn decoded(input: &[u8]) {
    let mut pairs = Pairs::new(input);
    let mut read = 0;
    while let Some(pair) = pairs.next() {
        let (name, value) = match pair {
            Ok(pair) => pair,
            Err(error) => {
                let left = input.len() - read;
                let is_short = matches!(
                    error,
                    DecodeError::TruncatedPair { needed, available }
                        if available == left && needed > left as u64
                );
                assert!(is_short, "{error:?} with {left} bytes left");
                assert_eq!(pairs.next(), None, "after an error");
                return;
            }
        };
        let mut encoded = Vec::new();
        write_pair(&mut encoded, name, value).expect("lengths that were read can be written");
        assert_eq!(encoded.len(), pair_len(name.len(), value.len()));
        assert_eq!(Pairs::new(&encoded).next(), Some(Ok((name, value))));
        let end = value.as_ptr_range().end as usize - input.as_ptr() as usize;
        // A short length may have come in its long form.
        assert!((encoded.len()..=encoded.len() + 6).contains(&(end - read)));
        read = end;
    }
    assert_eq!(read, input.len());
}

/// Two bytes for each pair: the lengths of its name and of its value.
fn packed(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut slices = vec![Vec::new()];
    let mut total = 0;
    while !choices.is_empty() && total < MOST {
        let (name_len, scale) = (choices.byte(), choices.byte());
        let value_len = match scale {
            0..224 => usize::from(scale),
            _ => usize::from(scale - 223) * 2099,
        };
        let filling = [name_len, scale].repeat(value_len / 2 + 128);
        let (name, value) = (&filling[..usize::from(name_len)], &filling[..value_len]);
        let slice = slices.last_mut().expect("there is one");
        write_pair(slice, name, value).expect("far below 2^31 bytes");
        total += slice.len();
        if name_len == 0 {
            slices.push(Vec::new());
        }
    }
    let parts: Vec<&[u8]> = slices.iter().map(Vec::as_slice).collect();
    let mut records = Vec::new();
    write_params_records(&mut records, 7, &parts);

    let all = slices.concat();
    let lens = Pairs::new(&all).map_while(Result::ok);
    let lens = lens.map(|(name, value)| pair_len(name.len(), value.len()));
    let may_split = lens.max() > Some(MAX_CONTENT_LEN);
    let mut joined = Vec::new();
    let mut rest = &records[..];
    while !rest.is_empty() {
        let bytes = rest[..HEADER_LEN].try_into().expect("eight bytes");
        let header = Header::decode(bytes).expect("a header");
        let content_len = usize::from(header.content_len);
        let len = HEADER_LEN + content_len + usize::from(header.padding_len);
        assert_eq!(
            (header.record_type, header.request_id),
            (RecordType::Params, 7)
        );
        assert!(content_len > 0, "an empty record would end the stream");
        assert!(content_len + usize::from(header.padding_len) <= MAX_CONTENT_LEN);
        let content = &rest[HEADER_LEN..HEADER_LEN + content_len];
        let count = Pairs::new(content).take_while(Result::is_ok).count();
        let is_whole = Pairs::new(content).count() == count;
        assert!(is_whole || may_split, "a pair straddles two records");
        assert!(content_len <= MAX_ALIGNED_CONTENT_LEN || may_split || count == 1);
        joined.extend_from_slice(content);
        rest = &rest[len..];
    }
    assert_eq!(joined, all);
    demuxed(&records, &joined);
}

fn demuxed(mut records: &[u8], joined: &[u8]) {
    let mut demux = Demux::default();
    let mut content = Vec::new();
    while let Some(item) = demux
        .next(&mut records)
        .expect("what was written can be read")
    {
        let Item::Stream { data, .. } = item else {
            panic!("{item:?} among parameters");
        };
        content.extend_from_slice(data);
    }
    assert!(demux.at_record_boundary());
    assert_eq!(content, joined);
}

/// Bytes of one block of pairs.
const MOST: usize = 150_000;
