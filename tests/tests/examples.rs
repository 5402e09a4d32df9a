//! The examples: each fails by itself and when it is recorded, replays as
//! recorded, and blame names the line that is at fault. `orch demo` finds the
//! culprit by itself. `ORCH_REPEAT=20` does all of it so often.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run::{self, Outcome};
use serde::Deserialize;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// An example, and how it fails.
struct Example {
    name: &'static str,
    /// Exit code of its `launch.sh`.
    code: i32,
    /// Printed in any case.
    symptom: &'static str,
    /// File and text of the line that makes the fault, if blame can know it.
    culprit: Option<(&'static str, &'static str)>,
}

/// Most that an example may take by itself; two seconds, but on a machine that is busy.
const NATIVE: Duration = Duration::from_secs(10);

/// What this test looks at of an access.
#[derive(Deserialize)]
struct Row {
    kind: String,
    file: Option<String>,
    line: Option<usize>,
    old: Option<String>,
    new: String,
}

#[derive(Deserialize)]
struct Object {
    object: String,
    size: u64,
    stores: u64,
}

/// Names for shared memory that no other test, or user, has now.
fn named(command: &mut Command) -> &mut Command {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = |what: &str| format!("/{what}-{}-{n}", std::process::id());
    command
        .env("QUEUE", name("queue"))
        .env("RING", name("ring"))
}

fn repeat(test: impl Fn() -> Result<()>) -> Result<()> {
    let times = env::var("ORCH_REPEAT").ok().and_then(|n| n.parse().ok());
    let times: u32 = times.unwrap_or(1);
    (1..=times).try_for_each(|n| test().with_context(|| format!("run {n} of {times}")))
}

fn json<T: for<'a> Deserialize<'a>>(place: &Place, arguments: &[&str]) -> Result<Vec<T>> {
    let outcome = place.read(arguments, LIMIT)?;
    ensure!(outcome.code() == Some(0), "{arguments:?}\n{outcome}");
    let lines = outcome.stdout.lines();
    lines
        .map(|l| serde_json::from_str(l).context(l.to_owned()))
        .collect()
}

impl Example {
    fn test(&self) -> Result<()> {
        repeat(|| {
            let place = Place::new(User::Own)?;
            let dir = self.build(&place)?;
            let launch = format!("{}/launch.sh", self.name);
            let mut native = place.command(format!("{dir}/launch.sh"));
            let native = run::run(named(&mut native), LIMIT)?;
            self.fails(&native).context("by itself")?;
            ensure!(native.took < NATIVE, "too slow\n{native}");
            let recorded = run::run(named(&mut place.record(&[&launch])), LIMIT)?;
            self.fails(&recorded).context("recorded")?;
            place.check(LIMIT)?;
            self.blame(&place, Path::new(&dir))
        })
    }

    /// A copy of its own, with its programs.
    fn build(&self, place: &Place) -> Result<String> {
        let source = fixture::readable()?.join("../../examples").join(self.name);
        let dir = place.work().join(self.name).display().to_string();
        let copy = Command::new("cp")
            .arg("-r")
            .arg(source)
            .arg(&dir)
            .status()?;
        ensure!(copy.success(), "cannot copy {}", self.name);
        if Path::new(&dir).join("Makefile").exists() {
            let mut make = place.command("make");
            let make = run::run(make.args(["-s", "-C", &dir]), LIMIT)?;
            ensure!(
                make.code() == Some(0) && make.stderr.is_empty(),
                "make\n{make}"
            );
        }
        Ok(dir)
    }

    fn fails(&self, outcome: &Outcome) -> Result<()> {
        let said = outcome.stdout.contains(self.symptom) || outcome.stderr.contains(self.symptom);
        ensure!(
            outcome.code() == Some(self.code) && said,
            "expected exit code {} and {:?} after {:?}\n{outcome}",
            self.code,
            self.symptom,
            outcome.took
        );
        Ok(())
    }

    fn blame(&self, place: &Place, dir: &Path) -> Result<()> {
        let objects: Vec<Object> = json(place, &["shm", "--json"])?;
        let object = objects.iter().max_by_key(|object| object.stores);
        let object = object.context("no shared memory was recorded")?;
        let (start, size) = (format!("{}+0", object.object), object.size.to_string());
        let rows: Vec<Row> = json(
            place,
            &[
                "ublame", &start, "--len", &size, "--stores", "--last", "1000", "--json",
            ],
        )?;
        let stores: Vec<&Row> = rows.iter().filter(|row| row.kind == "store").collect();
        let Some((file, text)) = self.culprit else {
            // Nobody counts down.
            let lost = |row: &&Row| {
                row.old
                    .as_ref()
                    .is_some_and(|old| number(old) >= number(&row.new))
            };
            ensure!(stores.iter().any(lost), "no store has lost anything");
            return Ok(());
        };
        let source = fs::read_to_string(dir.join(file))?;
        let line = source.lines().position(|line| line.contains(text));
        let line = line.context("the culprit is not in its source")? + 1;
        let is_there = |row: &&Row| {
            let path = row.file.as_deref().map(Path::new);
            row.line == Some(line) && path.is_some_and(|path| path.ends_with(file))
        };
        ensure!(stores.iter().any(is_there), "no store is by {file}:{line}");
        Ok(())
    }

    fn demo(&self) -> Result<()> {
        repeat(|| {
            let place = Place::new(User::Ordinary)?;
            let mut demo = place.command(place.orch());
            let demo = run::run(named(demo.args(["demo", self.name])), LIMIT)?;
            let lines = ["$ orch record ", "$ orch ublame ", "export ORCH_SESSION="];
            ensure!(
                demo.code() == Some(0) && lines.iter().all(|line| demo.stdout.contains(line)),
                "demo\n{demo}"
            );
            Ok(())
        })
    }
}

/// Eight bytes, little-endian.
fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).map_or(0, u64::swap_bytes)
}

const JOB_QUEUE: Example = Example {
    name: "job-queue",
    code: 134,
    symptom: "report: job 3 “compact the database” failed -",
    culprit: Some(("submit.cpp", "std::memcpy(")),
};
const MARKET_DATA: Example = Example {
    name: "market-data",
    code: 1,
    symptom: "reader: slot ",
    culprit: Some(("publish.cpp", "quote.ask = ")),
};
const LOST_UPDATE: Example = Example {
    name: "lost-update",
    code: 1,
    symptom: "400 orders were handled, ",
    culprit: None,
};
const PREFORK_STATS: Example = Example {
    name: "prefork-stats",
    code: 1,
    symptom: "requests unanswered",
    culprit: Some(("server.c", "row->status[")),
};

#[test]
fn job_queue() -> Result<()> {
    JOB_QUEUE.test()
}

#[test]
fn market_data() -> Result<()> {
    MARKET_DATA.test()
}

#[test]
fn lost_update() -> Result<()> {
    LOST_UPDATE.test()
}

#[test]
fn prefork_stats() -> Result<()> {
    PREFORK_STATS.test()
}

#[test]
fn demo_of_job_queue() -> Result<()> {
    JOB_QUEUE.demo()
}

#[test]
fn demo_of_market_data() -> Result<()> {
    MARKET_DATA.demo()
}

#[test]
fn demo_of_lost_update() -> Result<()> {
    LOST_UPDATE.demo()
}

#[test]
fn demo_of_prefork_stats() -> Result<()> {
    PREFORK_STATS.demo()
}

#[test]
fn demo_without_a_compiler_says_what_to_install() -> Result<()> {
    let place = Place::new(User::Own)?;
    let mut demo = place.command(place.orch());
    let demo = run::run(demo.arg("demo").env("PATH", "/nowhere"), LIMIT)?;
    ensure!(
        demo.code() == Some(1) && demo.stderr.contains("apt-get install g++"),
        "{demo}"
    );
    let mut demo = place.command(place.orch());
    let demo = run::run(demo.args(["demo", "nothing"]), LIMIT)?;
    ensure!(
        demo.code() == Some(2) && demo.stderr.contains("market-data"),
        "{demo}"
    );
    Ok(())
}
