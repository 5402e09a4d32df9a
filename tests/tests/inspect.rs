//! What `orch inspect` shows of real recordings, compared with what the programs said
//! themselves when they were there.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run;
use serde::Deserialize;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// So many of a program's lines are looked at: each is a replay.
const LOOKS: usize = 12;

/// A line that was printed.
#[derive(Debug, Deserialize)]
struct Line {
    recording: String,
    tick: u64,
    text: String,
}

/// What these tests look at of a process.
#[derive(Debug, Deserialize)]
struct Picture {
    frames: Vec<Frame>,
    memory: Vec<Memory>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    function: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Memory {
    hex: String,
}

/// The functions of the program on a stack, outermost first, and its `value`.
fn seen(picture: &Picture) -> String {
    const OWN: [&str; 5] = ["main", "alpha", "beta", "gamma_", "handler"];
    let names = picture.frames.iter().rev();
    let names = names.filter_map(|f| f.function.as_deref());
    let names: Vec<&str> = names.filter(|n| OWN.contains(n)).collect();
    let bytes = picture.memory[0].hex.as_bytes().chunks(2).rev();
    let bytes = bytes.map(|b| std::str::from_utf8(b).unwrap_or_default());
    let value = i64::from_str_radix(&bytes.collect::<String>(), 16).unwrap_or(-1);
    format!("at {value} {}", names.join(" "))
}

fn witness(flags: &[&str]) -> Result<()> {
    let place = Place::new(User::Own)?;
    let program = place.path().join("prog");
    let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
    fixture::build("processes/witness.c", None, &flags, &program)?;
    let program = program.to_str().context("UTF-8")?;
    let recorded = run::run(&mut place.record(&[program]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let console = place.read(&["console", "--json"], LIMIT)?;
    let lines = console.stdout.lines().map(serde_json::from_str);
    let lines: Vec<Line> = lines.collect::<Result<_, _>>()?;
    ensure!(lines.len() > LOOKS, "{console}");
    for line in lines.iter().step_by(lines.len().div_ceil(LOOKS)) {
        let position = format!("{}@{}", line.recording, line.tick);
        let arguments = ["inspect", "--json", "--backtrace", "--limit", "100"];
        let arguments = [&arguments[..], &["--mem", "value", &position]].concat();
        let outcome = place.read(&arguments, LIMIT)?;
        ensure!(outcome.code() == Some(0), "{arguments:?}\n{outcome}");
        let picture: Picture = serde_json::from_str(&outcome.stdout)?;
        let (seen, said) = (seen(&picture), line.text.trim_end());
        ensure!(seen == said, "{position}: {seen}, but it was {said}");
    }
    Ok(())
}

#[test]
fn the_stack_is_what_the_program_said() -> Result<()> {
    witness(&["-O2"])
}

#[test]
fn the_stack_of_code_without_unwinding_information() -> Result<()> {
    witness(&[
        "-O1",
        "-fno-asynchronous-unwind-tables",
        "-fno-unwind-tables",
        "-g0",
    ])
}

/// Variables of a program that has aborted, as its source has them.
#[test]
fn variables_are_what_the_source_says() -> Result<()> {
    for level in ["-O0", "-O2", "-O0 -gdwarf-4"] {
        let place = Place::new(User::Own)?;
        let program = place.path().join("prog");
        let flags: Vec<String> = format!("-g {level}")
            .split(' ')
            .map(str::to_owned)
            .collect();
        fixture::build("processes/variables.c", None, &flags, &program)?;
        let program = program.to_str().context("UTF-8")?;
        let recorded = run::run(&mut place.record(&[program]), LIMIT)?;
        ensure!(recorded.code() == Some(134), "{recorded}");
        let outcome = place.read(&["inspect", "p1@exit", "--locals"], LIMIT)?;
        ensure!(outcome.code() == Some(0), "{outcome}");
        let always = ["  small = -5\n", "  counter = -300\n"];
        // A compiler that optimizes keeps what is needed; of the rest it is said why not.
        let without_optimization = [
            "  point.x = 42\n",
            "  point.y = 2.25\n",
            "  point.label.name = \"seven\"\n",
            "  point.label.text = 0x",
            " \"a text \"quoted\"\"\n",
            "  big = 18364758544493064720\n",
            "  numbers = {1, -2, 3, -4}\n",
            "  colour = GREEN\n",
            "  yes = true\n",
            "  half = -0.5\n",
            "  nothing = null\n",
            "  copy.x = 42\n",
            "  round = 2\n",
        ];
        let wanted = match level {
            "-O2" => always.to_vec(),
            _ => [&always[..], &without_optimization].concat(),
        };
        for text in wanted {
            ensure!(
                outcome.stdout.contains(text),
                "{level}: no {text:?} in\n{}",
                outcome.stdout
            );
        }
    }
    Ok(())
}

/// Names of shared memory are the same where an index of its accesses is there; without one,
/// none is made for them.
#[test]
fn shared_memory_has_its_names_without_an_index() -> Result<()> {
    let (place, _) = fixture::recorded("memory/shared.c", "shared", &["-pthread".to_owned()])?;
    let maps = || -> Result<Vec<String>> {
        let positions = ["p1@start", "p1@50%", "p1@end", "p2@50%", "p2@end", "p3@80%"];
        let shown = positions.map(|p| place.read(&["inspect", "--maps", "--regs", p], LIMIT));
        let shown = shown.into_iter().map(|outcome| Ok(outcome?.stdout));
        shown.collect()
    };
    let fresh = maps()?;
    let index = place.session().join("blame.index");
    ensure!(!index.exists(), "an index was made");
    ensure!(fresh[3].contains("anon:1+0x0"), "{}", fresh[3]);
    let made = place.read(&["shm"], LIMIT)?;
    ensure!(index.exists(), "{made}");
    ensure!(maps()? == fresh);
    Ok(())
}

/// A row of `ublame`.
#[derive(Debug, Deserialize)]
struct Access {
    position: String,
    recording: String,
    kind: String,
    pc: String,
}

#[derive(Debug, Deserialize)]
struct Standing {
    registers: std::collections::HashMap<String, String>,
}

/// One stands before an access at its instruction, also if that has loaded news first.
#[test]
fn an_access_is_where_its_instruction_is() -> Result<()> {
    let (place, _) = fixture::recorded("memory/exchange.c", "exchange", &[])?;
    let blame = place.read(&["ublame", "anon:1+0", "--len", "4", "--json"], LIMIT)?;
    let rows: Vec<Access> = blame
        .stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    // What was seen, then what was stored.
    let exchanges = rows.windows(2).filter(|w| {
        let same = (&w[0].recording, &w[0].pc) == (&w[1].recording, &w[1].pc);
        same && w[0].kind == "load" && w[1].kind == "store"
    });
    let looks: Vec<&Access> = exchanges.flatten().take(LOOKS).collect();
    ensure!(looks.len() >= 4, "too few exchanges saw news\n{blame}");
    for row in looks {
        let at = place.read(&["inspect", &row.position, "--regs", "--json"], LIMIT)?;
        let standing: Standing = serde_json::from_str(&at.stdout).context(at.to_string())?;
        ensure!(
            standing.registers.get("rip") == Some(&row.pc),
            "{row:?} is not there\n{at}"
        );
    }
    Ok(())
}

/// Between events a process stands at the next one, which is said.
#[test]
fn an_event_that_is_not_there_is_told() -> Result<()> {
    let place = Place::new(User::Own)?;
    let recorded = run::run(&mut place.record(&["sh", "-c", "(exit 3); :"]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let ticks = |id: &str| -> Result<Vec<u64>> {
        let events = place.read(&["events", "-p", id, "--json"], LIMIT)?;
        let tick = |line| -> Result<u64> {
            let event: serde_json::Value = serde_json::from_str(line)?;
            event["tick"].as_u64().context("no tick")
        };
        events.stdout.lines().map(tick).collect()
    };
    // The child's are none of its parent's. (Its end may be noted after its parent's.)
    let missing = *ticks("p2")?.first().context("no events")?;
    let after = ticks("p1")?.into_iter().find(|&tick| tick > missing);
    let after = after.context("the parent does not wait")?;
    let seen = place.read(&["inspect", &format!("p1@{missing}"), "--threads"], LIMIT)?;
    let said = format!("p1 has no event {missing}; this is the next, p1@{after}");
    ensure!(
        seen.code() == Some(0) && seen.stderr.contains(&said),
        "{said}: {seen}"
    );
    let there = place.read(&["inspect", &format!("p1@{after}"), "--threads"], LIMIT)?;
    ensure!(!there.stderr.contains("has no event"), "{there}");
    Ok(())
}
