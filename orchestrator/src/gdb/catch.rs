//! `catch syscall`, and signals that stop as gdb's `handle` says: the recording tells where
//! there are such, so that the program need not be watched on the way there.

use super::signals::{self, Passed};
use super::target::Target;
use crate::travel::{Crossing, Crossings, Reason, Stops, What};
use anyhow::Result;
use gdbstub::common::Tid;
use gdbstub::stub::{BaseStopReason, MultiThreadStopReason};
use gdbstub::target::TargetResult;
use gdbstub::target::ext::catch_syscalls::{CatchSyscallPosition, CatchSyscalls, SyscallNumbers};
use std::collections::BTreeSet;

/// Numbers of calls; `None` for all that there are.
type Wanted = Option<BTreeSet<u64>>;

/// What is caught.
#[derive(Debug, Default)]
pub struct Catches {
    /// Calls. `None` while there is no catchpoint.
    wanted: Option<Wanted>,
    /// Signals that are not.
    pub(super) passed: Passed,
    /// What was found for the last calls that were wanted: gdb takes its catchpoints out
    /// whenever the recording stands, and puts the same in again.
    found: Option<(Option<Wanted>, Crossings)>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub enum CameTo {
    /// A call or signal that is caught.
    Crossing(Crossing),
    Other(Reason),
}

impl Target {
    /// What is caught next, or was last.
    fn caught(&mut self, next: bool) -> Result<Option<Crossing>> {
        let Catches {
            wanted,
            passed,
            found,
        } = &mut self.catches;
        let crossings = match (found.take(), wanted.as_ref()) {
            (Some((of, crossings)), _) if of == *wanted => crossings,
            (_, None) => self.travel.signals()?,
            (_, Some(calls)) => self.travel.crossings(|number| {
                let all = calls.as_ref();
                all.is_none_or(|all| all.contains(&u64::from(number)))
            })?,
        };
        let (_, crossings) = found.insert((wanted.clone(), crossings));
        let stops = |what| match what {
            What::Signal(number) => !passed.contains(number),
            What::Entry(_) | What::Return(_) => true,
        };
        if next {
            self.travel.next_crossing(crossings, stops)
        } else {
            self.travel.previous_crossing(crossings, stops)
        }
    }

    /// Runs on to the first of `stops` and what is caught.
    pub(super) fn run(&mut self, stops: &Stops) -> Result<CameTo> {
        let Some(crossing) = self.caught(true)? else {
            return self.travel.run(stops).map(CameTo::Other);
        };
        Ok(match self.travel.run_to(stops, &crossing)? {
            Reason::Limit => CameTo::Crossing(crossing),
            other => CameTo::Other(other),
        })
    }

    /// Runs back to the last of them.
    pub(super) fn run_back(&mut self, stops: &Stops) -> Result<CameTo> {
        let Some(crossing) = self.caught(false)? else {
            return self.travel.run_back(stops).map(CameTo::Other);
        };
        Ok(match self.travel.run_back_to(stops, &crossing)? {
            Reason::Limit => CameTo::Crossing(crossing),
            other => CameTo::Other(other),
        })
    }
}

/// What gdb is told of it.
pub fn caught(crossing: &Crossing, thread: Tid) -> MultiThreadStopReason<u64> {
    let call = |number: u16, position| BaseStopReason::CatchSyscall {
        tid: Some(thread),
        number: number.into(),
        position,
    };
    match crossing.what {
        What::Entry(number) => call(number, CatchSyscallPosition::Entry),
        What::Return(number) => call(number, CatchSyscallPosition::Return),
        What::Signal(number) => BaseStopReason::SignalWithThread {
            tid: thread,
            signal: signals::of_linux(number),
        },
    }
}

impl CatchSyscalls for Target {
    fn enable_catch_syscalls(
        &mut self,
        filter: Option<SyscallNumbers<'_, u64>>,
    ) -> TargetResult<(), Self> {
        self.catches.wanted = Some(filter.map(Iterator::collect));
        Ok(())
    }

    fn disable_catch_syscalls(&mut self) -> TargetResult<(), Self> {
        self.catches.wanted = None;
        Ok(())
    }
}
