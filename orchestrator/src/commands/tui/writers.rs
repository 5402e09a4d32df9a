//! Who has written what a process sees of shared memory, byte by byte.
//!
//! A process sees what others had stored when it last looked, not what they have stored
//! since: so its own last access to a byte is looked for first, and then the last store before
//! that. A byte that it never accessed is as it was when the memory was mapped.

use super::worker::Job;
use crate::position::Position;
use anyhow::Result;
use orch_blame::access::Site;
use orch_blame::catalog::Catalog;
use orch_blame::index::{Index, Query};
use orch_blame::place;
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use std::ops::Range;

const PAGE: u64 = 4096;
/// Accesses that are read at a time.
const STEP: usize = 64;

/// The recordings that wrote `bytes`, which are at `addr` of a process at a position; none
/// where that is not known, or another than a recorded one did.
pub fn find(
    session: &Session,
    index: &Index,
    job: &Job,
    (position, addr, bytes): (&str, u64, &[u8]),
) -> Result<Vec<Option<u32>>> {
    let position: Position = position.parse()?;
    let (id, tick) = (position.recording, position.tick(session)?.0);
    // At an event, what it does has not happened yet.
    let behind = position.resolve(session)?.at.is_behind();
    let before = Tick(tick.saturating_add(u64::from(behind)));
    let mut all = vec![None; bytes.len()];
    let mut from = 0;
    while from < bytes.len() {
        let Some(start) = addr.checked_add(from as u64) else {
            break;
        };
        let to = bytes.len().min(from + (PAGE - start % PAGE) as usize);
        if let Some((object, offset)) = place::shown(index.catalog(), id, start, Some(before)) {
            let search = Search { index, job, object };
            let mapped = mapped(index.catalog(), id, start, before);
            let own = search.last((offset, to - from), before, &[id], false)?;
            let seen = own.iter().map(|own| {
                let seen = own.map(|own| own.tick);
                seen.map_or(mapped, |t| Tick(t.0.saturating_add(1)))
            });
            let seen: Vec<Tick> = seen.collect();
            let mut at = 0;
            for run in seen.chunk_by(|a, b| a == b) {
                let place = (offset + at as u64, run.len());
                let stores = search.last(place, run[0], &[], true)?;
                for (n, last) in (from + at..).zip(stores) {
                    // Another value was there by a way that is not known.
                    let last = last.filter(|last| last.byte == bytes[n]);
                    let site = last.and_then(|last| site(index.catalog(), last));
                    all[n] = site
                        .filter(|site| site.kind.is_recorded())
                        .map(|site| site.recording.0);
                }
                at += run.len();
            }
        }
        from = to;
    }
    Ok(all)
}

/// From which tick on an address has shown what it shows.
fn mapped(catalog: &Catalog, id: RecordingId, addr: u64, before: Tick) -> Tick {
    let views = catalog.views.iter().filter(|view| {
        let inside = addr.checked_sub(view.addr).is_some_and(|at| at < view.len);
        view.recording == id && view.tick < before && inside
    });
    views.map(|view| view.tick).max().unwrap_or_default()
}

fn site(catalog: &Catalog, last: Last) -> Option<&Site> {
    catalog.sites.get(last.site as usize)
}

/// The last access to a byte.
#[derive(Clone, Copy)]
struct Last {
    tick: Tick,
    site: u32,
    byte: u8,
}

struct Search<'i> {
    index: &'i Index,
    job: &'i Job,
    object: u64,
}

impl Search<'_> {
    /// The last access to each of some bytes.
    fn last(
        &self,
        (offset, len): (u64, usize),
        before: Tick,
        recordings: &[RecordingId],
        stores: bool,
    ) -> Result<Vec<Option<Last>>> {
        let mut found: Vec<Option<Last>> = vec![None; len];
        let mut left = unknown(&found, 0..len);
        while let Some(run) = left.pop() {
            self.job.go_on()?;
            let query = Query {
                object: self.object,
                offset: offset + run.start as u64,
                len: run.len() as u64,
                after: None,
                before: Some(before),
                recordings: recordings.to_vec(),
                stores,
                last: Some(STEP),
            };
            let mut any = false;
            self.index.query(&query, &mut |access| -> Result<()> {
                for (at, &byte) in (access.offset..).zip(&access.new) {
                    let at = at
                        .checked_sub(offset)
                        .and_then(|at| usize::try_from(at).ok());
                    if let Some(at) = at.filter(|at| run.contains(at)) {
                        any = true;
                        found[at] = Some(Last {
                            tick: access.tick,
                            site: access.site,
                            byte,
                        });
                    }
                }
                Ok(())
            })?;
            // What others were busy with in between is asked for by itself.
            if any {
                left.extend(unknown(&found, run));
            }
        }
        Ok(found)
    }
}

/// The runs of those that are not known.
fn unknown(found: &[Option<Last>], within: Range<usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in within.filter(|&at| found[at].is_none()) {
        match runs.last_mut().filter(|run| run.end == at) {
            Some(run) => run.end += 1,
            None => runs.push(at..at + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_in_runs() {
        let last = Last {
            tick: Tick(1),
            site: 0,
            byte: 0,
        };
        let found = [true, false, false, true, false].map(|known| known.then_some(last));
        assert_eq!(unknown(&found, 0..5), [1..3, 4..5]);
        assert_eq!(unknown(&found, 2..4).first(), Some(&(2..3)));
        assert_eq!(unknown(&found, 3..4), Vec::<Range<usize>>::new());
    }
}
