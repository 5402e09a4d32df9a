//! A session in which two processes share memory, and a program whose code
//! the accesses are said to come from.

use super::{TestSession, end};
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};
use orch_abi::record::{
    Forked, Map, Object, Shared, Start, Store, Switch, View, ended, flag, object as what,
};
use orch_recorder::session::{Meta, Session};
use orch_recorder::trace::record::build;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Where p1 and p2 map `/dev/shm/q`.
pub const P1: u64 = 0x7f00_0000_0000;
pub const P2: u64 = 0x7f11_0000_0000;
/// Where the program is mapped.
const CODE: u64 = 0x5555_0000_0000;
const STACK: u64 = 0x7ffc_0000_0000;

/// `push` has an inlined function, `counter` is data.
const SOURCE: &str = "\
long counter = 7;
static inline __attribute__((always_inline)) void put(volatile long *slot, long value) {
    *slot = value;
}
__attribute__((noinline)) void push(volatile long *slot, long value) {
    put(slot, value);
}
__attribute__((noinline)) long pop(volatile long *slot) {
    return *slot;
}
int main(void) {
    push(&counter, 8);
    return pop(&counter) != 8;
}
";

/// Where the program's debugging information is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Info {
    /// In the program.
    Inside,
    /// In a file beside it (`.gnu_debuglink`).
    Beside,
    /// Nowhere.
    Nowhere,
}

/// Builds the program; addresses of `push`, `pop` and `counter`, and what of it is loaded.
fn program(dir: &Path, info: Info) -> (std::path::PathBuf, [u64; 3], Vec<Map>) {
    let (source, path) = (dir.join("ring.c"), dir.join("ring"));
    fs::write(&source, SOURCE).expect("there is room");
    let mut cc = Command::new("cc");
    cc.args(["-g", "-O1", "-fPIE", "-pie", "-o"])
        .arg(&path)
        .arg(&source);
    assert!(cc.status().expect("there is a C compiler").success());
    let bytes = fs::read(&path).expect("it was built");
    let file = object::File::parse(&bytes[..]).expect("it is ELF");
    let symbol = |name: &str| {
        let symbol = file.symbols().find(|s| s.name() == Ok(name));
        symbol.expect("it is defined").address()
    };
    let places = ["push", "pop", "counter"].map(|name| CODE + symbol(name));
    let load = |s: object::Segment<'_, '_>| {
        let before = s.address() % 4096;
        Map {
            addr: CODE + s.address() - before,
            len: (s.size() + before).next_multiple_of(4096),
            prot: 5,
            flags: 2,
            file: 0,
            offset: s.file_range().0 - before,
        }
    };
    let loaded = file.segments().map(load).collect();
    let run = |tool: &str, args: &[&str]| {
        let status = Command::new(tool).args(args).current_dir(dir).status();
        assert!(status.expect("binutils are there").success(), "{tool}");
    };
    if info == Info::Beside {
        run("objcopy", &["--only-keep-debug", "ring", "ring.debug"]);
    }
    if info != Info::Inside {
        run("strip", &["--strip-all", "ring"]);
    }
    if info == Info::Beside {
        run("objcopy", &["--add-gnu-debuglink=ring.debug", "ring"]);
    }
    (path, places, loaded)
}

impl TestSession {
    /// p1 stores to `/dev/shm/q+0x40`, p2 sees it and stores too, and somebody
    /// outside the session does. p1's `counter` is shared as `anon:3`.
    pub fn shared(info: Info) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let dir = home.path().join("orch/ring-1");
        let command = vec!["ring".to_owned()];
        let session = Session::create(&dir, Meta::now(command, "/".into(), Vec::new()));
        let mut session = session.expect("a new directory");
        let (path, [push, pop, counter], loaded) = program(home.path(), info);
        let mut files = session.files().expect("they can be kept");
        let file = File::open(&path).expect("it was built");
        let file = files.capture(&file, &path).expect("it can be copied").0 + 1;
        let new = Self { home, dir };
        let started = session.meta().started;
        let stack = Map {
            addr: STACK,
            len: 0x20000,
            prot: 3,
            flags: 0x102,
            ..Map::default()
        };
        let loaded = loaded.into_iter().map(|map| Map { file, ..map });
        let start = Start {
            pid: 100,
            time: started,
            ..Start::default()
        };
        let word = |n: u64| n.to_le_bytes();
        let store = |tick, addr, n| build::store(tick, 0, push, addr, &word(n), None);
        let mut first = vec![
            build::start(1, &start, path.as_os_str(), &["ring"], OsStr::new("/")),
            build::map(1, &stack),
        ];
        first.extend(loaded.map(|map| build::map(1, &map)));
        first.extend(objects(P1));
        first.push(build::view(
            2,
            &View {
                addr: counter & !7,
                len: 8,
                object: 3,
                offset: 0,
                prot: 3,
            },
        ));
        first.extend([
            store(10, P1 + 0x40, 17),
            build::switch(
                11,
                &Switch {
                    thread: 1,
                    tid: 105,
                },
            ),
            store(12, P1 + 0x40, 18),
            store(13, counter, 8),
            end(40, ended::EXITED, 0),
        ]);
        new.record(1, &first, true);
        let forked = Forked {
            parent: 1,
            pid: 101,
            tick: 3,
        };
        let mut second = vec![build::forked(4, &forked)];
        second.extend(objects(P2));
        let saw = |tick, n| {
            let shared = Shared {
                ip: pop,
                ordinal: 1,
                caller: 0,
            };
            build::shared(tick, 0, &shared, &[(P2 + 0x40, &word(n))])
        };
        second.extend([
            saw(20, 18),
            build::store(21, flag::BY_CALL, push + 4, P2 + 0x44, b"text", None),
            build::view(
                25,
                &View {
                    addr: P2,
                    len: 0x1000,
                    object: 2,
                    offset: 0,
                    prot: 1,
                },
            ),
            end(30, ended::EXITED, 0),
        ]);
        new.record(2, &second, true);
        // Seen only after the one before: nobody recorded stored 99.
        new.record(
            3,
            &[
                vec![build::forked(
                    5,
                    &Forked {
                        parent: 1,
                        pid: 102,
                        tick: 3,
                    },
                )],
                objects(P1),
                vec![
                    build::insn(26, &orch_abi::record::Insn::default()),
                    build::shared(
                        27,
                        flag::BY_CALL,
                        &Shared {
                            ip: pop,
                            ordinal: 1,
                            caller: 0,
                        },
                        &[(P1 + 0x40, &word(99))],
                    ),
                    // A record that makes no sense is not to hurt.
                    build::record(
                        orch_abi::record::Kind::Store,
                        0,
                        0,
                        28,
                        &[0xff; size_of::<Store>()],
                    ),
                ],
            ]
            .concat(),
            true,
        );
        session
            .update(|meta| meta.end(0, Vec::new()))
            .expect("it can be written");
        new
    }

    /// `ublame` with these arguments.
    pub fn ublame(&self, args: &[&str]) -> super::Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ublame"));
        command.args(args).env("XDG_DATA_HOME", self.home.path());
        command.env_remove("ORCH_SESSION").env_remove("COLUMNS");
        super::Run::of(&mut command)
    }
}

/// The objects, of which the first one is mapped at `addr`.
fn objects(addr: u64) -> Vec<Vec<u8>> {
    let object = |id, what, ino, name: &str| {
        build::object(
            2,
            &Object {
                id,
                what,
                dev: 1,
                ino,
            },
            OsStr::new(name),
        )
    };
    vec![
        object(1, what::FILE, 9, "/dev/shm/q"),
        object(2, what::FILE, 10, "/memfd:q (deleted)"),
        object(3, what::ANONYMOUS, 0, ""),
        build::view(
            2,
            &View {
                addr,
                len: 0x2000,
                object: 1,
                offset: 0,
                prot: 3,
            },
        ),
    ]
}
