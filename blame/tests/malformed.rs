//! Recordings that make no sense: nothing may panic, and what makes sense is found.

use orch_abi::record::{Forked, Kind, Object, Shared, Start, View, object};
use orch_blame::BlameError;
use orch_blame::graph::Graph;
use orch_blame::graph::order::{self, Bytes, MOST_BYTES};
use orch_blame::index::{Index, Query};
use orch_blame::place::{self, Memory};
use orch_blame::symbols::Symbols;
use orch_blame::time::Clock;
use orch_recorder::session::{Meta, Session};
use orch_recorder::trace::record::build;
use orch_recorder::trace::{RecordingId, Tick};
use proptest::prelude::*;
use std::ffi::OsStr;

/// Numbers that are likely to be too large for something.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..100_u64,
        any::<u64>(),
        (0..100_u64).prop_map(|n| u64::MAX - n),
        (0..100_u64).prop_map(|n| (4 << 20) - 50 + n),
    ]
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..400);
    let five = [(); 5].map(|()| number());
    let garbage = (1..24_u8, any::<u8>(), any::<u16>(), number(), bytes()).prop_map(
        |(kind, flags, aux, tick, payload)| {
            let mut record = build::record(Kind::Data, flags, aux, tick, &payload);
            record[0] = kind;
            record
        },
    );
    let words = (
        1..24_u8,
        0..300_u16,
        number(),
        proptest::collection::vec(number(), 0..20),
    )
        .prop_map(|(kind, aux, tick, words)| {
            let payload: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            let mut record = build::record(Kind::Data, 0, aux, tick, &payload);
            record[0] = kind;
            record
        });
    let view = (number(), five).prop_map(|(tick, [addr, len, object, offset, prot])| {
        let object = object % 4;
        build::view(
            tick,
            &View {
                addr,
                len,
                object,
                offset,
                prot,
            },
        )
    });
    let store = (number(), number(), bytes(), any::<bool>()).prop_map(|(tick, addr, new, seen)| {
        let old = vec![7; new.len()];
        build::store(tick, 0, 1, addr, &new, seen.then_some(&old[..]))
    });
    let load = (number(), number(), bytes())
        .prop_map(|(tick, addr, new)| build::shared(tick, 0, &Shared::default(), &[(addr, &new)]));
    prop_oneof![2 => garbage, 2 => words, 2 => view, 3 => store, 3 => load]
}

fn begin(n: u32) -> Vec<Vec<u8>> {
    let start = Start {
        pid: 7,
        ..Start::default()
    };
    let forked = Forked {
        parent: 1,
        pid: 8,
        tick: 1,
    };
    let what = Object {
        id: 1,
        what: object::FILE,
        dev: 0,
        ino: 0,
    };
    let view = View {
        addr: 0,
        len: u64::MAX,
        object: 1,
        offset: u64::from(n) * 40,
        prot: 3,
    };
    let first = match n {
        1 => build::start(1, &start, OsStr::new("/bin/x"), &["x"], OsStr::new("/")),
        _ => build::forked(1, &forked),
    };
    let object = build::object(1, &what, OsStr::new("/dev/shm/x"));
    vec![first, object, build::view(1, &view)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_breaks(recordings in proptest::collection::vec(proptest::collection::vec(record(), 0..30), 1..4), offset in number(), len in number()) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let meta = Meta::now(vec!["x".into()], dir.path().into(), Vec::new());
        let mut session = Session::create(&dir.path().join("s"), meta).expect("a new directory");
        for (n, records) in (1..).zip(&recordings) {
            let mut writer = session.writer(RecordingId(n)).expect("a new recording");
            for record in begin(n).iter().chain(records) {
                writer.append(record).expect("it is a record");
            }
            writer.finish().expect("there is room");
        }
        session.update(|meta| meta.end(0, Vec::new())).expect("it can be written");
        let index = Index::open(&session, &mut |_| true).expect("it can be made");
        let catalog = index.catalog();
        let (clock, mut symbols) = (Clock::new(catalog), Symbols::new(&session, catalog));
        for last in [None, Some(3)] {
            let query = Query { object: 1, offset, len: len.max(1), after: None, before: None, recordings: Vec::new(), stores: false, last };
            index.query(&query, &mut |access| {
                let _ = clock.at(access.tick);
                let site = catalog.sites[access.site as usize];
                symbols.site(catalog, &site, access.tick);
                Ok::<(), BlameError>(())
            }).expect("the index is sound");
        }
        let _ = place::mapped(catalog, 1);
        let _ = place::shown(catalog, RecordingId(1), offset, Some(Tick(len)));
        let memory = Memory::read(&session, RecordingId(1), Tick(u64::MAX)).expect("it can be read");
        let _ = (memory.at(offset), memory.around(offset));
        let graph = Graph::read(&session, &index, Tick(0)..=Tick(u64::MAX)).expect("it can be read");
        let bytes = Bytes { object: 1, offset, len: len.clamp(1, MOST_BYTES), before: None };
        order::of(&session, &index, None, bytes).expect("it can be read");
        order::of(&session, &index, Some(&graph), bytes).expect("it can be read");
    }
}
