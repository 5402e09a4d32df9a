//! A gdb for each recording, not too many at a time: they use a processor each, and
//! the memory of a process and its symbols.

use super::format::Expression;
use super::location::Location;
use super::plan::Job;
use crate::gdb::Sysroot;
use anyhow::{Context as _, Result, anyhow};
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::available_parallelism;
use std::time::Duration;

/// What evaluates.
pub const GDB: &str = "gdb";
/// How.
const SCRIPT: &str = concat!(
    include_str!("../../gdb/task.py"),
    include_str!("../../gdb/printers.py"),
    include_str!("../../gdb/log.py")
);
/// Recordings that run at the same time, on machines with many processors.
const AT_ONCE: usize = 8;
/// How values are shown: what fits in a row. And that a recording is not to be changed, so
/// that nobody tries.
const SETTINGS: [&str; 8] = [
    "set width 0",
    "set print elements 200",
    "set print null-stop on",
    "set print frame-arguments none",
    "set max-value-size 1048576",
    "set may-call-functions off",
    "set may-write-registers off",
    "set may-write-memory off",
];

/// What each of them does.
pub struct Task<'a> {
    /// Whose recordings.
    pub session: &'a Session,
    /// For files that they need.
    pub dir: &'a Path,
    /// Where.
    pub location: &'a Location,
    /// What is evaluated.
    pub expressions: Vec<&'a Expression>,
    /// Only where this is true.
    pub condition: Option<&'a str>,
}

#[derive(Serialize)]
struct Told<'a> {
    setup: Vec<String>,
    /// Of the file or function that was asked for.
    name: &'a str,
    /// 0, if it is no line.
    line: u32,
    expressions: &'a [&'a Expression],
    condition: Option<&'a str>,
}

/// A place that was passed.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Hit {
    /// A position, in text.
    pub position: String,
    /// Tick of the event that it is behind.
    pub tick: u64,
    /// Recorded id of the thread.
    pub tid: u32,
    /// In the order of the expressions.
    pub values: Vec<Value>,
    /// Why it is not known whether the condition holds.
    pub condition: Option<String>,
    /// The function that it is in.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
}

/// What came of an expression.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A value.
    Known {
        /// As gdb shows it.
        text: String,
        /// If it is one.
        number: Option<serde_json::Number>,
    },
    /// None.
    Failed {
        /// Why.
        error: String,
    },
}

/// A line that a gdb writes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Hit(Box<Hit>),
    Passed { passed: u64 },
    Over { over: Option<String> },
}

/// What is new of a recording.
pub enum Event {
    /// It came to the location.
    Hit(Box<Hit>),
    /// It did, and the condition does not hold.
    Passed {
        /// Behind this event.
        tick: u64,
    },
    /// It is over: as the recording is, or why.
    Over(Option<String>),
    /// Its gdb ended, and did not say why.
    Lost,
}

/// Recordings that run, and those that wait for it.
pub struct Workers<'a> {
    task: &'a Task<'a>,
    waiting: std::slice::Iter<'a, Job>,
    jobs: usize,
    running: HashMap<RecordingId, Child>,
    events: Receiver<(RecordingId, Event)>,
    next: Option<(RecordingId, Event)>,
    at_once: usize,
    sender: Sender<(RecordingId, Event)>,
}

impl<'a> Workers<'a> {
    /// None runs yet.
    pub fn new(task: &'a Task<'a>, jobs: &'a [Job]) -> Result<Self> {
        // Once: those that run already may still be about to read it.
        fs::write(script_of(task.dir), SCRIPT)?;
        let (sender, events) = channel();
        Ok(Self {
            task,
            waiting: jobs.iter(),
            jobs: jobs.len(),
            running: HashMap::new(),
            events,
            next: None,
            at_once: available_parallelism()
                .map_or(1, usize::from)
                .clamp(2, AT_ONCE),
            sender,
        })
    }

    /// Starts as many as may run.
    pub fn start(&mut self) -> Result<()> {
        while self.running.len() < self.at_once
            && let Some(job) = self.waiting.next()
        {
            let id = job.recording;
            let child = start(self.task, job, self.sender.clone())
                .with_context(|| format!("cannot run {id}"))?;
            self.running.insert(id, child);
        }
        Ok(())
    }

    /// How many there are in all.
    pub const fn jobs(&self) -> usize {
        self.jobs
    }

    /// Whether nothing runs any more.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits for something new.
    pub fn wait(&mut self, most: Duration) -> Option<(RecordingId, Event)> {
        let next = self.next.take();
        next.or_else(|| self.events.recv_timeout(most).ok())
    }

    /// Whether nothing more is there to be taken at once.
    pub fn is_calm(&mut self) -> bool {
        self.next = self.next.take().or_else(|| self.events.try_recv().ok());
        self.next.is_none()
    }

    /// Whether a recording runs.
    pub fn runs(&self, id: RecordingId) -> bool {
        self.running.contains_key(&id)
    }

    /// How the gdb of a recording ended that did not say why.
    pub fn lost(&mut self, id: RecordingId) -> String {
        let status = match self.running.get_mut(&id).map(Child::wait) {
            Some(Ok(status)) => status.to_string(),
            _ => "no status".to_owned(),
        };
        let said = fs::read_to_string(errors_of(self.task.dir, id)).unwrap_or_default();
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        format!(
            "gdb ended ({status}): {}",
            last.unwrap_or("it said nothing")
        )
    }

    /// Nothing more is wanted of a recording, or to come.
    pub fn over(&mut self, id: RecordingId) {
        if let Some(child) = self.running.remove(&id) {
            end(child);
        }
    }
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        for (_, child) in self.running.drain() {
            end(child);
        }
    }
}

/// The process that it debugs notices that gdb is gone.
fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// gdb without the user's own settings, that runs a script which reads `input`.
pub fn gdb(script: &Path, input: &Path) -> Command {
    let mut command = Command::new(GDB);
    command
        .args(["-q", "-nx", "-batch"])
        // Distributions would ask servers for debugging information.
        .args(["-iex", "set debuginfod enabled off"])
        .arg("-x")
        .arg(script)
        .env("ORCH_LOG", input)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Ctrl-C is for us.
        .process_group(0);
    command
}

/// Why there is no gdb.
pub fn not_started(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!(
            "gdb, which knows lines and evaluates expressions, is not installed; `apt install gdb`"
        ),
        _ => anyhow::Error::from(error).context("cannot run gdb"),
    }
}

fn start(task: &Task<'_>, job: &Job, to: Sender<(RecordingId, Event)>) -> Result<Child> {
    let id = job.recording;
    let sysroot = Sysroot::make(task.dir, task.session, id)?;
    let file = |name: &str| task.dir.join(format!("{id}-{name}"));
    let (input, hits) = (file("task"), file("hits"));
    fs::write(&hits, serde_json::to_vec(&job.wanted)?)?;
    let mut setup: Vec<String> = SETTINGS.map(str::to_owned).into();
    let more = format!("--hits {}", super::super::gdb::quoted(&hits));
    let connect = super::super::gdb::connect(&sysroot, task.session, &job.position, &more)?;
    setup.extend(connect);
    let (name, line) = task.location.parts();
    let told = Told {
        setup,
        name,
        line,
        expressions: &task.expressions,
        condition: task.condition,
    };
    fs::write(&input, serde_json::to_vec(&told)?)?;
    let errors = errors_of(task.dir, id);
    let mut child = gdb(&script_of(task.dir), &input)
        .stderr(fs::File::create(&errors)?)
        .spawn()
        .map_err(not_started)?;
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            let last = read(BufReader::new(out), &errors, |event| {
                to.send((id, event)).is_ok()
            });
            let _ = to.send((id, last));
        });
    }
    Ok(child)
}

/// Reads what a gdb tells up to its end, and how that is.
fn read(
    out: BufReader<std::process::ChildStdout>,
    errors: &Path,
    mut tell: impl FnMut(Event) -> bool,
) -> Event {
    for line in out.lines().map_while(Result::ok) {
        let event = match serde_json::from_str(&line) {
            Ok(Line::Hit(hit)) => Event::Hit(hit),
            Ok(Line::Passed { passed }) => Event::Passed { tick: passed },
            Ok(Line::Over { over: None }) => return Event::Over(None),
            Ok(Line::Over { over: Some(why) }) => {
                return Event::Over(Some(said(errors).unwrap_or(why)));
            }
            Err(e) => return Event::Over(Some(format!("gdb does not tell what it should: {e}"))),
        };
        if !tell(event) {
            return Event::Over(None);
        }
    }
    said(errors).map_or(Event::Lost, |why| Event::Over(Some(why)))
}

fn script_of(dir: &Path) -> PathBuf {
    dir.join("log.py")
}

fn errors_of(dir: &Path, id: RecordingId) -> PathBuf {
    dir.join(format!("{id}-errors"))
}

/// What the replay said last before it ended.
fn said(errors: &Path) -> Option<String> {
    let text = fs::read_to_string(errors).ok()?;
    let last = text.lines().rfind(|line| line.starts_with("orch: "))?;
    last.strip_prefix("orch: ").map(str::to_owned)
}
