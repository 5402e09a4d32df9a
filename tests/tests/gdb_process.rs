//! What gdb is told of a recorded process besides its code: threads, libraries, files, signals;
//! and what is left when somebody goes.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::gdb::gdb;
use orch_tests::orch::Place;
use orch_tests::run::{self, Outcome};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn recorded() -> Result<Place> {
    Ok(fixture::recorded("debugging/named.c", "named", &[])?.0)
}

/// All of these are said.
fn says(outcome: &Outcome, texts: &[&str]) -> Result<()> {
    for text in texts {
        ensure!(outcome.stdout.contains(text), "no {text:?}: {outcome}");
    }
    Ok(())
}

/// Python: remembers a position, and goes there.
const PLACES: &str = "handle SIGUSR1 nostop noprint
python
there = {}
def here(name): there[name] = orch.when()
def to(name): gdb.execute('orch jump ' + there[name])
def running():
    thread = gdb.selected_thread()
    print('THREAD', thread.name, gdb.newest_frame().name())
def libraries(): print('LIBM', 'libm.so' in gdb.execute('info sharedlibrary', to_string=True))
end";

/// To where other threads run, or the selected one is not there yet, and back.
#[test]
fn a_jump_finds_the_thread_that_runs() -> Result<()> {
    let place = recorded()?;
    let commands = [
        PLACES,
        "break pause_here",
        "continue",
        "python here('worker')",
        "orch mark",
        "tbreak stand if round == 3",
        "continue",
        "python running()",
        "python here('first')",
        "python to('worker')",
        "python running()",
        "bt",
        "stepi",
        "reverse-stepi",
        "python print('SAME', orch.when() == there['worker'])",
        "orch jump p1@start",
        "orch when",
        "python print('THREADS', len(gdb.selected_inferior().threads()))",
        "orch go 1",
        "python running()",
        "python to('first')",
        "python running()",
    ];
    let outcome = gdb(&place, "p1@start", &commands)?;
    says(&outcome, &["SAME True", "THREADS 1\n", "\np1@start\n"])?;
    let seen = outcome.stdout.lines().filter(|l| l.starts_with("THREAD "));
    let (first, worker) = ("THREAD chief stand", "THREAD work <&> pause_here");
    let expected = [first, worker, worker, first];
    ensure!(seen.eq(expected), "{outcome}");
    Ok(())
}

/// Libraries are those of that instant.
#[test]
fn a_jump_knows_the_libraries() -> Result<()> {
    let place = recorded()?;
    let commands = [
        PLACES,
        "break stand",
        "continue",
        "python here('before')",
        "tbreak pause_here",
        "continue",
        "continue",
        "continue",
        "python here('behind')",
        "orch jump p1@start",
        "info sharedlibrary",
    ];
    let names = ["before", "behind", "before", "behind"];
    let jumps: Vec<String> = names
        .iter()
        .map(|name| format!("python to('{name}'); libraries()"))
        .collect();
    let jumps: Vec<&str> = jumps.iter().map(String::as_str).collect();
    let outcome = gdb(&place, "p1@start", &[&commands[..], &jumps].concat())?;
    let seen = outcome.stdout.lines().filter(|l| l.starts_with("LIBM "));
    let (no, yes) = ("LIBM False", "LIBM True");
    ensure!(seen.eq([no, yes, no, yes]), "{outcome}");
    // From before all libraries, with nothing else done.
    let position = outcome_of(&place, "p1@end")?;
    says(&position, &["libc.so", " in "])?;
    ensure!(!position.stdout.contains("?? ()"), "{position}");
    Ok(())
}

fn outcome_of(place: &Place, position: &str) -> Result<Outcome> {
    let jump = format!("orch jump {position}");
    gdb(place, "p1@start", &[&jump, "bt", "info sharedlibrary"])
}

/// Threads are in the order in which they were made, with the names that they have there.
#[test]
fn threads_are_named_and_numbered() -> Result<()> {
    let place = recorded()?;
    let list = "python print('LIST', [(t.num, t.name) for t in \
        sorted(gdb.selected_inferior().threads(), key=lambda t: t.num)])";
    let there = [PLACES, "break pause_here", "continue", "orch when", list];
    let outcome = gdb(&place, "p1@start", &there)?;
    // What another thread gave the third one is not recorded.
    let names = "[(1, 'chief'), (2, 'work <&>'), (3, None)]";
    says(&outcome, &[&format!("LIST {names}")])?;
    let position = outcome.stdout.lines().find(|l| l.starts_with("p1@"));
    let position = position.with_context(|| format!("{outcome}"))?;
    // Wherever gdb begins.
    let outcome = gdb(&place, position, &[list, "info threads"])?;
    says(&outcome, &[&format!("LIST {names}"), "(thread 1, runs)"])?;
    // Before they had them.
    let earlier = [PLACES, "break stand if round == 1", "continue", list];
    let outcome = gdb(&place, "p1@start", &earlier)?;
    let names = "[(1, 'chief'), (2, 'work <&>'), (3, 'chief')]";
    says(&outcome, &[&format!("LIST {names}")])?;
    let shown = place.read(&["inspect", position, "--threads"], LIMIT)?;
    says(&shown, &[" chief ", " work <&> "])?;
    let shown = place.read(&["inspect", "p1@start", "--threads", "--json"], LIMIT)?;
    says(&shown, &["\"name\":\"named\""])
}

/// `info proc`, and what came with a signal; also with a gdb that knows nothing of orch.
#[test]
fn the_process_is_described() -> Result<()> {
    let place = recorded()?;
    let program = place.path().join("named").display().to_string();
    let work = place.work().display().to_string();
    let asks = [
        "info proc",
        "info proc mappings",
        "print $_siginfo.si_signo",
        "print $_siginfo._sifields._rt.si_sigval.sival_int",
    ];
    let arrive = ["continue", "orch when"];
    let outcome = gdb(&place, "p1@start", &[&arrive[..], &asks].concat())?;
    let list = place.read(&["ls", "--json"], LIMIT)?;
    let rows = list.stdout.lines().map(serde_json::from_str);
    let rows: Vec<serde_json::Value> = rows.collect::<Result<_, _>>()?;
    let row = rows.iter().find(|row| row["recording"] == "p1");
    let row = row.with_context(|| format!("{list}"))?;
    let pid = format!("process {}\n", row["pid"]);
    let (exe, cwd) = (format!("exe = '{program}'"), format!("cwd = '{work}'"));
    let cmdline = format!("cmdline = '{program}'");
    let all = [
        &*pid,
        &exe,
        &cwd,
        &cmdline,
        "libm.so.6\n",
        "[heap]",
        "[stack]",
        "rw-s",
        "$1 = 10\n",
        "$2 = 4711\n",
    ];
    says(&outcome, &all)?;
    // Elsewhere, there is none.
    let none = "python\ntry: gdb.execute('print $_siginfo')\nexcept gdb.error as e: print(e)\nend";
    says(&gdb(&place, "p1@start", &[none])?, &["Unable to read"])?;
    // The files come with the connection: the program may be gone.
    let position = outcome.stdout.lines().find(|l| l.starts_with("p1@"));
    let position = position.with_context(|| format!("{outcome}"))?;
    std::fs::remove_file(&program)?;
    let (mut serve, address) = serve(&place, position)?;
    let target = format!("target remote {address}");
    let mut other = place.command("gdb");
    other.args(["-q", "-batch", "-ex", &target, "-ex", "bt"]);
    for ask in asks {
        other.args(["-ex", ask]);
    }
    let outcome = run::run(&mut other, LIMIT)?;
    says(&outcome, &all)?;
    says(&outcome, &[" main ("])?;
    run::wait(&mut serve, LIMIT)?.context("it does not end")?;
    place.none_left(LIMIT)
}

/// `orch serve`, and where it listens.
fn serve(place: &Place, position: &str) -> Result<(std::process::Child, String)> {
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session());
    command.args(["serve", position, "--listen", ":0"]);
    let mut serve = command.stderr(Stdio::piped()).spawn()?;
    let mut errors = BufReader::new(serve.stderr.take().context("no errors")?);
    let mut line = String::new();
    while !line.contains("target remote ") {
        line.clear();
        ensure!(errors.read_line(&mut line)? > 0, "it ended");
    }
    let address = line.trim_end().rsplit(' ').next().context("no address")?;
    // What it says later is of interest to nobody.
    std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    Ok((serve, address.to_owned()))
}

/// A second debugger is told at once that there is another.
#[test]
fn a_second_debugger_is_refused() -> Result<()> {
    let place = recorded()?;
    let (mut serve, address) = serve(&place, "p1@end")?;
    let target = format!("target remote {address}");
    let connect = |more: &[&str]| -> Command {
        let mut gdb = place.command("gdb");
        gdb.args(["-q", "-batch", "-ex", &target]).args(more);
        gdb
    };
    let mut first = connect(&[
        "-ex",
        "shell touch there",
        "-ex",
        "shell while [ ! -e done ]; do sleep 0.1; done",
        "-ex",
        "print 6 * 7",
    ]);
    let mut first = first.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    while !place.work().join("there").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = run::run(&mut connect(&["-ex", "bt"]), LIMIT)?;
    ensure!(second.took < Duration::from_secs(20), "{second}");
    ensure!(!second.stdout.contains("main ("), "{second}");
    std::fs::write(place.work().join("done"), "")?;
    let said = std::io::read_to_string(first.stdout.take().context("no output")?)?;
    ensure!(said.contains("$1 = 42"), "{said}");
    first.wait()?;
    run::wait(&mut serve, LIMIT)?.context("it does not end")?;
    Ok(())
}

/// What was written before, and what comes later only if asked for.
#[test]
fn blame_is_of_the_present() -> Result<()> {
    let place = recorded()?;
    let attempt = "python
def attempt(command):
    try: print('ROWS', gdb.execute(command, to_string=True).count('p1@'))
    except gdb.error as e: print('error:', e)
end";
    let commands = [
        "handle SIGUSR1 nostop noprint",
        attempt,
        "break stand",
        "continue",
        "python attempt('ublame *shared')",
        "continue",
        "python attempt('ublame value'); attempt('ublame *shared')",
        "python attempt('ublame *shared -all'); attempt('ublame value -all -jump 2')",
        "python attempt('ublame value -jump x'); attempt('ublame value -jump')",
        "python attempt('ublame -jump 1'); attempt('ublame')",
        "ublame *shared -all -jump 2",
        // Behind the store, it is one of those before.
        "stepi",
        "python attempt('ublame *shared')",
    ];
    let outcome = gdb(&place, "p1@start", &commands)?;
    let said = outcome.stdout.lines();
    let said = said.filter(|l| l.starts_with("ROWS") || l.starts_with("error:"));
    let number = "error: -jump goes to a row by its number: ublame EXPR -jump 2";
    let what = "error: say what: ublame EXPR [-all] [-jump N]";
    let row = "error: there is no row 2; ublame lists them";
    let none = "error: orch: no access to anon:1+0x0 (4 bytes) is known in that time; `orch shm` \
                shows which objects were used, and how much";
    let expected = [
        none, "ROWS 1", "ROWS 1", "ROWS 2", row, number, number, what, what, "ROWS 2",
    ];
    ensure!(said.eq(expected), "{outcome}");
    Ok(())
}

/// Functions of the user's have what names they like; and without a recording, one is told
/// what to do.
#[test]
fn commands_say_what_to_do() -> Result<()> {
    let place = recorded()?;
    let attempt = "python
def attempt(command):
    try: gdb.execute(command)
    except gdb.error as e: print('error:', e)
end";
    let commands = [
        attempt,
        "python\ndef when(): return 'mine'\ndef run(*a): return 'mine'\ndef monitor(c): return 'mine'\nend",
        "orch when",
        "python attempt('orch jump p1@1x')",
        "python attempt('orch jump p9@start')",
        "disconnect",
        "python attempt('orch when')",
        "python attempt('ublame 0x1000')",
        "orch jump p1@end",
        "kill",
        "python attempt('orch when')",
        "orch jump p1@start",
        "orch when",
    ];
    let outcome = gdb(&place, "p1@start", &commands)?;
    let none = "error: no recording is looked at any more; `orch jump p1@start` goes to one";
    ensure!(outcome.stdout.matches(none).count() == 3, "{outcome}");
    ensure!(
        outcome.stdout.matches("\np1@start\n").count() == 2,
        "{outcome}"
    );
    let bad = "error: orch: \"p1@1x\" is not a position; write p3@18402 (an event)";
    says(&outcome, &[bad, "p9 is not in this session"])?;
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    ensure!(
        !all.contains("--help") && !all.contains("invalid value"),
        "{outcome}"
    );
    Ok(())
}

/// A killed `orch gdb` takes gdb along, and what replays.
#[test]
fn nothing_is_left_of_who_is_killed() -> Result<()> {
    let place = recorded()?;
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session());
    command.args(["gdb", "p1@end", "--", "-ex", "shell touch there"]);
    // A terminal that says nothing.
    let mut orch = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    while !place.work().join("there").exists() {
        ensure!(orch.try_wait()?.is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    orch.kill()?;
    orch.wait()?;
    place.none_left(Duration::from_secs(20))
}
