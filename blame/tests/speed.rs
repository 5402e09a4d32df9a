//! Ten million accesses: how long the index takes to make and to ask. Run by hand:
//! `cargo test --release -p orch-blame --test speed -- --ignored --nocapture`.

mod common;

use common::{base, session};
use orch_abi::record::Shared;
use orch_blame::BlameError;
use orch_blame::graph::Graph;
use orch_blame::graph::order::{self, Bytes};
use orch_blame::index::{INDEX_FILE, Index, Query};
use orch_recorder::session::Session;
use orch_recorder::trace::Tick;
use orch_recorder::trace::record::build;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

const ROUNDS: u64 = 2_500_000;
const SLOTS: u64 = 1024;

/// A ring of slots of 64 bytes: p2 stores a message and the head, p3 loads both.
/// The head has an access in four, a slot one in 2048.
fn ring(dir: &std::path::Path) -> Session {
    let (mut writer, mut reader) = (Vec::new(), Vec::new());
    let (at, from) = (base(2, 1), base(3, 1));
    for n in 0..ROUNDS {
        let tick = 10 + 4 * n;
        let slot = 4096 + n % SLOTS * 64;
        let (message, head) = (n.to_le_bytes(), (n + 1).to_le_bytes());
        writer.push(build::store(tick, 0, 0x1000, at + slot, &message, None));
        writer.push(build::store(tick + 1, 0, 0x1008, at, &head, None));
        let shared = |ordinal| Shared {
            ip: 0x2000 + ordinal % 2,
            ordinal,
            ..Shared::default()
        };
        reader.push(build::shared(tick + 2, 0, &shared(2 * n), &[(from, &head)]));
        reader.push(build::shared(
            tick + 3,
            0,
            &shared(2 * n + 1),
            &[(from + slot, &message)],
        ));
    }
    session(dir, &[Vec::new(), writer, reader], &["/dev/shm/ring"])
}

fn ask(index: &Index, query: &Query) -> usize {
    let mut count = 0;
    let mut last = None;
    index
        .query(query, &mut |access| {
            assert!(last < Some(access.tick));
            last = Some(access.tick);
            count += 1;
            Ok::<(), BlameError>(())
        })
        .expect("the index is sound");
    count
}

#[test]
#[ignore = "takes a minute; for measurements"]
fn ten_million_accesses() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    let session = ring(dir.path());
    let bytes: u64 = session.disk_usage().expect("it is there");
    let start = Instant::now();
    Index::open(&session, &mut |_| true).expect("it can be made");
    let len = std::fs::metadata(session.dir().join(INDEX_FILE))
        .expect("it is there")
        .len();
    println!(
        "recordings {} MB, index {} MB made in {:.1?}",
        bytes >> 20,
        len >> 20,
        start.elapsed()
    );
    let slot = Query {
        object: 1,
        offset: 4096 + 77 * 64,
        len: 8,
        after: None,
        before: None,
        recordings: Vec::new(),
        stores: false,
        last: None,
    };
    let middle = Some(Tick(5 * ROUNDS / 2));
    let head = Query {
        offset: 0,
        last: Some(20),
        ..slot.clone()
    };
    let queries = [
        ("a slot", slot.clone(), Some(2 * ROUNDS / SLOTS)),
        (
            "a slot, last 20",
            Query {
                last: Some(20),
                ..slot.clone()
            },
            Some(20),
        ),
        (
            "a slot, last 20 before the middle",
            Query {
                before: middle,
                last: Some(20),
                ..slot.clone()
            },
            Some(20),
        ),
        ("the head, last 20", head.clone(), Some(20)),
        (
            "the head, last 20 before the middle",
            Query {
                before: middle,
                ..head.clone()
            },
            Some(20),
        ),
        (
            "the head, all",
            Query {
                last: None,
                ..head.clone()
            },
            Some(2 * ROUNDS),
        ),
        (
            "a page, last 20",
            Query {
                offset: 4096,
                len: 4096,
                last: Some(20),
                ..slot.clone()
            },
            Some(20),
        ),
    ];
    for (name, query, expected) in queries {
        for round in ["first", "again"] {
            let start = Instant::now();
            let index = Index::open(&session, &mut |_| true).expect("it is there");
            let opened = start.elapsed();
            let count = ask(&index, &query);
            println!(
                "{name}, {round}: {count} in {:.1?} (opened in {opened:.1?})",
                start.elapsed()
            );
            if let Some(expected) = expected {
                assert!((count as u64).abs_diff(expected) < 4);
            }
        }
    }
}

/// How long a search for races, and one for all edges, goes on when it is interrupted, at
/// moments all over it.
#[test]
#[ignore = "takes minutes; for measurements"]
fn interrupted_searches() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    let session = ring(dir.path());
    let index = Index::open(&session, &mut |_| true).expect("it can be made");
    let flag = index.interrupter();
    let bytes = Bytes {
        object: 1,
        offset: 0,
        len: 8,
        before: None,
    };
    type Search<'s> = &'s dyn Fn() -> Result<(), BlameError>;
    let searches: [(&str, Search<'_>); 2] = [
        ("races", &|| {
            order::of(&session, &index, None, bytes).map(drop)
        }),
        ("edges", &|| {
            Graph::read(&session, &index, Tick(0)..=Tick(u64::MAX)).map(drop)
        }),
    ];
    for (name, search) in searches {
        flag.store(false, Ordering::Relaxed);
        let start = Instant::now();
        search().expect("nobody interrupts it");
        let whole = start.elapsed();
        let mut all = Vec::new();
        for part in 0..50 {
            let (flag, after) = (&flag, whole * part / 50);
            flag.store(false, Ordering::Relaxed);
            let late = thread::scope(|scope| {
                let interrupted = scope.spawn(move || {
                    thread::sleep(after);
                    flag.store(true, Ordering::Relaxed);
                    Instant::now()
                });
                let found = search();
                let end = Instant::now();
                let at = interrupted.join().expect("it only sleeps");
                found.is_err().then(|| end.duration_since(at))
            });
            all.extend(late);
        }
        all.sort();
        let (half, most) = (all[all.len() / 2], all[all.len() - 1]);
        println!("{name}: {whole:.1?}; interrupted, {half:.1?} more, at most {most:.1?}");
    }
}
