//! Events that have to do with those of another recording, from the graph of what happened
//! before what.

use crate::commands::graph::cause_name;
use crate::commands::process;
use crate::describe::safe;
use crate::position::Position;
use anyhow::{Result, bail};
use orch_blame::catalog::Catalog;
use orch_blame::graph::{Edge, Graph};
use orch_recorder::session::Session;
use orch_recorder::trace;
use orch_tui::data::Message;
use orch_tui::event::To;

/// Ends of one event that are offered.
const MOST: usize = 100;

/// Finds it, as seen from a position.
pub fn find(
    session: &Session,
    catalog: &Catalog,
    graph: &Graph,
    (position, to): (&str, To),
) -> Result<Vec<Message>> {
    let position: Position = position.parse()?;
    let id = position.recording;
    let tick = position.tick(session)?;
    // Behind an event, that one was before; at it, it is not.
    let is_behind = position.resolve(session)?.at.is_behind();
    let ends = graph
        .edges()
        .iter()
        .flat_map(|edge| [(edge.from, edge), (edge.to, edge)]);
    let own = ends.filter(|(end, _)| end.recording == id);
    let wanted = match to {
        To::Peer => {
            let here = own.filter(|(end, _)| end.tick == tick);
            let all = here.take(MOST).map(|(end, edge)| {
                let peer = if end == edge.from { edge.to } else { edge.from };
                message(session, catalog, peer, edge)
            });
            let all: Vec<Message> = all.collect();
            if all.is_empty() {
                bail!(
                    "the event at {id}@{tick} is not known to have to do with another recording; \
                     t and T go to those that have"
                );
            }
            return Ok(all);
        }
        To::Next => own
            .filter(|(end, _)| end.tick > tick)
            .min_by_key(|(end, _)| end.tick),
        To::Previous => own
            .filter(|(end, _)| end.tick < tick || end.tick == tick && is_behind)
            .max_by_key(|(end, _)| end.tick),
    };
    match (wanted, to) {
        (Some((end, edge)), _) => Ok(vec![message(session, catalog, end, edge)]),
        (None, To::Previous) => bail!("no event of {id} before has to do with another recording"),
        (None, _) => bail!("no later event of {id} has to do with another recording"),
    }
}

fn message(session: &Session, catalog: &Catalog, to: trace::Position, edge: &Edge) -> Message {
    let name = |end: trace::Position| {
        let (_, program) = process(session, end.recording);
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        format!("{end} {program}")
    };
    let text = format!(
        "{} → {}  {} {}",
        name(edge.from),
        name(edge.to),
        cause_name(edge.cause),
        edge.about.text(catalog)
    );
    Message {
        position: Position::event(to.recording, to.tick.0).to_string(),
        text: safe(text.trim_end().as_bytes()),
    }
}
