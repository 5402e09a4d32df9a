//! A guided tour: what is said, and commands with what they print.

use super::example::Example;
use super::rows::{Line, Object, Process, Row};
use crate::output::{self, Output, Style, cut};
use anyhow::{Context as _, Result, bail};
use orch_recorder::session;
use serde::de::DeserializeOwned;
use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One tour, of one example.
pub struct Tour {
    pub example: &'static Example,
    dir: PathBuf,
    session: PathBuf,
    orch: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Tour {
    pub fn new(example: &'static Example, dir: PathBuf, session: PathBuf) -> Result<Self> {
        Ok(Self {
            example,
            dir,
            session,
            orch: env::current_exe().context("the program does not find itself")?,
            variables: Vec::new(),
        })
    }

    /// Where the example is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sets a variable of the example's environment.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.variables.push((name, value.to_owned()));
    }

    pub fn say(&self, text: &str) -> Result<()> {
        let mut out = Output::new();
        writeln!(out, "\n{}", wrapped(text))?;
        Ok(out.flush()?)
    }

    pub fn verdict(&self, style: Style, text: &str) -> Result<()> {
        let mut out = Output::new();
        let text = wrapped(text);
        writeln!(out, "\n{}", out.style(style, &text))?;
        Ok(out.flush()?)
    }

    fn prompt(&self, command: &str) -> Result<()> {
        let mut out = Output::new();
        let line = format!("$ {command}");
        writeln!(out, "\n{}", out.style(Style::Bold, &line))?;
        Ok(out.flush()?)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.orch);
        command
            .args(args)
            .current_dir(&self.dir)
            .env("ORCH_SESSION", &self.session)
            .envs(self.variables.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        command
    }

    /// Runs the example.
    pub fn record(&self) -> Result<()> {
        let session = self.session.display().to_string();
        let args = ["record", "-o", &session, "--", "./launch.sh"];
        let failed = !self.show(&args)?;
        if !self.session.is_dir() {
            bail!("nothing was recorded");
        }
        session::link_latest(&self.session)?;
        if !failed {
            bail!("this time nothing went wrong: try again");
        }
        Ok(())
    }

    /// Shows the example's own processes.
    pub fn processes(&self) -> Result<()> {
        let pattern = match self.example.makefile("PROGRAMS").is_empty() {
            true => "count.py",
            false => "build/",
        };
        self.prompt(&format!("orch ls | grep -E 'RECORDING|{pattern}'"))?;
        let output = self.command(&["ls"]).output()?;
        let mut out = Output::new();
        let text = String::from_utf8_lossy(&output.stdout);
        let width = output::width().unwrap_or(usize::MAX);
        let shown = |line: &&str| line.starts_with("RECORDING") || line.contains(pattern);
        for line in text.lines().filter(shown) {
            writeln!(out, "{}", cut(line, width))?;
        }
        Ok(out.flush()?)
    }

    /// Runs a command of orch for the reader; whether it answered 0.
    pub fn show(&self, args: &[&str]) -> Result<bool> {
        self.prompt(&format!("orch {}", args.join(" ")))?;
        let status = self.command(args).status()?;
        Ok(status.success())
    }

    /// Runs a command of orch for its JSON.
    fn read<T: DeserializeOwned>(&self, args: &[&str]) -> Result<Vec<T>> {
        let output = self.command(args).arg("--json").output()?;
        let lines = output.stdout.split(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        // Lines of another form are not about what is asked for.
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    /// What was printed: lines that begin so, each without that.
    pub fn printed(&self, prefix: &str) -> Result<Vec<Line>> {
        let lines = self.read::<Line>(&["console"])?.into_iter();
        Ok(lines
            .filter_map(|mut line| {
                line.text = line.text.strip_prefix(prefix)?.to_owned();
                Some(line)
            })
            .collect())
    }

    /// The shared object that most was stored to.
    pub fn object(&self) -> Result<Option<String>> {
        let objects: Vec<Object> = self.read(&["shm"])?;
        let object = objects.into_iter().max_by_key(|object| object.stores);
        Ok(object.map(|object| object.object))
    }

    pub fn recordings(&self) -> Result<Vec<Process>> {
        self.read(&["ls"])
    }

    /// All accesses to `len` bytes, in order.
    pub fn blame(&self, place: &str, len: u64) -> Result<Vec<Row>> {
        self.read(&["ublame", place, "--len", &len.to_string()])
    }

    /// How to go on.
    pub fn go_on(&self) -> Result<()> {
        let session = self.session.display();
        self.say(&format!(
            "To look around (orch events, orch shm, orch console, …):\n  \
             export ORCH_SESSION={session}"
        ))
    }
}

/// Text in lines that are not too long; what is indented stays as it is.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 88;
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        if paragraph.starts_with(' ') {
            lines.push(paragraph.to_owned());
            continue;
        }
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            line += if line.is_empty() { "" } else { " " };
            line += word;
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn text_is_wrapped_and_code_is_not() {
        let code = format!("    {}", "x = y; ".repeat(20));
        let text = wrapped(&format!("{}:\n{code}", "word ".repeat(30).trim()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[..2].iter().all(|line| line.len() <= 88));
        assert_eq!(lines[2], code);
    }
}
