//! System calls of the program as places to stop at: where it makes one, and
//! where one has returned; and signals, where they are delivered. They are read from the
//! recording, all at once.

use super::engine::{Instant, Travel};
use super::event;
use super::motion::{Reason, Stops};
use super::process::Place;
use anyhow::Result;
use orch_abi::record::Kind;
use orch_recorder::trace::{Block, Record, RecordingId};
use std::collections::{HashMap, HashSet};

/// So many records are read before somebody may interrupt.
const MANY: u32 = 4096;

/// What happens where the program passes into the kernel or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The system call of this number is about to be made.
    Entry(u16),
    /// It has just returned.
    Return(u16),
    /// This signal is about to be delivered.
    Signal(u16),
}

/// A place where the program passes into the kernel or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// What happens there.
    pub what: What,
    /// What the call has made of the process, or besides it.
    pub made: Option<Made>,
    /// Where the process stops that is to be there.
    pub at: u64,
    /// Offset of the record that tells of it.
    main: u64,
}

/// What a system call makes that is recorded elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It has made a process: this recording, and its process id.
    Fork(RecordingId, i64),
    /// It has made a process in the same memory, with this process id.
    Vfork(i64),
    /// It is about to replace the program, and will.
    Exec,
}

/// Those of a recording, in their order.
#[derive(Debug, Default)]
pub struct Crossings(Vec<Crossing>);

/// A call that a thread is in.
enum Inside {
    /// Its entry is known, and where the record of that is.
    Entered(u64),
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
    /// The process that the next call makes.
    forked: Option<RecordingId>,
}

impl<W: Fn(u16) -> bool> Scan<W> {
    /// A record of the event that begins at `first`.
    fn record(&mut self, record: &Record<'_>, first: u64) -> Result<()> {
        let (number, main) = (record.head.aux, record.offset);
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Spawn) => {
                let spawn = record.spawn()?;
                if spawn.what == 0 {
                    self.forked = Some(RecordingId(spawn.child));
                } else {
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
            Some(Kind::Enter) => {
                self.found(What::Entry(number), None, first, main);
                self.inside.insert(self.current, Inside::Entered(main));
            }
            Some(Kind::Exec) => {
                // Until it returns, which only one does that fails.
                self.found(What::Entry(number), Some(Made::Exec), first, main);
                self.inside.insert(self.current, Inside::Entered(main));
            }
            Some(Kind::Syscall) => {
                let result = record.syscall()?.call.result;
                let mut made = self.forked.take().map(|id| Made::Fork(id, result));
                match self.inside.remove(&self.current) {
                    None => self.found(What::Entry(number), None, first, main),
                    Some(Inside::Vfork(at)) => {
                        self.found(What::Entry(number), None, at, at);
                        made = Some(Made::Vfork(result));
                    }
                    Some(Inside::Entered(at)) => self.returned(at),
                }
                let made = made.filter(|_| result > 0);
                self.found(What::Return(number), made, main + 1, main);
            }
            Some(Kind::Exit) if self.inside.remove(&self.current).is_none() => {
                self.found(What::Entry(number), None, first, main);
            }
            Some(Kind::Signal) => self.found(What::Signal(number), None, first, main),
            _ => {}
        }
        Ok(())
    }

    /// The call returns whose entry is told of at `main`.
    fn returned(&mut self, main: u64) {
        if let Ok(n) = self.found.binary_search_by_key(&main, |c| c.main) {
            self.found[n].made = None;
        }
    }

    fn found(&mut self, what: What, made: Option<Made>, at: u64, main: u64) {
        let wanted = match what {
            What::Entry(number) | What::Return(number) => (self.wanted)(number),
            What::Signal(_) => true,
        };
        if wanted {
            // Mostly behind all others.
            let n = self.found.partition_point(|c| c.main <= main);
            let crossing = Crossing {
                what,
                made,
                at,
                main,
            };
            self.found.insert(n, crossing);
        }
    }
}

impl Travel {
    /// All signals, and the system calls whose numbers are `wanted`.
    ///
    /// # Errors
    /// If the recording cannot be read, or somebody interrupts.
    pub fn crossings(&self, wanted: impl Fn(u16) -> bool) -> Result<Crossings> {
        let mut scan = Scan {
            wanted,
            found: Vec::new(),
            inside: HashMap::new(),
            current: None,
            made: HashSet::new(),
            forked: None,
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
        Ok(Crossings(scan.found))
    }

    /// All signals: what the recording has noted of them is enough, as nothing goes ahead of one.
    ///
    /// # Errors
    /// As those of [`Travel::crossings`].
    pub fn signals(&self) -> Result<Crossings> {
        let mut reader = self.session.reader(self.recording())?;
        let mut found = Vec::new();
        let mut block = Block::default();
        for n in reader.blocks_with(|rare| &rare.signals) {
            self.process.check_interrupt()?;
            reader.read_block(n, &mut block)?;
            for record in block.records() {
                let record = record?;
                if record.head.kind == Kind::Signal as u8 {
                    found.push(Crossing {
                        what: What::Signal(record.head.aux),
                        made: None,
                        at: record.offset,
                        main: record.offset,
                    });
                }
            }
        }
        Ok(Crossings(found))
    }

    /// The first of `crossings` that is `wanted` and comes behind here.
    pub fn next_crossing(
        &self,
        crossings: &Crossings,
        wanted: impl Fn(What) -> bool,
    ) -> Result<Option<Crossing>> {
        let offset = self.process.offset()?;
        let n = crossings.0.partition_point(|c| c.main < offset);
        let behind = crossings.0[n..].iter();
        self.first_elsewhere(behind.filter(|c| wanted(c.what)), offset)
    }

    /// The last of `crossings` that is `wanted` and comes before here.
    pub fn previous_crossing(
        &self,
        crossings: &Crossings,
        wanted: impl Fn(What) -> bool,
    ) -> Result<Option<Crossing>> {
        let offset = self.process.offset()?;
        let n = crossings.0.partition_point(|c| c.main < offset);
        let before = crossings.0[..n].iter().rev();
        self.first_elsewhere(before.filter(|c| wanted(c.what)), offset)
    }

    /// The first that the process, which has come to `offset`, does not stand at.
    fn first_elsewhere<'c>(
        &self,
        crossings: impl Iterator<Item = &'c Crossing>,
        offset: u64,
    ) -> Result<Option<Crossing>> {
        for crossing in crossings {
            if !self.stands_at(crossing, offset)? {
                return Ok(Some(*crossing));
            }
        }
        Ok(None)
    }

    /// The signal that is delivered here, before anything else happens, and where its
    /// record is.
    pub fn signal_here(&mut self) -> Result<Option<(u16, u64)>> {
        if self.process.place() != Place::Event || !self.process.is_before() {
            return Ok(None);
        }
        self.next_signal()
    }

    /// The next event, if that is a signal, and where its record is.
    pub fn next_signal(&mut self) -> Result<Option<(u16, u64)>> {
        let offset = self.process.offset()?;
        let next = self.next_event(offset)?;
        Ok(next.and_then(|event| Some((event.signal?, event.main))))
    }

    /// Whether the event is over whose record is at `at`.
    pub fn is_behind(&self, at: u64) -> Result<bool> {
        Ok(self.process.offset()? > at)
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
            if matches!(call.what, What::Return(_)) || !early {
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
        if !matches!(call.what, What::Return(_)) {
            return Ok(before && (call.at..=call.main).contains(&offset));
        }
        if call.main >= offset {
            return Ok(false);
        }
        // Nothing has happened since; a signal may be next, without an instruction between.
        let next = self.events.at_offset(call.at)?;
        let here = &self.here;
        Ok(next.is_none_or(|next| {
            next.main >= offset && (!before || here.legs.is_empty() && here.at < next.offset)
        }))
    }
}
