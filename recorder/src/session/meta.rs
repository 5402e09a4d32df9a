//! `session.json`.

use super::SessionError;
use crate::cpuid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Version of the session directory's layout that is written and read.
pub const FORMAT: u32 = 1;

/// What a session says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Layout of the directory: [`FORMAT`].
    pub format: u32,
    /// Version of the orch that made it.
    pub orch: String,
    /// The command and its arguments. Text that is not UTF-8 is shown with
    /// replacements; the root's first record has it exactly.
    pub command: Vec<String>,
    /// Working directory of the command.
    pub cwd: PathBuf,
    /// Its environment, `NAME=VALUE`.
    #[serde(default)]
    pub env: Vec<String>,
    /// User who recorded.
    pub uid: u32,
    /// Process id of the supervisor.
    pub supervisor: u32,
    /// When the supervisor started, in the kernel's ticks since boot (field 22
    /// of proc_pid_stat(5)): tells it from a later process of the same id.
    pub supervisor_start: u64,
    /// Wall time at the start, nanoseconds since the epoch.
    pub started: u64,
    /// Kernel release.
    pub kernel: String,
    /// The processor.
    pub cpu: CpuModel,
    /// Wall time at the end; absent while recording, or if orch was killed.
    #[serde(default)]
    pub ended: Option<u64>,
    /// Whether orch ended the session itself.
    #[serde(default)]
    pub clean: bool,
    /// Wall time at which another orch saved what the rings held, as the
    /// supervisor was killed.
    #[serde(default)]
    pub recovered: Option<u64>,
    /// Exit code of the command; 128 + signal if killed.
    #[serde(default)]
    pub exit_status: Option<i32>,
    /// Whether system-call sites were left unpatched.
    #[serde(default)]
    pub no_patch: bool,
    /// Whether the processor had no fault for `cpuid`.
    #[serde(default)]
    pub replace_cpuid: bool,
    /// Calls that were refused.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// A processor, as `/proc/cpuinfo` names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuModel {
    /// `model name`.
    pub name: String,
    /// `vendor_id`, `cpu family`, `model`, `stepping`, joined by `/`.
    pub id: String,
}

/// A kind of call that was refused, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The call's name.
    pub call: String,
    /// What was asked of it, where that matters (an ioctl's request).
    #[serde(default)]
    pub detail: String,
    /// How often.
    pub count: u64,
}

impl Meta {
    /// How long the recording took; `None` if it goes on, or orch was killed.
    #[must_use]
    pub fn lasted(&self) -> Option<Duration> {
        let end = self.ended?;
        Some(Duration::from_nanos(end.saturating_sub(self.started)))
    }

    /// For a session that this process starts to record now.
    #[must_use]
    pub fn now(command: Vec<String>, cwd: PathBuf, env: Vec<String>) -> Self {
        let supervisor = std::process::id();
        Self {
            format: FORMAT,
            orch: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            cwd,
            env,
            uid: nix::unistd::getuid().as_raw(),
            supervisor,
            supervisor_start: start_of(supervisor).unwrap_or(0),
            started: wall_time(),
            kernel: read_line("/proc/sys/kernel/osrelease"),
            cpu: CpuModel::here(),
            ended: None,
            clean: false,
            recovered: None,
            exit_status: None,
            no_patch: false,
            replace_cpuid: !cpuid::can_fault(),
            refused: Vec::new(),
        }
    }

    /// Notes that the session ended as it should.
    pub fn end(&mut self, exit_status: i32, refused: Vec<Refused>) {
        self.ended = Some(wall_time());
        self.clean = true;
        self.exit_status = Some(exit_status);
        self.refused = refused;
    }

    /// Notes that what its supervisor left behind was saved.
    pub fn recover(&mut self) {
        self.recovered = Some(wall_time());
    }

    /// The process that records this session now, if one does.
    #[must_use]
    pub fn running(&self) -> Option<u32> {
        let runs = self.ended.is_none() && start_of(self.supervisor) == Some(self.supervisor_start);
        runs.then_some(self.supervisor)
    }

    /// Reads `session.json`, its version before all else.
    pub(super) fn parse(text: &[u8], dir: &Path, path: &Path) -> Result<Self, SessionError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
            #[serde(default)]
            orch: String,
        }
        let damaged = |source| SessionError::Meta {
            path: path.to_owned(),
            source,
        };
        let version: Version = serde_json::from_slice(text).map_err(damaged)?;
        if version.format != FORMAT {
            let (found, orch) = (version.format, version.orch);
            return Err(SessionError::Version {
                path: dir.to_owned(),
                found,
                orch,
            });
        }
        serde_json::from_slice(text).map_err(damaged)
    }
}

impl CpuModel {
    /// The processor this runs on.
    #[must_use]
    pub fn here() -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
            pairs
                .find(|(key, _)| key.trim() == name)
                .map_or("?", |(_, value)| value.trim())
        };
        let id = ["vendor_id", "cpu family", "model", "stepping"]
            .map(field)
            .join("/");
        Self {
            name: field("model name").to_owned(),
            id,
        }
    }
}

/// Nanoseconds since the epoch.
fn wall_time() -> u64 {
    let passed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
}

fn read_line(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Start time of a process that is no zombie. The name in field 2 may contain
/// anything, so the fields are counted from its closing parenthesis.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // state is field 3, so field 22 is the 19th from here.
    let start = fields.nth(18)?.parse().ok()?;
    (state != "Z").then_some(start)
}
