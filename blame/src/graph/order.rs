//! What orders the accesses to some bytes, and which of them race: two accesses of different
//! recordings conflict if one of them is a store, and race if nothing but these bytes
//! themselves says which of them is first.
//!
//! One pass over accesses and edges in the order of time. For each access that a later one
//! may conflict with, it is kept from where on each recording is known to be behind it.

use super::{About, Cause, Edge, GoOn, Graph};
use crate::access::{Access, Kind};
use crate::error::BlameError;
use crate::index::{Index, Query};
use crate::symbols::Symbols;
use orch_recorder::session::Session;
use orch_recorder::trace::{Position, RecordingId, Tick};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Bytes that may be asked for: more are more than one thing, each with an order of its own.
pub const MOST_BYTES: u64 = 256;
/// Accesses that are looked at, the last ones.
pub const MOST_ACCESSES: usize = 50_000;
/// Edges that are kept meanwhile.
const MOST_EDGES: usize = 2_000_000;

/// An access and the last one before it that it conflicts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The one before, of another recording.
    pub before: Position,
    /// The last step of the way from there to here; none if there is no way: a race.
    pub by: Option<Edge>,
    /// It is a store, and what it wrote over had not been seen by its recording.
    pub unseen: bool,
}

/// By position and offset of the access.
pub type Orders = HashMap<(Position, u64), Order>;

/// Which bytes of which object, and before which tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// Number of the object.
    pub object: u64,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Accesses earlier than this only.
    pub before: Option<Tick>,
}

impl From<&Query> for Bytes {
    /// Whoever made the accesses, as others than those that are asked for conflict with them.
    fn from(query: &Query) -> Self {
        Self {
            object: query.object,
            offset: query.offset,
            len: query.len,
            before: query.before,
        }
    }
}

/// Orders the accesses to some bytes. With `graph`, its edges are taken; otherwise those of
/// the time in question are read.
///
/// # Errors
/// If the index cannot be read, there is too much to be looked at, or the index's
/// [interrupter](Index::interrupter) is set.
pub fn of(
    session: &Session,
    index: &Index,
    graph: Option<&Graph>,
    bytes: Bytes,
) -> Result<Orders, BlameError> {
    let rows = rows(session, index, bytes)?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Orders::new());
    };
    let go_on = || index.check_interrupt();
    if let Some(graph) = graph {
        return order(&rows, bytes, graph.edges(), &go_on);
    }
    // What comes from before the first access is not from it.
    let from = first.at.tick;
    let wanted = |edge: &Edge| edge.from.tick >= from;
    let edges = Graph::all(session, index, from..=last.at.tick, wanted, MOST_EDGES)?;
    order(&rows, bytes, Graph::new(edges).edges(), &go_on)
}

/// An access, as far as it is within the bytes.
#[derive(Clone, Debug)]
struct Row {
    at: Position,
    /// Offset of the whole access.
    offset: u64,
    range: Range<u64>,
    stores: bool,
    /// It saw what it wrote over.
    reads: bool,
    new: Vec<u8>,
    /// Those that are known.
    old: Vec<Option<u8>>,
}

fn rows(session: &Session, index: &Index, bytes: Bytes) -> Result<Vec<Row>, BlameError> {
    let mut symbols = Symbols::new(session, index.catalog());
    let query = Query {
        object: bytes.object,
        offset: bytes.offset,
        len: bytes.len.clamp(1, MOST_BYTES),
        after: None,
        before: bytes.before,
        recordings: Vec::new(),
        stores: false,
        last: Some(MOST_ACCESSES),
    };
    let asked = query.offset..query.offset.saturating_add(query.len);
    let mut rows = Vec::new();
    index.query(&query, &mut |access| -> Result<(), BlameError> {
        index.check_interrupt()?;
        let site = index.catalog().sites.get(access.site as usize);
        if let Some(site) = site.filter(|site| site.kind.is_recorded()) {
            let stores = site.kind.changes();
            // Of code that is in no file, and of pages, it is not claimed that it did not look.
            let reads = !stores
                || site.by_page
                || site.kind == Kind::Store
                    && symbols.reads(index.catalog(), site, access.tick) != Some(false);
            rows.extend(row(&access, site.recording, &asked, (stores, reads)));
        }
        Ok(())
    })?;
    Ok(rows)
}

fn row(
    access: &Access,
    recording: RecordingId,
    asked: &Range<u64>,
    (stores, reads): (bool, bool),
) -> Option<Row> {
    let range = access.offset.max(asked.start)..access.end().min(asked.end);
    let at = |offset: u64| (offset - access.offset) as usize;
    let new = access.new.get(at(range.start)..at(range.end))?.to_vec();
    let old = access.old.as_ref();
    let old = range.clone().map(|offset| old?.get(at(offset))).collect();
    Some(Row {
        at: Position {
            recording,
            tick: access.tick,
        },
        offset: access.offset,
        range,
        stores,
        reads,
        new,
        old,
    })
}

/// The order of rows, both and edges in the order of time.
fn order(
    rows: &[Row],
    bytes: Bytes,
    edges: &[Edge],
    go_on: GoOn<'_>,
) -> Result<Orders, BlameError> {
    let mut cells = cells(rows);
    let mut edges = edges.iter().peekable();
    let mut orders = Orders::new();
    for row in rows {
        go_on()?;
        while let Some(edge) = edges.next_if(|edge| edge.to.tick < row.at.tick) {
            go_on()?;
            for cell in &mut cells {
                cell.edge(edge, bytes.object);
            }
        }
        let own = cells.iter_mut().filter(|cell| cell.is_in(row));
        let found = own.filter_map(|cell| cell.access(row));
        // A race of some of its bytes is one of the access.
        let worst = found.max_by_key(|order| (order.by.is_none(), order.before.tick));
        if let Some(order) = worst {
            orders.insert((row.at, row.offset), order);
        }
    }
    Ok(orders)
}

/// Bytes that each access has all or none of.
fn cells(rows: &[Row]) -> Vec<Cell> {
    let ends = rows.iter().flat_map(|row| [row.range.start, row.range.end]);
    let bounds: BTreeSet<u64> = ends.collect();
    let bounds: Vec<u64> = bounds.into_iter().collect();
    let cell = |pair: &[u64]| Cell {
        range: pair[0]..pair[1],
        known: HashMap::new(),
        last: Vec::new(),
    };
    bounds.windows(2).map(cell).collect()
}

struct Cell {
    range: Range<u64>,
    /// What each recording saw or stored last.
    known: HashMap<RecordingId, Vec<u8>>,
    /// Accesses that a later one may conflict with, the newest first.
    last: Vec<Reach>,
}

/// An access, and what is behind it.
struct Reach {
    at: Position,
    stores: bool,
    /// From when on, and what it was that told.
    behind: HashMap<RecordingId, (Tick, Option<Edge>)>,
}

impl Cell {
    fn is_in(&self, row: &Row) -> bool {
        row.range.start <= self.range.start && self.range.end <= row.range.end
    }

    fn edge(&mut self, edge: &Edge, object: u64) {
        if edge.cause == Cause::Memory
            && let About::Memory(of, first, last) = edge.about
            && of == object
            && first < self.range.end
            && self.range.start <= last
        {
            return;
        }
        for reach in &mut self.last {
            let behind = reach.behind.get(&edge.from.recording);
            if behind.is_some_and(|&(tick, _)| tick <= edge.from.tick) {
                let entry = reach.behind.entry(edge.to.recording);
                // Edges come in the order of their ends: the first one counts.
                entry.or_insert((edge.to.tick, Some(*edge)));
            }
        }
    }

    /// The order of an access, which from now on is one that others may conflict with.
    fn access(&mut self, row: &Row) -> Option<Order> {
        let id = row.at.recording;
        let other = |reach: &&Reach| reach.at.recording != id && (row.stores || reach.stores);
        let conflict = self.last.iter().find(other).map(|reach| Order {
            before: reach.at,
            by: reach.behind.get(&id).and_then(|&(_, edge)| edge),
            unseen: row.stores && !row.reads && self.is_unseen(row),
        });
        let new = &row.new[self.within(row)];
        self.known.insert(id, new.to_vec());
        let behind = HashMap::from([(id, (row.at.tick, None))]);
        let reach = Reach {
            at: row.at,
            stores: row.stores,
            behind,
        };
        self.last.insert(0, reach);
        self.forget();
        conflict
    }

    fn within(&self, row: &Row) -> Range<usize> {
        let at = |offset: u64| (offset - row.range.start) as usize;
        at(self.range.start)..at(self.range.end)
    }

    /// Whether other bytes were there than those that the recording knew last.
    fn is_unseen(&self, row: &Row) -> bool {
        let old = row.old[self.within(row)].iter();
        let known = self.known.get(&row.at.recording);
        known.is_some_and(|known| {
            let mut pairs = old.zip(known);
            pairs.any(|(old, known)| old.is_some_and(|old| old != *known))
        })
    }

    /// Keeps what a later access may conflict with: the last, the last one of another
    /// recording, and the same of stores.
    fn forget(&mut self) {
        let (mut any, mut stores) = (Vec::new(), Vec::new());
        self.last.retain(|reach| {
            let is_new = |of: &mut Vec<RecordingId>| {
                let is_new = of.len() < 2 && !of.contains(&reach.at.recording);
                if is_new {
                    of.push(reach.at.recording);
                }
                is_new
            };
            let last = is_new(&mut any);
            (reach.stores && is_new(&mut stores)) || last
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;
    use std::cell::Cell;

    const BYTES: Bytes = Bytes {
        object: 1,
        offset: 8,
        len: 8,
        before: None,
    };

    /// A store of a byte to 8, or a load of it.
    fn row(recording: u32, tick: u64, value: u8, stores: bool) -> Row {
        Row {
            at: at(recording, tick),
            offset: 8,
            range: 8..9,
            stores,
            reads: !stores,
            new: vec![value],
            old: vec![None],
        }
    }

    fn edge(from: (u32, u64), to: (u32, u64), about: About) -> Edge {
        let cause = match about {
            About::Memory(..) => Cause::Memory,
            _ => Cause::Pipe,
        };
        Edge {
            from: at(from.0, from.1),
            to: at(to.0, to.1),
            cause,
            about,
        }
    }

    fn of(orders: &Orders, recording: u32, tick: u64) -> Option<(Position, bool)> {
        let order = orders.get(&(at(recording, tick), 8))?;
        Some((order.before, order.by.is_none()))
    }

    fn all(rows: &[Row], edges: &[Edge]) -> Orders {
        order(rows, BYTES, edges, &|| Ok(())).expect("nobody interrupts it")
    }

    #[test]
    fn what_other_things_order_is_no_race() {
        let rows = [
            row(1, 10, 1, true),
            row(2, 20, 1, false),
            row(3, 30, 2, true),
        ];
        let lock = About::Memory(1, 0, 3);
        let own = About::Memory(1, 8, 8);
        // By way of a lock in the same object, over a third process.
        let graph = Graph::new(vec![
            edge((1, 12), (4, 14), lock),
            edge((4, 15), (2, 18), About::Stream(0, 1)),
            edge((1, 10), (2, 20), own),
            edge((2, 20), (3, 29), own),
        ]);
        let orders = all(&rows, graph.edges());
        assert_eq!(of(&orders, 1, 10), None);
        assert_eq!(of(&orders, 2, 20), Some((at(1, 10), false)));
        let by = orders[&(at(2, 20), 8)].by.map(|edge| edge.cause);
        assert_eq!(by, Some(Cause::Pipe));
        // The bytes themselves order nothing, and the edge comes from before the access.
        assert_eq!(of(&orders, 3, 30), Some((at(2, 20), true)));
        let early = [edge((1, 9), (2, 18), About::Order)];
        let orders = all(&rows, &early);
        assert_eq!(of(&orders, 2, 20), Some((at(1, 10), true)));
    }

    #[test]
    fn loads_do_not_conflict_with_loads() {
        let rows = [
            row(1, 10, 1, true),
            row(2, 20, 1, false),
            row(3, 30, 1, false),
            row(3, 35, 5, true),
            row(3, 40, 6, true),
            row(1, 50, 7, true),
        ];
        let orders = all(&rows, &[edge((1, 11), (3, 12), About::Order)]);
        assert_eq!(of(&orders, 3, 30), Some((at(1, 10), false)));
        assert_eq!(of(&orders, 3, 35), Some((at(2, 20), true)));
        assert_eq!(of(&orders, 3, 40), Some((at(2, 20), true)));
        assert_eq!(of(&orders, 1, 50), Some((at(3, 40), true)));
    }

    #[test]
    fn a_store_over_what_was_not_seen() {
        let over = |mut row: Row, old: u8| {
            row.old = vec![Some(old)];
            row
        };
        let rows = [
            over(row(1, 10, 1, true), 0),
            row(2, 11, 1, false),
            over(row(1, 12, 2, true), 1),
            over(row(2, 13, 2, true), 2),
            row(1, 14, 2, false),
            over(row(1, 15, 3, true), 2),
        ];
        let orders = all(&rows, &[]);
        let unseen = |recording, tick| orders[&(at(recording, tick), 8)].unseen;
        assert!(unseen(2, 13));
        assert!(!unseen(1, 15));
    }

    #[test]
    fn accesses_of_several_sizes_are_compared_byte_by_byte() {
        let wide = |mut row: Row| {
            (row.range, row.new, row.old) = (8..12, vec![0; 4], vec![None; 4]);
            row
        };
        let mut beside = row(2, 20, 1, true);
        (beside.offset, beside.range) = (10, 10..11);
        let rows = [row(1, 10, 1, true), beside, wide(row(3, 30, 0, true))];
        let edges = [edge((2, 21), (3, 22), About::Order)];
        let orders = all(&rows, &edges);
        assert_eq!(orders.get(&(at(2, 20), 10)), None);
        // Ordered after the one, and racing with the other.
        assert_eq!(of(&orders, 3, 30), Some((at(1, 10), true)));
    }

    /// From one edge to the next it takes no time that anybody would wait for.
    #[test]
    fn it_is_interrupted_between_any_two_edges() {
        let rows = [row(1, 10, 1, true), row(2, 90, 1, false)];
        let edges: Vec<Edge> = (20..80)
            .map(|tick| edge((1, tick), (3, tick + 1), About::Order))
            .collect();
        for enough in [0, 1, 2, 30, 61] {
            let asked = Cell::new(0);
            let go_on = || {
                asked.set(asked.get() + 1);
                match asked.get() > enough {
                    true => Err(BlameError::Interrupted),
                    false => Ok(()),
                }
            };
            let found = order(&rows, BYTES, &edges, &go_on);
            assert!(matches!(found, Err(BlameError::Interrupted)), "{enough}");
            assert_eq!(asked.get(), enough + 1);
        }
        assert_eq!(all(&rows, &edges).len(), 1);
    }
}
