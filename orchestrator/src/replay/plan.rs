//! What to replay in which process: a forked child starts as its parent did.

use anyhow::{Result, bail};
use orch_recorder::session::Session;
use orch_recorder::trace::{Origin, RecordingId, Summary};
use std::collections::HashMap;

/// What to run.
pub struct Plan {
    /// Recordings that begin with exec, to be started.
    pub roots: Vec<RecordingId>,
    /// Forks to follow into the child, for a single recording.
    pub path: Vec<RecordingId>,
    /// How many recordings will be checked.
    pub total: usize,
}

impl Plan {
    /// Finds what to start for `only` that recording, or for all.
    pub fn make(session: &Session, only: Option<RecordingId>) -> Result<Self> {
        let mut summaries: HashMap<RecordingId, Summary> = HashMap::new();
        for id in session.recordings()? {
            summaries.insert(id, session.summary(id)?);
        }
        let Some(target) = only else {
            let mut roots: Vec<RecordingId> = summaries
                .iter()
                .filter(|(_, s)| matches!(s.origin, Some(Origin::Exec { .. })))
                .map(|(&id, _)| id)
                .collect();
            roots.sort_by_key(|id| id.0);
            return Ok(Self {
                roots,
                path: Vec::new(),
                total: summaries.len(),
            });
        };
        let mut path = Vec::new();
        let mut at = target;
        loop {
            match summaries.get(&at).map(|s| s.origin.clone()) {
                None => bail!(
                    "{target} is not in this session (or its ancestor {at} is not); see `orch ls`"
                ),
                Some(None) => bail!("{at} is empty: its process died before the first event"),
                Some(Some(Origin::Exec { .. })) => break,
                Some(Some(Origin::Fork { parent, .. })) => {
                    path.push(at);
                    at = parent;
                }
            }
        }
        Ok(Self {
            roots: vec![at],
            path,
            total: 1,
        })
    }
}
