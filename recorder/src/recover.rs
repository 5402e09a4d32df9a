//! Recovery: what the processes of a session had published when their
//! supervisor was killed goes from the rings to the recordings.
//!
//! The supervisor frees a ring's room only when the bytes are in the file
//! (see [`Arena::free`]), and a ring's offsets are those of the recording's
//! stream. So what follows the last intact block of a file is in the ring,
//! wherever the supervisor was killed, and so is it if a recovery is killed:
//! the arena goes last.

use crate::arena::Arena;
use crate::session::{Session, SessionError};
use crate::trace::record::build;
use crate::trace::{RecordingId, RecordingWriter, TraceError};
use orch_abi::layout::{MAX_SLOTS, RING_LEN};
use orch_abi::record::{Ended, Forked, ended};
use orch_abi::shared::state;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What became of a session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It is complete, or its supervisor runs.
    NotNeeded,
    /// What was left in the arena is in the recordings now.
    Done {
        /// How many recordings were completed.
        recordings: usize,
    },
    /// These processes still run, and write to their rings. They end when
    /// these are full, or when they execute a program.
    StillRunning(Vec<u32>),
    /// Another process is at it.
    Busy,
}

/// Why a session could not be recovered. It is as readable as before.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The arena cannot be opened for writing.
    #[error("cannot open {}: {source}", path.display())]
    Arena {
        /// The arena.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A recording cannot be completed.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The session cannot be changed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

const UNKNOWN: Ended = Ended {
    how: ended::UNKNOWN,
    value: 0,
};

/// A recording whose ring may hold more than its file.
struct Left {
    slot: u32,
    tail: u64,
    head: u64,
    /// The process has closed its log.
    done: bool,
}

/// Saves what a killed supervisor left in the arena of `session`, if it did.
/// Any number of processes may call this at once, and be killed in it.
///
/// # Errors
/// If the session cannot be written. It can be tried again.
pub fn recover(session: &mut Session) -> Result<Recovery, RecoverError> {
    if session.meta().running().is_some() || !session.arena().exists() {
        return Ok(Recovery::NotNeeded);
    }
    let path = session.arena();
    let failed = |source| RecoverError::Arena {
        path: path.clone(),
        source,
    };
    let arena = match Arena::open(&path) {
        // Another process has just finished it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            *session = Session::open(session.dir())?;
            return Ok(Recovery::NotNeeded);
        }
        other => other.map_err(failed)?,
    };
    if !lock(&arena).map_err(failed)? {
        return Ok(Recovery::Busy);
    }
    *session = Session::open(session.dir())?;
    if !arena.is_current() {
        return Ok(Recovery::NotNeeded);
    }
    let alive = still_running(&arena);
    if !alive.is_empty() {
        return Ok(Recovery::StillRunning(alive));
    }
    let recordings = if session.meta().clean {
        0
    } else {
        let completed = complete(session, &arena)?;
        session.update(crate::session::Meta::recover)?;
        completed
    };
    fs::remove_file(&path).map_err(failed)?;
    Ok(Recovery::Done { recordings })
}

/// Takes the lock that the supervisor held, or another recovery holds.
fn lock(arena: &Arena) -> io::Result<bool> {
    for _ in 0..100 {
        if arena.try_lock()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

fn slots(arena: &Arena) -> std::ops::Range<u32> {
    let used = arena.control().slots_used.load(Ordering::Acquire);
    0..used.min(u32::try_from(MAX_SLOTS).expect("small"))
}

/// Processes that have the arena mapped and log to it. Those that are just
/// dying get a moment.
fn still_running(arena: &Arena) -> Vec<u32> {
    let look = || -> Vec<u32> {
        slots(arena)
            .filter_map(|index| {
                let slot = arena.slot(index);
                let logs = matches!(
                    slot.state.load(Ordering::Acquire),
                    state::CLAIMED | state::ACTIVE
                );
                let pid = slot.pid.load(Ordering::Relaxed);
                (logs && pid != 0 && has_mapped(pid, arena.path())).then_some(pid)
            })
            .collect()
    };
    for _ in 0..10 {
        if look().is_empty() {
            return Vec::new();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    look()
}

/// Whether a thread of the process has the file mapped. The first thread may
/// be a zombie while others run.
fn has_mapped(pid: u32, file: &Path) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    let file = file.as_os_str().as_encoded_bytes();
    threads.flatten().any(|thread| {
        match fs::read(thread.path().join("maps")) {
            Ok(maps) => maps.split(|&b| b == b'\n').any(|line| line.ends_with(file)),
            // Of another user: it may be one of ours that has changed.
            Err(e) => e.kind() == io::ErrorKind::PermissionDenied,
        }
    })
}

/// Completes all recordings; how many there were to complete.
fn complete(session: &Session, arena: &Arena) -> Result<usize, RecoverError> {
    let mut left: BTreeMap<RecordingId, Option<Left>> = session
        .recordings()?
        .into_iter()
        .map(|id| (id, None))
        .collect();
    for index in slots(arena) {
        let slot = arena.slot(index);
        let id = RecordingId(slot.recording.load(Ordering::Relaxed));
        let (tail, head) = (
            slot.tail.load(Ordering::Acquire),
            slot.head.load(Ordering::Acquire),
        );
        let life = slot.state.load(Ordering::Acquire);
        if life == state::FREE || id.0 == 0 {
            continue;
        }
        if head > 0 {
            let slot = Left {
                slot: index,
                tail,
                head,
                done: life == state::DONE,
            };
            left.insert(id, Some(slot));
        } else {
            stillborn(session, arena, index)?;
        }
    }
    let mut completed = 0;
    for (id, left) in left {
        let Some(mut writer) = open(session, id, left.as_ref())? else {
            continue;
        };
        let slot = left.as_ref().map(|left| left.slot);
        if let Some(left) = left {
            take_over(&mut writer, arena, &left)?;
        }
        if writer.offset() == 0 {
            // It died before its first event: nothing to keep.
            drop(writer);
            let _nothing_in_it: io::Result<()> = fs::remove_file(session.events_path(id));
            continue;
        }
        if writer.summary().end.is_none() {
            let tick = slot.map_or_else(
                || arena.control().clock.fetch_add(1, Ordering::AcqRel),
                |slot| arena.tick_after(slot),
            );
            writer.append(&build::ended(tick, &UNKNOWN))?;
        }
        writer.finish()?;
        completed += 1;
    }
    Ok(completed)
}

/// A forked process may be killed before its first event: its parent's
/// recording names it, so there is one that says just that.
///
/// # Errors
/// If it cannot be written.
pub fn stillborn(session: &Session, arena: &Arena, slot: u32) -> Result<(), TraceError> {
    let slot = arena.slot(slot);
    let id = RecordingId(slot.recording.load(Ordering::Acquire));
    let parent = slot.parent.load(Ordering::Relaxed);
    // A number without a parent, or one that was used, is left from the slot's last use.
    if id.0 == 0 || parent == 0 || session.events_path(id).exists() {
        return Ok(());
    }
    let tick = arena.control().clock.fetch_add(2, Ordering::AcqRel);
    let forked = Forked {
        parent,
        pid: 0,
        tick,
    };
    let mut writer = session.writer(id)?;
    writer.append(&build::forked(tick, &forked))?;
    writer.append(&build::ended(tick + 1, &UNKNOWN))?;
    writer.finish()
}

/// Opens a recording to be completed; `None` if it is complete, or lost.
fn open(
    session: &Session,
    id: RecordingId,
    left: Option<&Left>,
) -> Result<Option<RecordingWriter>, RecoverError> {
    let path = session.events_path(id);
    match RecordingWriter::resume(&path) {
        Ok(writer) => Ok(writer),
        // The supervisor had not come to make it, or not to write its head.
        Err(TraceError::NotARecording { .. }) if left.is_none_or(|l| l.tail == 0 || l.done) => {
            let _may_not_be: io::Result<()> = fs::remove_file(&path);
            Ok(Some(session.writer(id)?))
        }
        Err(TraceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Some(session.writer(id)?))
        }
        // Not what a supervisor leaves: it stays as it is.
        Err(TraceError::NotARecording { .. } | TraceError::Version { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Appends what only the ring has.
fn take_over(writer: &mut RecordingWriter, arena: &Arena, left: &Left) -> Result<(), RecoverError> {
    let from = writer.offset();
    // A process that gave up has freed its ring itself, but written no more.
    let whole = from >= left.tail || left.done && left.head - from <= RING_LEN;
    // Else blocks were lost from the file; and the end may be there already.
    if !whole || from > left.head {
        return Ok(());
    }
    let mut bytes = Vec::new();
    arena.read(left.slot, from, &mut bytes);
    bytes.extend(arena.staged(left.slot));
    match writer.append(&bytes) {
        // A program that wrote into its own log: what precedes is good.
        Err(TraceError::Input { .. }) => Ok(()),
        other => Ok(other?),
    }
}
