//! Moving, both ways, and what is told of stops.

use super::adapter::Adapter;
use super::launch::text;
use crate::position::Position;
use anyhow::{Result, bail};
use serde_json::{Value, json};

const CONTINUE: &str = "-exec-continue";

impl Adapter {
    /// Lets the recording move by a command of gdb's.
    pub(super) fn go(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let (verb, way) = command.split_once(' ').unwrap_or((command, ""));
        let mut motion = verb.to_owned();
        if arguments["granularity"] == "instruction" && matches!(verb, "-exec-next" | "-exec-step")
        {
            motion += "-instruction";
        }
        // All threads continue: the one that is named may be over.
        if let Some(thread) = arguments["threadId"].as_u64()
            && verb != CONTINUE
        {
            motion += &format!(" --thread {thread}");
        }
        if verb == "-exec-finish" {
            motion += " --frame 0";
        }
        // gdb takes --reverse behind --thread only.
        motion += &format!(" {way}");
        self.target()?.motion.clone_from(&motion);
        self.gdb(&motion)?;
        Ok(json!({ "allThreadsContinued": true }))
    }

    pub(super) fn pause(&mut self) -> Result<Value> {
        self.interrupt()?;
        Ok(Value::Null)
    }

    /// Makes what moves stop: it comes back to where it was, which may take a while.
    pub(super) fn interrupt(&mut self) -> Result<()> {
        let target = self.target()?;
        if target.running && !std::mem::replace(&mut target.interrupted, true) {
            self.gdb("-exec-interrupt")?;
        }
        Ok(())
    }

    /// Does something that needs a recording that stands still: one that moves is stopped
    /// for it, and goes on. (Not so a step: gdb has forgotten where it was to end.)
    pub(super) fn halted(
        &mut self,
        mut act: impl FnMut(&mut Self) -> Result<Value>,
    ) -> Result<Value> {
        if !self.target()?.running {
            return act(self);
        }
        self.interrupt()?;
        self.rest()?;
        let stops = self.take_stops();
        let done = act(self);
        let motion = self.target()?.motion.clone();
        match stops.last() {
            Some(stop) if stop["signal-name"] == "SIGINT" && motion.starts_with(CONTINUE) => {
                self.gdb(&motion)?;
            }
            Some(stop) => self.tell_stop(stop)?,
            None => {}
        }
        done
    }

    /// The present position.
    pub(super) fn when(&mut self) -> Result<String> {
        let said = self.console("monitor when")?;
        let position = said.trim().to_owned();
        // Or else an error of the recording's side.
        if position.parse::<Position>().is_err() {
            bail!(position);
        }
        Ok(position)
    }

    /// Goes to another instant, of this recording or another. Breakpoints are kept; data
    /// breakpoints are addresses, and mean nothing in another process.
    pub(super) fn jump(&mut self, arguments: &Value) -> Result<Value> {
        let Some(to) = text(arguments, "position")? else {
            bail!("say where to jump to: a position, like p3@18402");
        };
        let position: Position = to.parse()?;
        position.resolve(&self.target()?.session)?;
        let went = self.console(&format!("orch jump {position}"));
        self.rest()?;
        self.take_stops();
        went?;
        let position = self.moved()?;
        let body = self.stop_body("goto", &position, None)?;
        self.after.push(("stopped", body));
        Ok(json!({ "position": position }))
    }

    /// Something else than a motion of gdb's has led elsewhere.
    pub(super) fn moved(&mut self) -> Result<String> {
        self.forget()?;
        self.read_threads()?;
        let position = self.when()?;
        let recording = position.parse::<Position>()?.recording;
        let before = std::mem::replace(&mut self.target()?.recording, recording);
        if recording != before {
            self.drop_data_breakpoints()?;
        }
        Ok(position)
    }

    /// What was known of the last instant.
    fn forget(&mut self) -> Result<()> {
        let target = self.target()?;
        target.frames.clear();
        for name in target.variables.clear() {
            // Gone with its frame, perhaps.
            let _ = self.gdb(&format!("-var-delete {name}"));
        }
        Ok(())
    }

    pub(super) fn tell_stop(&mut self, stop: &Value) -> Result<()> {
        let position = self.moved()?;
        let target = self.target()?;
        let number = stop["bkptno"].as_str().or(stop["wpt"]["number"].as_str());
        let number = number.or(stop["hw-awpt"]["number"].as_str());
        let (reason, text) = match stop["reason"].as_str() {
            Some("breakpoint-hit") => {
                let kind = target.breakpoints.kind(number.unwrap_or_default());
                (kind, None)
            }
            Some("watchpoint-trigger" | "access-watchpoint-trigger") => {
                let value = &stop["value"];
                let of = |name| value[name].as_str().unwrap_or("?");
                let what = target.breakpoints.name(number.unwrap_or_default());
                let text = format!("{what}: {} → {}", of("old"), of("new"));
                ("data breakpoint", Some(text))
            }
            Some("signal-received") if stop["signal-name"] == "SIGINT" => ("pause", None),
            // A step back, to where another thread had its turn.
            Some("signal-received") if stop["signal-name"] == "SIGTRAP" => ("step", None),
            Some("signal-received") => {
                let name = stop["signal-name"].as_str().unwrap_or("a signal");
                ("exception", Some(name.to_owned()))
            }
            Some("watchpoint-scope") => {
                let text = "a watched variable has gone out of scope".to_owned();
                ("data breakpoint", Some(text))
            }
            None if target.edge => {
                let back = target.motion.contains("--reverse");
                let which = if back { "begins" } else { "ends" };
                ("pause", Some(format!("the recording {which} here")))
            }
            // None also behind a function without debugging information.
            _ => ("step", None),
        };
        let mut body = self.stop_body(reason, &position, text.as_deref())?;
        if let Some(id) = number.and_then(|n| n.parse::<i64>().ok()) {
            body["hitBreakpointIds"] = json!([self.target()?.breakpoints.first_of(id)]);
        }
        if let Some(text) = text {
            self.output("console", &format!("{position}: {text}\n"))?;
        }
        if let Some(thread) = stop["thread-id"]
            .as_str()
            .and_then(|t| t.parse::<i64>().ok())
        {
            body["threadId"] = thread.into();
        }
        Ok(self.client.event("stopped", body)?)
    }

    pub(super) fn stop_body(
        &mut self,
        reason: &str,
        position: &str,
        text: Option<&str>,
    ) -> Result<Value> {
        let current = self.target()?.threads[0]["id"].clone();
        let mut body = json!({
            "reason": reason, "threadId": current, "allThreadsStopped": true,
            "position": position,
        });
        body["description"] = match text {
            Some(text) => format!("{text}, {position}").into(),
            None => format!("{reason}, {position}").into(),
        };
        if let Some(text) = text {
            body["text"] = text.into();
        }
        Ok(body)
    }

    /// Threads, the one that runs first.
    pub(super) fn read_threads(&mut self) -> Result<()> {
        let found = self.gdb("-thread-info")?;
        let mut threads = Vec::new();
        for thread in found["threads"].as_array().into_iter().flatten() {
            let id: i64 = thread["id"].as_str().unwrap_or_default().parse()?;
            let target = thread["target-id"].as_str().unwrap_or_default();
            let details = thread["details"].as_str().unwrap_or_default();
            // What the thread is called, if it is known.
            let name = thread["name"].as_str().map(|name| format!("{name}, "));
            let name = format!("{}{details} ({target})", name.unwrap_or_default());
            let one = json!({ "id": id, "name": name });
            if details.ends_with("runs") {
                threads.insert(0, one);
            } else {
                threads.push(one);
            }
        }
        self.target()?.threads = threads.into();
        Ok(())
    }

    pub(super) fn threads(&mut self) -> Result<Value> {
        Ok(json!({ "threads": self.target()?.threads }))
    }
}
