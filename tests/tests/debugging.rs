//! Recordings in gdb, forwards and backwards; and that an instant is the same
//! one, whichever way it is reached.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::gdb::gdb;
use orch_tests::orch::{Place, User};
use orch_tests::run::{self, Outcome};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Positions that gdb has printed.
fn positions(outcome: &Outcome) -> Vec<&str> {
    let is_one = |l: &&str| l.starts_with('p') && l.contains('@') && !l.contains(' ');
    outcome.stdout.lines().filter(is_one).collect()
}

/// From the assertion that fails in one process to the line in another that is
/// the cause, and to what was its cause in turn.
#[test]
fn the_culprit_is_found() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let report = place.recording("build/report")?;
    let commands = [
        "frame function main",
        "print job.failures",
        "ublame job.failures -jump 2",
        "reverse-finish",
        "print title._M_string_length",
        "orch when",
        "watch -l title._M_string_length",
        "reverse-continue",
        "backtrace",
        "orch when",
    ];
    let outcome = gdb(&place, &format!("{report}@end"), &commands)?;
    let submit = place.recording("build/submit")?;
    for text in [
        "report.cpp:15",
        "std::memcpy(job.title, title.data(), title.size());",
        "= 40",
        "Old value = 40",
        "New value = 39",
        "getline",
        "submit.cpp:33",
    ] {
        ensure!(outcome.stdout.contains(text), "no {text:?}:\n{outcome}");
    }
    let seen = positions(&outcome);
    ensure!(
        seen.len() == 2 && seen.iter().all(|p| p.starts_with(&format!("{submit}@"))),
        "{seen:?}: {outcome}"
    );
    Ok(())
}

/// Breakpoints are hit at the same instants from both sides.
#[test]
fn breakpoints_both_ways() -> Result<()> {
    let place = Place::new(User::Own)?;
    let sql =
        "create table t(a); insert into t values(1); insert into t values(2); select * from t;";
    let recorded = run::run(&mut place.record(&["sqlite3", ":memory:", sql]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let there = ["continue", "orch when"].repeat(5);
    let back = ["reverse-continue", "orch when"].repeat(4);
    let commands = [&["break sqlite3_step"][..], &there, &back].concat();
    let outcome = gdb(&place, "p1@start", &commands)?;
    let seen = positions(&outcome);
    ensure!(seen.len() == 9, "{outcome}");
    let backwards: Vec<&str> = seen[5..].to_vec();
    let forwards: Vec<&str> = seen[..4].iter().rev().copied().collect();
    ensure!(forwards == backwards, "{seen:?}\n{outcome}");
    Ok(())
}

/// A breakpoint is hit that is in the way when a system call is patched, and what is moved then
/// is the program's.
#[test]
fn breakpoint_behind_a_call() -> Result<()> {
    let (place, _) = fixture::recorded("debugging/behind.c", "behind", &[])?;
    let hits = ["continue", "print $pc == &behind"].repeat(6);
    let rest = ["stepi", "delete", "continue", "orch when"];
    let outcome = gdb(
        &place,
        "p1@start",
        &[&["break *&behind"][..], &hits, &rest].concat(),
    )?;
    ensure!(outcome.stdout.matches(" = 1\n").count() == 6, "{outcome}");
    ensure!(positions(&outcome).len() == 1, "{outcome}");
    Ok(())
}

/// Random instants, reached from the event before, from checkpoints and from behind.
fn walk(name: &str, command: &[&str], fixture: Option<(&str, &[&str])>) -> Result<()> {
    let place = Place::new(User::Own)?;
    let program = place.path().join(name);
    let mut command: Vec<&str> = command.to_vec();
    if let Some((source, flags)) = fixture {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        fixture::build(source, None, &flags, &program)?;
        command.insert(0, program.to_str().context("UTF-8")?);
    }
    let recorded = run::run(&mut place.record(&command), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let outcome = place.read(&["walk", "-n", "3", "--steps", "40"], LIMIT)?;
    ensure!(outcome.code() == Some(0), "{outcome}");
    Ok(())
}

#[test]
fn instants_with_threads() -> Result<()> {
    walk("sync", &[], Some(("threads/sync.c", &["-pthread"])))
}

#[test]
fn instants_with_signals() -> Result<()> {
    walk("handlers", &[], Some(("signals/handlers.c", &[])))
}

#[test]
fn instants_with_shared_memory() -> Result<()> {
    walk("shared", &[], Some(("memory/shared.c", &["-pthread"])))
}

#[test]
fn instants_between_shared_accesses() -> Result<()> {
    let (place, _) = fixture::recorded("memory/continued.c", "continued", &[])?;
    let outcome = place.read(&["walk", "-n", "12", "--steps", "9"], LIMIT)?;
    ensure!(outcome.code() == Some(0), "{outcome}");
    Ok(())
}

#[test]
fn instants_of_a_shell() -> Result<()> {
    let script = "for i in 1 2 3; do echo $i | sed s/1/2/; done";
    walk("bash", &["bash", "-c", script], None)
}

/// A debugger that goes away leaves nothing behind.
#[test]
fn nothing_is_left_of_a_debugger() -> Result<()> {
    let place = Place::new(User::Own)?;
    let recorded = run::run(&mut place.record(&["true"]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    gdb(&place, "p1@end", &["reverse-stepi", "info registers rip"])?;
    // The last of them may still be on its way.
    place.none_left(Duration::from_secs(5))
}
