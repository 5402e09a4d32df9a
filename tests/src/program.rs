//! A row of `programs.toml`: a program to record and replay.

use crate::fixture;
use crate::orch::{Place, User};
use crate::run;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The declared list.
pub const LIST: &str = include_str!("../programs.toml");

/// The whole list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Debian packages that the tests themselves need.
    pub packages: Vec<String>,
    /// The rows, by name.
    pub programs: BTreeMap<String, Program>,
}

impl List {
    /// Reads it.
    ///
    /// # Errors
    /// If a row is malformed.
    pub fn load() -> Result<Self> {
        toml::from_str(LIST).context("tests/programs.toml")
    }
}

/// One row; programs.toml explains the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Script for bash.
    pub run: Option<String>,
    /// Command, instead of a script.
    pub argv: Option<Vec<String>>,
    /// Source under `fixtures/` to build; the program is `$PROG` in scripts.
    pub fixture: Option<String>,
    /// Compiler arguments.
    #[serde(default)]
    pub cflags: Vec<String>,
    /// Compiler.
    pub cc: Option<String>,
    /// Debian packages.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Exit code of the command, 128 + signal if it is killed.
    #[serde(default)]
    pub code: i32,
    /// What it must print.
    #[serde(default)]
    pub stdout: Vec<String>,
    /// Who runs it.
    #[serde(default)]
    pub user: Users,
    /// Seconds that recording may take, and replaying.
    pub timeout: Option<u64>,
    /// How often it runs.
    pub repeat: Option<u32>,
    /// Why it is known to fail.
    pub known: Option<String>,
    /// It fails sometimes only.
    #[serde(default)]
    pub sometimes: bool,
}

/// Who runs a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// Root and an ordinary user.
    #[default]
    Both,
    /// Root only.
    Root,
    /// An ordinary user only.
    User,
}

impl Program {
    /// Records it and replays it, `repeat` times over.
    ///
    /// # Errors
    /// With everything that was printed, at the first failure.
    pub fn test(&self, user: User, repeat: Option<u32>) -> Result<()> {
        let missing: Vec<&str> = self
            .packages
            .iter()
            .map(String::as_str)
            .filter(|p| !installed().contains(*p))
            .collect();
        ensure!(
            missing.is_empty(),
            "not installed: {}; run scripts/setup",
            missing.join(" ")
        );
        let times = repeat.or(self.repeat).unwrap_or(1);
        let failures: Vec<String> = (1..=times)
            .filter_map(|n| {
                self.once(user)
                    .err()
                    .map(|e| format!("run {n} of {times}: {e:#}"))
            })
            .collect();
        match failures.first() {
            None => Ok(()),
            Some(first) => bail!("{} of {times} failed; {first}", failures.len()),
        }
    }

    fn once(&self, user: User) -> Result<()> {
        let place = Place::new(user)?;
        let limit = Duration::from_secs(self.timeout.unwrap_or(60));
        let argv = self.command(&place)?;
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        // Differences of memory that no event shows would be found by chance otherwise. Not
        // for both users: this is not how people record.
        let options: &[&str] = match user {
            User::Own => &["--digest"],
            User::Ordinary => &[],
        };
        let mut command = place.record_with(options, &argv);
        command
            .env("PROG", place.path().join("prog"))
            .env("FIXTURES", fixture::readable()?);
        let record = run::run(&mut command, limit)?;
        if record.code() != Some(self.code) {
            bail!(
                "record, {:.1?}: expected exit code {}\n{record}",
                record.took,
                self.code
            );
        }
        for text in &self.stdout {
            ensure!(
                record.stdout.contains(text),
                "record: {text:?} was not printed\n{record}"
            );
        }
        place
            .check(limit)
            .with_context(|| format!("record printed:\n{record}"))
    }

    fn command(&self, place: &Place) -> Result<Vec<String>> {
        if let Some(source) = &self.fixture {
            fixture::build(
                source,
                self.cc.as_deref(),
                &self.cflags,
                &place.path().join("prog"),
            )?;
        }
        let prog = place.path().join("prog").display().to_string();
        Ok(match (&self.run, &self.argv) {
            (Some(script), None) => vec!["bash".into(), "-c".into(), script.clone()],
            (None, Some(argv)) => argv.iter().map(|a| a.replace("$PROG", &prog)).collect(),
            (None, None) => vec![prog],
            (Some(_), Some(_)) => bail!("a row has either run or argv"),
        })
    }
}

/// The installed Debian packages.
fn installed() -> &'static BTreeSet<String> {
    static SET: OnceLock<BTreeSet<String>> = OnceLock::new();
    SET.get_or_init(|| {
        let output = Command::new("dpkg-query")
            .args(["-W", "-f=${Package} ${db:Status-Status}\n"])
            .output();
        let text = output
            .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
            .unwrap_or_default();
        text.lines()
            .filter_map(|l| l.strip_suffix(" installed"))
            .map(str::to_owned)
            .collect()
    })
}
