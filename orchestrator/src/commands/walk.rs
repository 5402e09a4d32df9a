//! `orch walk`: moves in a recording and checks that each instant that is
//! reached by two ways is the same one. For those who work on `orch`.

use crate::position::Position;
use crate::travel::{Travel, TravelError};
use anyhow::{Result, bail};
use clap::Parser;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, Parser)]
pub struct Args {
    /// Where to begin.
    position: Position,
    /// How many instructions to go on.
    #[arg(short, long, default_value_t = 20)]
    number: u64,
    /// Then go back as many, and compare.
    #[arg(short, long)]
    back: bool,
    /// Print each instant.
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub fn run(session: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(session)?;
    super::recordings(&session, Some(args.position.recording))?;
    let clock = Instant::now();
    let mut travel = Travel::open(session, args.position.recording)?;
    let opened = clock.elapsed();
    travel.go_to(&args.position)?;
    println!(
        "opened in {opened:.1?}, there after {:.1?}",
        clock.elapsed()
    );
    let mut seen = vec![travel.state()?];
    print(&mut travel, args.verbose)?;
    let clock = Instant::now();
    for _ in 0..args.number {
        match travel.step() {
            Ok(()) => {}
            Err(e) if matches!(e.downcast_ref(), Some(TravelError::End)) => break,
            Err(e) => return Err(e),
        }
        seen.push(travel.state()?);
        print(&mut travel, args.verbose)?;
    }
    println!("{} steps in {:.1?}", seen.len() - 1, clock.elapsed());
    if !args.back {
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Instant::now();
    while let Some(last) = seen.pop() {
        let now = travel.state()?;
        if now != last {
            bail!("{:?}: differs:\n{now:x?}\n{last:x?}", travel.here());
        }
        if !seen.is_empty() {
            travel.step_back()?;
            print(&mut travel, args.verbose)?;
        }
    }
    println!("and back in {:.1?}: the same", clock.elapsed());
    Ok(ExitCode::SUCCESS)
}

fn print(travel: &mut Travel, verbose: bool) -> Result<()> {
    if verbose {
        let regs = travel.regs()?;
        println!("{:#x} {:?} {:?}", regs.rip, travel.place(), travel.here());
    }
    Ok(())
}
