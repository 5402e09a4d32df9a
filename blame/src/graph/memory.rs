//! Edges through shared memory: from each store to the loads that saw it.

use super::{About, Cause, Edge};
use crate::access::Access;
use crate::error::BlameError;
use crate::index::{Index, Query};
use crate::scan::Ranges;
use crate::timeline::WINDOW;
use orch_recorder::trace::{Position, Tick};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;

/// Stores that are remembered: a load may have seen what was replaced meanwhile.
const RECENT: usize = 1024;

/// Adds those that end within these ticks.
pub fn edges(
    index: &Index,
    ticks: &RangeInclusive<Tick>,
    edges: &mut Vec<Edge>,
) -> Result<(), BlameError> {
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
                if ticks.contains(&access.tick) || changes(index, &access) {
                    window.access(index, info.id, &access, edges);
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Whether it is to be known for later loads.
fn changes(index: &Index, access: &Access) -> bool {
    let site = index.catalog().sites.get(access.site as usize);
    site.is_some_and(|site| site.kind.changes())
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
    numbers: HashMap<Position, u32>,
    bytes: HashMap<u64, Box<[u8; 4096]>>,
    recent: VecDeque<Recent>,
}

impl Window {
    fn access(&mut self, index: &Index, object: u64, access: &Access, edges: &mut Vec<Edge>) {
        let Some(site) = index.catalog().sites.get(access.site as usize) else {
            return;
        };
        let at = Position {
            recording: site.recording,
            tick: access.tick,
        };
        if site.kind.changes() {
            let at = site.kind.is_recorded().then_some(at);
            self.store(at, access);
        } else {
            self.load(at, object, access, edges);
        }
    }

    fn store(&mut self, at: Option<Position>, access: &Access) {
        let number = at.map(|at| {
            let positions = &mut self.positions;
            *self.numbers.entry(at).or_insert_with(|| {
                positions.push(at);
                (positions.len() - 1) as u32
            })
        });
        let len = access.new.len() as u64;
        self.writers.set(access.offset, len, number, 0);
        for (i, &byte) in access.new.iter().enumerate() {
            let at = access.offset + i as u64;
            let page = self
                .bytes
                .entry(at / 4096)
                .or_insert_with(|| Box::new([0; 4096]));
            page[(at % 4096) as usize] = byte;
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

    /// Adds an edge from each store that `at` saw bytes of.
    fn load(&self, at: Position, object: u64, access: &Access, edges: &mut Vec<Edge>) {
        // First and last byte that was seen of each writer.
        let mut seen: BTreeMap<Position, (u64, u64)> = BTreeMap::new();
        for (i, &byte) in access.new.iter().enumerate() {
            let offset = access.offset + i as u64;
            if let Some(writer) = self.writer(offset, byte) {
                let range = seen.entry(writer).or_insert((offset, offset));
                range.1 = offset;
            }
        }
        for (from, (first, last)) in seen {
            if from.recording != at.recording {
                edges.push(Edge {
                    from,
                    to: at,
                    cause: Cause::Memory,
                    about: About::Memory(object, first, last),
                });
            }
        }
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
