//! Laws of the graph.

use super::*;
use petgraph::algo::has_path_connecting;
use petgraph::algo::is_cyclic_directed;
use proptest::prelude::*;

pub(super) fn at(recording: u32, tick: u64) -> Position {
    Position {
        recording: RecordingId(recording),
        tick: Tick(tick),
    }
}

fn edge(from: Position, to: Position) -> Edge {
    Edge {
        from,
        to,
        cause: Cause::Pipe,
        about: About::Order,
    }
}

fn edges() -> impl Strategy<Value = Vec<Edge>> {
    let position = (1..5_u32, 0..40_u64).prop_map(|(r, t)| at(r, t));
    let edge = (position.clone(), position).prop_map(|(a, b)| edge(a, b));
    proptest::collection::vec(edge, 0..30)
}

proptest! {
    #[test]
    fn time_goes_forward(edges in edges()) {
        let graph = Graph::new(edges).petgraph(&Part::default());
        prop_assert!(!is_cyclic_directed(&graph));
        for edge in graph.edge_weights() {
            prop_assert!(edge.from.tick < edge.to.tick);
        }
    }

    #[test]
    fn what_precedes_what_is_what_has_a_path(edges in edges(), a in (1..5_u32, 0..40_u64), b in (1..5_u32, 0..40_u64)) {
        let (a, b) = (at(a.0, a.1), at(b.0, b.1));
        let graph = Graph::new(edges.clone());
        // Both are made nodes by edges from and to recordings of their own.
        let marked = [edges, vec![edge(at(9, 0), a), edge(b, at(10, 99))]].concat();
        let whole = Graph::new(marked).petgraph(&Part::default());
        let node = |p| whole.node_indices().find(|&n| whole[n] == p);
        if let (Some(from), Some(to)) = (node(a), node(b)) {
            let path = a != b && has_path_connecting(&whole, from, to, None);
            prop_assert_eq!(graph.precedes(a, b), path);
        }
    }
}

#[test]
fn parts() {
    let edges = vec![
        edge(at(1, 1), at(2, 5)),
        edge(at(2, 7), at(3, 9)),
        edge(at(3, 12), at(1, 20)),
    ];
    let graph = Graph::new(edges);
    let count = |part: &Part| graph.part(part).len();
    assert_eq!(count(&Part::default()), 6);
    let around = |hops| Part {
        around: Some((at(2, 6), hops)),
        ..Part::default()
    };
    // 5 → 6 → 7, then what these have edges to.
    assert_eq!(count(&around(1)), 2);
    assert_eq!(count(&around(2)), 4);
    let some = Part {
        from: Some(Tick(2)),
        to: Some(Tick(12)),
        ..Part::default()
    };
    assert_eq!(count(&some), 1);
    let two = Part {
        recordings: vec![RecordingId(1), RecordingId(2)],
        ..Part::default()
    };
    assert_eq!(count(&two), 1);
}
