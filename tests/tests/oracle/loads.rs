//! What was loaded was there.

use crate::actor::{Actor, Kind, Op};
use crate::history::History;
use crate::seen::Seen;
use crate::stores::Times;
use crate::trace::{Trace, What};
use anyhow::{Result, ensure};
use orch_recorder::trace::RecordingId;

/// The loads that the recordings tell of: each saw what the last store left.
pub fn check_recorded(trace: &Trace, history: &History) -> Result<()> {
    for event in &trace.events {
        let What::Load(load) = &event.what else {
            continue;
        };
        let was = history.before(load.object, load.offset, load.new.len(), event.tick);
        ensure!(
            was == load.new,
            "{}@{} saw {:x?} at {}+{:#x}, which was {was:x?} (by call {}, by page {})",
            event.recording,
            event.tick,
            load.new,
            load.object,
            load.offset,
            load.by_call,
            load.by_page,
        );
    }
    Ok(())
}

/// The loads that the program tells of: they saw what the recording says that
/// the process knew.
pub fn check_logged(
    history: &History,
    seen: &Seen<'_>,
    actors: &[Actor],
    times: &Times,
) -> Result<()> {
    for (actor, times) in actors.iter().zip(times) {
        let recording = seen.recording(actor.tid)?;
        for (op, &span) in actor.ops.iter().zip(times) {
            ensure!(
                check(history, seen, recording, op, span),
                "actor {}, {recording}, {span:?}: {op:?}",
                actor.number
            );
        }
    }
    Ok(())
}

fn check(
    history: &History,
    seen: &Seen<'_>,
    recording: RecordingId,
    op: &Op,
    span: (u64, u64),
) -> bool {
    let place = (op.object, op.offset);
    let all = |bytes: &[u8]| bytes.iter().copied().map(Some).collect::<Vec<_>>();
    match op.kind {
        Kind::Load => {
            // In one eighth of a line all bytes are of one time.
            let at_once = op.exact && op.len <= 8 && op.offset % 8 + op.len <= 8;
            seen.shows(recording, place, &all(op.after()), at_once, span)
        }
        Kind::PartialLoad => {
            let byte = |at: usize| op.touches(at).then(|| op.after()[at]);
            let bytes: Vec<_> = (0..op.len).map(byte).collect();
            seen.shows(recording, place, &bytes, false, span)
        }
        Kind::Known => seen.shows(recording, place, &all(op.before()), false, span),
        // Nobody stores meanwhile.
        Kind::Contents => history.before(op.object, op.offset, op.len, span.1) == op.after(),
        _ => true,
    }
}
