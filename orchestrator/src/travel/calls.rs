//! System calls of the program as places to stop at: where it makes one, and
//! where one has returned. They are read from the recording, all at once.

use super::engine::{Instant, Travel};
use super::event;
use super::motion::{Reason, Stops};
use super::process::Place;
use anyhow::Result;
use orch_abi::record::Kind;
use orch_recorder::trace::Record;
use std::collections::{HashMap, HashSet};

/// So many records are read before somebody may interrupt.
const MANY: u32 = 4096;

/// Which end of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is about to be made.
    Entry,
    /// It has just returned.
    Return,
}

/// A place where the program is at one end of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Number of the call.
    pub number: u16,
    /// Which end.
    pub side: Side,
    /// Where the process stops that is to be there.
    pub at: u64,
    /// Offset of the record that tells of it.
    main: u64,
}

/// System calls of a recording, in their order.
#[derive(Debug, Default)]
pub struct Calls(Vec<Crossing>);

/// A call that a thread is in.
enum Inside {
    /// Its entry is known.
    Entered,
    /// It made a process in the same memory, which runs first. The record that says which
    /// call that was follows; it began here.
    Vfork(u64),
}

/// Reads a recording's calls.
struct Scan<W> {
    wanted: W,
    found: Vec<Crossing>,
    /// The calls that threads are in. `None` is the thread that the recording begins with:
    /// of a forked process, it has the index that it had in its parent.
    inside: HashMap<Option<u32>, Inside>,
    current: Option<u32>,
    made: HashSet<u32>,
}

impl<W: Fn(u16) -> bool> Scan<W> {
    /// A record of the event that begins at `first`.
    fn record(&mut self, record: &Record<'_>, first: u64) -> Result<()> {
        let (number, main) = (record.head.aux, record.offset);
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Spawn) => {
                let spawn = record.spawn()?;
                if spawn.what != 0 {
                    self.made.insert(spawn.child);
                    self.inside.remove(&Some(spawn.child));
                }
                if spawn.what == 2 {
                    self.inside.insert(self.current, Inside::Vfork(first));
                }
            }
            Some(Kind::Switch) => {
                let thread = record.switch()?.thread;
                self.current = Some(thread).filter(|t| self.made.contains(t));
            }
            Some(Kind::Enter | Kind::Exec) => {
                self.found(number, Side::Entry, first, main);
                self.inside.insert(self.current, Inside::Entered);
            }
            Some(Kind::Syscall) => {
                match self.inside.remove(&self.current) {
                    None => self.found(number, Side::Entry, first, main),
                    Some(Inside::Vfork(at)) => self.found(number, Side::Entry, at, at),
                    Some(Inside::Entered) => {}
                }
                self.found(number, Side::Return, main + 1, main);
            }
            Some(Kind::Exit) if self.inside.remove(&self.current).is_none() => {
                self.found(number, Side::Entry, first, main);
            }
            _ => {}
        }
        Ok(())
    }

    fn found(&mut self, number: u16, side: Side, at: u64, main: u64) {
        if (self.wanted)(number) {
            // Mostly behind all others.
            let n = self.found.partition_point(|c| c.main <= main);
            let crossing = Crossing {
                number,
                side,
                at,
                main,
            };
            self.found.insert(n, crossing);
        }
    }
}

impl Travel {
    /// The system calls whose numbers are `wanted`.
    ///
    /// # Errors
    /// If the recording cannot be read, or somebody interrupts.
    pub fn calls(&self, wanted: impl Fn(u16) -> bool) -> Result<Calls> {
        let mut scan = Scan {
            wanted,
            found: Vec::new(),
            inside: HashMap::new(),
            current: None,
            made: HashSet::new(),
        };
        let mut records = self.session.reader(self.recording())?.records();
        let mut ahead = None;
        let mut read = 0_u32;
        while let Some(record) = records.next_record()? {
            read += 1;
            if read.is_multiple_of(MANY) {
                self.process.check_interrupt()?;
            }
            if event::is_passed_over(&record) {
                continue;
            }
            let first = ahead.unwrap_or(record.offset);
            ahead = event::is_ahead(&record).then_some(first);
            scan.record(&record, first)?;
        }
        Ok(Calls(scan.found))
    }

    /// The first of `calls` that comes behind here.
    pub fn next_call(&self, calls: &Calls) -> Result<Option<Crossing>> {
        let offset = self.process.offset()?;
        let n = calls.0.partition_point(|c| c.main < offset);
        for call in &calls.0[n..] {
            if !self.stands_at(call, offset)? {
                return Ok(Some(*call));
            }
        }
        Ok(None)
    }

    /// The last of `calls` before here.
    pub fn previous_call(&self, calls: &Calls) -> Result<Option<Crossing>> {
        let offset = self.process.offset()?;
        let n = calls.0.partition_point(|c| c.main < offset);
        for call in calls.0[..n].iter().rev() {
            if !self.stands_at(call, offset)? {
                return Ok(Some(*call));
            }
        }
        Ok(None)
    }

    /// Runs on to the first hit of `stops`, or to `call`: [`Reason::Limit`].
    pub fn run_to(&mut self, stops: &Stops, call: &Crossing) -> Result<Reason> {
        let mut limit = call.at;
        loop {
            let stops = Stops {
                limit: Some(limit),
                ..stops.clone()
            };
            let reason = self.run(&stops)?;
            let offset = self.process.offset()?;
            let early = self.process.place() == Place::Program && offset <= call.main;
            if reason != Reason::Limit {
                return Ok(reason);
            }
            if call.side == Side::Return || !early {
                self.here = Instant::event(limit);
                return Ok(reason);
            }
            // What goes ahead of the call was over before the program came to it.
            limit = offset;
        }
    }

    /// Goes back to the last hit of `stops` that is not before `call`, or to that:
    /// [`Reason::Limit`].
    pub fn run_back_to(&mut self, stops: &Stops, call: &Crossing) -> Result<Reason> {
        let stops = Stops {
            limit: Some(call.at),
            ..stops.clone()
        };
        if !stops.breakpoints.is_empty() || !stops.watches.is_empty() {
            let reason = self.run_back(&stops)?;
            let offset = self.process.offset()?;
            let hit = matches!(reason, Reason::Breakpoint(_) | Reason::Watch(_));
            if hit && (offset > call.main || self.stands_at(call, offset)?) {
                return Ok(reason);
            }
        }
        self.go(Instant::event(call.at))?;
        Ok(Reason::Limit)
    }

    /// Whether the process, which has come to `offset`, stands there.
    fn stands_at(&self, call: &Crossing, offset: u64) -> Result<bool> {
        if self.process.place() != Place::Event {
            return Ok(false);
        }
        let before = self.process.is_before();
        if call.side == Side::Entry {
            return Ok(before && (call.at..=call.main).contains(&offset));
        }
        if call.main >= offset {
            return Ok(false);
        }
        // Nothing has happened since; a signal may be next, without an instruction between.
        let next = event::at_offset(&self.session, self.recording(), call.at)?;
        let here = &self.here;
        Ok(next.is_none_or(|next| {
            next.main >= offset && (!before || here.legs.is_empty() && here.at < next.offset)
        }))
    }
}
