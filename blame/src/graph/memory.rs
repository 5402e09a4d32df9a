//! Edges through shared memory: from each store to the loads that saw it, and to the
//! instructions that saw it and wrote over it, as those do that take a lock.

use super::{About, Cause, Edge};
use crate::access::{Access, Kind, Site};
use crate::error::BlameError;
use crate::index::{Index, Query};
use crate::scan::Ranges;
use crate::symbols::Symbols;
use crate::timeline::WINDOW;
use orch_recorder::trace::{Position, Tick};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;

/// Stores that are remembered: a load may have seen what was replaced meanwhile.
const RECENT: usize = 1024;

/// Tells of those that end within these ticks.
pub fn edges(
    index: &Index,
    symbols: &mut Symbols,
    ticks: &RangeInclusive<Tick>,
    tell: &mut dyn FnMut(Edge) -> Result<(), BlameError>,
) -> Result<(), BlameError> {
    // By the number of a site.
    let mut exchanges: Vec<Option<bool>> = vec![None; index.catalog().sites.len()];
    for info in &index.catalog().objects {
        for offset in index.windows_of(info.id) {
            let query = Query {
                object: info.id,
                offset,
                len: WINDOW,
                after: None,
                before: ticks.end().0.checked_add(1).map(Tick),
                recordings: Vec::new(),
                stores: false,
                last: None,
            };
            let mut window = Window::default();
            index.query(&query, &mut |access| -> Result<(), BlameError> {
                index.check_interrupt()?;
                let Some(site) = index.catalog().sites.get(access.site as usize) else {
                    return Ok(());
                };
                // A damaged index; no object is as long.
                let len = access.new.len() as u64;
                if access.offset.checked_add(len).is_none() {
                    return Ok(());
                }
                let within = ticks.contains(&access.tick);
                if within && site.kind == Kind::Store && !site.by_page {
                    let exchange = *exchanges[access.site as usize].get_or_insert_with(|| {
                        let reads = symbols.reads(index.catalog(), site, access.tick);
                        reads == Some(true)
                    });
                    if exchange && let Some(old) = &access.old {
                        window.saw(site, info.id, &access, |at| old.get(at), tell)?;
                    }
                }
                if within || site.kind.changes() {
                    window.access(site, info.id, &access, tell)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// A store that is remembered.
struct Recent {
    at: Option<Position>,
    offset: u64,
    bytes: Vec<u8>,
}

/// Who wrote what is in a window.
#[derive(Default)]
struct Window {
    /// Number of a writer for each range.
    writers: Ranges<u32>,
    positions: Vec<Position>,
    bytes: HashMap<u64, Box<[u8; 4096]>>,
    recent: VecDeque<Recent>,
}

impl Window {
    fn access(
        &mut self,
        site: &Site,
        object: u64,
        access: &Access,
        tell: &mut dyn FnMut(Edge) -> Result<(), BlameError>,
    ) -> Result<(), BlameError> {
        if !site.kind.changes() {
            return self.saw(site, object, access, |at| access.new.get(at).copied(), tell);
        }
        let at = Position {
            recording: site.recording,
            tick: access.tick,
        };
        self.store(site.kind.is_recorded().then_some(at), access);
        Ok(())
    }

    fn store(&mut self, at: Option<Position>, access: &Access) {
        // Pieces of one store come one after another.
        let number = at.map(|at| {
            if self.positions.last() != Some(&at) {
                self.positions.push(at);
            }
            (self.positions.len() - 1) as u32
        });
        let len = access.new.len() as u64;
        self.writers.set(access.offset, len, number, 0);
        let (mut offset, mut rest) = (access.offset, &access.new[..]);
        while !rest.is_empty() {
            let page = self.bytes.entry(offset / 4096);
            let page = page.or_insert_with(|| Box::new([0; 4096]));
            let from = (offset % 4096) as usize;
            let (here, behind) = rest.split_at(rest.len().min(4096 - from));
            page[from..from + here.len()].copy_from_slice(here);
            (offset, rest) = (offset + here.len() as u64, behind);
        }
        self.recent.push_back(Recent {
            at,
            offset: access.offset,
            bytes: access.new.clone(),
        });
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Tells of an edge from each store that an access saw bytes of.
    fn saw(
        &self,
        site: &Site,
        object: u64,
        access: &Access,
        seen: impl Fn(usize) -> Option<u8>,
        tell: &mut dyn FnMut(Edge) -> Result<(), BlameError>,
    ) -> Result<(), BlameError> {
        let at = Position {
            recording: site.recording,
            tick: access.tick,
        };
        // First and last byte that was seen of each writer.
        let mut writers: BTreeMap<Position, (u64, u64)> = BTreeMap::new();
        for i in 0..access.new.len() {
            let offset = access.offset + i as u64;
            if let Some(writer) = seen(i).and_then(|byte| self.writer(offset, byte)) {
                let range = writers.entry(writer).or_insert((offset, offset));
                range.1 = offset;
            }
        }
        let others = writers.into_iter();
        let mut others = others.filter(|(from, _)| from.recording != at.recording);
        others.try_for_each(|(from, (first, last))| {
            tell(Edge {
                from,
                to: at,
                cause: Cause::Memory,
                about: About::Memory(object, first, last),
            })
        })
    }

    /// Who put `byte` to `offset`: the last one there, or a recent one.
    fn writer(&self, offset: u64, byte: u8) -> Option<Position> {
        let page = self.bytes.get(&(offset / 4096))?;
        if page[(offset % 4096) as usize] == byte {
            let number = self.writers.at(offset)?.what;
            return self.positions.get(number as usize).copied();
        }
        let wrote = |recent: &&Recent| {
            let at = offset.checked_sub(recent.offset);
            at.and_then(|at| recent.bytes.get(usize::try_from(at).ok()?)) == Some(&byte)
        };
        self.recent.iter().rev().find(wrote)?.at
    }
}
