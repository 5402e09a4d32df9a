//! What changed memory that one process has for itself: that is found by replaying it
//! backwards, as `orch last` does.

use super::history;
use super::worker::Job;
use crate::commands::last::search::{Change, Search};
use crate::commands::last::show::written;
use crate::commands::process;
use crate::describe::safe;
use crate::inspect::address::Address;
use crate::position::{At, Position};
use crate::travel::TravelError;
use anyhow::Result;
use orch_blame::access::Old;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use orch_tui::data::{Access, FORMATS, History};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Changes that are looked for; each takes a run backwards to it.
const MOST: usize = 12;
/// So long it is looked for more of them.
const LIMIT: Duration = Duration::from_secs(15);
/// So long it is looked for the first one: what changes all the time has too many.
const FIRST: Duration = Duration::from_secs(60);
/// Bytes that can be watched, wherever they begin.
const WATCHED: u64 = 24;

/// The last changes before a position; the end, if there is none.
pub fn history(
    session: &Session,
    job: &Job,
    (recording, addr, len): (RecordingId, u64, u64),
    from: Option<Position>,
) -> Result<History> {
    let at = At::End;
    let from = from.unwrap_or(Position { recording, at });
    let shown = len.min(WATCHED);
    job.tell(format!("going to {from}"));
    let address = Address::number(addr);
    let mut flag = None;
    let begun = |interrupt: &Arc<AtomicBool>| {
        job.interrupt_by(interrupt);
        flag = Some(Arc::clone(interrupt));
    };
    let mut search = Search::begin(session, from, &address, Some(shown), begun)?;
    let clock = Clock::start(job.teller(), flag.unwrap_or_default());
    let mut rows = Vec::new();
    let mut end = "";
    while rows.len() < MOST {
        match search.previous(20) {
            Ok(Some(change)) => {
                rows.push(row(session, &change)?);
                clock.note_found();
            }
            Ok(None) => {
                end = "; there are no others";
                break;
            }
            Err(e) => {
                job.go_on()?;
                let interrupted = matches!(e.downcast_ref(), Some(TravelError::Interrupted));
                if !(clock.is_late() && interrupted) {
                    return Err(e);
                }
                if rows.is_empty() {
                    let seconds = FIRST.as_secs();
                    anyhow::bail!(
                        "the last change of {recording}:{addr:#x} before {from} was not found in \
                         {seconds} s (it changes too often, or was long ago); `orch last \
                         {recording}:{addr:#x} --before {from}` searches on"
                    );
                }
                break;
            }
        }
        if clock.is_late() {
            break;
        }
    }
    if end.is_empty() {
        end = "; there may be more";
    }
    rows.reverse();
    let mut note = format!("memory of its own: changes before {from}, replayed backwards{end}");
    if shown < len {
        note += &format!("; the first {shown} of {len} bytes");
    }
    Ok(History {
        place: format!("{recording}:{addr:#x} ({shown} bytes)"),
        note,
        rows,
        ..History::default()
    })
}

/// Ends a search that takes too long, and tells how long it has taken: more for the first change
/// than for others.
struct Clock {
    begun: Instant,
    found: Arc<AtomicUsize>,
    /// While it is there, the clock runs.
    _running: Sender<()>,
}

impl Clock {
    fn start(tell: impl Fn(String) + Send + 'static, interrupt: Arc<AtomicBool>) -> Self {
        let (running, stopped) = mpsc::channel::<()>();
        let (found, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let count = Arc::clone(&found);
        thread::spawn(move || {
            let mut told = None;
            let wait = Duration::from_millis(200);
            loop {
                let found = count.load(Ordering::Relaxed);
                let now = (found, begun.elapsed().as_secs());
                if told != Some(now) {
                    let (found, seconds) = now;
                    tell(format!(
                        "replaying backwards for {seconds} s, {found} changes found"
                    ));
                    told = Some(now);
                }
                if is_late(begun.elapsed(), found) {
                    interrupt.store(true, Ordering::Relaxed);
                }
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        });
        Self {
            begun,
            found,
            _running: running,
        }
    }

    fn note_found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    fn is_late(&self) -> bool {
        is_late(self.begun.elapsed(), self.found.load(Ordering::Relaxed))
    }
}

/// Whether a search that has found so many changes is to end.
fn is_late(since: Duration, found: usize) -> bool {
    since >= if found == 0 { FIRST } else { LIMIT }
}

fn row(session: &Session, change: &Change) -> Result<Access> {
    let recording = change.position.recording;
    let (_, program) = process(session, recording);
    let call = written(&change.stack.calls, &program);
    let file = call.and_then(|c| c.file.as_deref());
    let file = file.map(|f| f.rsplit('/').next().unwrap_or(f));
    let file = match (file, call.and_then(|c| c.line)) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (file, _) => file.unwrap_or_default().to_owned(),
    };
    let old = Old {
        bytes: change.old.clone(),
        known: Vec::new(),
    };
    let name = program.rsplit('/').next().unwrap_or(&program);
    let function = call.and_then(|c| c.function.clone()).unwrap_or_default();
    Ok(Access {
        position: change.position.to_string(),
        tick: change.position.tick(session)?.0,
        recording: recording.0,
        time: String::new(),
        program: safe(name.as_bytes()),
        kind: if change.event.is_some() {
            "syscall"
        } else {
            "change"
        },
        place: format!("+0x0/{}", change.new.len()),
        values: (0..FORMATS.len())
            .map(|n| history::change(n, Some(&old), &change.new))
            .collect(),
        function: safe(function.as_bytes()),
        file: safe(file.as_bytes()),
        ..Access::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also where nothing is found, a search tells how long it has taken, and ends.
    #[test]
    fn searches_end() {
        let (tell, told) = mpsc::channel();
        let interrupt = Arc::new(AtomicBool::new(false));
        let tell = move |text| drop(tell.send(text));
        let clock = Clock::start(tell, Arc::clone(&interrupt));
        let text = told.recv().expect("it tells at once");
        assert_eq!(text, "replaying backwards for 0 s, 0 changes found");
        clock.note_found();
        let text = told.recv().expect("it tells what is new");
        assert!(text.ends_with("1 changes found"), "{text}");
        assert!(!clock.is_late() && !interrupt.load(Ordering::Relaxed));
        assert!(!is_late(LIMIT, 0) && is_late(LIMIT, 1) && is_late(FIRST, 0));
    }
}
