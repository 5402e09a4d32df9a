//! Processes that start, signal, wait for and write to each other.

use orch_abi::record::{Ended, Exit, Forked, Signal, Spawn, Start, Syscall, ended};
use orch_blame::BlameError;
use orch_blame::graph::{Cause, Graph};
use orch_blame::index::Index;
use orch_recorder::session::{Meta, Session};
use orch_recorder::trace::record::build;
use orch_recorder::trace::{Position, RecordingId, Tick};
use std::ffi::OsStr;
use std::sync::atomic::Ordering;

type Chunk<'a> = (u64, bool, &'a [u8]);

fn call(tick: u64, nr: u16, args: [u64; 3], result: i64, chunks: &[Chunk<'_>]) -> Vec<u8> {
    let [a, b, c] = args;
    let args = [a, b, c, 0, 0, 0];
    let call = Syscall {
        result,
        args,
        ..Syscall::default()
    };
    build::syscall(tick, nr, 0, &call, chunks)
}

fn fds(a: i32, b: i32) -> Vec<u8> {
    [a.to_le_bytes(), b.to_le_bytes()].concat()
}

fn siginfo(code: i32, pid: i32) -> [u8; 128] {
    let mut info = [0; 128];
    info[8..12].copy_from_slice(&code.to_le_bytes());
    info[16..20].copy_from_slice(&pid.to_le_bytes());
    info
}

/// A message header at 0x100 whose control data, at 0x200, passes a descriptor.
fn message(fd: i32) -> [Vec<u8>; 2] {
    let mut head = vec![0; 56];
    head[32..40].copy_from_slice(&0x200_u64.to_le_bytes());
    let control = [
        20_u64.to_le_bytes().to_vec(),
        1_i32.to_le_bytes().to_vec(),
        1_i32.to_le_bytes().to_vec(),
        fd.to_le_bytes().to_vec(),
    ];
    [head, control.concat()]
}

const WRITE: u16 = 1;
const READ: u16 = 0;

/// p1 forks p2; both use a pipe and a pair of sockets, over which p2 sends a
/// pipe that it has made. p2 executes p3, which p1 signals and waits for.
fn records() -> [Vec<Vec<u8>>; 3] {
    let start = |pid, parent, tick| {
        let start = Start {
            pid,
            parent,
            same_process: 1,
            ..Start::default()
        };
        build::start(
            tick,
            &start,
            OsStr::new("/bin/sh"),
            &["sh"],
            OsStr::new("/"),
        )
    };
    let exit = |tick| {
        build::exit(
            tick,
            &Exit {
                whole: 1,
                ..Exit::default()
            },
        )
    };
    let [out_head, out_control] = message(11);
    let [in_head, in_control] = message(7);
    let delivered = |tick, signo, code| {
        let info = siginfo(code, if signo == 17 { 101 } else { 100 });
        build::signal(tick, signo, &Signal::default(), &info)
    };
    let end = |tick, how, value| build::ended(tick, &Ended { how, value });
    [
        vec![
            start(100, 0, 1),
            // pipe2, socketpair (with the pair where its fourth argument, 0, says)
            call(
                2,
                293,
                [0x50, 0o2_000_000, 0],
                0,
                &[(0x50, false, &fds(3, 4))],
            ),
            call(3, 53, [1, 1, 0], 0, &[(0, false, &fds(5, 6))]),
            build::spawn(4, &Spawn { what: 0, child: 2 }),
            call(10, WRITE, [4, 0, 10], 10, &[]),
            call(12, WRITE, [4, 0, 10], 10, &[]),
            // recvmsg, then a read from what came with it
            call(
                30,
                47,
                [5, 0x100, 0],
                1,
                &[(0x100, false, &in_head), (0x200, false, &in_control)],
            ),
            call(33, READ, [7, 0, 5], 5, &[]),
            // kill
            call(50, 62, [101, 10, 0], 0, &[]),
            delivered(70, 17, 1),
            // wait4
            call(71, 61, [101, 0, 0], 101, &[]),
            exit(80),
            end(81, ended::EXITED, 0),
        ],
        vec![
            build::forked(
                5,
                &Forked {
                    parent: 1,
                    pid: 101,
                    tick: 4,
                },
            ),
            // dup2, close
            call(6, 33, [3, 0, 0], 0, &[]),
            call(7, 3, [3, 0, 0], 0, &[]),
            call(20, READ, [0, 0, 15], 15, &[]),
            call(21, 293, [0x50, 0, 0], 0, &[(0x50, false, &fds(11, 12))]),
            call(
                22,
                46,
                [6, 0x100, 0],
                1,
                &[(0x100, true, &out_head), (0x200, true, &out_control)],
            ),
            call(32, WRITE, [12, 0, 5], 5, &[]),
            build::record(orch_abi::record::Kind::Exec, 0, 59, 40, &[0; 72]),
            end(42, ended::EXECED, 3),
        ],
        vec![
            start(101, 2, 41),
            // The pipe end that was not closed by exec.
            call(45, READ, [0, 0, 15], 5, &[]),
            delivered(60, 10, 0),
            exit(65),
            end(66, ended::EXITED, 0),
        ],
    ]
}

#[test]
fn edges_between_processes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let meta = Meta::now(vec!["sh".into()], dir.path().into(), Vec::new());
    let session = Session::create(&dir.path().join("s"), meta).expect("a new directory");
    for (n, records) in (1..).zip(records()) {
        let mut writer = session.writer(RecordingId(n)).expect("a new recording");
        for record in records {
            writer.append(&record).expect("it is a record");
        }
        writer.finish().expect("there is room");
    }
    let index = Index::open(&session, &mut |_| true).expect("it can be made");
    let graph = Graph::read(&session, &index, Tick(0)..=Tick(u64::MAX)).expect("it can be read");
    let found: Vec<(String, String, Cause)> = graph
        .edges()
        .iter()
        .map(|e| (e.from.to_string(), e.to.to_string(), e.cause))
        .collect();
    let expected = [
        ("p1@4", "p2@5", Cause::Fork),
        ("p1@10", "p2@20", Cause::Pipe),
        ("p1@12", "p2@20", Cause::Pipe),
        ("p2@22", "p1@30", Cause::Socket),
        ("p2@32", "p1@33", Cause::Pipe),
        ("p2@40", "p3@41", Cause::Exec),
        ("p1@12", "p3@45", Cause::Pipe),
        ("p1@50", "p3@60", Cause::Signal),
        ("p3@65", "p1@70", Cause::Exit),
        ("p3@65", "p1@71", Cause::Exit),
    ];
    let expected = expected.map(|(from, to, cause)| (from.to_owned(), to.to_owned(), cause));
    assert_eq!(found, expected);
    assert_eq!(graph.refused(), 0);
    let at = |n, tick| Position {
        recording: RecordingId(n),
        tick: Tick(tick),
    };
    assert!(graph.precedes(at(1, 3), at(3, 45)));
    assert!(graph.precedes(at(2, 7), at(1, 71)));
    assert!(!graph.precedes(at(1, 50), at(3, 45)));
    assert!(!graph.precedes(at(2, 22), at(1, 12)));
    // Nobody wants it any more; then somebody does.
    let interrupter = index.interrupter();
    for (interrupted, end) in [(true, Tick(u64::MAX)), (true, Tick(0)), (false, Tick(50))] {
        interrupter.store(interrupted, Ordering::Relaxed);
        let found = Graph::read(&session, &index, Tick(0)..=end);
        let was = matches!(found, Err(BlameError::Interrupted));
        assert_eq!(was, interrupted);
    }
}
