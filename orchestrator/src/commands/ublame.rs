//! `orch ublame`, also `ublame`.

pub(super) mod find;
pub(super) mod order;
pub(super) mod row;
pub(super) mod table;
pub(super) mod value;

use super::Usage;
use super::last::{self, Show, Spot};
use crate::inspect::address::Address;
use crate::output::Output;
use crate::position::{At, When};
use anyhow::Result;
use find::{Found, Missing, find};
use orch_blame::graph::order::{self as races, MOST_ACCESSES, MOST_BYTES, Orders};
use orch_blame::index::{Index, Query};
use orch_blame::place::{self, Place};
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use row::Rows;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use table::Table;
use value::Format;

/// Arguments of `orch ublame`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch ublame p3:0x7f0012345678 --before p3@18402   who wrote what p3 saw there
  orch ublame /dev/shm/q+0x40 --len 4               a shared object and an offset
  orch ublame memfd:frames+4096 -p p2 --stores      what p2 stored there
  orch ublame sysv:12 --len 0x1000 --last 20        the last twenty accesses to a page
  orch ublame p3:counters+8 --format int            a variable of a recorded program
  orch ublame /dev/shm/q+0x40 --races               which accesses nothing has put in order
  orch ublame /dev/shm/q --json | jq -r 'select(.kind == \"store\") | .function'

Stores, and loads that saw what another process had stored, in the order in which
they happened. `outside` is what no recorded process did, `initial` what was there
before; a position with `<` is where that was noticed. A size with `~` was found by
comparing a page: which of the bytes were accessed is not certain. An object may
also be named by the end of its path (q+0x40); `orch shm` lists all. Of accesses of
more than 256 bytes, the part within the range is shown. Memory that only one process sees is answered by what `orch last` finds: its
last change, or the --last N, the newest first.

With --json, each access is an object with position, tick, recording, pid, program,
tid, kind, pc, function, file, line, object, offset, size, old, new (hexadecimal;
?? is a byte that is not known), frames (inlined functions first) and time (seconds
since the session began, as far as recordings tell). If there is none, the exit
code is 1.

--races compares each access with the last one before it of another recording that
conflicts with it (one of the two is a store): `race p3@18402` if nothing but these
bytes themselves says which is first, else `after p3@18402 pipe` with the last step
of the way from there. `unseen` is a store over what its recording had not seen. In
JSON: race or after, a position; via and about of the last step; and unseen.")]
pub struct Args {
    /// What is to be blamed: p3:0xADDRESS, OBJECT+OFFSET or p3:SYMBOL+OFFSET.
    #[arg(value_name = "WHERE", value_parser = parse_place)]
    place: Place,
    /// Bytes (default: 8, or the variable's size).
    #[arg(long, value_name = "N", value_parser = length)]
    len: Option<u64>,
    /// Accesses before this tick or position only.
    #[arg(long, value_name = "POS")]
    before: Option<When>,
    /// Accesses after this tick or position only.
    #[arg(long, value_name = "POS")]
    after: Option<When>,
    /// Accesses of this recording only (p3); may be given several times.
    #[arg(short, long, value_name = "P")]
    process: Vec<RecordingId>,
    /// Only what changed the bytes, not who looked at them.
    #[arg(long)]
    stores: bool,
    /// The last so many only.
    #[arg(long, value_name = "N", value_parser = last::count)]
    last: Option<usize>,
    /// Say of each access which one of another recording it is in a race with, or by what it
    /// came after it.
    #[arg(long)]
    races: bool,
    /// How to show values.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn parse_place(text: &str) -> Result<Place, String> {
    text.parse()
        .map_err(|e: place::ParsePlaceError| e.to_string())
}

pub(super) fn length(text: &str) -> Result<u64, String> {
    place::number(text)
        .filter(|&n| n > 0)
        .ok_or_else(|| "write a number of bytes, 1 or more (64, 0x40)".to_owned())
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    for &id in &args.process {
        super::recordings(&session, Some(id))?;
    }
    let after = args.after.map(|when| when.tick(&session)).transpose()?;
    let before = args.before.map(|when| until(&session, when)).transpose()?;
    let index = super::index::open(&session)?;
    let mut rows = Rows::new(&session, index.catalog());
    let found = match find(&session, &mut rows, &args.place, before)? {
        Ok(found) => found,
        Err(Missing::Other(why)) => {
            eprintln!("orch: {why}");
            return Ok(super::found(false));
        }
        Err(Missing::Private {
            recording,
            addr,
            len,
            note,
        }) => {
            let spot = Spot {
                recording,
                address: Address::number(addr),
            };
            return private(&session, &spot, len, &note, args);
        }
    };
    let query = Query {
        object: found.object,
        offset: found.offset,
        len: args.len.or(found.len).unwrap_or(8),
        after,
        before,
        recordings: args.process.clone(),
        stores: args.stores,
        last: args.last,
    };
    let orders = match args.races {
        true => Some(orders(&session, &index, &query)?),
        false => None,
    };
    let mut out = Output::new();
    let mut any = false;
    if args.json {
        index.query(&query, &mut |access| -> Result<()> {
            any = true;
            Ok(out.json(&rows.json(&query, &access, orders.as_ref()))?)
        })?;
    } else {
        let only = args.len.or(found.len).is_some();
        let mut table = Table::new(&query, args.format, only, orders.as_ref());
        index.query(&query, &mut |access| -> Result<()> {
            any = true;
            Ok(table.push(&mut out, &mut rows, access)?)
        })?;
        table.end(&mut out, &mut rows)?;
    }
    out.flush()?;
    if !any {
        eprintln!("orch: {}", nothing(&rows, &query, args));
    }
    Ok(super::found(any))
}

/// The tick before which all that is over has its own: behind an event, so is that.
fn until(session: &Session, when: When) -> Result<Tick> {
    let behind = match when {
        When::At(position) => position.resolve(session)?.at.is_behind(),
        When::Everywhere(_) => false,
    };
    Ok(Tick(when.tick(session)?.0 + u64::from(behind)))
}

/// What orders the accesses that are asked for, whoever else made the ones before them.
fn orders(session: &Session, index: &Index, query: &Query) -> Result<Orders> {
    if query.len > MOST_BYTES {
        let text = format!("--races is for at most {MOST_BYTES} bytes (--len)");
        return Err(Usage(text).into());
    }
    let orders = races::of(session, index, None, query.into())?;
    if orders.len() + 1 >= MOST_ACCESSES {
        eprintln!("orch: races are looked for among the last {MOST_ACCESSES} accesses only");
    }
    Ok(orders)
}

/// Memory of one process alone: what that did, found by running it backwards.
fn private(
    session: &Session,
    spot: &Spot,
    len: Option<u64>,
    note: &str,
    args: &Args,
) -> Result<ExitCode> {
    let others = !args.process.is_empty() && !args.process.contains(&spot.recording);
    if others || args.after.is_some() {
        let (id, address) = (spot.recording, &spot.address);
        eprintln!("orch: {note}; `orch last {id}:{address}` finds who in {id} wrote it");
        return Ok(super::found(false));
    }
    eprintln!("orch: {note}; these are its own changes, as `orch last` finds them");
    // A position of another recording is that moment here.
    let moment = |when: When| match when {
        When::At(position) if position.recording != spot.recording => {
            Ok(When::Everywhere(At::tick(position.tick(session)?)))
        }
        when => anyhow::Ok(when),
    };
    let before = args.before.map(moment).transpose()?;
    let show = Show {
        format: args.format,
        backtrace: false,
        limit: 20,
        json: args.json,
    };
    // A large variable is not watched as a whole, unless that is asked for.
    let len = args.len.or(len.filter(|&n| n <= last::WATCHED));
    let count = args.last.unwrap_or(1);
    let found = last::tell(session, spot, before, len, count, &show)?;
    Ok(super::found(found))
}

/// Why there is nothing to show.
fn nothing(rows: &Rows<'_>, query: &Query, args: &Args) -> String {
    let what = match (args.stores, args.process.is_empty()) {
        (true, _) => "no store",
        (false, true) => "no access",
        (false, false) => "no access of these recordings",
    };
    let range = rows.range(query);
    let time = match (query.after.is_some(), query.before.is_some()) {
        (false, false) => "",
        _ => " in that time",
    };
    let object = rows.catalog.objects.iter().find(|o| o.id == query.object);
    if let Some(object) = object.filter(|o| (1..=query.offset).contains(&o.size)) {
        let size = object.size;
        return format!(
            "{range} is beyond the {size:#x} bytes of it that were mapped; `orch shm` shows where"
        );
    }
    format!(
        "{what} to {range} is known{time}; `orch shm` shows which objects were used, and how much"
    )
}

impl Found {
    const fn of(object: u64, offset: u64, len: Option<u64>) -> Self {
        Self {
            object,
            offset,
            len,
        }
    }
}
