//! `catch syscall`: the recording tells where the program made system calls, so that
//! it need not be watched on the way there.

use super::target::Target;
use crate::travel::{Calls, Crossing, Reason, Side, Stops};
use anyhow::Result;
use gdbstub::common::Tid;
use gdbstub::stub::{BaseStopReason, MultiThreadStopReason};
use gdbstub::target::TargetResult;
use gdbstub::target::ext::catch_syscalls::{CatchSyscallPosition, CatchSyscalls, SyscallNumbers};
use std::collections::BTreeSet;

/// Numbers of calls; `None` for all that there are.
type Wanted = Option<BTreeSet<u64>>;

/// What calls are caught.
#[derive(Debug, Default)]
pub struct Catches {
    /// `None` while there is no catchpoint.
    wanted: Option<Wanted>,
    /// What was found for the last that were wanted: gdb takes its catchpoints out
    /// whenever the recording stands, and puts the same in again.
    found: Option<(Wanted, Calls)>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub enum CameTo {
    /// A call that is caught.
    Call(Crossing),
    Other(Reason),
}

impl Target {
    /// The call that is caught next, or was last.
    fn caught(&mut self, next: bool) -> Result<Option<Crossing>> {
        let Some(wanted) = &self.catches.wanted else {
            return Ok(None);
        };
        let calls = match self.catches.found.take() {
            Some((of, calls)) if of == *wanted => calls,
            _ => self.travel.calls(|number| {
                let all = wanted.as_ref();
                all.is_none_or(|all| all.contains(&u64::from(number)))
            })?,
        };
        let (_, calls) = self.catches.found.insert((wanted.clone(), calls));
        if next {
            self.travel.next_call(calls)
        } else {
            self.travel.previous_call(calls)
        }
    }

    /// Runs on to the first of `stops` and the calls that are caught.
    pub(super) fn run(&mut self, stops: &Stops) -> Result<CameTo> {
        let Some(call) = self.caught(true)? else {
            return self.travel.run(stops).map(CameTo::Other);
        };
        Ok(match self.travel.run_to(stops, &call)? {
            Reason::Limit => CameTo::Call(call),
            other => CameTo::Other(other),
        })
    }

    /// Runs back to the last of them.
    pub(super) fn run_back(&mut self, stops: &Stops) -> Result<CameTo> {
        let Some(call) = self.caught(false)? else {
            return self.travel.run_back(stops).map(CameTo::Other);
        };
        Ok(match self.travel.run_back_to(stops, &call)? {
            Reason::Limit => CameTo::Call(call),
            other => CameTo::Other(other),
        })
    }
}

/// What gdb is told of it.
pub fn caught(call: &Crossing, thread: Tid) -> MultiThreadStopReason<u64> {
    BaseStopReason::CatchSyscall {
        tid: Some(thread),
        number: call.number.into(),
        position: match call.side {
            Side::Entry => CatchSyscallPosition::Entry,
            Side::Return => CatchSyscallPosition::Return,
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
