//! Edges between processes: fork, exec, exit, signals.

use super::facts::{Facts, Heard, Own, Sent};
use super::{About, Cause, Edge, GoOn};
use crate::error::BlameError;
use orch_recorder::trace::{Position, RecordingId, Tick};
use std::collections::HashMap;

fn at(recording: RecordingId, tick: u64) -> Position {
    Position {
        recording,
        tick: Tick(tick),
    }
}

/// Adds them to `edges`.
pub fn edges(facts: &Facts, edges: &mut Vec<Edge>, go_on: GoOn<'_>) -> Result<(), BlameError> {
    for (&id, own) in &facts.own {
        let first = at(id, own.first);
        if let Some((parent, tick)) = own.forked {
            edges.push(edge(
                at(parent, tick),
                first,
                Cause::Fork,
                About::Pid(own.pid),
            ));
        }
        let by = own.execed.and_then(|by| Some((by, facts.own.get(&by)?)));
        if let Some((by, parent)) = by {
            // The last attempt before it.
            let tried = parent.execs.partition_point(|&tick| tick < own.first);
            if let Some(&tick) = tried.checked_sub(1).and_then(|n| parent.execs.get(n)) {
                edges.push(edge(at(by, tick), first, Cause::Exec, About::Program(id)));
            }
        }
    }
    let mut sent = facts.sent.clone();
    sent.sort_by_key(|s| s.at.tick);
    let mut heard = facts.heard.clone();
    heard.sort_by_key(|h| h.at.tick);
    let mut pending: HashMap<(RecordingId, u64), Vec<Sent>> = HashMap::new();
    let mut sent = sent.into_iter().peekable();
    for heard in &heard {
        go_on()?;
        while let Some(sent) = sent.next_if(|s| s.at.tick < heard.at.tick) {
            let from = (sent.at.recording, sent.signal);
            pending.entry(from).or_default().push(sent);
        }
        match heard.signal {
            None => exit(facts, heard, edges),
            Some(signal) if heard.by_call => {
                let from = alive(facts, heard.pid, heard.at.tick);
                let sends = from.and_then(|from| pending.get_mut(&(from, signal)));
                let sent = sends.and_then(|sends| deliver(facts, sends, heard, signal));
                let name = About::Signal(signal as u32);
                edges.extend(sent.map(|sent| edge(sent.at, heard.at, Cause::Signal, name)));
            }
            // SIGCHLD.
            Some(17) => exit(facts, heard, edges),
            Some(_) => {}
        }
    }
    Ok(())
}

fn edge(from: Position, to: Position, cause: Cause, about: About) -> Edge {
    Edge {
        from,
        to,
        cause,
        about,
    }
}

/// The recording that the process `pid` had at a tick.
fn alive(facts: &Facts, pid: i64, tick: Tick) -> Option<RecordingId> {
    let started = |own: &&Own| i64::from(own.pid) == pid && own.first <= tick.0;
    let own = facts.own.iter().filter(|(_, own)| started(own));
    own.max_by_key(|(_, own)| own.first).map(|(&id, _)| id)
}

/// A parent hears that a child has ended.
fn exit(facts: &Facts, heard: &Heard, edges: &mut Vec<Edge>) {
    let Some(child) = alive(facts, heard.pid, heard.at.tick) else {
        return;
    };
    let own = &facts.own[&child];
    // A child that was stopped, or goes on otherwise, has not ended.
    if own.ended && own.last < heard.at.tick.0 {
        let about = About::Pid(own.pid);
        edges.push(edge(at(child, own.last), heard.at, Cause::Exit, about));
    }
}

/// Takes the signal that was delivered from those that were sent: the first one
/// for this process; further ones of an ordinary signal were merged with it.
fn deliver(facts: &Facts, sends: &mut Vec<Sent>, heard: &Heard, signal: u64) -> Option<Sent> {
    const FIRST_REALTIME: u64 = 32;
    let pid = i64::from(facts.own.get(&heard.at.recording)?.pid);
    // tkill(2) names a thread: any that is not the id of another process.
    let other = |to: i64| to != pid && alive(facts, to, heard.at.tick).is_some();
    let meant = |sent: &Sent| sent.to <= 0 || !other(sent.to);
    let n = sends.iter().position(meant)?;
    let sent = sends.remove(n);
    if signal < FIRST_REALTIME {
        sends.retain(|later| later.to <= 0 || other(later.to));
    }
    Some(sent)
}
