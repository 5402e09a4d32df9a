//! What the recordings hold that edges are made from, in one pass over each.

use super::GoOn;
use super::descriptors::{self, Call, What};
use crate::error::BlameError;
use orch_abi::record::Kind;
use orch_recorder::session::Session;
use orch_recorder::trace::{Block, End, Position, Record, RecordingId, Tick};
use std::collections::BTreeMap;

// Numbers of system calls: arch/x86/entry/syscalls/syscall_64.tbl.
const WAIT4: u16 = 61;
const KILL: u16 = 62;
const RT_SIGQUEUEINFO: u16 = 129;
const TKILL: u16 = 200;
const TGKILL: u16 = 234;
const WAITID: u16 = 247;
const RT_TGSIGQUEUEINFO: u16 = 297;
/// `siginfo_t` (include/uapi/asm-generic/siginfo.h): where the sender or child is.
const SI_CODE: usize = 8;
const SI_PID: usize = 16;

/// What one recording holds.
#[derive(Debug, Default)]
pub struct Own {
    /// Process id.
    pub pid: u32,
    /// Its first event.
    pub first: u64,
    /// Its last event that the process itself had part in.
    pub last: u64,
    /// It was forked: from which recording, at which tick.
    pub forked: Option<(RecordingId, u64)>,
    /// A program was executed: by which recording, and whether its process went on.
    pub execed: Option<RecordingId>,
    /// Where it tried to execute programs.
    pub execs: Vec<u64>,
    /// Whether somebody saw it end, be it later than what was read.
    pub ended: bool,
}

/// A signal that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Where.
    pub at: Position,
    /// Process or thread that it is for; not positive for groups.
    pub to: i64,
    /// Which signal.
    pub signal: u64,
}

/// A signal that was delivered, or a child that was waited for.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Where.
    pub at: Position,
    /// Whose signal, or which child: a process id.
    pub pid: i64,
    /// Which signal; none if a child was waited for.
    pub signal: Option<u64>,
    /// It was sent by a call, rather than by the kernel.
    pub by_call: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Facts {
    /// By recording.
    pub own: BTreeMap<RecordingId, Own>,
    /// In the order of each recording.
    pub sent: Vec<Sent>,
    /// In the order of each recording.
    pub heard: Vec<Heard>,
    /// Calls on file descriptors.
    pub calls: Vec<Call>,
}

impl Facts {
    /// Reads all recordings up to a tick. Damaged blocks are skipped.
    pub fn read(session: &Session, to: Tick, go_on: GoOn<'_>) -> Result<Self, BlameError> {
        let mut facts = Self::default();
        for id in session.recordings()? {
            let Ok(mut reader) = session.reader(id) else {
                continue;
            };
            let mut pass = Pass {
                id,
                thread: 0,
                own: Own::default(),
                nth: 0,
            };
            let mut block = Block::default();
            loop {
                go_on()?;
                match reader.next_block_into(&mut block) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => continue,
                }
                if block.first_tick > to {
                    break;
                }
                for record in block.records().flatten() {
                    if record.head.tick <= to.0 {
                        pass.record(&record, &mut facts);
                    }
                }
            }
            // The parent may hear of it at an earlier tick than that of the record.
            let end = session.summary(id).ok().and_then(|summary| summary.end);
            pass.own.ended = end.is_some_and(|end| end != End::Unknown);
            facts.own.insert(id, pass.own);
        }
        Ok(facts)
    }
}

/// A pass over one recording.
struct Pass {
    id: RecordingId,
    thread: u32,
    own: Own,
    nth: u64,
}

impl Pass {
    fn record(&mut self, record: &Record<'_>, facts: &mut Facts) {
        let tick = record.head.tick;
        let kind = Kind::from_u8(record.head.kind);
        if record.index == 0 {
            self.own.first = tick;
        }
        if kind != Some(Kind::Ended) {
            self.own.last = self.own.last.max(tick);
        }
        match kind {
            Some(Kind::Start) => {
                if let Ok(view) = record.start() {
                    self.own.pid = view.start.pid;
                    let parent = view.start.parent;
                    self.own.execed = (parent != 0).then_some(RecordingId(parent));
                    let what = What::Exec(RecordingId(parent));
                    self.call(tick, what, facts);
                }
            }
            Some(Kind::Forked) => {
                if let Ok(forked) = record.forked() {
                    self.own.pid = forked.pid;
                    self.own.forked = Some((RecordingId(forked.parent), forked.tick));
                }
            }
            Some(Kind::Switch) => self.thread = record.switch().map_or(0, |s| s.thread),
            Some(Kind::Spawn) => {
                if let Ok(spawn) = record.spawn() {
                    let what = match spawn.what {
                        0 => What::Fork(RecordingId(spawn.child)),
                        2 => What::Vfork(spawn.child),
                        _ => return,
                    };
                    self.call(tick, what, facts);
                }
            }
            Some(Kind::Exec) => {
                self.own.execs.push(tick);
                self.call(tick, What::TriesExec, facts);
            }
            Some(Kind::Signal) => self.signal(record, facts),
            Some(Kind::Syscall) => self.syscall(record, facts),
            _ => {}
        }
    }

    fn at(&self, tick: u64) -> Position {
        Position {
            recording: self.id,
            tick: Tick(tick),
        }
    }

    fn call(&mut self, tick: u64, what: What, facts: &mut Facts) {
        self.nth += 1;
        facts.calls.push(Call {
            at: self.at(tick),
            nth: self.nth,
            thread: self.thread,
            what,
        });
    }

    fn signal(&self, record: &Record<'_>, facts: &mut Facts) {
        let Ok(view) = record.signal() else { return };
        let code = int(view.info, SI_CODE).unwrap_or(0);
        facts.heard.push(Heard {
            at: self.at(record.head.tick),
            pid: int(view.info, SI_PID).unwrap_or(0),
            signal: Some(view.signo.into()),
            // SI_USER and SI_QUEUE, SI_TKILL, … (sigaction(2)).
            by_call: code <= 0,
        });
    }

    fn syscall(&mut self, record: &Record<'_>, facts: &mut Facts) {
        let Ok(view) = record.syscall() else { return };
        let at = self.at(record.head.tick);
        let result = view.call.result;
        let args = view.call.args;
        // Process ids are 32 bits; the upper half of the register does not count.
        let pid = |n: usize| i64::from(args[n] as u32 as i32);
        match record.head.aux {
            KILL | TKILL | RT_SIGQUEUEINFO if result == 0 => facts.sent.push(Sent {
                at,
                to: pid(0),
                signal: args[1],
            }),
            TGKILL | RT_TGSIGQUEUEINFO if result == 0 => facts.sent.push(Sent {
                at,
                to: pid(0),
                signal: args[2],
            }),
            WAIT4 if result > 0 => facts.heard.push(Heard {
                at,
                pid: result,
                signal: None,
                by_call: false,
            }),
            WAITID if result == 0 => {
                let mut chunks = view.chunks;
                let info = chunks.find(|c| !c.outgoing && c.addr == args[2]);
                let child = info.and_then(|c| int(c.bytes, SI_PID)).filter(|&p| p > 0);
                facts.heard.extend(child.map(|pid| Heard {
                    at,
                    pid,
                    signal: None,
                    by_call: false,
                }));
            }
            _ => {
                if let Some(what) = descriptors::of_call(&view) {
                    self.call(record.head.tick, what, facts);
                }
            }
        }
    }
}

/// A C int.
pub fn int(bytes: &[u8], at: usize) -> Option<i64> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(i32::from_le_bytes(bytes).into())
}
