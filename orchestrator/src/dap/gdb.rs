//! The gdb that does the work: its process, and its words.

use super::Input;
use super::mi::{self, Record};
use crate::commands::tether::NOT_FOUND;
use anyhow::{Context as _, Result};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;

/// A running gdb. It ends when this is dropped, or this process ends.
pub struct Gdb {
    child: Child,
    stdin: ChildStdin,
    token: u64,
}

/// A command of this machine that ends with this process.
pub fn tethered(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let parent = std::process::id().to_string();
    command.args(["tether", &parent, "--"]).arg(program);
    Ok(command)
}

impl Gdb {
    /// Starts one; what it says goes to `inputs`.
    pub fn start(
        program: &str,
        environment: &[(&str, &Path)],
        inputs: &Sender<Input>,
    ) -> Result<Self> {
        let mut gdb = tethered(program)?;
        gdb.args(["-q", "--interpreter=mi3"])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = gdb.spawn().context("cannot start gdb")?;
        let stdin = child.stdin.take().context("gdb has no input")?;
        let out = child.stdout.take().context("gdb has no output")?;
        let errors = child.stderr.take().context("gdb has no output")?;
        let to = inputs.clone();
        std::thread::spawn(move || {
            each_line(errors, |line| {
                to.send(Input::Gdb(Record::Log(line))).is_ok()
            });
        });
        let ended = inputs.clone();
        let to = inputs.clone();
        std::thread::spawn(move || {
            each_line(out, |line| {
                let record = mi::parse(&line).filter(|r| *r != Record::Prompt);
                record.is_none_or(|record| to.send(Input::Gdb(record)).is_ok())
            });
            let _ = ended.send(Input::GdbGone);
        });
        Ok(Self {
            child,
            stdin,
            token: 0,
        })
    }

    /// Gives it a command; the result will have this number.
    pub fn send(&mut self, command: &str) -> std::io::Result<u64> {
        self.token += 1;
        // A line is a command, whatever a client has put into a condition.
        let line = command.replace(['\n', '\r'], " ");
        writeln!(self.stdin, "{}{line}", self.token)?;
        Ok(self.token)
    }

    /// Whether it has ended.
    pub fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Why it is not there any more.
    pub fn end(&mut self, program: &str) -> String {
        // No more is heard of it, whatever it does.
        let _ = self.child.kill();
        match self.child.wait().map(|status| status.code()) {
            Ok(Some(code)) if code == i32::from(NOT_FOUND) => {
                format!("cannot run {program}: is gdb installed? (apt install gdb)")
            }
            Ok(Some(code)) => format!("gdb has ended, with exit code {code}"),
            _ => "gdb was killed".to_owned(),
        }
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        // It may be busy for long. What it started sees that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each line, as text, until there is none or nobody wants more.
fn each_line(from: impl Read, mut take: impl FnMut(String) -> bool) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        if !take(String::from_utf8_lossy(&line).into_owned()) {
            return;
        }
        line.clear();
    }
}
