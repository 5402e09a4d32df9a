//! What happened before what: events of different recordings, and the edges
//! between them.
//!
//! Within a recording all events are in order (its threads take turns). Between
//! recordings there is an edge where one event cannot have happened without
//! another: what a process read of what another wrote, what it was started,
//! woken or ended by. Only events with such edges are nodes.

mod descriptors;
mod facts;
mod memory;
pub mod order;
mod pipes;
mod processes;

use crate::catalog::Catalog;
use crate::error::BlameError;
use crate::index::Index;
use crate::objects;
use crate::symbols::Symbols;
use facts::Facts;
use orch_recorder::session::Session;
use orch_recorder::trace::{Position, RecordingId, Tick};
use petgraph::graph::{DiGraph, NodeIndex};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

/// Fails if somebody wants to interrupt what is searched: asked wherever that may take long.
type GoOn<'g> = &'g dyn Fn() -> Result<(), BlameError>;

/// Why one event is before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// They are of the same recording.
    Program,
    /// A process forked; the child's first event.
    Fork,
    /// A program was executed; its first event.
    Exec,
    /// A process ended, and its parent was told.
    Exit,
    /// A signal was sent and delivered.
    Signal,
    /// A load, or an instruction that reads and writes at once, saw what a store had stored.
    Memory,
    /// Bytes of a pipe were written and read.
    Pipe,
    /// Bytes of a pair of sockets were sent and received.
    Socket,
}

/// One event is before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The earlier event.
    pub from: Position,
    /// The later one.
    pub to: Position,
    /// Why.
    pub cause: Cause,
    /// What it is about.
    pub about: About,
}

/// What an edge is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Nothing.
    Order,
    /// The process with this id.
    Pid(u32),
    /// The program that this recording runs.
    Program(RecordingId),
    /// The signal with this number.
    Signal(u32),
    /// Bytes of an object: its number, first and last.
    Memory(u64, u64, u64),
    /// Bytes of a stream, or of all messages: first, and the one behind the last.
    Stream(u64, u64),
}

impl About {
    /// The same in words.
    #[must_use]
    pub fn text(&self, catalog: &Catalog) -> String {
        match *self {
            Self::Order => String::new(),
            Self::Pid(pid) => format!("pid {pid}"),
            Self::Program(id) => {
                let info = catalog.recording(id);
                info.map_or_else(|| id.to_string(), |r| r.program.clone())
            }
            Self::Signal(signal) => orch_recorder::print::signal_name(signal),
            Self::Memory(object, first, last) => {
                let label = match catalog.object(object) {
                    Some(info) => objects::unique_label(catalog, info),
                    None => format!("object:{object}"),
                };
                format!("{label}+{first:#x}..{:#x}", last.saturating_add(1))
            }
            Self::Stream(from, to) => format!("bytes {from}..{to}"),
        }
    }
}

/// Which part of the graph is wanted.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// No events before this tick.
    pub from: Option<Tick>,
    /// No events after this tick.
    pub to: Option<Tick>,
    /// Events of these recordings only; of all, if there are none.
    pub recordings: Vec<RecordingId>,
    /// Only what is at most so many edges away from an event.
    pub around: Option<(Position, usize)>,
}

/// The graph of a session.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Edges between recordings, in the order of their later events.
    edges: Vec<Edge>,
    /// Edges that would lead back in time, and were left out.
    refused: u64,
}

impl Graph {
    /// Reads it from the recordings and the index: the edges that end within
    /// these ticks.
    ///
    /// # Errors
    /// If the index cannot be read, or its [interrupter](Index::interrupter) is set.
    pub fn read(
        session: &Session,
        index: &Index,
        ticks: RangeInclusive<Tick>,
    ) -> Result<Self, BlameError> {
        Ok(Self::new(Self::all(
            session,
            index,
            ticks,
            |_| true,
            usize::MAX,
        )?))
    }

    /// The edges that end within these ticks, and are `wanted`, in no order.
    fn all(
        session: &Session,
        index: &Index,
        ticks: RangeInclusive<Tick>,
        wanted: impl Fn(&Edge) -> bool,
        most: usize,
    ) -> Result<Vec<Edge>, BlameError> {
        let go_on = || index.check_interrupt();
        let facts = Facts::read(session, *ticks.end(), &go_on)?;
        let mut edges = Vec::new();
        processes::edges(&facts, &mut edges, &go_on)?;
        pipes::edges(facts.calls, &mut edges, &go_on)?;
        edges.retain(|e| ticks.contains(&e.to.tick) && wanted(e));
        let mut symbols = Symbols::new(session, index.catalog());
        memory::edges(index, &mut symbols, &ticks, &mut |edge| {
            if wanted(&edge) {
                edges.push(edge);
            }
            match edges.len() > most {
                true => Err(BlameError::TooMany { most }),
                false => Ok(()),
            }
        })?;
        Ok(edges)
    }

    /// A graph of these edges. Those that would lead back in time are left out.
    #[must_use]
    pub fn new(mut edges: Vec<Edge>) -> Self {
        edges.retain(|e| e.from.recording != e.to.recording);
        let all = edges.len();
        edges.retain(|e| e.from.tick < e.to.tick);
        let refused = (all - edges.len()) as u64;
        // Those of each kind, and of each window of memory, are in order already.
        edges.sort_by_key(by_time);
        edges.dedup();
        Self { edges, refused }
    }

    /// Edges between recordings, in the order of their later events.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// How many edges were left out as they would lead back in time.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// The edges between recordings that are in a part of the graph.
    pub fn across(&self, part: &Part) -> impl Iterator<Item = &Edge> + Clone {
        let wanted = |p: &Position| {
            part.from.is_none_or(|from| p.tick >= from)
                && part.to.is_none_or(|to| p.tick <= to)
                && (part.recordings.is_empty() || part.recordings.contains(&p.recording))
        };
        self.edges
            .iter()
            .filter(move |e| wanted(&e.from) && wanted(&e.to))
    }

    /// The edges of a part of the graph, also those of the program's order
    /// between the events of each recording, in the order of their later events.
    #[must_use]
    pub fn part(&self, part: &Part) -> Vec<Edge> {
        let mut edges: Vec<Edge> = self.across(part).copied().collect();
        let centre = part.around.map(|(position, _)| position);
        edges.extend(in_order(&edges, centre));
        if let Some((position, hops)) = part.around {
            let near = near(&edges, position, hops);
            edges.retain(|e| near.contains(&e.from) && near.contains(&e.to));
        }
        edges.sort_unstable_by_key(by_time);
        edges
    }

    /// A part of the graph, for algorithms.
    #[must_use]
    pub fn petgraph(&self, part: &Part) -> DiGraph<Position, Edge> {
        let mut graph = DiGraph::new();
        let mut nodes: HashMap<Position, NodeIndex> = HashMap::new();
        for edge in self.part(part) {
            let mut node = |p: Position| *nodes.entry(p).or_insert_with(|| graph.add_node(p));
            let (from, to) = (node(edge.from), node(edge.to));
            graph.add_edge(from, to, edge);
        }
        graph
    }

    /// Whether `a` happened before `b` by what is known: by the program's order
    /// and the edges.
    #[must_use]
    pub fn precedes(&self, a: Position, b: Position) -> bool {
        if a.recording == b.recording {
            return a.tick < b.tick;
        }
        // From each recording the earliest tick that is known to be after `a`:
        // edges are in the order of time, so that one pass will do.
        let mut after: HashMap<RecordingId, Tick> = HashMap::from([(a.recording, a.tick)]);
        for edge in &self.edges {
            if edge.to.tick > b.tick {
                break;
            }
            let reached = after.get(&edge.from.recording);
            if reached.is_some_and(|&tick| tick <= edge.from.tick) {
                let known = after.entry(edge.to.recording).or_insert(edge.to.tick);
                *known = (*known).min(edge.to.tick);
            }
        }
        after.get(&b.recording).is_some_and(|&tick| tick <= b.tick)
    }
}

/// The order of edges: that of their later events.
const fn by_time(edge: &Edge) -> (Tick, Tick, Edge) {
    (edge.to.tick, edge.from.tick, *edge)
}

/// The order of each recording's events that have edges (or are `also`).
fn in_order(edges: &[Edge], also: Option<Position>) -> Vec<Edge> {
    let ends = edges.iter().flat_map(|e| [e.from, e.to]).chain(also);
    let mut events: Vec<Position> = ends.collect();
    events.sort_unstable();
    events.dedup();
    let pairs = events
        .windows(2)
        .filter(|p| p[0].recording == p[1].recording);
    let edge = |pair: &[Position]| Edge {
        from: pair[0],
        to: pair[1],
        cause: Cause::Program,
        about: About::Order,
    };
    pairs.map(edge).collect()
}

/// The events at most `hops` edges away from `centre`, in either direction.
fn near(edges: &[Edge], centre: Position, hops: usize) -> BTreeSet<Position> {
    let mut beside: HashMap<Position, Vec<Position>> = HashMap::new();
    for edge in edges {
        beside.entry(edge.from).or_default().push(edge.to);
        beside.entry(edge.to).or_default().push(edge.from);
    }
    let mut found = BTreeSet::from([centre]);
    let mut border = vec![centre];
    for _ in 0..hops {
        let next = border.iter().filter_map(|p| beside.get(p)).flatten();
        border = next.copied().filter(|&p| found.insert(p)).collect();
        if border.is_empty() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests;
