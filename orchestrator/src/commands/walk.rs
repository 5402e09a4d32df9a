//! `orch walk`: goes to instants of recordings by several ways, and checks that
//! each is the same by all of them. For those who work on `orch`.

use crate::travel::{Instant, Reason, State, Stops, Travel, TravelError, Watch};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use orch_abi::record::Kind;
use orch_recorder::trace::{RecordingId, Tick};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use xxhash_rust::xxh3::xxh3_64;

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
    /// Tell each place, and a digest of registers and memory there and on the way.
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
            let digest = walk(&mut travel, Tick(tick), steps, &mut random)
                .with_context(|| format!("{id}@{tick}, {steps} steps on"))?;
            if args.verbose {
                println!("{digest:016x}");
            }
        }
        println!("{id}: {} places, the same by all ways", args.number);
    }
    Ok(ExitCode::SUCCESS)
}

/// From an event forwards, and back, and there again from the start; a digest of all that
/// was there.
fn walk(travel: &mut Travel, tick: Tick, steps: u64, random: &mut Random) -> Result<u64> {
    let Some(from) = travel.event_at(tick)? else {
        return Ok(0);
    };
    travel.go(from)?;
    let mut seen: Vec<(Instant, State)> = vec![(travel.here().clone(), travel.state()?)];
    let stack = Stack::around(seen[0].1.regs.rsp);
    let mut words = vec![stack.words(travel)];
    for _ in 0..steps {
        match travel.step() {
            Ok(()) => {
                seen.push((travel.here().clone(), travel.state()?));
                words.push(stack.words(travel));
            }
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
    for _ in 0..2 {
        back_to_breakpoint(travel, &seen, random)?;
        back_to_change(travel, &seen, &stack, &words, random)?;
    }
    back_from_afar(travel, &seen[0].0)?;
    Ok(xxh3_64(format!("{seen:?}").as_bytes()))
}

/// One step back from where many steps lead, as people name that place.
fn back_from_afar(travel: &mut Travel, from: &Instant) -> Result<()> {
    /// More than are counted one by one in a position.
    const FAR: u64 = 1200;
    let before = from.clone().and_steps(FAR - 1);
    let is_end = |e: &anyhow::Error| matches!(e.downcast_ref(), Some(TravelError::End));
    let gone = travel.go(before.clone()).and_then(|()| {
        let state = travel.state()?;
        travel.step()?;
        Ok(state)
    });
    let state = match gone {
        Err(e) if is_end(&e) => return Ok(()),
        gone => gone?,
    };
    let position = travel.position()?;
    travel.go_to(&position)?;
    travel.step_back()?;
    same(
        &travel.state()?,
        &state,
        &format!("back from {position}"),
        &before,
    )
}

/// From the last place back to where the program was last at an address.
fn back_to_breakpoint(
    travel: &mut Travel,
    seen: &[(Instant, State)],
    random: &mut Random,
) -> Result<()> {
    let ip = seen[random.below(seen.len() as u64) as usize].1.regs.rip;
    let (end, before) = seen.split_last().expect("it has a first");
    let at_ip = |(_, state): &&(Instant, State)| state.regs.rip == ip;
    let Some((at, state)) = before.iter().rfind(at_ip) else {
        return Ok(());
    };
    if is_interrupted(travel, state.next)? {
        return Ok(());
    }
    // One that is executed several times at once is one pass.
    let twice = |w: &[(Instant, State)]| w[0].1.regs.rip == ip && w[1].1.regs.rip == ip;
    if seen.windows(2).any(twice) {
        return Ok(());
    }
    travel.go(end.0.clone())?;
    let reason = travel.run_back(&Stops::at(ip))?;
    // Where the recording starts nothing has come to the place.
    ensure!(
        matches!(reason, Reason::Breakpoint(at) if at == ip) || reason == Reason::End,
        "back to {ip:#x} from {:?}: {reason:?}",
        end.0
    );
    let how = format!("back to {ip:#x} from {:?}", end.0);
    same(&travel.state()?, state, &how, at)
}

/// Whether a signal's handler comes before the instruction where the event at `offset` is next.
fn is_interrupted(travel: &Travel, offset: u64) -> Result<bool> {
    let mut records = travel.session().reader(travel.recording())?.records();
    records.seek_offset(offset)?;
    while let Some(record) = records.next_record()? {
        match record.kind()? {
            Kind::Data | Kind::Object | Kind::View => {}
            kind => return Ok(kind == Kind::Signal),
        }
    }
    Ok(false)
}

/// From the last place back to before a word of the stack last changed.
fn back_to_change(
    travel: &mut Travel,
    seen: &[(Instant, State)],
    stack: &Stack,
    words: &[Vec<u64>],
    random: &mut Random,
) -> Result<()> {
    let last_change = |n: usize| words.windows(2).rposition(|w| w[0].get(n) != w[1].get(n));
    let changed: Vec<(usize, usize)> = (0..Stack::WORDS)
        .filter_map(|n| Some((n, last_change(n)?)))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let (n, i) = changed[random.below(changed.len() as u64) as usize];
    let addr = stack.0 + 8 * n as u64;
    let stops = Stops {
        watches: vec![Watch { addr, len: 8 }],
        ..Stops::default()
    };
    let end = &seen[seen.len() - 1].0;
    travel.go(end.clone())?;
    let reason = travel.run_back(&stops)?;
    let how = format!("back to a change of {addr:#x} from {end:?}");
    ensure!(matches!(reason, Reason::Watch(_)), "{how}: {reason:?}");
    same(&travel.state()?, &seen[i].1, &how, &seen[i].0)
}

/// Address of a part of the stack.
struct Stack(u64);

impl Stack {
    const WORDS: usize = 64;

    fn around(rsp: u64) -> Self {
        Self((rsp & !7).saturating_sub(8 * 48))
    }

    fn words(&self, travel: &Travel) -> Vec<u64> {
        let mut bytes = [0; 8 * Self::WORDS];
        let n = travel.read(self.0, &mut bytes);
        let words = bytes[..n].as_chunks().0.iter();
        words.map(|&w| u64::from_le_bytes(w)).collect()
    }
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
