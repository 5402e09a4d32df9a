//! Between the client and gdb: whose turn it is, and what goes where.

use super::Input;
use super::breakpoints::Breakpoints;
use super::gdb::Gdb;
use super::mi::{Record, quoted};
use super::protocol::{Client, Request};
use super::stack::Frames;
use super::variables::Variables;
use crate::commands::directory::Directory;
use anyhow::{Result, anyhow, bail};
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};

/// Of what a command prints, so much is kept.
const CONSOLE: usize = 1 << 20;

/// What gdb prints at a recording's end; its machine interface has no word for it.
const EDGE: &str = "No more reverse-execution history";

/// The session ends while something is being done.
#[derive(Debug, thiserror::Error)]
#[error("the debugger is being closed")]
struct Ending;

/// A client, and what it looks at.
pub struct Adapter {
    pub(super) client: Client,
    pub(super) sender: Sender<Input>,
    inputs: Receiver<Input>,
    /// What came while something else was waited for.
    waiting: VecDeque<Input>,
    /// Events that follow the response to the present request.
    pub(super) after: Vec<(&'static str, Value)>,
    ending: bool,
    /// The session of the command line.
    pub(super) session: Option<PathBuf>,
    pub(super) target: Option<Target>,
    /// Lines and columns as the client counts them: from 1, or from 0.
    pub(super) first_line: i64,
}

/// A recording in gdb.
pub struct Target {
    pub(super) gdb: Gdb,
    /// How gdb is called.
    pub(super) program: String,
    /// Where its files are, until it ends.
    pub(super) dir: Directory,
    pub(super) session: Session,
    pub(super) recording: RecordingId,
    /// Where it began.
    pub(super) start: String,
    pub(super) running: bool,
    /// Set when it is to stop.
    pub(super) interrupted: bool,
    /// Set when the last motion came to where the recording begins or ends.
    pub(super) edge: bool,
    /// gdb's command for the last motion.
    pub(super) motion: String,
    /// What gdb printed since the last command.
    pub(super) console: String,
    pub(super) log: String,
    pub(super) threads: Value,
    pub(super) breakpoints: Breakpoints,
    pub(super) frames: Frames,
    pub(super) variables: Variables,
}

impl Adapter {
    pub fn new(
        client: Client,
        sender: Sender<Input>,
        inputs: Receiver<Input>,
        session: Option<&Path>,
    ) -> Self {
        Self {
            client,
            sender,
            inputs,
            waiting: VecDeque::new(),
            after: Vec::new(),
            ending: false,
            session: session.map(Path::to_owned),
            target: None,
            first_line: 1,
        }
    }

    /// Serves, until the client goes.
    pub fn run(mut self) -> Result<()> {
        loop {
            let input = match self.waiting.pop_front() {
                Some(input) => input,
                None => self.receive()?,
            };
            match input {
                Input::Request(request) => {
                    self.answer(&request)?;
                    if request.command == "disconnect" {
                        return Ok(());
                    }
                }
                Input::Bad(bad) => self.client.refuse(bad.seq, "", &bad.why)?,
                Input::Broken(e) => {
                    self.client.refuse(0, "", &e.to_string())?;
                    self.client.event("terminated", json!({}))?;
                    return Err(e.into());
                }
                Input::Gone => return Ok(()),
                Input::Gdb(record) => {
                    if let Err(e) = self.heard(record)
                        && !e.is::<Ending>()
                    {
                        self.output("stderr", &format!("{e:#}\n"))?;
                    }
                }
                Input::GdbGone => self.lost()?,
                // Nobody waits for it any more.
                Input::Done(_) => {}
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Result<()> {
        let answer = match request.command.as_str() {
            "disconnect" | "terminate" => {
                self.ending = true;
                if self.target.take().is_some() || request.command == "terminate" {
                    self.after.push(("terminated", json!({})));
                }
                Ok(Value::Null)
            }
            _ if self.ending => Err(Ending.into()),
            _ => self.handle(request),
        };
        match answer {
            Ok(body) => self.client.respond(request, body)?,
            Err(e) => {
                let why = format!("{e:#}");
                self.client.refuse(request.seq, &request.command, &why)?;
            }
        }
        for (name, body) in std::mem::take(&mut self.after) {
            self.client.event(name, body)?;
        }
        Ok(())
    }

    fn handle(&mut self, request: &Request) -> Result<Value> {
        let arguments = &request.arguments;
        match request.command.as_str() {
            "initialize" => Ok(self.initialize(arguments)),
            "launch" | "attach" => self.launch(arguments),
            "configurationDone" => self.configured(),
            "restart" => self.restart(),
            "threads" => self.threads(),
            "pause" => self.pause(),
            "setBreakpoints" => self.halted(|s| s.set_breakpoints(arguments)),
            "setFunctionBreakpoints" => self.halted(|s| s.set_function_breakpoints(arguments)),
            "setInstructionBreakpoints" => {
                self.halted(|s| s.set_instruction_breakpoints(arguments))
            }
            "setDataBreakpoints" => self.halted(|s| s.set_data_breakpoints(arguments)),
            "setExceptionBreakpoints" => Ok(json!({ "breakpoints": [] })),
            "source" => Ok(Self::source(arguments)),
            other => {
                let Some(known) = KNOWN.iter().find(|(name, _)| *name == other) else {
                    bail!("orch dap has no request {other:?}");
                };
                if self.target()?.running {
                    bail!("the recording runs: pause it first");
                }
                (known.1)(self, arguments)
            }
        }
    }

    /// What is looked at.
    pub(super) fn target(&mut self) -> Result<&mut Target> {
        let nothing = || anyhow!("there is no recording yet: launch, or attach to, one first");
        self.target.as_mut().ok_or_else(nothing)
    }

    /// What comes next. A motion that has begun or ended is noted at once, even if it is
    /// told later.
    fn receive(&mut self) -> Result<Input> {
        let input = self.inputs.recv()?;
        match (&input, &mut self.target) {
            (Input::Gdb(Record::Async { class, .. }), Some(target)) => match class.as_str() {
                "running" => (target.running, target.edge) = (true, false),
                "stopped" => (target.running, target.interrupted) = (false, false),
                _ => {}
            },
            (Input::Gdb(Record::Text(text)), Some(target)) => target.edge |= text.contains(EDGE),
            _ => {}
        }
        Ok(input)
    }

    /// Lets gdb do something, and waits for it.
    pub(super) fn gdb(&mut self, command: &str) -> Result<Value> {
        let target = self.target()?;
        target.console.clear();
        target.log.clear();
        let Ok(number) = target.gdb.send(command) else {
            bail!(target.why_gone());
        };
        loop {
            match self.receive()? {
                Input::Gdb(Record::Result {
                    token: Some(token),
                    class,
                    results,
                }) if token == number => match class.as_str() {
                    "error" => {
                        let said = results["msg"].as_str().unwrap_or("gdb cannot do that");
                        bail!("{said}");
                    }
                    class => {
                        self.target()?.running |= class == "running";
                        return Ok(results);
                    }
                },
                input => self.keep(input)?,
            }
        }
    }

    /// Lets gdb do something of its command line: what it printed.
    pub(super) fn console(&mut self, command: &str) -> Result<String> {
        self.gdb(&format!("-interpreter-exec console {}", quoted(command)))?;
        Ok(std::mem::take(&mut self.target()?.console))
    }

    /// What a command of this machine came to.
    pub(super) fn done(&mut self) -> Result<std::process::Output> {
        loop {
            match self.receive()? {
                Input::Done(output) => return Ok(output?),
                input => self.keep(input)?,
            }
        }
    }

    /// Waits until nothing moves.
    pub(super) fn rest(&mut self) -> Result<()> {
        while self.target()?.running {
            let input = self.receive()?;
            self.keep(input)?;
        }
        Ok(())
    }

    /// gdb has been ended: nothing of it is left to be heard.
    pub(super) fn until_gone(&mut self) -> Result<()> {
        let mut gone = false;
        self.waiting.retain(|input| {
            gone |= matches!(input, Input::GdbGone);
            !matches!(input, Input::Gdb(_) | Input::GdbGone)
        });
        while !gone {
            match self.inputs.recv()? {
                Input::GdbGone => gone = true,
                Input::Gdb(_) => {}
                input => self.waiting.push_back(input),
            }
        }
        Ok(())
    }

    /// Keeps what came while something else was waited for.
    fn keep(&mut self, input: Input) -> Result<()> {
        match &input {
            Input::Gdb(Record::Text(text)) => {
                if let Some(target) = &mut self.target
                    && target.console.len() < CONSOLE
                {
                    target.console += text;
                }
                return Ok(());
            }
            Input::Gdb(Record::Log(text)) => {
                if let Some(target) = &mut self.target
                    && target.log.len() < CONSOLE
                {
                    target.log += text;
                }
            }
            Input::Request(request) => {
                self.ending |= matches!(&*request.command, "disconnect" | "terminate");
            }
            Input::Gone | Input::Broken(_) => self.ending = true,
            Input::GdbGone => {
                let why = self.target()?.why_gone();
                self.waiting.push_back(input);
                bail!(why);
            }
            Input::Bad(_) | Input::Done(_) | Input::Gdb(_) => {}
        }
        self.waiting.push_back(input);
        if self.ending {
            return Err(Ending.into());
        }
        Ok(())
    }

    /// Stops that were heard of, and are not to be told.
    pub(super) fn take_stops(&mut self) -> Vec<Value> {
        let mut stops = Vec::new();
        self.waiting.retain(|input| match input {
            Input::Gdb(Record::Async { class, results }) => {
                if class == "stopped" {
                    stops.push(results.clone());
                }
                !matches!(class.as_str(), "stopped" | "running")
            }
            _ => true,
        });
        stops
    }

    /// gdb said something by itself.
    fn heard(&mut self, record: Record) -> Result<()> {
        match record {
            Record::Async { class, results } => match class.as_str() {
                "stopped" => self.tell_stop(&results),
                "breakpoint-modified" => self.breakpoint_changed(&results["bkpt"]),
                // A motion that does not end: what replays is gone.
                "thread-group-exited" if self.target.as_ref().is_some_and(|t| t.running) => {
                    self.lost()
                }
                _ => Ok(()),
            },
            Record::Log(text) if text.contains("orch:") || text.starts_with("warning") => {
                self.output("stderr", &text)
            }
            _ => Ok(()),
        }
    }

    /// Text for the client's console.
    pub(super) fn output(&mut self, category: &str, text: &str) -> Result<()> {
        let body = json!({ "category": category, "output": text });
        Ok(self.client.event("output", body)?)
    }

    fn lost(&mut self) -> Result<()> {
        if let Some(mut target) = self.target.take() {
            let why = format!("{}\n", target.why_gone());
            self.output("stderr", &why)?;
            self.client.event("terminated", json!({}))?;
        }
        Ok(())
    }
}

impl Target {
    /// Why gdb is not there any more.
    pub(super) fn why_gone(&mut self) -> String {
        let why = self.gdb.end(&self.program);
        format!(
            "{why}{}{}",
            if self.log.is_empty() { "" } else { ": " },
            self.log.trim_end()
        )
    }
}

type Handler = fn(&mut Adapter, &Value) -> Result<Value>;

/// Requests that need a recording that stands still.
const KNOWN: [(&str, Handler); 24] = [
    ("continue", |a, v| a.go("-exec-continue", v)),
    ("reverseContinue", |a, v| {
        a.go("-exec-continue --reverse", v)
    }),
    ("next", |a, v| a.go("-exec-next", v)),
    ("stepIn", |a, v| a.go("-exec-step", v)),
    ("stepOut", |a, v| a.go("-exec-finish", v)),
    ("stepBack", |a, v| a.go("-exec-next --reverse", v)),
    ("orch/stepInBack", |a, v| a.go("-exec-step --reverse", v)),
    ("orch/stepOutBack", |a, v| a.go("-exec-finish --reverse", v)),
    ("stackTrace", Adapter::stack_trace),
    ("scopes", Adapter::scopes),
    ("variables", Adapter::variables),
    ("evaluate", Adapter::evaluate),
    ("loadedSources", |a, _| a.loaded_sources()),
    ("dataBreakpointInfo", Adapter::data_breakpoint_info),
    ("readMemory", Adapter::read_memory),
    ("disassemble", Adapter::disassemble),
    ("orch/when", |a, _| Ok(json!({ "position": a.when()? }))),
    ("orch/jump", Adapter::jump),
    ("orch/whoWrote", Adapter::who_wrote),
    ("orch/processes", |a, _| a.processes()),
    ("setVariable", |_, _| {
        bail!("what is recorded cannot be changed")
    }),
    ("setExpression", |_, _| {
        bail!("what is recorded cannot be changed")
    }),
    ("writeMemory", |_, _| {
        bail!("what is recorded cannot be changed")
    }),
    ("goto", |_, _| {
        bail!("a recording goes where it went; orch/jump goes to another instant")
    }),
];
