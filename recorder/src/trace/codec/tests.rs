use super::*;
use crate::trace::record::build;
use orch_abi::record::{MAX_DATA, Syscall};
use proptest::prelude::*;

/// Records of every kind, known or not, with payloads that make sense or not.
pub(crate) fn any_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let word = prop_oneof![Just(0u64), 0..64u64, any::<u64>()];
    let nonsense = (
        1..=255u8,
        0..3u8,
        0..4u16,
        0..1000u64,
        prop::collection::vec(word, 0..60),
    )
        .prop_map(|(kind, flags, aux, tick, words)| {
            let mut out = vec![kind, flags];
            out.extend(aux.to_le_bytes());
            out.extend((words.len() as u32 * 8).to_le_bytes());
            out.extend(tick.to_le_bytes());
            words.iter().for_each(|word| out.extend(word.to_le_bytes()));
            out
        });
    let chunk = (
        0..1000u64,
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..200),
    );
    let call = (
        0..1000u64,
        0..4u16,
        0..3u64,
        prop::collection::vec(chunk, 0..4),
    )
        .prop_map(|(tick, nr, ip, chunks)| {
            let call = Syscall {
                ip,
                result: -2,
                args: [3, tick, 0, 0, 0, 0],
                in_hash: tick,
            };
            let chunks: Vec<_> = chunks.iter().map(|(a, o, b)| (*a, *o, &b[..])).collect();
            build::syscall(tick, nr, 0, &call, &chunks)
        });
    let data = (any::<u64>(), 0..MAX_DATA)
        .prop_map(|(tick, len)| build::data(tick, 0x1000, &vec![7; len]));
    let data = data.prop_filter("a record", |record| !record.is_empty());
    prop::collection::vec(prop_oneof![4 => nonsense, 4 => call, 1 => data], 0..60)
}

fn encode(records: &[Vec<u8>]) -> Vec<u8> {
    let (mut encoder, mut encoded) = (Encoder::default(), Vec::new());
    for record in records {
        assert_eq!(encoder.push(record).unwrap().1, record.len());
    }
    encoder.finish(&mut encoded);
    encoded
}

proptest! {
    #[test]
    fn records_come_back(records in any_records()) {
        // Longer blocks than the writer makes are refused.
        let mut records = records;
        while records.concat().len() > MAX_RAW {
            records.pop();
        }
        let (raw, encoded) = (records.concat(), encode(&records));
        prop_assert!(encoded.len() <= 2 * raw.len() + 64);
        let mut out = Vec::new();
        prop_assert_eq!(Decoder::default().decode(&encoded, raw.len(), &mut out), Ok(()));
        prop_assert_eq!(out, raw);
    }

    #[test]
    fn damage_is_an_error_or_other_records(
        records in any_records(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
    ) {
        let (raw, mut encoded) = (records.concat(), encode(&records));
        for (at, value) in damage {
            let at = at.index(encoded.len());
            encoded[at] = value;
        }
        let mut out = Vec::new();
        if Decoder::default().decode(&encoded, raw.len(), &mut out).is_ok() {
            prop_assert_eq!(out.len(), raw.len());
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, raw_len in 0..MAX_RAW) {
        let mut out = Vec::new();
        let _any = Decoder::default().decode(&bytes, raw_len, &mut out);
        prop_assert!(out.capacity() <= 2 * MAX_RAW);
        let _any = Encoder::default().push(&bytes);
    }
}

#[test]
fn more_contexts_than_are_kept() {
    let call = |i: u64| {
        // Sites come back after they have lost their context, and while they have it.
        let ip = if i.is_multiple_of(3) { i % 50 } else { i };
        build::syscall(
            i,
            (i % 7) as u16,
            0,
            &Syscall {
                ip,
                ..Syscall::default()
            },
            &[],
        )
    };
    let records: Vec<_> = (0..4000).map(call).collect();
    let mut out = Vec::new();
    let raw = records.concat();
    Decoder::default()
        .decode(&encode(&records), raw.len(), &mut out)
        .unwrap();
    assert_eq!(out, raw);
}

#[test]
fn malformed_heads_are_refused() {
    let head = |kind: u8, len: u32| {
        let mut out = vec![kind, 0, 0, 0];
        out.extend(len.to_le_bytes());
        out.extend([0; 24]);
        out
    };
    let push = |bytes: &[u8]| Encoder::default().push(bytes).map(|(_, len)| len);
    assert_eq!(push(&head(4, 16)), Ok(32));
    assert_eq!(push(&head(0, 16)), Err(CodecError::NoKind));
    assert_eq!(push(&head(4, 12)), Err(CodecError::Unaligned(12)));
    assert_eq!(push(&head(4, 24)), Err(CodecError::CutOff));
    assert_eq!(push(&head(4, u32::MAX)), Err(CodecError::TooLong(u32::MAX)));
    assert_eq!(push(&[4; 15]), Err(CodecError::CutOff));
}
