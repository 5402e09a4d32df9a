//! What a recording had from others, and what others had from it: so much of it as there is
//! room for between lanes.

use orch_blame::graph::{Edge, Graph};
use orch_recorder::trace::Position;
use orch_tui::Around;
use orch_tui::data::Arrow;
use std::collections::HashSet;

/// More of them would hide the lanes.
const MOST: usize = 12;
/// Of several to or from the same recording in such a part of the span, one is shown.
const PARTS: u128 = 60;

/// Finds them, those near the tick first.
pub fn find(graph: &Graph, around: Around) -> Vec<Arrow> {
    let (first, last) = around.span;
    let own = |edge: &Edge| {
        let ends = [edge.from, edge.to].into_iter();
        let mut own = ends.filter(|end| end.recording.0 == around.recording);
        own.next()
            .filter(|end| (first..=last).contains(&end.tick.0))
    };
    let edges = graph.edges().iter();
    // What ends behind what is shown has no end to be drawn.
    let shown = edges.filter(|edge| edge.to.tick.0 <= last);
    let mut near: Vec<(Position, &Edge)> = shown.filter_map(|e| Some((own(e)?, e))).collect();
    near.sort_by_key(|(end, edge)| (end.tick.0.abs_diff(around.tick), edge.to.tick));
    let mut seen = HashSet::new();
    near.retain(|(end, edge)| {
        let part = u128::from(end.tick.0 - first) * PARTS / (u128::from(last - first) + 1);
        seen.insert((part, edge.from.recording, edge.to.recording))
    });
    near.truncate(MOST);
    let mut arrows: Vec<Arrow> = near.into_iter().map(|(_, edge)| arrow(edge)).collect();
    arrows.sort_by_key(|arrow| arrow.to.1);
    arrows
}

fn arrow(edge: &Edge) -> Arrow {
    let end = |end: Position| (end.recording.0, end.tick.0);
    Arrow {
        from: end(edge.from),
        to: end(edge.to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orch_blame::graph::{About, Cause};
    use orch_recorder::trace::{RecordingId, Tick};

    fn edge(from: (u32, u64), to: (u32, u64)) -> Edge {
        let end = |(id, tick)| Position {
            recording: RecordingId(id),
            tick: Tick(tick),
        };
        Edge {
            from: end(from),
            to: end(to),
            cause: Cause::Pipe,
            about: About::Order,
        }
    }

    fn around(recording: u32, span: (u64, u64), tick: u64) -> Around {
        Around {
            recording,
            span,
            tick,
        }
    }

    #[test]
    fn those_near_the_cursor_and_no_others_of_their_column() {
        let many = (0..1000).map(|n| edge((1, 10 * n), (2, 10 * n + 5)));
        let others = [edge((3, 7), (2, 8)), edge((3, 9), (4, 12))];
        let graph = Graph::new(many.chain(others).collect());
        let found = find(&graph, around(1, (0, 10_000), 5000));
        assert_eq!(found.len(), MOST);
        let near = |a: &Arrow| a.from.0 == 1 && a.from.1.abs_diff(5000) < 1500;
        assert!(found.iter().all(near), "{found:?}");
        assert!(found.contains(&arrow(&edge((1, 5000), (2, 5005)))));
        assert!(found.is_sorted_by_key(|a| a.to.1));
        // Both ways, of two others.
        let found = find(&graph, around(2, (0, 20), 8));
        assert!(found.contains(&arrow(&edge((3, 7), (2, 8)))), "{found:?}");
        assert!(found.iter().all(|a| a.to.0 == 2 && a.to.1 <= 20));
        assert_eq!(find(&graph, around(9, (0, 20), 8)), []);
    }
}
