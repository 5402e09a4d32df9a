//! The `orch` binary under test, and a place to run it in.

use crate::fixture;
use crate::run::{self, Outcome};
use anyhow::{Context as _, Result, bail, ensure};
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Who runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The user who runs the tests.
    Own,
    /// An ordinary user, if the tests run as root.
    Ordinary,
}

/// `nobody`, on Debian.
const NOBODY: u32 = 65534;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The binary: `$ORCH_BIN`, or the one that was built beside this test, or
/// the release build.
///
/// # Errors
/// If there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ORCH_BIN") {
        return fs::canonicalize(&path).with_context(|| format!("ORCH_BIN={}", path.display()));
    }
    let here = env::current_exe()?;
    let profile = here
        .ancestors()
        .nth(2)
        .context("the test binary is in no target directory")?;
    let target = profile
        .parent()
        .context("the test binary is in no target directory")?;
    [target.join("release/orch"), profile.join("orch")]
        .into_iter()
        .find(|p| p.exists())
        .context("no orch binary: run `cargo build --release` first, or set ORCH_BIN")
}

/// A directory with a copy of `orch` that its user can run, a working
/// directory and a session.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    user: User,
}

impl Place {
    /// Makes one.
    ///
    /// # Errors
    /// If the disk is full, or the like.
    pub fn new(user: User) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("orch-test-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let place = Self { dir, user };
        // A hard link does, unless the build is on another file system.
        let orch = place.orch();
        let binary = binary()?;
        if fs::hard_link(&binary, &orch).is_err() {
            fixture::copy(&binary, &orch)?;
        }
        fs::create_dir(place.work())?;
        if user == User::Ordinary && is_root() {
            for path in [place.path(), &place.work()] {
                chown(path, Some(NOBODY), Some(NOBODY))?;
            }
        }
        Ok(place)
    }

    /// The whole directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where programs run.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// The session that [`Place::record`] makes.
    pub fn session(&self) -> PathBuf {
        self.path().join("session")
    }

    /// This place's copy of the binary.
    pub fn orch(&self) -> PathBuf {
        self.path().join("orch")
    }

    /// A command that runs here, as this place's user.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.work())
            .env("TMPDIR", self.work())
            .env("XDG_DATA_HOME", self.path().join("data"))
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env("LANG", "C.UTF-8");
        if self.user == User::Ordinary && is_root() {
            // Clears the supplementary groups too.
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// `orch record -o SESSION -- ARGV`, ready to run.
    pub fn record(&self, argv: &[&str]) -> Command {
        self.record_with(&[], argv)
    }

    /// `orch record OPTIONS -o SESSION -- ARGV`, ready to run.
    pub fn record_with(&self, options: &[&str], argv: &[&str]) -> Command {
        let mut command = self.command(self.orch());
        command
            .arg("record")
            .args(options)
            .arg("-o")
            .arg(self.session())
            .arg("--")
            .args(argv);
        command
    }

    /// Runs `orch -s SESSION ARGUMENTS`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn read(&self, arguments: &[&str], limit: Duration) -> Result<Outcome> {
        let mut command = self.command(self.orch());
        command.arg("-s").arg(self.session()).args(arguments);
        run::run(&mut command, limit)
    }

    /// Waits until nothing of this place's orch runs: neither its own processes, nor those that
    /// it told of its session.
    ///
    /// # Errors
    /// If something runs after `limit`, or /proc cannot be read.
    pub fn none_left(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let left = self.processes()?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "still runs: {left:#?}");
            sleep(Duration::from_millis(20));
        }
    }

    fn processes(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let path = self.path().display().to_string();
        let session = format!("ORCH_SESSION={path}");
        for entry in fs::read_dir("/proc")? {
            let process = entry?.path();
            let exe = fs::read_link(process.join("exe")).unwrap_or_default();
            let text = |name| {
                let bytes = fs::read(process.join(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let command = text("cmdline");
            if exe.starts_with(self.path())
                || command.contains(&path)
                || text("environ").contains(&session)
            {
                all.push(format!("{} {command}", process.display()));
            }
        }
        Ok(all)
    }

    /// The recording of a program: the first that `orch ls` shows with this command.
    ///
    /// # Errors
    /// If there is none.
    pub fn recording(&self, command: &str) -> Result<String> {
        let list = self.read(&["ls"], Duration::from_secs(60))?;
        let line = list.stdout.lines().find(|l| l.contains(command));
        let name = line.and_then(|l| {
            l.split(|c: char| !c.is_alphanumeric())
                .find(|w| w.starts_with('p'))
        });
        Ok(name
            .with_context(|| format!("{command} is not in\n{list}"))?
            .to_owned())
    }

    /// Replays the session and demands that nothing differs.
    ///
    /// # Errors
    /// With what the replayer said.
    pub fn check(&self, limit: Duration) -> Result<()> {
        let replay = self.read(&["replay", "--check"], limit)?;
        if replay.code() != Some(0) {
            bail!("replay --check after {:.1?}:\n{replay}", replay.took);
        }
        Ok(())
    }
}
