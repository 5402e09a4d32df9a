//! Any bytes as records: every view is an error or lies within them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orch_recorder::trace::Record;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok((record, len)) = Record::parse(rest, 0, 0) {
        let _ = (
            record.start(),
            record.signal(),
            record.point(),
            record.data(),
        );
        let _ = (
            record.map(),
            record.exit(),
            record.spawn(),
            record.ended(),
            record.forked(),
        );
        if let Ok(view) = record.syscall() {
            view.chunks
                .for_each(|chunk| assert!(chunk.bytes.len() <= len));
        }
        rest = &rest[len..];
    }
});
