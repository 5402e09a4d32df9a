//! Searches backwards by several processes at once: they find what a search of one segment
//! after the other does, fail where it does, and end when they are told to.

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orch_tests::fixture;
use orch_tests::gdb::gdb;
use orch_tests::orch::{Place, User};
use orch_tests::run::{self, Outcome};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
/// Once nobody searches any more.
const SOON: Duration = Duration::from_secs(20);
/// In gdb: whether several search, and a Ctrl-C once they do.
const INTERRUPT: &str = r#"
python
import glob, os, signal, threading, time
def searching():
    names = []
    for path in glob.glob("/proc/[0-9]*/task/*/comm"):
        try:
            if os.readlink("/proc/" + path.split("/")[2] + "/exe") == orch.ORCH:
                names.append(open(path).read().strip())
        except OSError:
            pass
    return names.count("orch segment")
def interrupt():
    for n in range(1000):
        time.sleep(0.01)
        if searching() > 1:
            print("SEARCHING")
            time.sleep(0.1)
            break
    os.kill(os.getpid(), signal.SIGINT)
def interrupted(command):
    before = orch.when()
    waiting = threading.Thread(target=interrupt)
    waiting.start()
    try:
        said = gdb.execute(command, to_string=True)
    except KeyboardInterrupt:
        said = "KeyboardInterrupt"
    waiting.join()
    print("SAID", said)
    print("SAME", before == orch.when(), searching())
end"#;

/// A recording of two threads that compute for `rounds`, which has checkpoints all along.
fn recorded(rounds: u32) -> Result<Place> {
    let place = Place::new(User::Own)?;
    let program = place.path().join("rarely");
    fixture::build("threads/rarely.c", None, &["-pthread".to_owned()], &program)?;
    let program = program.to_str().context("UTF-8")?;
    let recorded = run::run(&mut place.record(&[program, &rounds.to_string()]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let mut check = orch(&place, &["replay", "--check"]);
    let checked = run::run(check.env("ORCH_CHECKPOINT_AFTER", "0"), LIMIT)?;
    ensure!(checked.code() == Some(0), "{checked}");
    let saved = fs::read_dir(place.session().join("checkpoints"))?.count();
    ensure!(saved > 2, "{saved} checkpoints are too few for this test");
    Ok(place)
}

/// Makes no checkpoints.
fn orch(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session()).args(arguments);
    command.env("ORCH_CHECKPOINT_AFTER", "1000000");
    command
}

fn by_workers(place: &Place, workers: u32, arguments: &[&str]) -> Result<Outcome> {
    let mut command = orch(place, arguments);
    run::run(command.env("ORCH_WORKERS", workers.to_string()), LIMIT)
}

/// What one worker and several say is the same, and, if that does not take long, what is
/// said without checkpoints.
fn agree(place: &Place, arguments: &[&str], is_short: bool) -> Result<Outcome> {
    let one = by_workers(place, 1, arguments)?;
    ensure!(one.orderly(), "{one}");
    let mut others = vec![
        by_workers(place, 3, arguments)?,
        by_workers(place, 8, arguments)?,
    ];
    if is_short {
        let mut without = orch(place, arguments);
        others.push(run::run(without.env("ORCH_CHECKPOINTS", "0"), LIMIT)?);
    }
    for other in others {
        let same = one.code() == other.code()
            && said(&one.stdout) == said(&other.stdout)
            && said(&one.stderr) == said(&other.stderr);
        ensure!(same, "{arguments:?}\n{one}\n{other}");
    }
    Ok(one)
}

/// But for where gdb has the recorded files.
fn said(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .map(|l| l.split_once("/orch-gdb-").map_or(l, |(before, _)| before))
        .collect()
}

#[test]
fn changes_are_the_same() -> Result<()> {
    let place = recorded(2000)?;
    for (variable, count, changes) in [
        ("early", "9", 3),
        ("often", "30", 30),
        ("late", "9", 3),
        ("rounds", "2", 1),
        ("never", "1", 0),
    ] {
        let spot = format!("p1:{variable}");
        let found = agree(
            &place,
            &["last", &spot, "-n", count, "--json"],
            variable == "early",
        )?;
        let lines = found.stdout.lines().count();
        ensure!(lines == changes, "{variable}\n{found}");
    }
    place.none_left(SOON)
}

/// Breakpoints and watchpoints, in gdb: to the start and there again.
#[test]
fn reverse_continue_is_the_same() -> Result<()> {
    let place = recorded(2000)?;
    let script = place.path().join("back.gdb");
    let back = "reverse-continue\norch when\n";
    let commands = format!(
        "set pagination off\nset width 0\nbreak begin\n{}watch early\n{}",
        back.repeat(4),
        "orch jump p1@end\n".to_owned() + &back.repeat(7),
    );
    fs::write(&script, commands)?;
    let script = script.to_str().context("UTF-8")?;
    let found = agree(
        &place,
        &["gdb", "p1@end", "--", "-batch", "-x", script],
        true,
    )?;
    ensure!(found.code() == Some(0), "{found}");
    let count = |text: &str| found.stdout.matches(text).count();
    ensure!(count("Breakpoint 1, ") >= 6, "{found}");
    ensure!(count("New value") + count("Old value") >= 6, "{found}");
    Ok(())
}

/// What cannot be read is an error to those who come to it, and to nobody else.
#[test]
fn damage_is_told() -> Result<()> {
    let place = recorded(12_000)?;
    let file = place.session().join("p1.events");
    let mut bytes = fs::read(&file)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 0x55;
    fs::write(&file, bytes)?;
    let mut said = Vec::new();
    for workers in [1, 4] {
        let late = by_workers(&place, workers, &["last", "p1:late", "-n", "3"])?;
        ensure!(late.stdout.lines().count() == 3, "{workers}: {late}");
        let early = by_workers(&place, workers, &["last", "p1:early"])?;
        ensure!(
            early.code() == Some(1) && early.stderr.contains("is damaged"),
            "{workers}: {early}"
        );
        said.push(early.stderr);
    }
    ensure!(said[0] == said[1], "{said:?}");
    place.none_left(SOON)
}

/// That a process is gone does not mean that there is nothing to be found.
#[test]
fn a_killed_search_is_told() -> Result<()> {
    let place = recorded(12_000)?;
    let mut command = orch(&place, &["last", "p1:never"]);
    let errors = place.path().join("errors");
    let mut child = command
        .env("ORCH_WORKERS", "4")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&errors)?)
        .spawn()?;
    wait_for_workers(child.id())?;
    for pid in run::descendants(child.id().cast_signed()) {
        // Some end with others.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let status = run::wait(&mut child, LIMIT)?.context("it hangs")?;
    let said = fs::read_to_string(&errors)?;
    ensure!(status.code() == Some(1), "{status}: {said}");
    ensure!(!said.contains("has not changed"), "{said}");
    place.none_left(SOON)
}

/// A Ctrl-C ends all of them, and the process stands where it did; it can be searched again.
#[test]
fn interrupted() -> Result<()> {
    let place = recorded(12_000)?;
    let binary = format!("python ORCH = {:?}", place.orch());
    let again = [
        "break begin",
        "python interrupted('reverse-continue')",
        "python print('FOUND', gdb.execute('reverse-continue', to_string=True))",
    ];
    let commands = [&[&binary[..], INTERRUPT][..], &again].concat();
    let outcome = gdb(&place, "p1@end", &commands)?;
    for said in [
        "SEARCHING",
        "SAME True 0",
        "SIGINT",
        "begin (n=n@entry=3) at",
    ] {
        ensure!(outcome.stdout.contains(said), "{said}\n{outcome}");
    }
    place.none_left(SOON)
}

/// Until several search.
fn wait_for_workers(pid: u32) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
        let names = tasks.filter_map(|t| fs::read_to_string(t.path().join("comm")).ok());
        if names.filter(|name| name.trim() == "orch segment").count() > 1 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("nobody searches")
}
