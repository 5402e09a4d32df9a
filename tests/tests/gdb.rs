//! What gdb can do with a recording besides moving: system calls that it stops at, functions
//! that it calls, registers, marks.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orch_tests::fixture;
use orch_tests::gdb::gdb;
use orch_tests::orch::{Place, User};
use orch_tests::run;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Python in gdb: each stop at a system call as a line of JSON.
const CAUGHT: &str = r#"
python
import json
last = []
gdb.events.stop.connect(lambda event: last.append(event))
def all_caught(command):
    found = []
    while True:
        gdb.execute(command)
        # The recording's start or end is no breakpoint.
        if not isinstance(last[-1], gdb.BreakpointEvent):
            return found
        register = lambda name: int(gdb.parse_and_eval("$" + name)) & (1 << 64) - 1
        thread = gdb.selected_thread().ptid[1]
        found.append([orch.when(), thread, register("rax"), register("rip")])
there = all_caught("continue")
back = all_caught("reverse-continue")
print("STOPS " + json.dumps(there))
# Behind the last call, an exit, nothing comes any more.
print("REVERSED", back == there[-2::-1], len(back))
end"#;

/// Where gdb stopped for a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stop {
    returned: bool,
    name: String,
    thread: u64,
    rax: u64,
    rip: u64,
}

/// System calls that gdb stopped at, forwards.
fn caught(place: &Place, catch: &str) -> Result<Vec<Stop>> {
    let outcome = gdb(place, "p1@start", &[catch, CAUGHT])?;
    let rows = outcome
        .stdout
        .lines()
        .find_map(|l| l.strip_prefix("STOPS "));
    let rows: Vec<(String, u64, u64, u64)> =
        serde_json::from_str(rows.with_context(|| format!("{outcome}"))?)?;
    let reversed = format!("REVERSED True {}", rows.len().saturating_sub(1));
    ensure!(outcome.stdout.contains(&reversed), "{outcome}");
    let said = outcome.stdout.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Catchpoint 1 (")?;
        let (word, rest) = rest.split_once(" syscall ")?;
        let end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let name = rest.trim_start_matches('\'').split(end).next()?;
        Some((word == "returned from", name.to_owned()))
    });
    let stops = said.zip(&rows);
    let stops = stops.map(|((returned, name), &(_, thread, rax, rip))| Stop {
        returned,
        name,
        thread,
        rax,
        rip,
    });
    Ok(stops.collect())
}

/// Each call is stopped at where it returns with what the recording says, and where it is
/// made, in the same thread.
fn agrees(place: &Place, stops: &[Stop], calls: &[&str]) -> Result<()> {
    let names = calls.join(",");
    let mut list = vec!["events", "-p", "p1", "--json"];
    if !calls.is_empty() {
        list.extend(["--call", &names]);
    }
    let events = place.read(&list, LIMIT)?;
    let events: Vec<Value> = events
        .stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let recorded: Vec<(&str, Option<u64>)> = events
        .iter()
        .filter(|e| e["event"] == "syscall")
        .map(|e| {
            let result = e["result"].as_i64().map(i64::cast_unsigned);
            (e["name"].as_str().unwrap_or_default(), result)
        })
        .collect();
    let returned = stops.iter().filter(|s| s.returned);
    let returned: Vec<_> = returned.map(|s| (&*s.name, Some(s.rax))).collect();
    ensure!(
        returned == recorded,
        "gdb: {returned:?}\nrecorded: {recorded:?}"
    );
    let mut inside: Vec<&Stop> = Vec::new();
    for stop in stops {
        if !stop.returned {
            inside.push(stop);
            continue;
        }
        let same = |s: &&Stop| s.thread == stop.thread && s.name == stop.name;
        let entry = inside.iter().position(same);
        let entry = inside.remove(entry.with_context(|| format!("never made: {stop:?}"))?);
        ensure!(entry.rip + 2 == stop.rip, "{entry:?} {stop:?}");
    }
    // What ends a thread, or replaces the program, does not return.
    let ends = ["exit", "exit_group", "execve"];
    let left = inside.iter().find(|s| !ends.contains(&&*s.name));
    ensure!(left.is_none(), "{left:?}");
    Ok(())
}

#[test]
fn system_calls_of_threads_are_caught() -> Result<()> {
    let (place, _) = fixture::recorded("threads/sync.c", "sync", &["-pthread".to_owned()])?;
    let calls = ["clone3", "clock_nanosleep", "exit_group"];
    let stops = caught(&place, &format!("catch syscall {}", calls.join(" ")))?;
    ensure!(stops.len() > 20, "{stops:?}");
    agrees(&place, &stops, &calls)
}

/// Those that make processes in the same memory, whose calls come first; and an execve that
/// fails does return.
#[test]
fn system_calls_of_children_in_the_same_memory_are_caught() -> Result<()> {
    let (place, _) = fixture::recorded("processes/spawn.c", "spawn", &[])?;
    let calls = ["clone", "clone3", "vfork", "execve", "wait4", "exit_group"];
    let stops = caught(&place, &format!("catch syscall {}", calls.join(" ")))?;
    ensure!(
        stops.iter().any(|s| s.returned && s.name == "execve"),
        "{stops:?}"
    );
    agrees(&place, &stops, &calls)
}

/// All of them: the first and the last, those that map memory, and those that the runtime
/// answers.
#[test]
fn all_system_calls_are_caught() -> Result<()> {
    let place = Place::new(User::Own)?;
    let script = "echo one; (exit 3); exec true";
    let recorded = run::run(&mut place.record(&["sh", "-c", script]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let stops = caught(&place, "catch syscall")?;
    agrees(&place, &stops, &[])
}

/// What bash makes is told with its recording, forwards and backwards.
#[test]
fn processes_that_are_made_are_caught() -> Result<()> {
    let place = Place::new(User::Own)?;
    let script = "echo $(date +%Y); (exit 3); /bin/true; exec true";
    let recorded = run::run(&mut place.record(&["bash", "-c", script]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let catches = ["catch fork", "catch exec", "catch fork if 0"];
    let there = ["continue"; 5];
    let back = ["reverse-continue"; 4];
    let jump = ["orch jump p2@start", "orch when"];
    let commands = [&catches[..], &there, &back, &jump].concat();
    let outcome = gdb(&place, "p1@start", &commands)?;
    let events = place.read(&["ls", "--json"], LIMIT)?;
    let children: Vec<Value> = events
        .stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let made = |child: &str| -> Result<String> {
        let row = children.iter().find(|r| r["recording"] == child);
        let pid = &row.with_context(|| format!("{children:?}"))?["pid"];
        Ok(format!(
            "p1 has made process {pid}: {child}, to which `orch jump {child}@start` goes"
        ))
    };
    // What a child executes is another recording in between.
    let mut expected = vec![made("p2")?, made("p4")?, made("p5")?];
    let exec = "p1 is about to run /usr/bin/true: p7, to which `orch jump p7@start` goes";
    expected.push(exec.to_owned());
    expected.extend([made("p5")?, made("p4")?, made("p2")?]);
    let said = outcome.stdout.lines().filter(|l| l.starts_with("p1 "));
    let said: Vec<&str> = said.collect();
    ensure!(said == expected, "{said:?}\n{outcome}");
    ensure!(outcome.stdout.lines().any(|l| l == "p2@start"), "{outcome}");
    Ok(())
}

/// Children in the memory of their parents, and what these execute in the end.
#[test]
fn processes_in_the_same_memory_are_caught() -> Result<()> {
    let (place, _) = fixture::recorded("processes/spawn.c", "spawn", &[])?;
    let all = r#"
python
for command in ("continue", "reverse-continue"):
    before = None
    while orch.when() != before:
        before = orch.when()
        gdb.execute(command)
end"#;
    let outcome = gdb(&place, "p1@start", &["catch vfork", "catch exec", all])?;
    let said: Vec<&str> = outcome
        .stdout
        .lines()
        .filter(|l| l.starts_with("p1 "))
        .collect();
    let vforks = said.iter().filter(|l| l.contains(" in its own memory"));
    let execs = said.iter().filter(|l| l.contains("is about to run"));
    let (vforks, execs) = (vforks.count(), execs.count());
    ensure!(
        vforks > 2 && execs > 2 && vforks % 2 == 0 && execs % 2 == 0,
        "{vforks} {execs} {said:?}\n{outcome}"
    );
    let mut back = said.clone();
    back.reverse();
    ensure!(back == said, "{said:?}");
    Ok(())
}

/// Signals that bash gets, as `handle` says, both ways; and the one that it dies of.
#[test]
fn signals_stop_as_gdb_was_told() -> Result<()> {
    let place = Place::new(User::Own)?;
    let script = "trap : USR1; kill -USR1 $$; (exit 3); kill -USR1 $$; (exit 4); true";
    let recorded = run::run(&mut place.record(&["bash", "-c", script]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let there = ["continue"; 3];
    let back = ["reverse-continue"; 3];
    let commands = [
        &there[..],
        &back,
        // All of them, and none.
        &["handle SIGCHLD stop print", "handle SIGUSR1 nostop noprint"],
        &there,
        &["handle SIGCHLD nostop noprint"],
        &back[..1],
        &["catch signal SIGCHLD", "continue"],
    ]
    .concat();
    let outcome = gdb(&place, "p1@start", &commands)?;
    let word = |line: &str| {
        let (_, rest) = line.split_once("signal SIG")?;
        // Not where the catchpoint is made.
        let stopped = line.contains("received") || line.contains("), ");
        stopped.then(|| rest.chars().take(4).collect::<String>())
    };
    let ends = |line: &str| {
        line.starts_with("No more reverse")
            .then(|| "end".to_owned())
    };
    let stops = outcome.stdout.lines().filter_map(|l| word(l).or(ends(l)));
    let stops: Vec<String> = stops.collect();
    let expected = [
        "USR1", "USR1", "end", "USR1", "USR1", "end", // as gdb has it at first
        "CHLD", "CHLD", "end", // the others
        "end", "CHLD",
    ];
    ensure!(stops == expected, "{stops:?}\n{outcome}");
    Ok(())
}

/// A step comes to a signal like a `continue`, and the next one into its handler.
#[test]
fn a_step_stops_at_a_fault() -> Result<()> {
    let place = Place::new(User::Own)?;
    let program = place.path().join("faulty");
    fixture::build("debugging/faulty.c", None, &[], &program)?;
    let program = program.to_str().context("UTF-8")?;
    let recorded = run::run(&mut place.record(&[program]), LIMIT)?;
    ensure!(recorded.stdout.contains("faulty ok"), "{recorded}");
    let round = [
        "next",
        "orch when",
        "stepi",
        "orch when",
        "reverse-stepi",
        "orch when",
    ];
    let commands = [
        &["break touch", "continue"],
        &round[..],
        &["delete", "break end", "continue"],
        &round[..2],
        &["delete", "continue"],
    ]
    .concat();
    let outcome = gdb(&place, "p1@start", &commands)?;
    let stopped = outcome.stdout.matches("received signal SIGSEGV").count();
    ensure!(stopped == 2, "{stopped} {outcome}");
    let is_one = |l: &&str| l.starts_with("p1@");
    let seen: Vec<&str> = outcome.stdout.lines().filter(is_one).collect();
    ensure!(
        seen.len() == 4 && seen[0] == seen[2] && seen[0] != seen[1],
        "{seen:?} {outcome}"
    );
    ensure!(outcome.stdout.contains("handler ("), "{outcome}");
    ensure!(outcome.stdout.contains("No more reverse"), "{outcome}");
    Ok(())
}

/// What takes more than the processor's watchpoints is watched all the same, both ways; also
/// several variables.
#[test]
fn more_than_the_processor_watches() -> Result<()> {
    let (place, _) = fixture::recorded("debugging/cells.c", "cells", &["-g".to_owned()])?;
    let commands = [
        "break main",
        "continue",
        "delete",
        "watch cells",
        "continue",
        "continue",
        "continue",
        "print cells[20]",
        "reverse-continue",
        "reverse-continue",
        "print cells[10]",
        "delete",
        "watch cells[0]",
        "watch cells[5]",
        "watch cells[10]",
        "watch cells[15]",
        "watch cells[20]",
        "continue",
        "continue",
        "print cells[20]",
    ];
    let outcome = gdb(&place, "p1@start", &commands)?;
    let printed = |text: &str| outcome.stdout.contains(text);
    ensure!(
        printed("$1 = 12") && printed("$2 = 0") && printed("$3 = 12"),
        "{outcome}"
    );
    Ok(())
}

/// Where a breakpoint comes first, or what is watched changes, gdb stops for that.
#[test]
fn a_breakpoint_before_a_caught_call_wins() -> Result<()> {
    let (place, _) = fixture::recorded("debugging/called.c", "called", &[])?;
    let commands = [
        "break stand",
        "catch syscall getppid",
        "continue",
        "continue",
        "continue",
        "watch counter",
        "continue",
        "delete 3",
        "continue",
        "reverse-continue",
        "reverse-continue",
        "reverse-continue",
        "watch counter",
        "reverse-continue",
    ];
    let outcome = gdb(&place, "p1@start", &commands)?;
    let words = ["Breakpoint 1,", "(call to", "(returned from", "Old value"];
    let stop = |line: &str| words.into_iter().find(|w| line.contains(w));
    let stops: Vec<&str> = outcome.stdout.lines().filter_map(stop).collect();
    let expected = [
        "Breakpoint 1,",
        "(call to",
        "(returned from",
        "Old value",
        "Breakpoint 1,",
        // And back.
        "(returned from",
        "(call to",
        "Breakpoint 1,",
        "Old value",
    ];
    ensure!(stops == expected, "{stops:?}\n{outcome}");
    Ok(())
}

/// Python in gdb: what a recording shows, and commands that may fail.
const STATE: &str = r#"
python
def state():
    show = ["info registers", "x/64xg $sp", "output counter", "output *shared@3", "info threads"]
    return [gdb.execute(c, to_string=True) for c in show]
def attempt(command):
    try:
        gdb.execute(command)
    except gdb.error as e:
        print("error:", str(e).splitlines()[0])
def check(command):
    gdb.execute(command, to_string=True)
    print("UNCHANGED" if state() == before else "CHANGED %s %s" % (before, state()))
end"#;

#[test]
fn functions_are_called_on_a_copy() -> Result<()> {
    let (place, recorded) = fixture::recorded("debugging/called.c", "called", &[])?;
    // Between two events, and at one.
    let mut seen = Vec::new();
    for stop in ["break stand", "catch syscall getppid"] {
        let commands = [
            STATE,
            stop,
            "continue",
            "orch when",
            "python before = state()",
            "print twice(21)",
            // What it did is there until something moves.
            "print counter",
            "print twice(4) + twice(5)",
            "print half(5.0)",
            "print turned(1, 2)",
            "print total()",
            "print total()",
            "print joined(\"foo\", \"bar\")",
            "python check('orch when')",
            "python attempt('print speak()')",
            "python check('orch when')",
            "python attempt('print crash()')",
            "python check('orch when')",
            "python attempt('set var counter = 7')",
            "python attempt('set $rax = 7')",
            "python check('orch when')",
            "print twice(1)",
            "stepi",
            "print counter",
            "reverse-stepi",
            "python check('orch when')",
            // A breakpoint in what is called.
            "break twice",
            "python attempt('print twice(30)')",
            "python attempt('orch when')",
            "finish",
            "python check('orch when')",
            "delete",
            "break stand",
            "continue",
            "print counter",
            "orch when",
        ];
        let outcome = gdb(&place, "p1@start", &commands)?;
        for text in [
            "$1 = 42\n",
            "$2 = 2\n",
            "$3 = 18\n",
            "$4 = 2.5\n",
            "$5 = {first = 2, second = 1, third = 4}\n",
            "$6 = 10\n",
            "$7 = 1010\n",
            "\"foobar\"\n",
            "error: The program being debugged was signaled while in a function called from GDB.",
            "error: The program being debugged stopped while in a function called from GDB.",
            "error: orch: in a function that is called on a copy; `orch jump` leaves it",
        ] {
            ensure!(outcome.stdout.contains(text), "no {text:?}: {outcome}");
        }
        let why = "the call was abandoned: it needs the system call write";
        ensure!(outcome.stderr.contains(why), "{outcome}");
        ensure!(
            outcome.stderr.contains("memory cannot be changed"),
            "{outcome}"
        );
        ensure!(!outcome.stdout.contains("CHANGED ["), "{outcome}");
        let same = outcome.stdout.matches("UNCHANGED").count();
        ensure!(same == 6, "{same} {outcome}");
        // And nobody has spoken.
        ensure!(!outcome.stdout.contains("spoken"), "{outcome}");
        let last = outcome.stdout.lines().rfind(|l| l.starts_with("p1@"));
        seen.push(last.map(ToOwned::to_owned));
    }
    // Both have gone on as recorded.
    ensure!(seen[0] == seen[1], "{seen:?}");
    ensure!(recorded.stdout.contains("called ok"), "{recorded}");
    place.check(LIMIT)
}

/// A library without debugging information, at a breakpoint and back to it.
#[test]
fn functions_of_a_library_are_called() -> Result<()> {
    let place = Place::new(User::Own)?;
    let sql = "create table t(a); insert into t values(1); select * from t;";
    let recorded = run::run(&mut place.record(&["sqlite3", ":memory:", sql]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let step = [
        "continue",
        "orch when",
        "print ((char *(*)(void *))sqlite3_sql)((void *)$rdi)",
        "print ((char *(*)(const char *, ...))sqlite3_mprintf)(\"<%d %s>\", 7, \"x\")",
        "orch when",
    ];
    let there = step.repeat(3);
    let back = [&["reverse-continue"], &step[1..]].concat();
    let commands = [&["break sqlite3_step"][..], &there, &back].concat();
    let outcome = gdb(&place, "p1@start", &commands)?;
    let is_one = |l: &&str| l.starts_with("p1@");
    let seen: Vec<&str> = outcome.stdout.lines().filter(is_one).collect();
    ensure!(seen.len() == 8, "{outcome}");
    ensure!(seen.chunks(2).all(|two| two[0] == two[1]), "{seen:?}");
    ensure!(seen[2] == seen[6] && seen[0] != seen[2], "{seen:?}");
    let asked = outcome.stdout.matches("\"create table t(a);\"").count();
    ensure!(asked == 2, "{asked} {outcome}");
    let made = outcome.stdout.matches("\"<7 x>\"").count();
    ensure!(made == 4, "{made} {outcome}");
    Ok(())
}

/// A debugger that is killed while a function runs on a copy leaves nothing behind.
#[test]
fn nothing_is_left_of_a_call() -> Result<()> {
    let (place, _) = fixture::recorded("debugging/called.c", "called", &[])?;
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session()).args([
        "gdb",
        "p1@start",
        "--",
        "-batch",
        "-ex",
        "break stand",
        "-ex",
        "continue",
        "-ex",
        "python import os; print('GDB', os.getpid(), flush=True)",
        "-ex",
        "print forever()",
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut orch = command.spawn()?;
    let lines = BufReader::new(orch.stdout.take().context("stdout")?).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|l| l.strip_prefix("GDB ").map(str::parse::<i32>))
        .context("gdb did not start")??;
    // Until it is on its way, and if not, it is all the same.
    std::thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    orch.wait()?;
    place.none_left(Duration::from_secs(20))
}

/// Vector registers are those of that instant, however one came there.
#[test]
fn vector_registers() -> Result<()> {
    const SHOW: &str = r#"
python
import re
def show(n):
    lanes = ["$ymm0", "$ymm15"]
    want = "{%d, %d, %d, %d}" % tuple(n * 10 + i for i in range(4))
    for name in lanes:
        value = gdb.execute("output %s.v4_int64" % name, to_string=True)
        print("RIGHT" if value == want else "WRONG %s %s %s" % (name, value, want))
    value = gdb.execute("output $xmm7.v2_int64", to_string=True)
    print("RIGHT" if value == "{%d, %d}" % (n, n) else "WRONG xmm7 %s" % value)
def go(command, n):
    gdb.execute(command)
    show(n)
for n in range(1, 5):
    for command in ["continue", "continue", "reverse-stepi", "stepi"]:
        go(command, n)
gdb.execute("info registers ymm0 fctrl mxcsr")
go("stepi", 4)
go("reverse-stepi", 4)
go("reverse-continue", 4)
for n in range(3, 0, -1):
    go("reverse-continue", n)
    go("reverse-continue", n)
gdb.execute("thread apply all -q output $ymm0.v4_int64")
end"#;
    let (place, recorded) = fixture::recorded("debugging/vectors.c", "vectors", &[])?;
    if recorded.stdout.contains("no AVX") {
        return Ok(());
    }
    let outcome = gdb(&place, "p1@start", &["catch syscall getppid", SHOW])?;
    ensure!(!outcome.stdout.contains("WRONG"), "{outcome}");
    let right = outcome.stdout.matches("RIGHT").count();
    ensure!(right == 3 * (4 * 4 + 3 + 2 * 3), "{right} {outcome}");
    // Of a thread that waits, they are not known.
    ensure!(outcome.stdout.contains("<unavailable>"), "{outcome}");
    Ok(())
}

/// AVX-512, x87 and the control word of SSE, by gdb and by `orch inspect`; a function that is
/// called changes none of them.
#[test]
fn wide_registers() -> Result<()> {
    const SHOW: &str = r#"
python
def value(name):
    return gdb.execute("output " + name, to_string=True)
def check(n):
    lanes = "{%s}" % ", ".join(str(n * 10 + i) for i in range(8))
    high = "{%s}" % ", ".join(str(n * 10 + i) for i in range(4))
    want = {"$zmm0.v8_int64": lanes, "$zmm31.v8_int64": lanes, "$ymm31.v4_int64": high,
            "$xmm31.v2_int64[1]": str(n * 10 + 1), "$k1": str(0x5a000000 | n),
            "$st0": str(n), "/x $mxcsr & 0x7fc0": "0x5f80"}
    wrong = {name: value(name) for name in want if value(name) != want[name]}
    print("WRONG %s" % wrong if wrong else "RIGHT")
def go(command, n):
    gdb.execute(command)
    check(n)
for n in range(1, 4):
    for command in ("continue", "continue", "reverse-stepi", "stepi"):
        go(command, n)
print("HERE", orch.when())
gdb.execute("print (int)abs(-5)")
check(3)
for n in range(3, 0, -1):
    for command in ("reverse-continue", "reverse-continue")[n == 3:]:
        go(command, n)
end"#;
    let (place, recorded) = fixture::recorded("debugging/wide.c", "wide", &[])?;
    if recorded.stdout.contains("no AVX-512") {
        return Ok(());
    }
    let outcome = gdb(&place, "p1@start", &["catch syscall getppid", SHOW])?;
    ensure!(!outcome.stdout.contains("WRONG"), "{outcome}");
    let right = outcome.stdout.matches("RIGHT").count();
    ensure!(right == 3 * 4 + 1 + 5, "{right} {outcome}");
    ensure!(outcome.stdout.contains("$1 = 5"), "{outcome}");
    let here = outcome.stdout.lines().find_map(|l| l.strip_prefix("HERE "));
    let here = here.with_context(|| format!("{outcome}"))?;
    let seen = place.read(&["inspect", here, "--regs", "--json"], LIMIT)?;
    let seen: Value = serde_json::from_str(&seen.stdout)?;
    let lanes = (0..8).rev().map(|i| format!("{:016x}", 30 + i));
    let lanes = format!("0x{}", lanes.collect::<String>());
    for (name, value) in [
        ("zmm0", &*lanes),
        ("zmm31", &lanes),
        ("k1", "0x000000005a000003"),
        // 3 is 1.5 * 2^1 (SDM volume 1, 4.2.2).
        ("st0", "0x4000c000000000000000"),
    ] {
        ensure!(seen["extended"][name] == value, "{name}: {seen}");
    }
    Ok(())
}

#[test]
fn marks_are_kept() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let report = place.recording("build/report")?;
    let submit = place.recording("build/submit")?;
    let commands = [
        "orch marks",
        "orch mark where it failed",
        "frame function main",
        "ublame job.failures -jump 2",
        "orch mark",
        "orch go 1",
        "orch when",
        "orch go 2",
        "orch when",
        "orch marks",
        "python\ntry: gdb.execute('orch go 3')\nexcept gdb.error as e: print(e)\nend",
    ];
    let outcome = gdb(&place, &format!("{report}@end"), &commands)?;
    let is_one = |l: &&str| l.starts_with('p') && l.contains('@') && !l.contains(' ');
    let seen: Vec<&str> = outcome.stdout.lines().filter(is_one).collect();
    ensure!(seen.len() == 2, "{outcome}");
    ensure!(
        seen[0].starts_with(&report) && seen[1].starts_with(&submit),
        "{seen:?}"
    );
    for text in [
        "no marks; orch mark [NOTE] makes one".to_owned(),
        format!("  1  {}", seen[0]),
        format!("  2  {}", seen[1]),
        "where it failed".to_owned(),
        "there is no mark 3; orch marks lists them".to_owned(),
    ] {
        ensure!(outcome.stdout.contains(&text), "no {text:?}: {outcome}");
    }
    Ok(())
}
