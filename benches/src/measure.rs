//! Runs a workload natively and recorded, in turns.

use crate::workload::Workload;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Seconds after which a replay is given up.
const REPLAY_LIMIT: u64 = 60;
/// Sessions of more bytes are not kept until the end of a workload.
const LARGE: u64 = 100 << 20;

/// What came out.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The workload's name.
    pub name: &'static str,
    /// Median wall time, milliseconds.
    pub native_ms: f64,
    /// Median wall time, milliseconds.
    pub recorded_ms: f64,
    /// Recorded / native.
    pub ratio: f64,
    /// Bytes of the recordings, without captured files.
    pub trace_bytes: u64,
    /// Wall time of `orch replay --check`, milliseconds.
    pub replay_ms: f64,
    /// Whether everything went as it should.
    pub verdict: &'static str,
}

struct Timed {
    time: Duration,
    success: bool,
}

/// Measures one workload with `runs` runs of each kind.
pub fn measure(orch: &Path, workload: &Workload, dir: &Path, runs: usize) -> Result<Row> {
    let command = workload.command(dir);
    let mut session = PathBuf::new();
    let mut native = Vec::new();
    let mut recorded = Vec::new();
    let mut verdict = "ok";
    // The first pair warms the caches and does not count.
    for n in 0..=runs {
        clean(workload, dir)?;
        let run = time(Command::new(&command[0]).args(&command[1..]))?;
        clean(workload, dir)?;
        // Not what users wait for: ext4 looks twice at inodes that were just freed.
        if size(&session)? > LARGE {
            remove(&session)?;
        }
        session = dir.join(format!("session-{n}"));
        let mut record = Command::new(orch);
        record.args(["record", "-q", "-o"]).arg(&session).arg("--");
        let with = time(record.args(&command))?;
        if !run.success || !with.success {
            verdict = "failed";
        }
        if n > 0 {
            native.push(run.time);
            recorded.push(with.time);
        }
    }
    let trace_bytes = size(&session)?;
    clean(workload, dir)?;
    // A replay that hangs is a result too: timeout(1) ends it.
    let mut replay = Command::new("timeout");
    replay.arg(REPLAY_LIMIT.to_string()).arg(orch);
    let replay = time(replay.args(["replay", "--check", "-s"]).arg(&session))?;
    if verdict == "ok" && !replay.success {
        verdict = if replay.time.as_secs() < REPLAY_LIMIT {
            "replay differs"
        } else {
            "replay hangs"
        };
    }
    for n in 0..=runs {
        remove(&dir.join(format!("session-{n}")))?;
    }
    let (native_ms, recorded_ms) = (median(native), median(recorded));
    Ok(Row {
        name: workload.name,
        native_ms,
        recorded_ms,
        ratio: recorded_ms / native_ms,
        trace_bytes,
        replay_ms: milliseconds(replay.time),
        verdict,
    })
}

fn time(command: &mut Command) -> Result<Timed> {
    let start = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    Ok(Timed {
        time: start.elapsed(),
        success: status.success(),
    })
}

fn clean(workload: &Workload, dir: &Path) -> Result<()> {
    workload
        .leaves
        .map_or(Ok(()), |name| remove(&dir.join(name)))
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// Bytes of `p1.events`, `p2.events`, … of a session; 0 if there is none.
fn size(session: &Path) -> Result<u64> {
    if !session.exists() {
        return Ok(0);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(session)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().ends_with(b".events") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    milliseconds(times[times.len() / 2])
}
