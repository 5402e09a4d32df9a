//! What threads are called: what somebody told the kernel (prctl(2), PR_SET_NAME; proc(5),
//! `/proc/PID/task/TID/comm`), or what they began with: the name of the thread that made them,
//! and the program's (pthread_setname_np(3), `begin_new_exec` in fs/exec.c).

use anyhow::Result;
use orch_abi::record::Kind;
use orch_recorder::session::{Lineage, Session};
use orch_recorder::trace::record::SyscallView;
use orch_recorder::trace::{Record, RecordingId};
use std::collections::{BTreeMap, HashMap};

/// Bytes of a name (TASK_COMM_LEN, without the 0).
const LEN: usize = 15;
/// arch/x86/entry/syscalls/syscall_64.tbl.
mod nr {
    pub const WRITE: u16 = 1;
    pub const OPEN: u16 = 2;
    pub const CLOSE: u16 = 3;
    pub const PRCTL: u16 = 157;
    pub const OPENAT: u16 = 257;
}
/// No event is as early: what a recording begins with.
const BEGIN: u64 = 0;
/// include/uapi/linux/prctl.h.
const PR_SET_NAME: u64 = 15;

/// The names of a recording's threads, as they change.
#[derive(Debug, Default)]
pub struct Names(Vec<Change>);

/// From an event on, a thread has a name.
#[derive(Debug)]
struct Change {
    offset: u64,
    tick: u64,
    thread: u32,
    name: String,
}

/// A thread that makes a process, and its name.
type Maker = (u32, String);

impl Names {
    /// Reads those of a recording, and as much of its ancestors as it takes.
    ///
    /// # Errors
    /// If a recording cannot be read.
    pub fn read(session: &Session, id: RecordingId) -> Result<Self> {
        let Lineage {
            recordings: mut line,
            program,
        } = session.lineage(id)?;
        // The kernel takes the file's name, whatever the program is called.
        let path = program.unwrap_or_default().path;
        let mut first = (
            0,
            cut(path.rsplit('/').next().unwrap_or_default().as_bytes()),
        );
        while let Some(of) = line.pop() {
            let mut scan = Scan::new(&first);
            let mut records = session.reader(of)?.records();
            while line.last().is_none_or(|child| scan.forked != Some(*child))
                && let Some(record) = records.next_record()?
            {
                scan.record(&record)?;
            }
            first = scan.maker();
            if line.is_empty() {
                return Ok(Self(scan.changes));
            }
        }
        Ok(Self::default())
    }

    /// Those at an instant that are known, by the threads' numbers: with all records before `offset`, and
    /// the event there if it is `over`.
    pub fn at(&self, offset: u64, over: bool) -> BTreeMap<u32, &str> {
        self.until(|c| c.offset < offset || c.offset == offset && over)
    }

    /// Those at an event, or behind it.
    pub fn at_tick(&self, tick: u64, over: bool) -> BTreeMap<u32, &str> {
        self.until(|c| c.tick < tick || c.tick == tick && over)
    }

    fn until(&self, is_done: impl Fn(&Change) -> bool) -> BTreeMap<u32, &str> {
        let done = self.0.iter().take_while(|c| c.tick == BEGIN || is_done(c));
        let mut names: BTreeMap<u32, &str> = done.map(|c| (c.thread, &*c.name)).collect();
        names.retain(|_, name| !name.is_empty());
        names
    }
}

/// Reads the records of a recording.
struct Scan {
    changes: Vec<Change>,
    names: HashMap<u32, String>,
    current: u32,
    threads: HashMap<i64, u32>,
    /// A thread that the next call makes.
    spawned: Option<u32>,
    /// Files that are a thread's name, by their descriptors.
    files: HashMap<u64, i64>,
    /// The recording of the process that was forked last.
    forked: Option<RecordingId>,
}

impl Scan {
    fn new(first: &Maker) -> Self {
        let mut scan = Self {
            changes: Vec::new(),
            names: HashMap::new(),
            current: first.0,
            threads: HashMap::new(),
            spawned: None,
            files: HashMap::new(),
            forked: None,
        };
        scan.set(0, BEGIN, first.0, first.1.clone());
        scan
    }

    fn maker(&self) -> Maker {
        let name = self.names.get(&self.current);
        (self.current, name.cloned().unwrap_or_default())
    }

    fn set(&mut self, offset: u64, tick: u64, thread: u32, name: String) {
        self.names.insert(thread, name.clone());
        self.changes.push(Change {
            offset,
            tick,
            thread,
            name,
        });
    }

    fn record(&mut self, record: &Record<'_>) -> Result<()> {
        let (offset, tick) = (record.offset, record.head.tick);
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Spawn) => {
                let spawn = record.spawn()?;
                if spawn.what == 0 {
                    self.forked = Some(RecordingId(spawn.child));
                } else {
                    let (_, name) = self.maker();
                    self.set(offset, tick, spawn.child, name);
                    self.spawned = Some(spawn.child);
                }
            }
            Some(Kind::Switch) => {
                let switch = record.switch()?;
                self.current = switch.thread;
                self.threads.insert(switch.tid.into(), switch.thread);
            }
            Some(Kind::Syscall) => match record.head.aux {
                nr::PRCTL | nr::OPEN | nr::OPENAT | nr::WRITE | nr::CLOSE => {
                    let call = record.syscall()?;
                    if let Some((thread, name)) = self.named(&call) {
                        self.set(offset, tick, thread, name);
                    }
                }
                _ if self.spawned.is_some() => {
                    let result = record.syscall()?.call.result;
                    if let Some(thread) = self.spawned.take() {
                        self.threads.insert(result, thread);
                    }
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// The thread that a call gives a name, and that. What is written to a file is not recorded,
    /// and older recordings have no names that are given by prctl either: it is empty then.
    fn named(&mut self, call: &SyscallView<'_>) -> Option<(u32, String)> {
        let (nr, result, args) = (call.nr, call.call.result, call.call.args);
        let read = || { call.chunks }.find(|c| c.outgoing).map(|c| c.bytes);
        if result < 0 {
            return None;
        }
        match nr {
            nr::PRCTL if args[0] == PR_SET_NAME => {
                return Some((self.current, read().map(cut).unwrap_or_default()));
            }
            nr::OPEN | nr::OPENAT => {
                let path = String::from_utf8_lossy(read()?).into_owned();
                let path = path.trim_end_matches('\0').strip_suffix("/comm")?;
                let tid = match path.rsplit('/').next()? {
                    // Its own, in one of the names for that.
                    "self" | "thread-self" => -1,
                    digits => digits.parse().ok()?,
                };
                self.files.insert(result.cast_unsigned(), tid);
            }
            nr::CLOSE => drop(self.files.remove(&args[0])),
            nr::WRITE if !self.files.is_empty() => {
                let thread = match *self.files.get(&args[0])? {
                    -1 => self.current,
                    tid => *self.threads.get(&tid)?,
                };
                return Some((thread, read().map(cut).unwrap_or_default()));
            }
            _ => {}
        }
        None
    }
}

/// A name as the kernel keeps it.
fn cut(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| matches!(b, 0 | b'\n'));
    let end = end.unwrap_or(bytes.len()).min(LEN);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
