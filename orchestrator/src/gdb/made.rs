//! `monitor made`: what a system call that gdb has just stopped at makes of the process, or
//! besides it, for `catch fork` and the like. All of that is in other recordings.

use super::target::Target;
use crate::travel::Made;
use anyhow::Result;
use orch_recorder::trace::{End, Origin, RecordingId};

impl Target {
    /// `fork`, `vfork` or `exec`, and that in words; or `nothing`.
    pub(super) fn made(&self) -> Result<String> {
        let id = self.travel.recording();
        Ok(match self.crossing.and_then(|c| c.made) {
            None => "nothing".to_owned(),
            Some(Made::Fork(child, pid)) => match self.travel.session().summary(child) {
                Ok(_) => format!("fork {id} has made process {pid}: {child}, {}", jump(child)),
                Err(_) => format!("fork {id} has made process {pid}, which is not recorded"),
            },
            Some(Made::Vfork(pid)) => {
                let then = match self.program_of(pid)? {
                    Some((next, program)) => format!("; then {program}: {next}, {}", jump(next)),
                    None => String::new(),
                };
                format!(
                    "vfork {id} has made process {pid} in its own memory: what that did is in \
                     {id}, too{then}"
                )
            }
            Some(Made::Exec) => match self.next_program()? {
                Some((next, program)) => {
                    format!(
                        "exec {id} is about to run {program}: {next}, {}",
                        jump(next)
                    )
                }
                None => format!("exec {id} is about to run another program, not recorded"),
            },
        })
    }

    /// The recording of what the thread that runs is about to execute.
    fn next_program(&self) -> Result<Option<(RecordingId, String)>> {
        let tid = self.current()?.get().try_into()?;
        // A child in the same memory, which is a thread here, or else the process itself.
        if let Some(found) = self.program_of(tid)? {
            return Ok(Some(found));
        }
        let session = self.travel.session();
        let Some(End::Execed(next)) = session.summary(self.travel.recording())?.end else {
            return Ok(None);
        };
        let origin = session.summary(next).ok().and_then(|s| s.origin);
        Ok(match origin {
            Some(Origin::Exec { program, .. }) => Some((next, program.path)),
            _ => None,
        })
    }

    /// What a child that this process made with its own memory has executed.
    fn program_of(&self, child: i64) -> Result<Option<(RecordingId, String)>> {
        let session = self.travel.session();
        for id in session.recordings()? {
            let Some(Origin::Exec {
                parent: Some(parent),
                pid,
                same_process: false,
                program,
                ..
            }) = session.summary(id).ok().and_then(|s| s.origin)
            else {
                continue;
            };
            if parent == self.travel.recording() && i64::from(pid) == child {
                return Ok(Some((id, program.path)));
            }
        }
        Ok(None)
    }
}

fn jump(to: RecordingId) -> String {
    format!("to which `orch jump {to}@start` goes")
}
