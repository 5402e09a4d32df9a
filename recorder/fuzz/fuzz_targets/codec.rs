//! Any bytes as an encoded block: an error, or records that encode to a block
//! which decodes to them again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orch_recorder::trace::codec::{Decoder, Encoder, MAX_RAW};

fuzz_target!(|input: (u32, &[u8])| {
    let (raw_len, encoded) = input;
    let mut raw = Vec::new();
    if Decoder::default()
        .decode(encoded, raw_len as usize % (MAX_RAW + 1), &mut raw)
        .is_err()
    {
        return;
    }
    let (mut encoder, mut encoded, mut at) = (Encoder::default(), Vec::new(), 0);
    while at < raw.len() {
        at += encoder.push(&raw[at..]).expect("whole records").1;
    }
    encoder.finish(&mut encoded);
    let mut again = Vec::new();
    Decoder::default()
        .decode(&encoded, raw.len(), &mut again)
        .expect("what was encoded");
    assert_eq!(again, raw);
});
