//! What is read of recordings, without replaying them.

use super::worker::Job;
use crate::commands::ls::{self, State, tree};
use crate::describe::{self, safe};
use crate::merge::Merge;
use crate::output;
use anyhow::Result;
use orch_abi::record::Kind;
use orch_recorder::session::Session;
use orch_recorder::trace::{End as Ending, RecordingId, Tick};
use orch_tui::Filter;
use orch_tui::data::{End, Line, Lines, Overview, Process};
use std::collections::{HashMap, VecDeque};

/// The processes.
pub fn overview(session: &Session) -> Result<Overview> {
    let meta = session.meta();
    let state = ls::state(meta);
    let rows = tree::rows(session)?;
    let processes: Vec<Process> = rows
        .iter()
        .map(|row| process(row, state, session))
        .collect();
    let damage = damage(&rows, &processes);
    let mut note = output::date(meta.started);
    if let Some(end) = meta.ended {
        note += &format!(
            ", took {}",
            output::duration(end.saturating_sub(meta.started))
        );
    }
    note += match state {
        State::Ended => "",
        State::Running => ", still being recorded",
        State::CutOff => ", the recorder was killed",
    };
    if let Some(code) = meta.exit_status {
        note += &format!(", exit {code}");
    }
    Ok(Overview {
        command: tree::shell_words("", &meta.command),
        note,
        recording: state == State::Running,
        damage,
        processes,
    })
}

/// What cannot be read, and what to do.
fn damage(rows: &[tree::Row], processes: &[Process]) -> Option<String> {
    let bad = rows.iter().zip(processes);
    let bad = bad.filter(|(_, process)| process.end == End::Damaged);
    let mut what: Vec<String> = bad
        .map(|(row, _)| match &row.summary {
            Err(why) => format!("{} cannot be read: {}", row.id, safe(why.as_bytes())),
            Ok(_) => format!("the end of {} is missing in its file", row.id),
        })
        .collect();
    // Whoever became another program by exec tells which recording that has.
    let gone = rows
        .iter()
        .filter_map(|row| match row.summary.as_ref().ok()?.end {
            Some(Ending::Execed(next)) if rows.iter().all(|row| row.id != next) => Some(format!(
                "{next}, which goes on where {} ends, is missing: there is no file of it",
                row.id
            )),
            _ => None,
        });
    what.extend(gone);
    let more = what.len().saturating_sub(3);
    what.truncate(3);
    if more > 0 {
        what.push(format!("and so on ({more} more)"));
    }
    (!what.is_empty()).then(|| {
        format!(
            "{}. All else is as it was recorded; copy the session again from where it was whole, \
             or record again",
            what.join("; ")
        )
    })
}

fn process(row: &tree::Row, state: State, session: &Session) -> Process {
    let program = crate::commands::name(session, row.id);
    let mut process = Process {
        id: row.id.0,
        branch: row.branch.clone(),
        program: safe(program.as_bytes()),
        command: row.command.clone(),
        ..Process::default()
    };
    match &row.summary {
        Ok(summary) => {
            process.pid = summary.pid();
            process.span = (summary.first_tick.0, summary.last_tick.0);
            process.events = summary.events;
            process.ending = ls::ending(summary, state).1;
            process.end = match summary.end {
                Some(Ending::Killed(signal)) if is_of_its_own(signal) => End::Crashed,
                Some(Ending::Killed(_)) => End::Killed,
                Some(Ending::Exited(0)) => End::Good,
                Some(Ending::Exited(_) | Ending::Unknown) => End::Failed,
                Some(Ending::Execed(_)) => End::Exec,
                None if state == State::Running => End::Good,
                // Of a session that was ended as it should, each recording has an end.
                None if state == State::Ended => End::Damaged,
                None => End::Failed,
            };
            if process.end == End::Damaged {
                "damaged".clone_into(&mut process.ending);
            }
        }
        Err(_) => {
            "damaged".clone_into(&mut process.ending);
            process.end = End::Damaged;
        }
    }
    process
}

/// Whether a signal ends a process for what it did itself: those that dump core do
/// (signal(7)); others are sent to end it.
fn is_of_its_own(signal: u32) -> bool {
    let core = [
        libc::SIGQUIT,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGSEGV,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGSYS,
    ];
    core.iter().any(|&core| u32::try_from(core) == Ok(signal))
}

/// Events that are shown on either side of the cursor.
const AROUND: usize = 2000;

/// What happened around a tick.
pub fn events(session: &Session, job: &Job, only: Option<u32>, tick: u64) -> Result<Lines> {
    let ids = match only {
        Some(id) => vec![RecordingId(id)],
        None => session.recordings()?,
    };
    let mut lines = Lines::default();
    // Ticks of one recording may lie far from each other.
    let mut back = 4 * AROUND as u64;
    let mut before = loop {
        let from = tick.saturating_sub(back);
        let found = some(session, job, &ids, (from, tick), usize::MAX)?;
        if from == 0 || found.len() >= AROUND {
            break found;
        }
        back = back.saturating_mul(64);
    };
    if before.len() > AROUND {
        before.drain(..before.len() - AROUND);
        lines.part = true;
    }
    let behind = some(
        session,
        job,
        &ids,
        (tick.saturating_add(1), u64::MAX),
        AROUND,
    )?;
    lines.part |= behind.len() == AROUND;
    lines.note = lines
        .part
        .then(|| format!("{AROUND} either side of @{tick}"));
    lines.lines = before;
    lines.lines.extend(behind);
    Ok(lines)
}

/// Events that a filter lets through, of one recording or of all: those on either side of a
/// tick that are nearest to it.
pub fn seek(
    session: &Session,
    job: &Job,
    (only, tick, filter): (Option<u32>, u64, &str),
) -> Result<Lines> {
    let ids = match only {
        Some(id) => vec![RecordingId(id)],
        None => session.recordings()?,
    };
    let all = ids.iter().filter_map(|&id| session.summary(id).ok());
    let all: u64 = all.map(|summary| summary.events).sum();
    let filter = Filter::new(filter);
    let (mut exact, mut near) = (Hits::new(tick), Hits::new(tick));
    let mut told = 0;
    each(session, job, &ids, (0, u64::MAX), &mut |line, n| {
        let percent = n.saturating_mul(100) / all.max(1);
        if percent > told {
            told = percent;
            job.tell(format!("{percent} %"));
        }
        let text = line.searched();
        if filter.is_in(&text) {
            exact.push(line);
        } else if exact.is_empty() && filter.is_nearly_in(&text) {
            near.push(line);
        }
        !exact.is_full()
    })?;
    Ok(if exact.is_empty() { near } else { exact }.lines())
}

/// What was found on either side of a tick.
struct Hits {
    tick: u64,
    before: VecDeque<Line>,
    behind: Vec<Line>,
    /// There are others before them.
    cut: bool,
}

impl Hits {
    fn new(tick: u64) -> Self {
        Self {
            tick,
            before: VecDeque::new(),
            behind: Vec::new(),
            cut: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.behind.is_empty()
    }

    fn is_full(&self) -> bool {
        self.behind.len() == AROUND
    }

    fn push(&mut self, line: Line) {
        if line.tick > self.tick {
            if !self.is_full() {
                self.behind.push(line);
            }
            return;
        }
        if self.before.len() == AROUND {
            self.before.pop_front();
            self.cut = true;
        }
        self.before.push_back(line);
    }

    fn lines(self) -> Lines {
        let part = self.cut || self.is_full();
        let mut lines = Vec::from(self.before);
        lines.extend(self.behind);
        let note = part.then(|| format!("{AROUND} either side of @{}", self.tick));
        Lines { lines, note, part }
    }
}

fn some(
    session: &Session,
    job: &Job,
    ids: &[RecordingId],
    span: (u64, u64),
    most: usize,
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    each(session, job, ids, span, &mut |line, _| {
        lines.push(line);
        lines.len() < most
    })?;
    Ok(lines)
}

/// Each event of some recordings in a time, with its number, until `see` has enough.
fn each(
    session: &Session,
    job: &Job,
    ids: &[RecordingId],
    (from, to): (u64, u64),
    see: &mut dyn FnMut(Line, u64) -> bool,
) -> Result<()> {
    let mut merge = Merge::new(session, ids, Tick(from), Tick(to));
    let mut threads: HashMap<RecordingId, u32> = HashMap::new();
    for n in 0_u64.. {
        if n.is_multiple_of(1024) {
            job.go_on()?;
        }
        // Behind what is damaged it goes on.
        let Ok(next) = merge.next() else {
            continue;
        };
        let Some((id, record)) = next else {
            break;
        };
        if record.head.kind == Kind::Switch as u8
            && let Ok(switch) = record.switch()
        {
            threads.insert(id, switch.thread);
        }
        if describe::is_internal(&record) {
            continue;
        }
        let line = describe::describe(id, &record);
        let line = Line {
            position: line.position().to_string(),
            tick: line.tick,
            recording: id.0,
            thread: threads.get(&id).copied(),
            bad: line.refused || line.error.is_some() || line.event == "signal",
            text: line.text,
        };
        if !see(line, n) {
            break;
        }
    }
    Ok(())
}
