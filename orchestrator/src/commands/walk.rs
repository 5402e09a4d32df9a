//! `orch walk`: goes to instants of recordings by several ways, and checks that
//! each is the same by all of them. For those who work on `orch`.

use crate::travel::{Instant, State, Travel, TravelError};
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use orch_recorder::trace::{RecordingId, Tick};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  orch walk -n 20        20 random places of each recording")]
pub struct Args {
    /// Only this recording.
    #[arg(short = 'p', long, value_name = "pN")]
    process: Option<RecordingId>,
    /// How many places of a recording.
    #[arg(short, long, default_value_t = 10)]
    number: u32,
    /// How many instructions to go on from each, at most.
    #[arg(long, default_value_t = 100)]
    steps: u64,
    /// What the choice of places begins with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tell each place.
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub fn run(session: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let all = super::recordings(&super::locate(session)?, args.process)?;
    for id in all {
        let opened = super::locate(session)?;
        let summary = opened.summary(id)?;
        let ticks = (summary.first_tick.0, summary.last_tick.0);
        let mut travel = match Travel::open(opened, id) {
            Ok(travel) => travel,
            Err(e) => {
                println!("{id}: {e:#}");
                continue;
            }
        };
        let mut random = Random(args.seed ^ u64::from(id.0) << 32);
        for _ in 0..args.number {
            let tick = ticks.0 + random.below(ticks.1 - ticks.0 + 1);
            let steps = random.below(args.steps + 1);
            if args.verbose {
                println!("{id}@{tick}, {steps} steps on");
            }
            walk(&mut travel, Tick(tick), steps, &mut random)
                .with_context(|| format!("{id}@{tick}, {steps} steps on"))?;
        }
        println!("{id}: {} places, the same by all ways", args.number);
    }
    Ok(ExitCode::SUCCESS)
}

/// From an event forwards, and back, and there again from the start.
fn walk(travel: &mut Travel, tick: Tick, steps: u64, random: &mut Random) -> Result<()> {
    let Some(from) = travel.event_at(tick)? else {
        return Ok(());
    };
    travel.go(from)?;
    let mut seen: Vec<(Instant, State)> = vec![(travel.here().clone(), travel.state()?)];
    for _ in 0..steps {
        match travel.step() {
            Ok(()) => seen.push((travel.here().clone(), travel.state()?)),
            Err(e) if matches!(e.downcast_ref(), Some(TravelError::End)) => break,
            Err(e) => return Err(e).context("forwards"),
        }
    }
    for _ in 0..5 {
        let (at, state) = &seen[random.below(seen.len() as u64) as usize];
        travel
            .go(at.clone())
            .with_context(|| format!("to {at:?}"))?;
        same(&travel.state()?, state, "from a checkpoint", at)?;
    }
    let (at, _) = &seen[seen.len() - 1];
    travel.go(at.clone())?;
    for (at, state) in seen.iter().rev().skip(1).take(12) {
        travel
            .step_back()
            .with_context(|| format!("back to {at:?}"))?;
        same(&travel.state()?, state, "backwards", at)?;
    }
    Ok(())
}

fn same(now: &State, then: &State, how: &str, at: &Instant) -> Result<()> {
    if now != then {
        let differ = |m: &BTreeMap<u64, u64>, n: &BTreeMap<u64, u64>| {
            let changed = m.iter().filter(|(at, hash)| n.get(at) != Some(hash));
            changed
                .map(|(at, _)| format!("{at:#x}"))
                .collect::<Vec<_>>()
        };
        bail!(
            "{at:?}, {how}, is not the same:\n{:x?}, next {}\n{:x?}, next {}\nmemory {:?}, {:?}",
            now.regs,
            now.next,
            then.regs,
            then.next,
            differ(&now.memory, &then.memory),
            differ(&then.memory, &now.memory),
        );
    }
    Ok(())
}

/// xorshift64* (Marsaglia, Vigna).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        if self.0 == 0 {
            self.0 = 1;
        }
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % n
    }
}
