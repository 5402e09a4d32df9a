use super::*;
use orch_abi::record::{Insn, Syscall};
use orch_recorder::session::Meta;
use orch_recorder::trace::record::build;
use std::path::Path;

const P1: RecordingId = RecordingId(1);

/// Twenty reads of descriptor 3, of growing sizes; a call every two ticks.
fn session(dir: &Path) -> (Session, Vec<u64>) {
    let meta = Meta::now(vec!["test".into()], dir.into(), Vec::new());
    let session = Session::create(&dir.join("s"), meta).expect("a new directory");
    let mut writer = session.writer(P1).expect("a new recording");
    let mut offsets = Vec::new();
    for n in 0..20 {
        offsets.push(writer.offset());
        let call = Syscall {
            ip: 0x400,
            result: 0,
            args: [3, 0, n, 0, 0, 0],
            in_hash: 0,
        };
        writer
            .append(&build::syscall(n * 2, 0, 0, &call, &[]))
            .expect("it is a record");
    }
    offsets.push(writer.offset());
    writer
        .append(&build::insn(40, &Insn::default()))
        .expect("it is a record");
    writer.finish().expect("there is room");
    (session, offsets)
}

fn at(offset: u64, kind: Kind, why: &str) -> Divergence {
    let args = [4, 0, 15, 0, 0, 0];
    Divergence {
        offset,
        thread: 0,
        kind: kind as u8,
        nr: 0,
        ip: 0x400,
        args,
        why: why.into(),
    }
}

#[test]
fn says_what_was_expected_and_what_differs() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (session, offsets) = session(dir.path());
    // In the middle of the record: its head had been taken.
    let d = at(offsets[15] + 16, Kind::Syscall, "arguments differ");
    let e = Explained::new(&session, P1, &d);
    assert_eq!(e.position, "p1@30");
    assert_eq!(
        e.expected.expect("it is there").text,
        "read(3, NULL, 15) = 0"
    );
    assert_eq!(e.actual.text, "read(4, NULL, 15)");
    let differs: Vec<_> = e
        .differs
        .iter()
        .map(|d| (&*d.what, &*d.recorded, &*d.replayed))
        .collect();
    assert_eq!(differs, [("fd", "0x3", "0x4")]);
    let before: Vec<u64> = e.before.iter().map(|line| line.tick).collect();
    assert_eq!(before, (5..15).map(|n| n * 2).collect::<Vec<_>>());
}

#[test]
fn finds_the_record_that_was_read_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (session, offsets) = session(dir.path());
    let tick = |d| Explained::new(&session, P1, &d).tick;
    let place = |kind, why| at(offsets[20], kind, why);
    let mut returns = place(Kind::Syscall, "it returns 1 here");
    assert_eq!(tick(returns), 40);
    returns = place(Kind::Syscall, "it returns 1 here");
    returns.args = [3, 0, 19, 0, 0, 0];
    assert_eq!(tick(returns), 38);
    let mut again = place(Kind::Syscall, "the arguments differ");
    again.args = [3, 0, 19, 0, 0, 0];
    assert_eq!(tick(again), 40);
    let other = "another kind of event was recorded";
    assert_eq!(tick(place(Kind::Syscall, other)), 40);
    assert_eq!(tick(place(Kind::Exit, other)), 40);
}

#[test]
fn the_end_of_the_recording_is_a_place() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (session, _) = session(dir.path());
    let end = session.summary(P1).expect("it is readable").bytes;
    let e = Explained::new(&session, P1, &at(end, Kind::Syscall, "goes on"));
    assert!(e.expected.is_none());
    assert_eq!(e.before.len(), 10);
}
