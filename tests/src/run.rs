//! Runs a command with a time limit and keeps what it printed.

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How a command came out.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status, unless it had to be ended.
    pub status: Option<ExitStatus>,
    /// What it printed.
    pub stdout: String,
    /// What it printed as errors.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Outcome {
    /// The exit code, if it exited by itself.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|s| s.code())
    }

    /// Whether it ended by itself, without a panic or a signal.
    pub fn orderly(&self) -> bool {
        self.code().is_some_and(|code| code != PANIC)
    }
}

/// The exit code of a Rust program that panicked.
const PANIC: i32 = 101;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            None => writeln!(f, "  ended after {:.0?}: it took too long", self.took)?,
            Some(s) => match s.signal() {
                Some(signal) => writeln!(f, "  killed by signal {signal}")?,
                None => writeln!(f, "  exit code {}", s.code().unwrap_or(-1))?,
            },
        }
        excerpt(f, "stdout", &self.stdout)?;
        excerpt(f, "stderr", &self.stderr)
    }
}

fn excerpt(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    const LINES: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    if skipped > 0 {
        writeln!(f, "  {name}: … {skipped} lines …")?;
    }
    for line in &lines[skipped..] {
        writeln!(
            f,
            "  {name}: {}",
            line.chars().take(300).collect::<String>()
        )?;
    }
    Ok(())
}

/// Runs `command` for at most `limit`; what is left of its tree is ended then.
///
/// Output goes through files, not pipes: a daemon that keeps its output open
/// must not hold up the test.
///
/// # Errors
/// If it cannot be started.
pub fn run(command: &mut Command, limit: Duration) -> Result<Outcome> {
    let mut out = tempfile::tempfile()?;
    let mut err = tempfile::tempfile()?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let status = wait(&mut child, limit)?;
    Ok(Outcome {
        status,
        stdout: text(&mut out)?,
        stderr: text(&mut err)?,
        took: start.elapsed(),
    })
}

/// Waits for `child`; ends its whole tree when the time is over.
///
/// # Errors
/// If it cannot be waited for.
pub fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut nap = Duration::from_millis(1);
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(20));
    }
    kill_tree(child.id().cast_signed());
    child.wait()?;
    Ok(None)
}

/// Kills a process and all its descendants. `orch` adopts orphans, so that
/// what it records stays below it.
pub fn kill_tree(root: i32) {
    for pid in descendants(root).into_iter().chain([root]) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// All processes below `root`.
pub fn descendants(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok())
            && let Some(parent) = parent(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while next < found.len() {
        found.extend(children.remove(&found[next]).unwrap_or_default());
        next += 1;
    }
    found
}

fn parent(pid: i32) -> Option<i32> {
    // The name may hold spaces and parentheses: proc(5), /proc/pid/stat.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn text(file: &mut File) -> Result<String> {
    const LIMIT: u64 = 1 << 20;
    let size = file.metadata()?.len();
    file.seek(std::io::SeekFrom::Start(size.saturating_sub(LIMIT)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
