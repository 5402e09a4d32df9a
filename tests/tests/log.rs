//! What `orch log` tells of programs that know themselves how often they came to which
//! line, and in which order.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run::{self, Outcome};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Within that, nothing is left of what was ended.
const SOON: Duration = Duration::from_secs(5);
/// What the fixture passes around, at most.
const LAST: usize = 30;

/// What these tests look at of a row.
#[derive(Debug, Deserialize)]
struct Row {
    position: String,
    tick: u64,
    recording: String,
    pid: u32,
    tid: u32,
    program: String,
    line: Option<u32>,
    function: Option<String>,
    text: String,
    values: serde_json::Map<String, serde_json::Value>,
}

/// The fixture's line with this remark, as a place.
fn at(remark: &str) -> Result<String> {
    let source = fs::read_to_string(fixture::directory().join("processes/turns.c"))?;
    let remark = format!("/* {remark} */");
    let line = source.lines().position(|l| l.contains(&remark));
    Ok(format!("turns.c:{}", line.context("no such remark")? + 1))
}

/// The fixture's recording, and what it printed: how often each process counted.
fn recorded() -> Result<(Place, BTreeMap<String, usize>)> {
    let (place, outcome) = fixture::recorded("processes/turns.c", "turns", &[])?;
    let mut counted = BTreeMap::new();
    for line in outcome.stdout.lines() {
        let (who, times) = line.split_once(" counted ").context("not counted")?;
        counted.insert(who.to_owned(), times.parse()?);
    }
    ensure!(counted.len() == 3, "{outcome}");
    Ok((place, counted))
}

fn log(place: &Place, arguments: &[&str]) -> Result<Outcome> {
    place.read(&[&["log"], arguments].concat(), LIMIT)
}

fn rows(place: &Place, arguments: &[&str]) -> Result<Vec<Row>> {
    let outcome = log(place, &[arguments, &["--json"]].concat())?;
    ensure!(outcome.code() == Some(0), "{arguments:?}\n{outcome}");
    let rows: Vec<Row> = outcome
        .stdout
        .lines()
        .map(|l| serde_json::from_str(l).context(l.to_owned()))
        .collect::<Result<_>>()?;
    let ticks = rows.iter().map(|r| r.tick);
    ensure!(ticks.is_sorted(), "not in order: {outcome}");
    let positions: BTreeSet<&str> = rows.iter().map(|r| &r.position[..]).collect();
    ensure!(positions.len() == rows.len(), "rows come twice: {outcome}");
    Ok(rows)
}

/// Each process has its turn when the one before it has had its own.
#[test]
fn rows_are_in_the_order_of_the_session() -> Result<()> {
    let (place, _) = recorded()?;
    let turn = at("turn")?;
    let format = "{token->n} by {who}: {token->text} {{}}";
    let rows = rows(&place, &[&turn, format])?;
    let told: Vec<&str> = rows.iter().map(|r| &r.text[..]).collect();
    let expected: Vec<String> = (0..LAST)
        .map(|n| format!("{n} by {}: \"token\" {{}}", n % 3))
        .collect();
    ensure!(told == expected, "{told:?}");
    let mut tids = BTreeSet::new();
    for (n, row) in rows.iter().enumerate() {
        ensure!(row.function.as_deref() == Some("turn"), "{row:?}");
        ensure!(
            turn == format!("turns.c:{}", row.line.unwrap_or(0)),
            "{row:?}"
        );
        ensure!(row.program.ends_with("/turns"), "{row:?}");
        ensure!(row.values["token->n"] == n, "{row:?}");
        ensure!((row.tid != row.pid) == (n % 3 == 1), "{row:?}");
        ensure!(row.recording == rows[n % 3].recording, "{row:?}");
        tids.insert(row.tid);
    }
    // Two main threads, and a new thread for each turn of the third.
    ensure!(tids.len() == 2 + LAST / 3, "{tids:?}");
    Ok(())
}

/// A row leads to where it happened.
#[test]
fn positions_are_those_of_the_line() -> Result<()> {
    let (place, _) = recorded()?;
    let place_of = at("odd")?;
    let rows = rows(&place, &[&place_of, "{i} {$rip}"])?;
    for row in rows.iter().step_by(rows.len().div_ceil(8)) {
        let arguments = ["inspect", "--json", "--backtrace", &row.position];
        let outcome = place.read(&arguments, LIMIT)?;
        let seen: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
        let frame = &seen["frames"][0];
        ensure!(frame["function"] == "count", "{row:?}\n{outcome}");
        ensure!(
            frame["line"] == row.line.context("no line")?,
            "{row:?}\n{outcome}"
        );
    }
    Ok(())
}

/// What goes ahead of an event (here the page of a stub for what the line reads) may be over
/// before it is: rows before the event are none of those behind it.
#[test]
fn positions_before_a_shared_access() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let found = rows(&place, &["report.cpp:12", "{&job}"])?;
    ensure!(found.len() == 4, "{found:?}");
    for row in &found {
        let outcome = place.read(&["inspect", "--regs", &row.position], LIMIT)?;
        let address = row.text.split(' ').next_back().context("no address")?;
        ensure!(outcome.stdout.contains(address), "{row:?}\n{outcome}");
    }
    Ok(())
}

/// Lines that run without an event between them are told as often as they ran.
#[test]
fn rows_are_as_many_as_the_line_ran() -> Result<()> {
    let (place, counted) = recorded()?;
    let all = rows(&place, &[&at("count")?, "{times}"])?;
    let mut by_recording: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &all {
        *by_recording.entry(&row.recording).or_default() += 1;
    }
    let mut seen: Vec<usize> = by_recording.values().copied().collect();
    let mut said: Vec<usize> = counted.values().copied().collect();
    seen.sort_unstable();
    said.sort_unstable();
    ensure!(
        seen == said,
        "{by_recording:?}, but they counted {counted:?}"
    );
    // 0, 1, 2, 3 and 4 times: the fourth time only with the last two.
    let some = rows(&place, &[&at("count")?, "{i}/{times}", "--if", "i == 2"])?;
    let texts: BTreeSet<&str> = some.iter().map(|r| &r.text[..]).collect();
    ensure!(some.len() == 2 * LAST / 5, "{some:?}");
    ensure!(texts == BTreeSet::from(["2/3", "2/4"]), "{texts:?}");
    let one = &all[0].recording;
    let of_one = rows(&place, &[&at("count")?, "{i}", "-p", one])?;
    ensure!(of_one.len() == by_recording[&one[..]], "{of_one:?}");
    let signals = rows(&place, &[&at("handler")?, "{number}"])?;
    // 0, 7, 14, 21 and 28.
    ensure!(signals.len() == 5, "{signals:?}");
    Ok(())
}

#[test]
fn a_part_of_the_rows() -> Result<()> {
    let (place, _) = recorded()?;
    let all = rows(&place, &["turn", "{token->n}"])?;
    ensure!(all.len() == LAST, "{all:?}");
    let first = rows(&place, &["turn", "{token->n}", "--limit", "4"])?;
    let texts: Vec<&str> = first.iter().map(|r| &r.text[..]).collect();
    ensure!(texts == ["0", "1", "2", "3"], "{texts:?}");
    let (from, to) = (&all[10], &all[20]);
    let arguments = ["turn", "{token->n}", "--from", &from.position, "--to"];
    let middle = rows(&place, &[&arguments[..], &[&to.position]].concat())?;
    let texts: Vec<&str> = middle.iter().map(|r| &r.text[..]).collect();
    let expected: Vec<String> = (10..=20).map(|n| n.to_string()).collect();
    ensure!(texts == expected, "{texts:?}");
    // An address is the same place, of one recording.
    let pass = from.position.split([':', '#']).nth(1).context("no pass")?;
    let there = rows(&place, &[pass, "{$rip}", "-p", &from.recording])?;
    ensure!(there.len() == LAST / 3, "{there:?}");
    Ok(())
}

/// For people: the position, the process, and what was asked for, or else the place.
#[test]
fn what_cannot_be_evaluated_is_told_in_its_row() -> Result<()> {
    let (place, _) = recorded()?;
    let turn = at("turn")?;
    let outcome = log(
        &place,
        &[&turn, "{who} {nobody} {/x token->n}", "--limit", "3"],
    )?;
    ensure!(outcome.code() == Some(0), "{outcome}");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    ensure!(lines.len() == 3, "{outcome}");
    for (n, line) in lines.iter().enumerate() {
        let text = format!("{n} <error: No symbol \"nobody\" in current context.> {n:#x}");
        ensure!(line.ends_with(&text), "{text}:\n{outcome}");
        ensure!(line.starts_with('p') && line.contains("turns"), "{outcome}");
    }
    let outcome = log(&place, &[&turn, "{who}", "--if", "nobody", "--limit", "1"])?;
    ensure!(
        outcome.stdout.contains("error in --if: No symbol"),
        "{outcome}"
    );
    let outcome = log(&place, &["turn", "--limit", "1"])?;
    ensure!(outcome.stdout.contains("turn at /"), "{outcome}");
    Ok(())
}

#[test]
fn what_is_not_there_is_told() -> Result<()> {
    let (place, _) = recorded()?;
    let (turn, never) = (at("turn")?, at("never")?);
    for (arguments, code, why) in [
        (&["turns.c:1"][..], 2, "has no code; the nearest"),
        (&["turns.c:99999"], 2, "has no code; the nearest"),
        (&["burns.c:1"], 2, "was made from burns.c; known are"),
        (&["nothing"], 2, "has a function nothing"),
        (&["turn if 1"], 2, "has a function turn if 1"),
        (&["turns.c"], 2, "has a function turns.c"),
        (&["turns.c:"], 2, "is no place in code"),
        (&[&turn, "{who"], 2, "is not closed"),
        (&[&turn, "{/q who}"], 2, "is no format"),
        (&["0x401136"], 2, "say which, with -p"),
        (&["0x10", "-p", "p1"], 1, "is not in code"),
        (&[&turn, "-p", "p9"], 2, "p9 is not in this session"),
        (&[&never], 1, "was never reached in p"),
        (&["count", "--if", "times == 9"], 1, "never with times == 9"),
    ] {
        let outcome = log(&place, arguments)?;
        let is = outcome.code() == Some(code) && outcome.stderr.contains(why);
        ensure!(is && outcome.stdout.is_empty(), "{arguments:?}\n{outcome}");
    }
    Ok(())
}

/// A gdb that does nothing is told of in words.
#[test]
fn a_broken_gdb_is_told_of() -> Result<()> {
    let (place, _) = recorded()?;
    let bin = without_gdb(&place)?;
    std::os::unix::fs::symlink("/bin/false", format!("{bin}/gdb"))?;
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session()).args(["log", "turn"]);
    let outcome = run::run(command.env("PATH", bin), LIMIT)?;
    let why = "gdb does not look for turn: it ended (exit status: 1) and said nothing";
    ensure!(
        outcome.code() == Some(1) && outcome.stderr.contains(why),
        "{outcome}"
    );
    Ok(())
}

/// A directory in which there are only the programs that are named.
fn without_gdb(place: &Place) -> Result<String> {
    let bin = place.path().join("bin");
    fs::create_dir_all(&bin)?;
    bin.to_str().map(str::to_owned).context("UTF-8")
}

#[test]
fn without_gdb_it_says_so() -> Result<()> {
    let (place, _) = recorded()?;
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session()).args(["log", "turn"]);
    let outcome = run::run(command.env("PATH", without_gdb(&place)?), LIMIT)?;
    ensure!(outcome.code() == Some(1), "{outcome}");
    ensure!(outcome.stderr.contains("apt install gdb"), "{outcome}");
    Ok(())
}

#[test]
fn without_debugging_information_it_says_so() -> Result<()> {
    let flags = ["-g0".to_owned(), "-s".to_owned()];
    let (place, _) = fixture::recorded("processes/turns.c", "stripped", &flags)?;
    for place_of in [&at("turn")?[..], "turn"] {
        let outcome = log(&place, &[place_of, "{n}"])?;
        ensure!(outcome.code() == Some(2), "{outcome}");
        ensure!(
            outcome
                .stderr
                .contains("no debugging information of stripped: build with -g"),
            "{outcome}"
        );
    }
    // Functions of libraries have names all the same.
    let rows = rows(&place, &["pthread_create", "{/x $rdx}"])?;
    ensure!(rows.len() == LAST / 3, "{rows:?}");
    Ok(())
}

/// One line is in several places of optimised code, of several programs.
#[test]
fn inlined_code_of_several_programs() -> Result<()> {
    let (place, recorded) = fixture::job_queue()?;
    let titles = fs::read_to_string(place.path().join("job-queue/jobs.txt"))?;
    let titles: Vec<&str> = titles.lines().collect();
    // Inlined into main. What it was called with is known there.
    let format = "{title._M_string_length} {/s title._M_dataplus._M_p}";
    let set = rows(&place, &["set_title", format])?;
    ensure!(set.len() == titles.len(), "{set:?}");
    for (row, title) in set.iter().zip(&titles) {
        let text = format!("{} ", title.len());
        ensure!(row.text.starts_with(&text), "{row:?} of {title:?}");
    }
    // The line of the call is another function's, though the instruction is the same.
    let called = rows(&place, &["submit.cpp:24", "{n} {&job == &queue.jobs[n]}"])?;
    let texts: Vec<&str> = called.iter().map(|r| &r.text[..]).collect();
    ensure!(
        texts == ["0 true", "1 true", "2 true", "3 true", "4 true"],
        "{called:?}"
    );
    ensure!(
        called[0].function.as_deref() == Some("submit"),
        "{called:?}"
    );
    // A job is done after it was submitted, by the worker that says so.
    let performed = rows(&place, &["perform"])?;
    let mut seen: Vec<u32> = performed.iter().map(|r| r.pid).collect();
    let said = recorded.stdout.lines();
    let said = said.filter_map(|l| l.strip_prefix("worker ")?.split(':').next());
    let mut said: Vec<u32> = said.map(str::parse).collect::<Result<_, _>>()?;
    seen.sort_unstable();
    said.sort_unstable();
    ensure!(seen == said, "{seen:?}, but it was {recorded}");
    ensure!(performed[0].tick > called[0].tick, "{:?}", performed[0]);
    // Four programs open the queue, one of them twice.
    let opened = rows(&place, &["open_queue", "{create}"])?;
    ensure!(opened.len() == 5, "{opened:?}");
    Ok(())
}

/// Processes that were killed, and a session whose recorder was.
#[test]
fn recordings_that_ended_early() -> Result<()> {
    for supervisor in [false, true] {
        let place = Place::new(User::Own)?;
        let program = place.path().join("prog");
        fixture::build("processes/ended.c", None, &[], &program)?;
        let program = program.to_str().context("UTF-8")?;
        let mut recorder = place
            .record(&[program])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let ready = place.work().join("ready");
        for _ in 0..1000 {
            if ready.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let below = run::descendants(recorder.id().cast_signed());
        if supervisor {
            kill(Pid::from_raw(recorder.id().cast_signed()), Signal::SIGKILL)?;
        }
        for &pid in &below {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            if exe == Path::new(program) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        ensure!(run::wait(&mut recorder, LIMIT)?.is_some(), "it hangs");
        // What outlives its recorder ends soon, and saves what is left.
        for _ in 0..200 {
            let ls = place.read(&["ls"], LIMIT)?;
            let busy = ["still run", "is saving"];
            if !busy.iter().any(|words| ls.stderr.contains(words)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let rows = rows(&place, &["tell", "{n}"])?;
        let numbers: Vec<String> = (0..rows.len()).map(|n| n.to_string()).collect();
        let texts: Vec<&str> = rows.iter().map(|r| &r.text[..]).collect();
        ensure!(rows.len() >= 100 && texts == numbers, "{rows:?}");
    }
    Ok(())
}

/// Neither of one that has seen enough, nor of one that is ended, nor of one that is killed.
#[test]
fn nothing_is_left_of_it() -> Result<()> {
    let (place, _) = recorded()?;
    log(&place, &["turn", "{who}", "--limit", "1"])?;
    place.none_left(SOON)?;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        for delay in [50, 200, 400, 800] {
            let mut command = place.command(place.orch());
            command.arg("-s").arg(place.session());
            let mut child = command
                .args(["log", "count", "{times}"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            std::thread::sleep(Duration::from_millis(delay));
            kill(Pid::from_raw(child.id().cast_signed()), signal)?;
            let status = run::wait(&mut child, LIMIT)?.context("it hangs")?;
            let ended = status.code();
            let expected = [Some(130), Some(0)].contains(&ended) || ended.is_none();
            ensure!(expected, "{signal} after {delay} ms: {status}");
            place
                .none_left(SOON)
                .with_context(|| format!("{signal} after {delay} ms"))?;
            let files = fs::read_dir(place.work())?.count();
            ensure!(
                files == 0 || signal == Signal::SIGKILL,
                "{signal} after {delay} ms leaves files"
            );
        }
    }
    Ok(())
}
