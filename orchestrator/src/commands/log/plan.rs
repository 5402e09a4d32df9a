//! Which recordings are run, and where they stop.

use super::locate::{self, Found};
use super::location::Location;
use super::{Args, Usage, explain};
use crate::position::{At, Position};
use crate::travel::{Since, Wanted};
use anyhow::Result;
use orch_blame::catalog::{Catalog, MapChange};
use orch_blame::symbols::Symbols;
use orch_recorder::files::FileId;
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// What is to be done.
pub struct Plan {
    /// In the order in which the recordings begin.
    pub jobs: Vec<Job>,
    /// How many have the location, but nothing of the time that was asked for.
    pub outside: usize,
}

/// A recording that has the location.
pub struct Job {
    /// Which.
    pub recording: RecordingId,
    /// Where it is run from.
    pub position: Position,
    /// The tick of that.
    pub from: u64,
    /// Where it stops.
    pub wanted: Wanted,
}

/// Changes of mappings in the past of a recording: its ancestors' up to the fork, its own.
pub fn changes(
    catalog: &Catalog,
    id: RecordingId,
) -> impl Iterator<Item = (RecordingId, &MapChange)> {
    let mut chain = vec![(id, Tick(u64::MAX))];
    while let Some(parent) = chain.last().and_then(|&(id, _)| {
        let forked = catalog.recording(id)?.forked;
        forked.filter(|&(parent, _)| parent < id)
    }) {
        chain.push(parent);
    }
    chain.into_iter().rev().flat_map(move |(of, until)| {
        let own = catalog.maps.iter().filter(move |m| m.recording == of);
        own.filter(move |m| m.tick <= until).map(move |m| (of, m))
    })
}

impl Plan {
    /// For what the user asked for.
    pub fn make(
        session: &Session,
        args: &Args,
        (from, to): (Option<Tick>, Option<Tick>),
        dir: &Path,
    ) -> Result<Self> {
        let index = super::super::index::open(session)?;
        let catalog = index.catalog();
        let ids: Vec<RecordingId> = match &args.process[..] {
            [] => session.recordings()?,
            some => some.to_vec(),
        };
        let images = locate::images(session, catalog, &ids)?;
        let found = match args.location {
            Location::Address(_) => Found::default(),
            _ => locate::locate(dir, session, &images, &args.location)?,
        };
        let mut symbols = Symbols::of(session.files().ok());
        if !args.location.is_address() && found.addresses().is_empty() {
            let why = explain::unknown(&args.location, &images, &found, &mut symbols);
            return Err(Usage(why).into());
        }
        let mut jobs = Vec::new();
        let mut outside = 0;
        for id in ids {
            let mut wanted = match args.location {
                Location::Address(address) => at_address(catalog, id, address),
                _ => at_places(catalog, id, &found.addresses(), &mut symbols),
            };
            if wanted.since.is_empty() {
                continue;
            }
            let summary = session.summary(id)?;
            let (first, last) = (summary.first_tick, summary.last_tick);
            let (begin, end) = (from.unwrap_or(first), to.unwrap_or(last));
            if summary.events == 0 || end < first || last < begin {
                outside += 1;
                continue;
            }
            wanted.until = to.map(|tick| tick.0);
            let at = if begin <= first {
                At::Start
            } else {
                At::tick(begin)
            };
            jobs.push(Job {
                recording: id,
                position: Position { recording: id, at },
                from: begin.max(first).0,
                wanted,
            });
        }
        jobs.sort_by_key(|job| (job.from, job.recording));
        Ok(Self { jobs, outside })
    }
}

/// When a recording has which addresses of the location.
pub fn at_places(
    catalog: &Catalog,
    id: RecordingId,
    places: &HashMap<FileId, &[u64]>,
    symbols: &mut Symbols,
) -> Wanted {
    collect(catalog, id, |change| {
        let file = FileId(change.file?);
        let addresses = places.get(&file)?;
        let bias = change
            .addr
            .wrapping_sub(symbols.vaddr(file, change.offset)?);
        let here = addresses.iter().map(|vaddr| vaddr.wrapping_add(bias));
        Some(here.filter(|&at| has(change, at)).collect())
    })
}

/// When a recording has code of a file at an address.
pub fn at_address(catalog: &Catalog, id: RecordingId, address: u64) -> Wanted {
    collect(catalog, id, |change| {
        (change.file.is_some() && has(change, address)).then(|| vec![address])
    })
}

const fn has(change: &MapChange, address: u64) -> bool {
    change.addr <= address && address - change.addr < change.len
}

/// Follows the mappings of a recording; `brings` tells what one of them brings.
fn collect(
    catalog: &Catalog,
    id: RecordingId,
    mut brings: impl FnMut(&MapChange) -> Option<Vec<u64>>,
) -> Wanted {
    let mut wanted = Wanted::default();
    let mut now = BTreeSet::new();
    let mut any = false;
    for (of, change) in changes(catalog, id) {
        let tick = if of == id { change.tick.0 } else { 0 };
        if of == id && change.file.is_some() {
            wanted.mapped.push(tick);
        }
        let before = now.len();
        now.retain(|&at| !has(change, at));
        let new = brings(change).unwrap_or_default();
        // Also if they are the same as before: only now they may be executable.
        let changed = before != now.len() || !new.is_empty();
        now.extend(new);
        any |= !now.is_empty();
        if !changed {
            continue;
        }
        wanted.since.retain(|since| since.tick != tick);
        wanted.since.push(Since {
            tick,
            addresses: now.iter().copied().collect(),
        });
    }
    if !any {
        wanted.since.clear();
    }
    wanted
}
