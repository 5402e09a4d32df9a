//! `orch inspect`.

pub mod picture;
pub(super) mod text;

#[cfg(test)]
mod tests;

use crate::inspect::address::{ParseAddressError, Range};
use crate::inspect::code::Syntax;
use crate::output::{self, Output};
use crate::position::{Position, When};
use crate::travel::Travel;
use anyhow::{Context as _, Result};
use orch_recorder::session::Session;
use picture::Picture;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `orch inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch inspect p3@18402                          where p3 was, and how it came there
  orch inspect p3@exit --backtrace --limit 100   the whole stack when it ended
  orch inspect p3@18402+57 --mem '$rsp:64' --mem counters
  orch inspect p3@50% --disasm --syntax intel
  orch inspect p3@exit --locals                  variables of all functions of the stack
  orch inspect p3@end --threads --maps
  orch inspect @18402 --backtrace                what every process did at that moment
  orch inspect p3@~12.5s --json | jq -r '.frames[].function'

Without options: the event, source, stack and registers. An address (--mem) is a number,
a register ($rsp+8) or a variable (counters), and bytes behind a colon; without those,
the variable's size, or 64. In the stack, functions that are inlined have the address of
the one that they are in.

With --json, each position is an object with position, recording, pid, program, thread,
tid, threads, event, and as far as asked for: source, frames, cut (why the stack may go
on), locals (by level of the stack), registers, extended (x87 and vectors, with --regs of
the thread that runs), disassembly, memory, thread_list, maps; and hint (what is missing).
If memory cannot be read, the exit code is 1.")]
pub struct Args {
    /// Where: p3@18402, p3@18402+57, p3@start, p3@exit, p3@~12.5s, p3@50%, or @18402 for all.
    #[arg(value_name = "POS")]
    position: When,
    /// Registers.
    #[arg(short, long)]
    regs: bool,
    /// The functions that have not returned.
    #[arg(short, long)]
    backtrace: bool,
    /// Parameters and variables of these functions, where debugging information tells them.
    #[arg(short, long)]
    locals: bool,
    /// Memory: ADDR:LEN; may be given several times.
    #[arg(short, long, value_name = "ADDR[:LEN]", value_parser = range)]
    mem: Vec<Range>,
    /// The source of the innermost function whose source is there.
    #[arg(long)]
    source: bool,
    /// The instructions around the next one.
    #[arg(short, long)]
    disasm: bool,
    /// All threads, and where they are.
    #[arg(short, long)]
    threads: bool,
    /// What is mapped where.
    #[arg(long)]
    maps: bool,
    /// Of this thread, by its number (--threads); default: the one that runs.
    #[arg(long, value_name = "N")]
    thread: Option<u32>,
    /// So many functions of the stack at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// How instructions are written.
    #[arg(long, value_enum, default_value_t)]
    syntax: Syntax,
    /// Where sources are, if not where they were compiled; may be given several times.
    #[arg(long, value_name = "DIR")]
    sources: Vec<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn range(text: &str) -> Result<Range, String> {
    text.parse().map_err(|e: ParseAddressError| e.to_string())
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let positions = args.position.positions(&session)?;
    let mut out = Output::new();
    let mut whole = true;
    for (n, &position) in positions.iter().enumerate() {
        if n > 0 && !args.json {
            writeln!(out)?;
        }
        match look(&mut out, &session, position, args) {
            Ok(all) => whole &= all,
            // The others may be as they should.
            Err(e) if positions.len() > 1 && !output::is_closed(&e) => {
                out.flush()?;
                eprintln!("orch: {e:#}");
                whole = false;
            }
            Err(e) => return Err(e),
        }
    }
    out.flush()?;
    Ok(super::found(whole))
}

/// Goes to a position, and shows what is there; `false` if some of it cannot be.
fn look(out: &mut Output, session: &Session, position: Position, args: &Args) -> Result<bool> {
    let mut travel = Travel::open(session.clone(), position.recording)?;
    let there = travel.go_to(&position);
    there.with_context(|| format!("cannot go to {position}"))?;
    position.tell_next(session)?;
    let picture = Picture::take(session, position, &mut travel, args)?;
    if args.json {
        out.json(&picture)?;
    } else {
        text::print(out, &picture)?;
    }
    Ok(picture.is_whole())
}
