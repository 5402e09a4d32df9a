//! What was loaded was there.

use crate::actor::{Actor, Kind, Op};
use crate::history::History;
use crate::stores::Times;
use crate::trace::{Trace, What};
use anyhow::{Result, bail, ensure};

/// The loads that the recordings tell of.
pub fn check_recorded(trace: &Trace, history: &History) -> Result<()> {
    for event in &trace.events {
        let What::Load(load) = &event.what else {
            continue;
        };
        for (at, &value) in load.new.iter().enumerate() {
            let (object, offset) = (load.object, load.offset + at);
            let seen = history.seen(object, offset, value, (event.since, event.tick));
            ensure!(
                !seen.is_empty(),
                "{}@{} saw {value:#x} at {object}+{offset:#x} since {}, which was {:x?} (by call {}, by page {})",
                event.recording,
                event.tick,
                event.since,
                history.versions(object, offset),
                load.by_call,
                load.by_page,
            );
        }
    }
    Ok(())
}

/// The loads that the program tells of.
pub fn check_logged(history: &History, actors: &[Actor], times: &Times) -> Result<()> {
    for (actor, times) in actors.iter().zip(times) {
        for (op, &span) in actor.ops.iter().zip(times) {
            if !check(history, op, span) {
                let was: Vec<_> = (0..op.len.min(64))
                    .filter(|&at| {
                        let seen = history.seen(op.object, op.offset + at, op.after()[at], span);
                        op.touches(at) && seen.is_empty()
                    })
                    .map(|at| {
                        (
                            at,
                            op.after()[at],
                            history.versions(op.object, op.offset + at),
                        )
                    })
                    .collect();
                bail!(
                    "actor {}, {span:?}, {op:?}: these were {was:x?}",
                    actor.number
                );
            }
        }
    }
    Ok(())
}

fn check(history: &History, op: &Op, span: (u64, u64)) -> bool {
    let (object, offset) = (op.object, op.offset);
    match op.kind {
        // In one eighth of a line all bytes are of one time.
        Kind::Load if op.exact && op.len <= 8 && offset % 8 + op.len <= 8 => {
            history.shows_at_once(object, offset, op.after(), span)
        }
        Kind::Load => history.shows(object, offset, op.after(), span),
        Kind::PartialLoad => (0..op.len).filter(|&at| op.touches(at)).all(|at| {
            let seen = history.seen(object, offset + at, op.after()[at], span);
            !seen.is_empty()
        }),
        Kind::Known => history.shows(object, offset, op.before(), span),
        // Nobody stores meanwhile.
        Kind::Contents => history.before(object, offset, op.len, span.1) == op.after(),
        _ => true,
    }
}
