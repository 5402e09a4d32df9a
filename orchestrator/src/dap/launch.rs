//! Which recording is looked at, and where it begins.

use super::adapter::{Adapter, Target};
use super::breakpoints::Breakpoints;
use super::gdb::Gdb;
use super::mi::quoted;
use super::stack::Frames;
use super::variables::Variables;
use crate::commands::directory::Directory;
use crate::commands::gdb::{BEGIN, DIR, scripts};
use crate::commands::{self, sessions};
use crate::position::{At, Position};
use anyhow::{Context as _, Result, bail};
use orch_recorder::print;
use orch_recorder::session::Session;
use orch_recorder::trace::{End, RecordingId};
use serde_json::{Value, json};
use std::path::Path;

/// How gdb is to behave when a program talks to it.
const SETTINGS: [&str; 10] = [
    "-gdb-set confirm off",
    "-gdb-set pagination off",
    "-gdb-set width 0",
    "-gdb-set height 0",
    // So that it can be interrupted.
    "-gdb-set mi-async on",
    "-gdb-set breakpoint pending on",
    // What one does to memory would be seen until the next motion, in all views.
    "-gdb-set may-call-functions off",
    // It would ask.
    "-gdb-set debuginfod enabled off",
    "-gdb-set print frame-arguments none",
    "-enable-pretty-printing",
];

/// Signals that a process brings upon itself: crashes.
const CRASHES: [i32; 7] = [
    libc::SIGABRT,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
];

impl Adapter {
    pub(super) fn initialize(&mut self, arguments: &Value) -> Value {
        self.first_line = i64::from(arguments["linesStartAt1"] != json!(false));
        let can = [
            "ConfigurationDoneRequest",
            "StepBack",
            "ConditionalBreakpoints",
            "HitConditionalBreakpoints",
            "FunctionBreakpoints",
            "DataBreakpoints",
            "DataBreakpointBytes",
            "InstructionBreakpoints",
            "EvaluateForHovers",
            "ReadMemoryRequest",
            "DisassembleRequest",
            "SteppingGranularity",
            "LoadedSourcesRequest",
            "DelayedStackTraceLoading",
            "RestartRequest",
            "TerminateRequest",
            "ValueFormattingOptions",
        ];
        let mut all = json!({ "supportsSetVariable": false, "supportsWriteMemoryRequest": false });
        for name in can {
            all[format!("supports{name}")] = true.into();
        }
        all
    }

    pub(super) fn launch(&mut self, arguments: &Value) -> Result<Value> {
        if self.target.is_some() {
            bail!("a recording is there already; `orch/jump` goes to others");
        }
        let session = self.session_of(arguments)?;
        let position = position_of(&session, arguments)?;
        let program = text(arguments, "gdb")?.unwrap_or("gdb").to_owned();
        let dir = Directory::make()?;
        let root = std::fs::canonicalize(session.dir())?;
        let orch = std::env::current_exe()?;
        let environment = [
            (DIR, dir.path()),
            ("ORCH_SESSION", &root),
            ("ORCH_BIN", &orch),
        ];
        let gdb = Gdb::start(&program, &environment, &self.sender)?;
        self.target = Some(Target {
            gdb,
            program,
            dir,
            session,
            recording: position.recording,
            start: position.to_string(),
            running: false,
            interrupted: false,
            edge: false,
            motion: String::new(),
            console: String::new(),
            log: String::new(),
            threads: json!([]),
            breakpoints: Breakpoints::default(),
            frames: Frames::default(),
            variables: Variables::default(),
        });
        if let Err(e) = self.connect(position, arguments) {
            // What the recording's side had to say.
            let said = self.target.take().map(|t| t.log).unwrap_or_default();
            self.until_gone()?;
            let said = said.lines().find_map(|l| l.split_once("orch: "));
            return Err(match said {
                Some((_, why)) => e.context(why.to_owned()),
                None => e,
            });
        }
        self.after.push(("initialized", json!({})));
        Ok(Value::Null)
    }

    fn session_of(&self, arguments: &Value) -> Result<Session> {
        let named = text(arguments, "session")?.filter(|name| !name.is_empty());
        let Some(name) = named else {
            return commands::locate(self.session.as_deref());
        };
        commands::locate(Some(&sessions::resolve(Path::new(name))?))
    }

    fn connect(&mut self, position: Position, arguments: &Value) -> Result<()> {
        let target = self.target()?;
        scripts(target.dir.path())?;
        let there = commands::gdb::commands(target.dir.path(), &target.session, &position)?;
        for setting in SETTINGS {
            // What an older gdb has not is not needed.
            if let Err(e) = self.gdb(setting)
                && self.target()?.gdb.is_gone()
            {
                return Err(e);
            }
        }
        for command in BEGIN {
            self.console(command)?;
        }
        if let Some(map) = arguments["sourceMap"].as_object() {
            for (from, to) in map {
                let to = to
                    .as_str()
                    .context("sourceMap is an object of directories")?;
                let (from, to) = (quoted(from), quoted(to));
                self.gdb(&format!("-gdb-set substitute-path {from} {to}"))?;
            }
        }
        for dir in texts(arguments, "sources")? {
            self.gdb(&format!("-environment-directory {}", quoted(dir)))?;
        }
        for command in there {
            self.console(&command)?;
        }
        for command in texts(arguments, "setup")? {
            self.console(command)?;
        }
        self.rest()?;
        self.take_stops();
        self.read_threads()
    }

    /// The client has told all breakpoints: now it may know where it is.
    pub(super) fn configured(&mut self) -> Result<Value> {
        let at = self.target()?.recording;
        let how = self.target()?.session.summary(at)?.end;
        let how = match how {
            Some(End::Killed(signal)) => {
                format!(", which was killed by {}", print::signal_name(signal))
            }
            Some(End::Exited(code)) => format!(", which exited with {code}"),
            _ => String::new(),
        };
        let position = self.when()?;
        let (_, program) = commands::process(&self.target()?.session, at);
        self.output("console", &format!("{position}: {program}{how}\n"))?;
        let body = self.stop_body("entry", &position, None)?;
        self.after.push(("stopped", body));
        Ok(Value::Null)
    }

    pub(super) fn restart(&mut self) -> Result<Value> {
        let start = self.target()?.start.clone();
        self.interrupt()?;
        self.rest()?;
        self.take_stops();
        self.jump(&json!({ "position": start }))
    }

    /// What ran, for a client that lets its user choose.
    pub(super) fn processes(&mut self) -> Result<Value> {
        let session = &self.target()?.session;
        let mut all = Vec::new();
        for id in session.recordings()? {
            let summary = session.summary(id)?;
            let (pid, program) = commands::process(session, id);
            all.push(json!({
                "recording": id.to_string(), "pid": pid, "program": program,
                "firstTick": summary.first_tick.0, "lastTick": summary.last_tick.0,
                "end": summary.end,
            }));
        }
        Ok(json!({ "processes": all }))
    }
}

/// A text among a request's arguments.
pub(super) fn text<'a>(arguments: &'a Value, name: &str) -> Result<Option<&'a str>> {
    match &arguments[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => bail!("{name} is a text, not {other}"),
    }
}

fn texts<'a>(arguments: &'a Value, name: &str) -> Result<Vec<&'a str>> {
    let all = match &arguments[name] {
        Value::Null => return Ok(Vec::new()),
        Value::Array(all) => all,
        other => bail!("{name} is a list of texts, not {other}"),
    };
    let text = |v: &'a Value| {
        v.as_str()
            .with_context(|| format!("{name}: {v} is no text"))
    };
    all.iter().map(text).collect()
}

fn position_of(session: &Session, arguments: &Value) -> Result<Position> {
    let position = match text(arguments, "position")?.map(str::trim) {
        None | Some("") => interesting(session)?,
        Some(text) => text.parse()?,
    };
    position.resolve(session)?;
    Ok(position)
}

/// Where one would look first: where the first process crashed; or else where the first
/// one failed, of whose failure the others' may be a consequence; or else the beginning.
fn interesting(session: &Session) -> Result<Position> {
    let mut best: Option<((u8, u64), RecordingId)> = None;
    let mut first = None;
    for id in session.recordings()? {
        let summary = session.summary(id)?;
        if summary.events == 0 {
            continue;
        }
        first = first.or(Some(id));
        let rank = match summary.end {
            Some(End::Killed(signal)) if CRASHES.contains(&signal.cast_signed()) => 0,
            Some(End::Exited(code)) if code != 0 => 1,
            _ => continue,
        };
        let key = (rank, summary.last_tick.0);
        if best.is_none_or(|(than, _)| key < than) {
            best = Some((key, id));
        }
    }
    let at = |recording, at| Position { recording, at };
    match (best, first) {
        (Some((_, id)), _) => Ok(at(id, At::Exit)),
        (None, Some(id)) => Ok(at(id, At::Start)),
        (None, None) => bail!("nothing was recorded in {}", session.dir().display()),
    }
}
