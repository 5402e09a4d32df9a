//! A session whose supervisor was killed: what the rings hold is saved.

use orch_abi::record::Forked;
use orch_abi::shared::state;
use orch_recorder::arena::Arena;
use orch_recorder::recover::{Recovery, recover};
use orch_recorder::session::{Meta, Session};
use orch_recorder::trace::record::build;
use orch_recorder::trace::{End, RecordingId};
use std::path::Path;
use std::sync::atomic::Ordering;

const EVENTS: u64 = 5000;

/// A session with one live recording: `written` of its records are in the file,
/// the others only in the ring.
fn abandoned(dir: &Path, written: usize) -> Session {
    let mut meta = Meta::now(vec!["x".to_owned()], dir.to_owned(), Vec::new());
    // No process has this start time.
    meta.supervisor_start = u64::MAX;
    let session = Session::create(&dir.join("s"), meta).unwrap();
    let arena = Arena::create(&session.arena()).unwrap();
    let index = arena.claim().unwrap();
    let slot = arena.slot(index);
    slot.recording.store(1, Ordering::Relaxed);
    let forked = |tick| {
        let body = Forked {
            parent: 7,
            pid: 0,
            tick,
        };
        build::forked(tick, &body)
    };
    let stream: Vec<Vec<u8>> = (1..=EVENTS).map(forked).collect();
    arena.feed(index, &stream.concat());
    slot.state.store(state::ACTIVE, Ordering::Release);
    let mut writer = session.writer(RecordingId(1)).unwrap();
    writer.append(&stream[..written].concat()).unwrap();
    writer.flush().unwrap();
    // As killed: nothing more is written, and the room was not freed yet.
    session
}

fn check(session: &Session) {
    let summary = session.summary(RecordingId(1)).unwrap();
    assert_eq!(summary.events, EVENTS + 1);
    assert_eq!(summary.end, Some(End::Unknown));
    let mut records = session.reader(RecordingId(1)).unwrap().records();
    for tick in 1..=EVENTS {
        assert_eq!(records.next_record().unwrap().unwrap().head.tick, tick);
    }
}

#[test]
fn what_only_the_ring_has_is_saved_once() {
    for written in [0, 1, 1234, 5000] {
        let dir = tempfile::tempdir().unwrap();
        let mut session = abandoned(dir.path(), written);
        let done = Recovery::Done { recordings: 1 };
        assert_eq!(recover(&mut session).unwrap(), done);
        check(&session);
        assert!(session.meta().recovered.is_some());
        assert_eq!(recover(&mut session).unwrap(), Recovery::NotNeeded);
        check(&session);
    }
}

#[test]
fn a_torn_block_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = abandoned(dir.path(), 4000);
    let path = session.events_path(RecordingId(1));
    let len = std::fs::metadata(&path).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(len - 5).unwrap();
    recover(&mut session).unwrap();
    check(&session);
}

#[test]
fn two_at_once_do_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let session = abandoned(dir.path(), 100);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut session = session.clone();
            scope.spawn(move || recover(&mut session).unwrap());
        }
    });
    check(&session);
}
