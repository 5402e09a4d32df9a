use super::*;
use orch_abi::record::{MAX_PAYLOAD, Regs, Start, Syscall};
use proptest::prelude::*;
use std::ffi::{OsStr, OsString};

fn parse(bytes: &[u8]) -> Record<'_> {
    let (record, len) = Record::parse(bytes, 0, 0).unwrap();
    assert_eq!(len, bytes.len());
    record
}

#[test]
fn a_start_comes_back() {
    let regs = Regs {
        rip: 0x40_1000,
        ..Regs::default()
    };
    let start = Start {
        regs,
        pid: 7,
        parent: 2,
        time: 99,
        argc: 0,
        same_process: 1,
    };
    let args = ["sh", "", "-c"].map(OsStr::new);
    let bytes = build::start(5, &start, OsStr::new("/bin/sh"), &args, OsStr::new("/tmp"));
    let view = parse(&bytes).start().unwrap();
    assert_eq!(view.start, Start { argc: 3, ..start });
    assert_eq!((view.path, view.cwd), (&b"/bin/sh"[..], &b"/tmp"[..]));
    assert_eq!(view.args, [&b"sh"[..], b"", b"-c"]);
}

#[test]
fn a_start_with_too_many_arguments_keeps_what_fits() {
    let args = vec![OsString::from("x".repeat(1000)); 200];
    let bytes = build::start(
        5,
        &Start::default(),
        OsStr::new("/x"),
        &args,
        OsStr::new("/"),
    );
    assert!(bytes.len() <= 16 + MAX_PAYLOAD);
    assert_eq!(parse(&bytes).start().unwrap().args.len(), 130);
}

#[test]
fn long_data_become_several_records() {
    let content: Vec<u8> = (0..200_001u32).map(|i| i as u8).collect();
    let bytes = build::data(9, 0x1000, &content);
    let (mut rest, mut back, mut count) = (&bytes[..], Vec::new(), 0);
    while !rest.is_empty() {
        let (record, len) = Record::parse(rest, 0, 0).unwrap();
        let (addr, piece) = record.data().unwrap();
        assert_eq!(addr, 0x1000 + back.len() as u64);
        back.extend_from_slice(piece);
        rest = &rest[len..];
        count += 1;
    }
    assert_eq!((back == content, count), (true, 4));
}

#[test]
fn the_wrong_kind_is_an_error() {
    let bytes = build::switch(1, &Switch { thread: 3, tid: 4 });
    let record = parse(&bytes);
    assert_eq!(record.switch(), Ok(Switch { thread: 3, tid: 4 }));
    let error = record.map().unwrap_err();
    assert_eq!(error.to_string(), "the record at 0 has kind 6, not Map");
}

proptest! {
    #[test]
    fn chunks_come_back(chunks: Vec<(u64, bool, Vec<u8>)>) {
        let given: Vec<_> = chunks.iter().map(|(a, o, b)| (*a, *o, &b[..])).collect();
        let call = Syscall { ip: 1, result: -1, args: [1, 2, 3, 4, 5, 6], in_hash: 9 };
        let bytes = build::syscall(1, 39, 4, &call, &given);
        let view = parse(&bytes).syscall().unwrap();
        prop_assert_eq!((view.nr, view.call), (39, call));
        let back: Vec<_> = view.chunks.map(|c| (c.addr, c.outgoing, c.bytes)).collect();
        prop_assert_eq!(back, given);
    }

    #[test]
    fn nonsense_is_an_error(kind in 1..20u8, words: Vec<u64>) {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend((words.len() as u32 * 8).to_le_bytes());
        bytes.extend([0; 8]);
        words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        let record = parse(&bytes);
        let _any = (record.start().is_ok(), record.syscall().is_ok(), record.signal().is_ok());
        let _any = (record.point().is_ok(), record.data().is_ok(), record.map().is_ok());
        let _any = (record.exit().is_ok(), record.ended().is_ok(), record.boot().is_ok());
    }
}
