//! A client of the debug adapter protocol.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use orch_tests::orch::Place;
use orch_tests::run;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub const LIMIT: Duration = Duration::from_secs(120);

/// One side of a debugging session.
pub struct Client {
    pub out: Option<Box<dyn Write>>,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    seq: i64,
}

impl Client {
    pub fn new(input: impl Read + Send + 'static, out: impl Write + 'static) -> Self {
        let (to, messages) = channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(input);
            while let Ok(message) = read(&mut from) {
                if to.send(message).is_err() {
                    break;
                }
            }
        });
        Self {
            out: Some(Box::new(out)),
            messages,
            events: VecDeque::new(),
            seq: 0,
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let out = self.out.as_mut().context("the input is closed")?;
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    pub fn say(&mut self, body: &str) -> Result<()> {
        self.write(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }

    pub fn send(&mut self, command: &str, arguments: &Value) -> Result<i64> {
        self.seq += 1;
        let seq = self.seq;
        let request =
            json!({ "seq": seq, "type": "request", "command": command, "arguments": arguments });
        self.say(&request.to_string())?;
        Ok(seq)
    }

    pub fn next(&mut self) -> Result<Value> {
        match self.messages.recv_timeout(LIMIT) {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Timeout) => bail!("nothing comes: {:?}", self.events),
            Err(RecvTimeoutError::Disconnected) => bail!("it is gone: {:?}", self.events),
        }
    }

    /// The response to a request; an error, if it says so.
    pub fn response(&mut self, seq: i64) -> Result<Value> {
        loop {
            let message = self.next()?;
            if message["type"] == "event" {
                self.events.push_back(message);
                continue;
            }
            ensure!(message["request_seq"] == seq, "not {seq}: {message}");
            if message["success"] == true {
                return Ok(message["body"].clone());
            }
            let why = message["message"].as_str().context("no message")?;
            ensure!(
                message["body"]["error"]["variables"]["why"] == why,
                "{message}"
            );
            return Err(anyhow!(why.to_owned()));
        }
    }

    pub fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let seq = self.send(command, &arguments)?;
        self.response(seq)
            .with_context(|| format!("{command} {arguments}"))
    }

    /// A request that is refused, for this reason.
    pub fn refused(&mut self, command: &str, arguments: Value, why: &str) -> Result<()> {
        let seq = self.send(command, &arguments)?;
        match self.response(seq) {
            Ok(body) => bail!("{command} {arguments} was not refused: {body}"),
            Err(e) if e.to_string().contains(why) => Ok(()),
            Err(e) => Err(e).with_context(|| format!("{command}: not {why:?}")),
        }
    }

    pub fn event(&mut self, name: &str) -> Result<Value> {
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.next()?,
            };
            if event["event"] == name {
                return Ok(event["body"].clone());
            }
        }
    }

    /// Up to the first stop: where that is.
    pub fn launch(&mut self, arguments: Value) -> Result<String> {
        self.ask("initialize", json!({ "adapterID": "orch" }))?;
        self.ask("launch", arguments)?;
        self.event("initialized")?;
        self.ask("configurationDone", json!({}))?;
        self.stop("entry")
    }

    /// The position of the next stop.
    pub fn stop(&mut self, reason: &str) -> Result<String> {
        let stop = self.event("stopped")?;
        ensure!(stop["reason"] == reason, "not {reason}: {stop}");
        Ok(stop["position"].as_str().context("no position")?.to_owned())
    }

    pub fn go(&mut self, command: &str, reason: &str) -> Result<String> {
        self.ask(command, json!({ "threadId": 1 }))?;
        self.stop(reason)
    }

    pub fn stack(&mut self) -> Result<Vec<Value>> {
        let stack = self.ask("stackTrace", json!({ "threadId": 1 }))?;
        Ok(stack["stackFrames"]
            .as_array()
            .context("no frames")?
            .clone())
    }

    /// The first frame of this function.
    pub fn frame(&mut self, function: &str) -> Result<Value> {
        let stack = self.stack()?;
        let is_it = |f: &&Value| f["name"].as_str().is_some_and(|n| n.contains(function));
        let found = stack.iter().find(is_it).cloned();
        found.with_context(|| format!("{function} is not in {stack:#?}"))
    }

    pub fn value(&mut self, expression: &str, frame: &Value) -> Result<String> {
        let arguments = json!({ "expression": expression, "frameId": frame["id"] });
        let body = self.ask("evaluate", arguments)?;
        Ok(body["result"].as_str().context("no result")?.to_owned())
    }

    /// A variable among others.
    pub fn variable(&mut self, holder: &Value, name: &str) -> Result<Value> {
        let arguments = json!({ "variablesReference": holder["variablesReference"] });
        let body = self.ask("variables", arguments)?;
        let all = body["variables"].as_array().context("no variables")?;
        let found = all.iter().find(|v| v["name"] == name).cloned();
        found.with_context(|| format!("{name} is not in {body:#}"))
    }

    pub fn watch(&mut self, arguments: Value) -> Result<()> {
        let info = self.ask("dataBreakpointInfo", arguments)?;
        let set = json!({ "breakpoints": [{ "dataId": info["dataId"] }] });
        let set = self.ask("setDataBreakpoints", set)?;
        ensure!(set["breakpoints"][0]["verified"] == true, "{info} {set}");
        Ok(())
    }
}

fn read(from: &mut impl BufRead) -> Result<Value> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        ensure!(from.read_line(&mut line)? > 0, "the end");
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", n)) => length = n.parse()?,
            _ => break,
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// An `orch dap` that a client has started.
pub struct Adapter {
    pub process: Child,
    pub client: Client,
    errors: ChildStderr,
}

impl Adapter {
    pub fn start(place: &Place) -> Result<Self> {
        let mut command = place.command(place.orch());
        command.arg("-s").arg(place.session()).arg("dap");
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().context("no output")?;
        let client = Client::new(out, process.stdin.take().context("no input")?);
        let errors = process.stderr.take().context("no errors")?;
        Ok(Self {
            process,
            client,
            errors,
        })
    }

    /// Waits for its end: the exit code. Nothing is left of it then.
    pub fn end(mut self, place: &Place) -> Result<Option<i32>> {
        let status = run::wait(&mut self.process, LIMIT)?.context("it does not end")?;
        let mut said = String::new();
        self.errors.read_to_string(&mut said)?;
        ensure!(!said.contains("panicked"), "{said}");
        nothing_is_left(place)?;
        Ok(status.code())
    }
}

/// No process is left of this place's orch: not at once, for they end one after another.
pub fn nothing_is_left(place: &Place) -> Result<()> {
    place.none_left(Duration::from_secs(20))
}
