//! Any bytes as a recording file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orch_recorder::trace::RecordingReader;
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    let Ok(mut reader) = RecordingReader::open(file.path()) else {
        return;
    };
    let _ = reader.summary();
    for _ in 0..reader.blocks_len() {
        let _ = reader.next_block();
    }
});
