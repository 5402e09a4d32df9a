//! `orch replay`.

use crate::replay::{self, Verdict};
use anyhow::Result;
use orch_recorder::session;
use orch_recorder::trace::RecordingId;
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `orch replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Replay this recording only (p3).
    #[arg(short, long, value_name = "P")]
    process: Option<RecordingId>,
    /// Check every event against the recording, and say so.
    #[arg(long)]
    check: bool,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = session::locate(dir)?;
    let reports = replay::check(&session, args.process, false, |_, _| {})?;
    let mut bad = 0;
    for r in &reports {
        match &r.verdict {
            Verdict::Matched => {}
            Verdict::Diverged(d) => {
                bad += 1;
                println!(
                    "{}: diverged: {} at offset {} nr {} ip {:#x} kind {} args {:x?}",
                    r.recording, d.why, d.offset, d.nr, d.ip, d.kind, d.args
                );
            }
            Verdict::Broken(why) => {
                bad += 1;
                println!("{}: broken: {why}", r.recording);
            }
        }
    }
    println!("{} recordings replayed, {bad} bad", reports.len());
    Ok(ExitCode::from(u8::from(bad > 0)))
}
