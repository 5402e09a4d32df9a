//! The index of accesses names the same writers.

use crate::actor::OBJECTS;
use crate::history::History;
use crate::trace::{Trace, What};
use anyhow::{Result, ensure};
use orch_blame::index::{Index, Query};
use orch_blame::{Access, BlameError, Kind};
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};

/// Tick, writer and value of all that a byte was.
type Writers = Vec<(u64, RecordingId, u8)>;

/// Compares for all bytes at all times.
pub fn check(session: &Session, trace: &Trace, history: &History) -> Result<()> {
    let index = Index::open(session, &mut |_| true)?;
    ensure!(
        index.catalog().damage.is_empty(),
        "{:?}",
        index.catalog().damage
    );
    for object in 0..OBJECTS {
        check_object(&index, trace, history, object)?;
    }
    // The last store before some times, as `ublame --before` asks.
    for event in trace.events.iter().step_by(37) {
        let What::Load(load) = &event.what else {
            continue;
        };
        let query = Query {
            object: trace.objects[load.object],
            offset: load.offset as u64,
            len: 1,
            after: None,
            before: Some(Tick(event.tick)),
            recordings: Vec::new(),
            stores: true,
            last: Some(1),
        };
        let mut found = None;
        ask(&index, &query, &mut |access| {
            let site = index.catalog().sites[access.site as usize];
            found = (site.kind != Kind::Initial).then_some((access.tick.0, site.recording));
        })?;
        let versions = history.versions(load.object, load.offset);
        let before = versions.iter().rfind(|v| v.tick < event.tick);
        let before = before.and_then(|v| Some((v.tick, v.writer?)));
        ensure!(
            found == before,
            "the last store before {query:?} is {found:?}, really {before:?}"
        );
    }
    Ok(())
}

fn check_object(index: &Index, trace: &Trace, history: &History, object: usize) -> Result<()> {
    let size = history.size(object);
    let query = Query {
        object: trace.objects[object],
        offset: 0,
        len: size as u64,
        after: None,
        before: None,
        recordings: Vec::new(),
        stores: true,
        last: None,
    };
    let mut writers: Vec<Writers> = vec![Vec::new(); size];
    let mut wrong: Option<String> = None;
    ask(index, &query, &mut |access| {
        let site = index.catalog().sites[access.site as usize];
        let from = access.offset as usize;
        match site.kind {
            Kind::Outside => {
                wrong.get_or_insert_with(|| format!("it is found to be from outside: {access:?}"));
            }
            Kind::Initial => return,
            _ => {}
        }
        for (at, &value) in access.new.iter().enumerate() {
            writers[from + at].push((access.tick.0, site.recording, value));
        }
        let was = history.before(object, from, access.new.len(), access.tick.0);
        let old = |at: usize| access.old.as_ref().and_then(|old| old.get(at));
        let at = (0..was.len()).find(|&at| old(at).is_some_and(|old| old != was[at]));
        if let Some(at) = at {
            wrong.get_or_insert_with(|| format!("byte {at} of {access:?} was {:#x}", was[at]));
        }
    })?;
    if let Some(wrong) = wrong {
        anyhow::bail!("object {object}: {wrong}");
    }
    for (offset, found) in writers.iter().enumerate() {
        let versions = history.versions(object, offset).iter();
        let really: Writers = versions
            .filter_map(|v| Some((v.tick, v.writer?, v.value)))
            .collect();
        ensure!(
            *found == really,
            "object {object}+{offset:#x}: {found:?}, really {really:?}"
        );
    }
    Ok(())
}

fn ask(index: &Index, query: &Query, visit: &mut dyn FnMut(Access)) -> Result<()> {
    index.query::<BlameError>(query, &mut |access| {
        visit(access);
        Ok(())
    })?;
    Ok(())
}
