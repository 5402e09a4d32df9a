//! Changes of memory, from the last one backwards.

use crate::commands::Usage;
use crate::describe::{self, Line};
use crate::inspect::address::Address;
use crate::inspect::backtrace::{Backtrace, backtrace};
use crate::inspect::registers::Registers;
use crate::inspect::unwind::Unwinder;
use crate::inspect::{Still, memory};
use crate::position::{At, Position};
use crate::travel::{Reason, Stops, Travel, Watch};
use anyhow::{Context as _, Result};
use orch_blame::symbols::Symbols;
use orch_recorder::session::Session;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Bytes, where nothing says how many.
const DEFAULT: u64 = 8;
/// The processor watches so many places (Intel SDM volume 3, 18.2).
const WATCHES: usize = 4;
/// Bytes that so many are always enough for.
pub const WATCHED: u64 = 8 * (WATCHES as u64 - 1);

/// A change of memory.
pub struct Change {
    /// The instant before it.
    pub position: Position,
    /// First address of what was asked for.
    pub addr: u64,
    /// Its bytes before.
    pub old: Vec<u8>,
    /// Its bytes behind.
    pub new: Vec<u8>,
    /// What made the change.
    pub stack: Backtrace,
    /// The event that it came with, if not by an instruction of the program's.
    pub event: Option<Line>,
}

/// A recording that is run backwards.
pub struct Search<'s> {
    session: &'s Session,
    travel: Travel,
    symbols: Symbols,
    unwinder: Unwinder,
    stops: Stops,
    addr: u64,
    now: Vec<u8>,
}

impl<'s> Search<'s> {
    /// For `len` bytes at `address`, as that is understood at `from`; `begun` gets what
    /// ends it early, when it is set.
    pub fn begin(
        session: &'s Session,
        from: Position,
        address: &Address,
        len: Option<u64>,
        begun: impl FnOnce(&Arc<AtomicBool>),
    ) -> Result<Self> {
        let mut travel = Travel::open(session.clone(), from.recording)?;
        begun(&travel.interrupter());
        let there = travel.go_to(&from);
        there.with_context(|| format!("cannot go to {from}"))?;
        let maps = Still::maps(&travel)?;
        let mut symbols = Symbols::of(session.files().ok());
        let registers = Registers::from(&travel.regs()?);
        let (addr, rest) = address
            .resolve(&registers, &maps, &mut symbols)
            .map_err(|e| Usage(e.to_string()))?;
        // A large variable is not watched as a whole, unless that is asked for.
        let len = len.or(rest.filter(|&n| n <= WATCHED)).unwrap_or(DEFAULT);
        let watches = watches(addr, len).ok_or_else(|| {
            Usage(format!(
                "{len} bytes at {addr:#x} are too many to be watched: {WATCHES} aligned words of \
                 at most 8 bytes are possible; --len says how many are meant"
            ))
        })?;
        let mut now = vec![0; len as usize];
        let read = travel.read(addr, &mut now) as u64;
        if read < len {
            let why = memory::unreadable(&maps, &symbols, addr.wrapping_add(read));
            return Err(Usage(format!("at {from}, {why}")).into());
        }
        Ok(Self {
            session,
            travel,
            symbols,
            unwinder: Unwinder::default(),
            stops: Stops {
                watches,
                ..Stops::default()
            },
            addr,
            now,
        })
    }

    /// The first byte.
    pub const fn addr(&self) -> u64 {
        self.addr
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.now.len()
    }

    /// Goes back before the last change; at most `limit` functions of its stack are told.
    pub fn previous(&mut self, limit: usize) -> Result<Option<Change>> {
        loop {
            let Reason::Watch(_) = self.travel.run_back(&self.stops)? else {
                return Ok(None);
            };
            let mut old = vec![0; self.now.len()];
            self.travel.read(self.addr, &mut old);
            if old == self.now {
                continue;
            }
            let new = std::mem::replace(&mut self.now, old.clone());
            return Ok(Some(self.change(old, new, limit)?));
        }
    }

    fn change(&mut self, old: Vec<u8>, new: Vec<u8>, limit: usize) -> Result<Change> {
        let position = self.travel.position()?;
        let maps = Still::maps(&self.travel)?;
        let (symbols, unwinder) = (&mut self.symbols, &mut self.unwinder);
        let regs = self.travel.regs()?;
        Ok(Change {
            position,
            addr: self.addr,
            old,
            new,
            stack: backtrace(&self.travel, &maps, symbols, unwinder, &regs, limit),
            event: self.event(position),
        })
    }

    /// What the process is about to do, if that is an event.
    fn event(&self, position: Position) -> Option<Line> {
        let stands = matches!(
            position.at,
            At::Tick {
                pass: None,
                instructions: 0,
                ..
            }
        );
        let line = describe::at(self.session, position).filter(|_| stands)?;
        matches!(line.event, "syscall" | "signal").then_some(line)
    }
}

/// The aligned words that `len` bytes at `addr` are made of, if there are few enough.
pub fn watches(addr: u64, len: u64) -> Option<Vec<Watch>> {
    Watch::words(addr, len, WATCHES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_of_a_range() {
        let words = |addr, len| {
            let found = watches(addr, len)?;
            Some(found.iter().map(|w| w.len).collect::<Vec<_>>())
        };
        assert_eq!(words(0x1000, 8), Some(vec![8]));
        assert_eq!(words(0x1000, 32), Some(vec![8; 4]));
        assert_eq!(words(0x1000, 33), None);
        assert_eq!(words(0x1003, 8), Some(vec![1, 4, 2, 1]));
        assert_eq!(words(u64::MAX, 8), None);
    }

    proptest! {
        #[test]
        fn each_byte_is_watched_once(addr in 0_u64..64, len in 1_u64..40) {
            if let Some(found) = watches(addr, len) {
                let mut at = addr;
                for watch in found {
                    prop_assert_eq!((watch.addr, watch.addr % watch.len), (at, 0));
                    at += watch.len;
                }
                prop_assert_eq!(at, addr + len);
            }
        }
    }
}
