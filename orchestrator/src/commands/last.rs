//! `orch last`.

pub(super) mod search;
pub(super) mod show;
mod spot;

use search::Search;
pub use search::WATCHED;
pub use show::Show;
pub use spot::Spot;

use super::Usage;
use super::ublame::value::Format;
use crate::output::Output;
use crate::position::{At, Position, When};
use anyhow::Result;
use orch_recorder::session::Session;
use orch_recorder::trace::{Origin, RecordingId};
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `orch last`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch last p3:0x7ffc12345678                 what changed that memory of p3 last
  orch last p3:counters+8 --before p3@18402   what had changed it at that event
  orch last 'p3:$rsp+8' --before p3@18402     a place on the stack, as rsp was there
  orch last p3:name -n 5 --backtrace          the last five changes, and their stacks
  orch last p3:total --json | jq -r .position

Of one recording, by running it backwards: so also memory that no other process sees.
`orch ublame` is for memory that processes share, and knows who of them did it. A
change is told with the position before it: there `orch inspect` and `orch gdb` show
what led to it. The newest comes first. Stores of what was there already are no change.
What replaces memory as a whole (mmap, munmap, brk) is not seen, a change before a
fork is the parent's.

An address is a number, a register ($rsp+8, as it was at --before) or a variable. The
bytes must fit in four words that are aligned and of 1, 2, 4 or 8 bytes.

With --json, each change is an object with position, recording, pid, program, address,
size, old, new (hexadecimal), function, file, line, event (of a system call, else null)
and frames (with --backtrace). If there is none, the exit code is 1.")]
pub struct Args {
    /// What memory: p3:0xADDRESS, p3:SYMBOL+OFFSET, p3:$REGISTER+OFFSET.
    #[arg(value_name = "WHERE")]
    spot: Spot,
    /// Before this position (default: the end of the recording).
    #[arg(long, value_name = "POS")]
    before: Option<When>,
    /// Bytes (default: the variable's size, or 8).
    #[arg(long, value_name = "N", value_parser = super::ublame::length)]
    len: Option<u64>,
    /// So many changes, if there are.
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "1", value_parser = count)]
    count: usize,
    /// The functions that had not returned.
    #[arg(short, long)]
    backtrace: bool,
    /// So many functions of the stack at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// How to show values.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A number of changes.
pub(super) fn count(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|&n| n > 0);
    n.ok_or_else(|| "write a number, 1 or more".to_owned())
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let show = Show {
        format: args.format,
        backtrace: args.backtrace,
        limit: args.limit,
        json: args.json,
    };
    let found = tell(
        &session,
        &args.spot,
        args.before,
        args.len,
        args.count,
        &show,
    )?;
    Ok(super::found(found))
}

/// Tells the last `count` changes of some memory; whether there are any.
pub fn tell(
    session: &Session,
    spot: &Spot,
    before: Option<When>,
    len: Option<u64>,
    count: usize,
    show: &Show,
) -> Result<bool> {
    let from = position(session, spot.recording, before)?;
    let mut search = Search::begin(session, from, &spot.address, len, |_| ())?;
    let mut out = Output::new();
    let mut any = false;
    for _ in 0..count {
        let Some(change) = search.previous(show.limit)? else {
            break;
        };
        any = true;
        show.print(&mut out, session, &change)?;
        std::io::Write::flush(&mut out)?;
    }
    if !any {
        eprintln!("orch: {}", nothing(session, from, &search));
    }
    Ok(any)
}

/// From where on it goes backwards.
fn position(session: &Session, id: RecordingId, before: Option<When>) -> Result<Position> {
    super::recordings(session, Some(id))?;
    let end = Position {
        recording: id,
        at: At::End,
    };
    Ok(match before {
        None => end,
        Some(When::At(position)) if position.recording == id => position,
        Some(When::At(position)) => {
            let text = format!(
                "{position} is of another recording; for that moment write @{}",
                position.tick(session)?
            );
            return Err(Usage(text).into());
        }
        Some(When::Everywhere(at)) => {
            let summary = session.summary(id)?;
            match When::Everywhere(at).tick(session)? {
                tick if tick >= summary.last_tick => end,
                tick if tick < summary.first_tick => {
                    let first = summary.first_tick;
                    return Err(Usage(format!("{id} begins after that, at {id}@{first}")).into());
                }
                tick => Position::event(id, tick.0),
            }
        }
    })
}

/// Why there is nothing to show.
fn nothing(session: &Session, from: Position, search: &Search<'_>) -> String {
    let id = from.recording;
    let (addr, len) = (search.addr(), search.len());
    let text = format!("{id} has not changed the {len} bytes at {addr:#x} before {from}");
    match session.summary(id).map(|summary| summary.origin) {
        Ok(Some(Origin::Fork { parent, tick, .. })) => format!(
            "{text}; {parent} may have, before it forked: \
             `orch last {parent}:{addr:#x} --len {len} --before {parent}@{tick}`"
        ),
        _ => format!(
            "{text}: they are as they were when the program was loaded, or the memory mapped"
        ),
    }
}
