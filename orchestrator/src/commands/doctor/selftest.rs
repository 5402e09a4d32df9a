//! Records and replays small commands with this very program.

use super::{Finding, State};
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A command to try.
pub(super) struct Test {
    what: &'static str,
    command: &'static [&'static str],
    /// What it prints.
    prints: &'static str,
}

pub(super) const TESTS: &[Test] = &[
    Test {
        what: "self-test: program",
        command: &["/bin/true"],
        prints: "",
    },
    Test {
        what: "self-test: pipeline",
        command: &["sh", "-c", "echo one two | cat | wc -w"],
        prints: "2",
    },
];

/// A step that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

impl Test {
    pub(super) fn run(&self) -> Finding {
        let (state, found, means, fix) = match self.attempt() {
            Ok(()) => (
                State::Ok,
                "recorded, and replayed as recorded".to_owned(),
                "",
                "",
            ),
            Err(e) => (
                State::Missing,
                format!("{e:#}"),
                "Recording or replay does not work here.",
                "If all lines above are ok, please report this with the output of `orch doctor --json --self-test`.",
            ),
        };
        Finding {
            what: self.what,
            state,
            found,
            means,
            fix,
            needed: true,
        }
    }

    fn attempt(&self) -> Result<()> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let session = dir.path().join("session");
        let mut args = vec!["record", "-q", "-o"];
        let path = session
            .to_str()
            .context("the temporary directory's name is not UTF-8")?;
        args.extend([path, "--"]);
        args.extend(self.command);
        let printed = orch(dir.path(), &args).context("record")?;
        if printed.trim() != self.prints {
            bail!(
                "record: it printed {:?} instead of {:?}",
                printed.trim(),
                self.prints
            );
        }
        orch(dir.path(), &["replay", "--check", "-s", path]).context("replay")?;
        Ok(())
    }
}

/// Runs this program and returns what it printed.
fn orch(dir: &Path, args: &[&str]) -> Result<String> {
    let program = std::env::current_exe().context("cannot find this program")?;
    // To files: a pipe that nobody reads could block it.
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    let child = Command::new(program)
        .args(args)
        .env_remove("ORCH_SESSION")
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out)?)
        .stderr(std::fs::File::create(&err)?)
        .spawn()?;
    let status = wait(child)?;
    let read = |path: &Path| std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
    let (printed, complaint) = (read(&out)?, read(&err)?);
    if !status.success() {
        let said = if complaint.trim().is_empty() {
            &printed
        } else {
            &complaint
        };
        bail!("{status}: {}", said.trim().replace('\n', "; "));
    }
    Ok(printed)
}

fn wait(mut child: Child) -> Result<std::process::ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("it did not end within {} seconds", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
