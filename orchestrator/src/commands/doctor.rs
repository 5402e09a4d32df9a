//! `orch doctor`.

mod machine;
mod place;
mod selftest;
mod system;

use crate::output::{self, Output, Style};
use anyhow::Result;
use serde::Serialize;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Arguments of `orch doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch doctor
  orch doctor --self-test
  orch doctor --json | jq -r 'select(.state != \"ok\") | .fix'

The exit code is 1 if something is missing that recording cannot do without,
or if the self-test fails.")]
pub struct Args {
    /// Also record and replay two small commands.
    #[arg(long)]
    self_test: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What was found out about one thing.
#[derive(Debug, Serialize)]
struct Finding {
    /// The thing.
    what: &'static str,
    state: State,
    /// What is there.
    found: String,
    /// What follows from it.
    means: &'static str,
    /// What to do about it; empty where there is nothing to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    fix: &'static str,
    /// Recording does not work without it.
    needed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Limited,
    Missing,
}

impl Finding {
    const fn ok(what: &'static str, found: String, means: &'static str) -> Self {
        Self {
            what,
            state: State::Ok,
            found,
            means,
            fix: "",
            needed: false,
        }
    }

    const fn limited(
        what: &'static str,
        found: String,
        means: &'static str,
        fix: &'static str,
    ) -> Self {
        Self {
            what,
            state: State::Limited,
            found,
            means,
            fix,
            needed: false,
        }
    }

    const fn missing(
        what: &'static str,
        found: String,
        means: &'static str,
        fix: &'static str,
    ) -> Self {
        Self {
            what,
            state: State::Missing,
            found,
            means,
            fix,
            needed: false,
        }
    }

    const fn needed(mut self) -> Self {
        self.needed = true;
        self
    }
}

/// Runs it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut out = Output::new();
    let mut findings = system::findings();
    findings.extend(machine::findings());
    findings.extend(place::findings());
    for finding in &findings {
        show(&mut out, finding, args.json)?;
    }
    if args.self_test {
        for test in selftest::TESTS {
            let finding = test.run();
            show(&mut out, &finding, args.json)?;
            findings.push(finding);
        }
    }
    let broken = findings
        .iter()
        .any(|f| f.needed && f.state == State::Missing);
    if !args.json {
        let (style, text) = if broken {
            (
                Style::Bad,
                "Recording does not work here; see what is missing above.",
            )
        } else if args.self_test {
            (Style::Good, "Recording and replay work here.")
        } else {
            (
                Style::Plain,
                "Nothing stands against recording here. `orch doctor --self-test` tries it.",
            )
        };
        writeln!(out, "\n{}", out.style(style, text))?;
    }
    out.flush()?;
    Ok(super::found(!broken))
}

fn show(out: &mut Output, finding: &Finding, json: bool) -> io::Result<()> {
    if json {
        out.json(finding)?;
        return out.flush();
    }
    let (style, word) = match finding.state {
        State::Ok => (Style::Good, "ok"),
        State::Limited => (Style::Warn, "limited"),
        State::Missing => (Style::Bad, "missing"),
    };
    let word = out.style(style, word);
    writeln!(out, "{word:<7}  {:<19}  {}", finding.what, finding.found)?;
    for text in [finding.means, finding.fix] {
        paragraph(out, text)?;
    }
    out.flush()
}

/// Prints indented text, broken between words.
fn paragraph(out: &mut Output, text: &str) -> io::Result<()> {
    const INDENT: usize = 30;
    let width = output::width()
        .unwrap_or(100)
        .saturating_sub(INDENT)
        .max(30);
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            writeln!(out, "{:INDENT$}{line}", "")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        writeln!(out, "{:INDENT$}{line}", "")?;
    }
    Ok(())
}

/// A file's content without white space around it; empty if it cannot be read.
fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The value of a line `name: value` of `text`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}
