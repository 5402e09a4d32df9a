//! Sessions as a recorder would leave them, and the command run on them.
#![allow(dead_code, reason = "each test file uses some of it")]

pub mod shared;

use orch_abi::record::{Ended, Forked, Insn, Map, Start, Syscall, ended, flag};
use orch_recorder::session::{Meta, Refused, Session};
use orch_recorder::trace::RecordingId;
use orch_recorder::trace::record::build;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A session in a home of its own.
pub struct TestSession {
    home: TempDir,
    dir: PathBuf,
}

/// What a run of the command came to.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("orch can be run");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().expect("it is not killed"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The objects that it printed.
    pub fn json(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines();
        lines
            .map(|l| serde_json::from_str(l).expect("an object a line"))
            .collect()
    }
}

const fn id(n: u32) -> RecordingId {
    RecordingId(n)
}

fn write(tick: u64, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u64;
    let call = Syscall {
        result: len.cast_signed(),
        args: [1, 0x1000, len, 0, 0, 0],
        ..Syscall::default()
    };
    build::syscall(tick, 1, flag::CONSOLE, &call, &[(0x1000, true, bytes)])
}

fn refused(tick: u64) -> Vec<u8> {
    let call = Syscall {
        result: -38,
        ..Syscall::default()
    };
    build::syscall(tick, 425, flag::REFUSED, &call, &[])
}

fn start(tick: u64, parent: u32, args: &[&str]) -> Vec<u8> {
    let same_process = u32::from(parent != 0);
    let start = Start {
        pid: 100,
        parent,
        same_process,
        ..Start::default()
    };
    let path = format!("/bin/{}", args[0]);
    build::start(tick, &start, OsStr::new(&path), args, OsStr::new("/"))
}

fn forked(tick: u64, at: u64) -> Vec<u8> {
    build::forked(
        tick,
        &Forked {
            parent: 1,
            pid: 101,
            tick: at,
        },
    )
}

fn end(tick: u64, how: u32, value: u32) -> Vec<u8> {
    build::ended(tick, &Ended { how, value })
}

impl TestSession {
    /// `p1` forks `p2`, which executes `cat` as `p3`, and `p4`, which is killed.
    pub fn ended() -> Self {
        let (new, mut session) = Self::create(false);
        let root = ["sh", "-c", "echo hi | cat"];
        let map = build::map(2, &Map::default());
        new.record(
            1,
            &[
                start(1, 0, &root),
                map,
                write(3, b"hi\nwor"),
                build::insn(11, &Insn::default()),
                write(16, b"ld\n"),
                refused(18),
                end(30, ended::EXITED, 0),
            ],
            true,
        );
        new.record(
            2,
            &[
                forked(8, 7),
                build::insn(9, &Insn::default()),
                end(10, ended::EXECED, 3),
            ],
            true,
        );
        new.record(
            3,
            &[
                start(12, 2, &["cat"]),
                write(13, b"from cat \xff\n"),
                end(14, ended::EXITED, 3),
            ],
            true,
        );
        new.record(
            4,
            &[
                forked(20, 19),
                write(21, b"\x1b[31mred\x1b[0m\n"),
                write(22, b"no newline"),
                end(23, ended::KILLED, 9),
            ],
            true,
        );
        let refused = Refused {
            call: "io_uring_setup".into(),
            detail: String::new(),
            count: 2,
        };
        session
            .update(|meta| meta.end(0, vec![refused]))
            .expect("it can be written");
        new
    }

    /// The recorder was killed.
    pub fn cut_off() -> Self {
        let (new, mut session) = Self::create(true);
        session
            .update(|meta| meta.supervisor_start = 1)
            .expect("it can be written");
        new
    }

    /// This process is the recorder.
    pub fn running() -> Self {
        Self::create(true).0
    }

    /// More events than a pipe holds.
    pub fn long() -> Self {
        let (new, _) = Self::create(false);
        let mut records = vec![start(1, 0, &["sh"])];
        records.extend((2..20_000).map(|tick| write(tick, b"a line\n")));
        new.record(1, &records, true);
        new
    }

    fn create(unfinished: bool) -> (Self, Session) {
        let home = tempfile::tempdir().expect("a temporary directory");
        let dir = home.path().join("orch/sh-1");
        let command = ["sh", "-c", "echo hi | cat"].map(str::to_owned).to_vec();
        let session = Session::create(&dir, Meta::now(command, "/".into(), Vec::new()))
            .expect("a new directory");
        let new = Self { home, dir };
        if unfinished {
            new.record(1, &[start(1, 0, &["sh"]), write(3, b"hi\n")], false);
        }
        (new, session)
    }

    fn record(&self, n: u32, records: &[Vec<u8>], finish: bool) {
        let session = Session::open(&self.dir).expect("it was made");
        let mut writer = session.writer(id(n)).expect("a new recording");
        for record in records {
            writer.append(record).expect("it is a record");
        }
        if finish {
            writer.finish()
        } else {
            writer.flush()
        }
        .expect("there is room");
    }

    /// Spoils the first block of p1.
    pub fn damage(&self) {
        use std::os::unix::fs::FileExt as _;
        let path = self.dir.join("p1.events");
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("it is there");
        file.write_all_at(&[0x5a; 8], 120)
            .expect("it can be written");
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orch"));
        command.args(args).env("XDG_DATA_HOME", self.home.path());
        command.env_remove("ORCH_SESSION").env_remove("COLUMNS");
        command
    }

    pub fn orch(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args))
    }
}
