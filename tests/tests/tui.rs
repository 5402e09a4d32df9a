//! `orch tui` on a real recording: the job-queue example is solved by keys alone, without
//! a terminal and in one. The terminal is tmux's.

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run::{self, Outcome};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
/// From the first screen to the culprit: the process that crashed; who wrote what it has
/// read; the failures; the access before; there.
const KEYS: [&str; 6] = ["Enter", "b", "Down", "Enter", "Up", "Enter"];

/// The line of `submit` that writes over the next job, as the current one of its source.
fn is_culprit(screen: &str) -> bool {
    let here = screen.lines().find(|l| l.trim_start().starts_with("▶ 16 "));
    screen.contains("submit.cpp:16") && here.is_some_and(|l| l.contains("std::memcpy(job.title"))
}

fn render(place: &Place, script: &str, size: &str) -> Result<Outcome> {
    let outcome = place.read(&["tui", "--render", script, "--size", size], LIMIT)?;
    ensure!(outcome.code() == Some(0), "{script}: {outcome}");
    Ok(outcome)
}

#[test]
fn the_culprit_by_keys() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    assert!(KEYS.len() <= 12);
    let script = KEYS.join(" ");
    for size in ["120x36", "80x24", "200x50"] {
        let outcome = render(&place, &script, size)?;
        ensure!(is_culprit(&outcome.stdout), "at {size}: {}", outcome.stdout);
    }
    let outcome = render(&place, &format!("{script} Bksp Bksp"), "120x36")?;
    ensure!(
        outcome.stdout.contains("report.cpp:15"),
        "back: {}",
        outcome.stdout
    );
    Ok(())
}

/// Each line on the console leads to the write that printed it, and its steps to the events
/// and lines around; a variable and a byte to who changed them.
#[test]
fn from_a_printed_line_on() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let there = "4 / 'Assertion' Enter Enter";
    let screen = render(&place, there, "160x50")?.stdout;
    for text in [
        "at write(2, \"report: report.cpp:15",
        "main",
        "job.failures",
        "-1700862316",
    ] {
        ensure!(screen.contains(text), "no {text:?}: {screen}");
    }
    let next = render(&place, &format!("{there} e show E"), "160x50")?.stdout;
    ensure!(
        next.contains("at write(2, \"report: report.cpp:15"),
        "there and back: {next}"
    );
    let before = render(&place, &format!("{there} N"), "160x50")?.stdout;
    let is_main = |l: &&str| l.contains("▶") && (l.contains(" main ") || l.contains("report.cpp"));
    ensure!(
        before.lines().any(|l| is_main(&l)),
        "a line back, of main: {before}"
    );
    // What is shared has a history of all processes, by its name in one of them.
    let all = format!("{there} w End");
    let screen = render(&place, &all, "160x50")?.stdout;
    let ups = rows_above(&screen, "job.failures").with_context(|| screen.clone())?;
    let script = format!("{all} {} b", "Up ".repeat(ups));
    let history = render(&place, &script, "160x50")?.stdout;
    for text in [
        "create.cpp:7",
        "submit.cpp:16",
        "report.cpp:12",
        "3 accesses",
    ] {
        ensure!(history.contains(text), "no {text:?}: {history}");
    }
    // What is its own is found by replaying it backwards.
    let own = render(&place, &format!("{there} w w b"), "160x50")?.stdout;
    ensure!(own.contains("replayed backwards"), "{own}");
    ensure!(
        own.lines()
            .any(|l| l.contains(" change ") || l.contains(" syscall ")),
        "{own}"
    );
    Ok(())
}

/// From the crash back to a line, to what changed a variable there, to the start, and all the
/// way forwards again.
#[test]
fn from_stop_to_stop() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let break_at = "Enter : 'break report.cpp:15' Enter C";
    let screen = render(&place, break_at, "160x50")?.stdout;
    let is_line = |l: &str| l.contains("●▶ 15 ") && l.contains("assert(job.failures");
    ensure!(
        screen.lines().any(is_line) && screen.contains(" breakpoint report.cpp:15"),
        "backwards to the line: {screen}"
    );
    let start = render(&place, &format!("{break_at} C"), "160x50")?.stdout;
    ensure!(start.contains("the recording starts here"), "{start}");
    let end = render(&place, &format!("{break_at} C c show c"), "160x50")?.stdout;
    ensure!(
        end.lines().any(is_line) && end.contains("the recording ends here"),
        "from the start to the line, and to the end: {end}"
    );

    let variables = format!("{break_at} w End");
    let screen = render(&place, &variables, "160x50")?.stdout;
    let ups = rows_above(&screen, "job.failures").with_context(|| screen.clone())?;
    let watched = format!("{variables} {} W", "Up ".repeat(ups));
    let before = render(&place, &format!("{watched} C"), "160x50")?.stdout;
    ensure!(
        before.contains("what is executed next changes job.failures")
            && before.contains("●  15 ")
            && !before.contains("-1700862316"),
        "before the change: {before}"
    );
    let behind = render(&place, &format!("{watched} C c show c"), "160x50")?.stdout;
    ensure!(
        behind.contains("job.failures (") && behind.contains("0 → 2594104980"),
        "behind it: {behind}"
    );
    // By keys in the source, and by the list, it is gone again.
    for gone in ["B", "w w w B", "L Down Enter", "L 'report.cpp:15' Enter"] {
        let screen = render(&place, &format!("{break_at} {gone} show C"), "160x50")?.stdout;
        ensure!(
            screen.contains("no breakpoint report.cpp:15 any more")
                && screen.contains("the recording starts here; B sets"),
            "{gone}: {screen}"
        );
    }
    // A function that is inlined, of another program.
    let inlined = "4 Home Enter : 'break set_title' Enter L";
    let screen = render(&place, inlined, "160x50")?.stdout;
    ensure!(screen.contains(" breakpoint set_title"), "{screen}");
    Ok(())
}

/// The writer of a byte is the one that its history has before what the process last saw.
#[test]
fn bytes_have_their_writers() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let failures = "Enter : 'break report.cpp:15' Enter C x 'job.failures' Enter w Enter w";
    let (mut known, size) = (0, "160x44");
    for (name, keys) in [
        ("failures", ""),
        ("its title", "j Left Left"),
        ("the next", "j j j l"),
    ] {
        let script = format!("{failures} {keys} show b");
        let screen = render(&place, &script, size)?.stdout;
        let (memory, history) = screen.split_once("\n orch ").context("two screens")?;
        let head = memory.lines().find(|l| l.contains("▶▶ Memory"));
        let head = head.with_context(|| screen.clone())?;
        // `0x7f… by p8 submit ──`, the last of what the line says.
        let note = head.rsplit(" 0x").next().unwrap_or_default();
        let writer = note.split_once(" by p").and_then(|(_, who)| {
            let name = who.split_whitespace().nth(1)?;
            Some(name.to_owned())
        });
        let rows: Vec<&str> = history
            .lines()
            .map(|l| l.trim_start_matches(['▶', ' ']))
            .filter(|l| l.starts_with('p') && l.contains('@'))
            .collect();
        let seen = rows.iter().rposition(|row| row.contains(" report "));
        let Some(seen) = seen else {
            continue;
        };
        let mut stores = rows[..=seen].iter().rev();
        let store = stores.find(|row| row.contains(" store "));
        let program = store.and_then(|row| row.split_whitespace().nth(2));
        ensure!(
            writer.as_deref() == program,
            "{name}: {writer:?}, {program:?}: {screen}"
        );
        known += 1;
    }
    ensure!(known >= 2, "report has seen the failures and the title");
    Ok(())
}

/// Between the lanes is seen what a process had from others; in them, who uses shared memory.
#[test]
fn lanes_have_arrows_and_shared_memory() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let screen = render(&place, "show a", "160x30")?.stdout;
    let screens: Vec<&str> = screen.split("\n orch ").collect();
    let [with, without] = screens[..] else {
        bail!("two screens: {screen}");
    };
    let row = |screen: &str, program: &str| {
        let is_it = |l: &&str| l.split_whitespace().any(|word| word == program);
        let row = screen.lines().find(is_it).map(str::to_owned);
        row.with_context(|| format!("{program}: {screen}"))
    };
    // It saw what others had stored, and has told its parent how it ended.
    let report = row(with, "report")?;
    ensure!(report.contains('▼') || report.contains('▲'), "{with}");
    ensure!(report.contains('✗'), "{with}");
    ensure!(row(with, "submit")?.contains('○'), "{with}");
    let arrows = ['○', '┄', '┆', '▼', '▲'];
    for program in ["report", "submit", "create", "work"] {
        let row = row(without, program)?;
        ensure!(!row.contains(arrows), "hidden: {without}");
        ensure!(row.contains(['░', '▒', '▓']), "shared memory: {without}");
    }
    ensure!(
        !row(without, "dirname")?.contains(['░', '▒', '▓']),
        "{without}"
    );
    Ok(())
}

/// From what the report saw to who stored it, and from one such event to the next.
#[test]
fn messages_have_two_ends() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    // The load of the failures; its other end is the culprit.
    let load = "Enter b Down Enter";
    let peer = render(&place, &format!("{load} P"), "160x50")?.stdout;
    ensure!(is_culprit(&peer), "the other end of the load: {peer}");
    let there = format!("{load} Enter");
    let load = render(&place, &there, "160x50")?.stdout;
    let position = |screen: &str| {
        let first = screen
            .lines()
            .next()
            .and_then(|l| l.split_whitespace().last());
        first.unwrap_or_default().to_owned()
    };
    let back = render(&place, &format!("{there} T show t"), "160x50")?.stdout;
    let screens: Vec<&str> = back.split("\n orch ").collect();
    let last = screens.last().copied().unwrap_or_default();
    ensure!(
        position(last) == position(&load) && position(&back) != position(&load),
        "there and back: {back}"
    );
    let none = render(&place, "@ 'p1@start' Enter T", "160x50")?.stdout;
    ensure!(none.contains("no event of p1 before"), "{none}");
    Ok(())
}

/// The way from a variable to a value, where the process is, and wherever it goes.
#[test]
fn expressions_stay_in_sight() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let shown = "Enter : 'break report.cpp:15' Enter C x 'queue.jobs[3].failures' Enter";
    let all = [
        "job.title[0]",
        "*__for_begin",
        "__for_begin->title",
        "queue.jobs[16].failures",
        "nothing",
        "job->title",
    ];
    let typed: String = all
        .iter()
        .map(|text| format!(" x '{text}' Enter"))
        .collect();
    let screen = render(&place, &format!("{shown}{typed}"), "180x60")?.stdout;
    for (name, value) in [
        ("queue.jobs[3].failures", "-1700862316"),
        ("job.title[0]", "99 'c'"),
        ("*__for_begin", "Job {"),
        ("__for_begin->title", "\"compact the database\""),
        ("queue.jobs[16].failures", "queue.jobs has 16 elements only"),
        ("nothing", "no variable nothing is known"),
        ("job->title", "job is no pointer"),
    ] {
        let is_it = |l: &str| l.contains(&format!("={name} ")) && l.contains(value);
        ensure!(screen.lines().any(is_it), "{name} is {value}: {screen}");
    }
    // It is evaluated at each position.
    let before = render(&place, &format!("{shown} C"), "180x60")?.stdout;
    ensure!(before.contains("=queue.jobs[3].failures "), "{before}");
    ensure!(!before.contains("-1700862316"), "{before}");
    let gone = render(&place, &format!("{shown} x Down Enter"), "180x60")?.stdout;
    ensure!(!gone.contains("=queue.jobs[3]"), "{gone}");
    Ok(())
}

/// A position is kept with the session; a file that is none, or a directory that may not be
/// written, is said to be so.
#[test]
fn bookmarks_are_kept() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let file = place.session().join("bookmarks.json");
    let screen = render(
        &place,
        "J Esc 4 / 'Assertion' Enter M 'it says why' Enter J",
        "120x36",
    )?;
    ensure!(screen.stdout.contains("it says why"), "{screen}");
    let kept = fs::read_to_string(&file)?;
    ensure!(kept.contains("\"note\": \"it says why\""), "{kept}");
    let gone_to = render(&place, "J 'says' Enter", "120x36")?.stdout;
    ensure!(
        gone_to.contains("at write(2, \"report: report.cpp:15"),
        "{gone_to}"
    );
    render(&place, "Enter M 'the end' Enter J Del Esc", "120x36")?;
    let kept = fs::read_to_string(&file)?;
    ensure!(kept.contains("the end") && !kept.contains("says"), "{kept}");

    fs::write(&file, "rubbish")?;
    let screen = render(&place, "J Esc show Enter M 'lost' Enter show J", "120x36")?.stdout;
    ensure!(screen.contains("is no list of bookmarks"), "{screen}");
    let last = screen.lines().rev().take(6).any(|l| l.contains("lost"));
    ensure!(last, "it is there until the end: {screen}");
    ensure!(
        fs::read_to_string(&file)? == "rubbish",
        "it is left as it was"
    );
    Ok(())
}

/// How many rows a variable is above the selected one.
fn rows_above(screen: &str, name: &str) -> Option<usize> {
    let mut lines = screen.lines().skip_while(|l| !l.contains("Variables"));
    let title = lines.next()?;
    // Source is to the left of them.
    let column = title.chars().count() - title.split("Variables").last()?.chars().count();
    let right = |l: &str| {
        l.chars()
            .skip(column.saturating_sub(14))
            .collect::<String>()
    };
    let rows: Vec<String> = lines.map(right).collect();
    let row = rows.iter().position(|l| l.contains(&format!(" {name} ")))?;
    rows.iter().position(|l| l.contains('▶'))?.checked_sub(row)
}

/// Keys and colours are the user's; what makes no sense is told with its line.
#[test]
fn keys_and_colours_are_configured() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let dir = place.work().join(".config/orch");
    fs::create_dir_all(&dir)?;
    let file = dir.join("tui.toml");
    fs::write(
        &file,
        "[keys]\nQ = \"q\"\n\"C-g\" = \"Enter\"\n\n[theme]\nbad = \"#123456\"\n",
    )?;
    let screen = render(&place, "show C-g", "120x36")?.stdout;
    ensure!(
        screen.contains("Q quit") && screen.contains("report.cpp:15"),
        "{screen}"
    );
    let svg = place.read(&["tui", "--render", "show", "--svg"], LIMIT)?;
    ensure!(
        svg.stdout.contains("#123456"),
        "it has crashed in this colour: {svg}"
    );
    fs::write(&file, "[recording]\nlayout = \"code\"\n")?;
    let code = render(&place, "Enter show v", "120x36")?.stdout;
    let rows = code.matches("── Registers").count();
    ensure!(rows == 1 && code.contains("layout: beside"), "{code}");
    fs::write(&file, "[keys]\nQ = \"quit\"\n")?;
    let wrong = place.read(&["tui", "--render", "show"], LIMIT)?;
    ensure!(
        wrong.code() == Some(2) && wrong.stderr.contains("orch/tui.toml:2: \"quit\" is no key"),
        "{wrong}"
    );
    Ok(())
}

#[test]
fn bad_input_is_explained() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    for (script, text) in [
        ("@ 'p99@1' Enter", "p99"),
        ("@ 'rubbish' Enter", "rubbish"),
        ("b 'nowhere+8' Enter", "nowhere"),
        ("Enter m 'nonsense' Enter", "nonsense"),
        ("Enter x '1+1' Enter", "1+1 is no expression"),
        ("Enter : 'break nowhere' Enter", "no program or library"),
        (
            "Enter : 'break report.cpp:2' Enter",
            "the nearest lines that do: 7",
        ),
        ("Enter : 'break 0x10' Enter", "no code of a file at 0x10"),
        ("Enter : 'break *' Enter", "is no place in code"),
    ] {
        let screen = render(&place, script, "120x36")?.stdout;
        let last: Vec<&str> = screen.lines().rev().take(16).collect();
        ensure!(last.iter().any(|l| l.contains(text)), "{script}: {screen}");
    }
    let small = render(&place, "Enter", "30x8")?.stdout;
    ensure!(small.contains("30x8 is too small"), "{small}");
    for (args, code, text) in [
        (&["tui"][..], 2, "--render"),
        (
            &["tui", "--render", "show", "--size", "3000x9"],
            2,
            "1000 of each at most",
        ),
        (
            &["tui", "--render", "show", "--sources", "/nonexistent"],
            2,
            "no such directory",
        ),
        (
            &["tui", "--render", "show", "--blame", "nowhere+8"],
            1,
            "nowhere",
        ),
    ] {
        let none = place.read(args, LIMIT)?;
        ensure!(
            none.code() == Some(code) && none.stderr.contains(text),
            "{none}"
        );
    }
    for (dir, text) in [
        (
            "/nonexistent",
            "there is no /nonexistent; `orch sessions` lists",
        ),
        ("/", "it has no session.json; `orch sessions` lists"),
    ] {
        let mut command = place.command(place.orch());
        let none = run::run(command.args(["-s", dir, "ls"]), LIMIT)?;
        ensure!(
            none.code() == Some(2) && none.stderr.contains(text),
            "{none}"
        );
    }
    // A script may begin with any key.
    render(&place, "- show", "120x36")?;
    Ok(())
}

/// What is damaged is told at the start, with what to do, and does not hide the rest.
#[test]
fn damaged_recordings_are_told() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let system = render(&place, "", "120x36")?.stdout;
    let row = system.lines().find(|l| l.starts_with('▶'));
    let words = row.unwrap_or_default().split_whitespace();
    let id = words.clone().find(|w| w.contains("─p")).unwrap_or_default();
    let id = id.trim_start_matches(['├', '└', '│', '─']).to_owned();
    let file = place.session().join(format!("{id}.events"));
    let whole = fs::read(&file)?;
    for (part, told) in [
        (Some(0), "cannot be read"),
        (Some(60), "the end of"),
        (Some(whole.len() * 2 / 3), "the end of"),
        (None, "is missing: there is no file of it"),
    ] {
        match part {
            Some(len) => fs::write(&file, &whole[..len])?,
            None => fs::remove_file(&file)?,
        }
        for size in ["80x24", "140x30"] {
            let screen = render(&place, "", size)?.stdout;
            let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(
                words.contains(told) && words.contains("record again"),
                "{screen}"
            );
            ensure!(words.contains(&id), "{screen}");
            if part.is_some() {
                let is_it = |l: &str| l.starts_with('▶') && l.contains("damaged");
                ensure!(screen.lines().any(is_it), "{screen}");
                // It is where it was in the tree.
                ensure!(screen.contains(&format!("└─{id} ")), "{screen}");
            }
        }
    }
    Ok(())
}

/// Of no recording in particular, an instant is that of the one whose event it is; memory and
/// blame take names of variables, and globals are known in libraries as well.
#[test]
fn instants_and_names_are_those_that_are_meant() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let crash = render(&place, "Enter", "160x50")?.stdout;
    let position = |screen: &str| {
        let first = screen.lines().next().unwrap_or_default();
        first
            .split_whitespace()
            .last()
            .unwrap_or_default()
            .to_owned()
    };
    let at = position(&crash);
    let (id, tick) = at.split_once('@').context("a position")?;
    for keys in [
        format!("@ '{tick}' Enter"),
        format!("Enter @ '{tick}' Enter"),
    ] {
        let screen = render(&place, &keys, "160x50")?.stdout;
        ensure!(position(&screen) == at, "{keys}: {screen}");
    }
    let memory = render(&place, "Enter m 'job.title' Enter", "160x50")?.stdout;
    ensure!(
        memory.contains("|compact the") || memory.contains("compact the data"),
        "{memory}"
    );
    ensure!(memory.contains("Memory job.title"), "{memory}");
    for name in [format!("{id}:queue.done"), "job.failures".to_owned()] {
        let history = render(&place, &format!("Enter b '{name}' Enter"), "160x50")?.stdout;
        ensure!(
            history.contains("Accesses to /dev/shm/") && history.contains("(4 bytes)"),
            "{history}"
        );
    }
    Ok(())
}

/// A function of a library knows the variables of the program that called it.
#[test]
fn globals_are_known_in_libraries() -> Result<()> {
    let (place, _) = fixture::recorded("debugging/called.c", "called", &[])?;
    let screen = render(&place, "4 G Enter Home x 'counter' Enter", "160x50")?.stdout;
    ensure!(screen.contains("=counter "), "{screen}");
    ensure!(
        !screen.contains("no variable") && !screen.contains("▶ main"),
        "{screen}"
    );
    let none = render(&place, "4 G Enter Home x 'count' Enter", "160x50")?.stdout;
    ensure!(none.contains("count: no variable"), "{none}");
    Ok(())
}

/// Where its source is gone, what was written here is chosen all the same, and told is where the
/// source was looked for, and how to name another place.
#[test]
fn missing_sources_are_told() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let source = place.path().join("job-queue/report.cpp");
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere)?;
    fs::rename(&source, elsewhere.join("report.cpp"))?;
    let screen = render(&place, "Enter", "160x50")?.stdout;
    let is_main = |l: &str| l.contains("▶ ") && l.contains(" main ");
    ensure!(
        screen.contains("── report.cpp:15 ") && screen.lines().any(is_main),
        "{screen}"
    );
    ensure!(
        screen.contains("report.cpp cannot be read") && screen.contains("--sources DIR"),
        "{screen}"
    );
    let dir = elsewhere.display().to_string();
    let arguments = [
        "tui",
        "--render",
        "Enter",
        "--size",
        "160x50",
        "--sources",
        &dir,
    ];
    let found = place.read(&arguments, LIMIT)?.stdout;
    ensure!(found.lines().any(|l| l.contains("▶ 15 ")), "{found}");
    Ok(())
}

/// A range of bytes that others were stored with: the values are of those that were asked for.
#[test]
fn histories_have_the_values_of_what_was_asked_for() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let screen = render(&place, "Enter b Down Enter", "120x36")?.stdout;
    let store = screen.lines().find(|l| l.contains("submit.cpp:16"));
    ensure!(
        store.is_some_and(|l| l.contains("0 → 2594104980")),
        "{screen}"
    );
    for (presses, format) in [(1, "int"), (5, "hex"), (6, "text"), (7, "float")] {
        let keys = format!("Enter b Down Enter Up{}", " f".repeat(presses));
        let screen = render(&place, &keys, "120x36")?.stdout;
        ensure!(screen.contains(&format!("shown as {format} ")), "{screen}");
        let row = screen
            .lines()
            .find(|l| l.starts_with('▶'))
            .unwrap_or_default();
        let values = row.split_once(" → ").context("a change")?;
        let old = values.0.split_whitespace().last().unwrap_or_default();
        let zero = ["0", "00000000", "\"\"", "0.0"];
        ensure!(zero.contains(&old), "{format}: {screen}");
    }
    Ok(())
}

/// Events far from the cursor are found, and stay selected without the filter.
#[test]
fn all_events_are_searched() -> Result<()> {
    let place = Place::new(User::Own)?;
    let script = "i=0; while [ $i -lt 1500 ]; do i=$((i+1)); read x </dev/null; done; printf 'hello-%s\\n' unix; \
                  i=0; while [ $i -lt 1500 ]; do i=$((i+1)); read x </dev/null; done; true";
    let recorded = place.record(&["sh", "-c", script]).output()?;
    ensure!(recorded.status.success(), "{recorded:?}");
    let near = render(&place, "5 / 'hello-unix'", "120x36")?.stdout;
    let is_found = |s: &str| {
        s.lines()
            .any(|l| l.starts_with('▶') && l.contains("hello-unix"))
    };
    ensure!(
        near.contains("none of these has that; Enter searches all") && !is_found(&near),
        "{near}"
    );
    for keys in ["", "Esc"] {
        let keys = format!("5 / 'hello-unix' Enter {keys}");
        let found = render(&place, &keys, "120x36")?.stdout;
        ensure!(is_found(&found), "{keys}: {found}");
    }
    Ok(())
}

/// A terminal with a shell in it.
struct Terminal<'p> {
    place: &'p Place,
}

impl<'p> Terminal<'p> {
    fn open(place: &'p Place) -> Result<Self> {
        let terminal = Self { place };
        let shell = [
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "36",
            "env PS1='ready> ' bash --norc --noprofile",
        ];
        terminal.tmux(&shell)?;
        terminal.wait("the shell", |s| s.contains("ready>"))?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.place.command("tmux");
        let socket = self.place.path().join("tmux");
        command
            .arg("-S")
            .arg(socket)
            .args(["-f", "/dev/null", "-u"])
            .args(arguments);
        let output = command
            .env("TERM", "xterm-256color")
            .output()
            .context("tmux")?;
        ensure!(output.status.success(), "tmux {arguments:?}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn key(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// What a terminal sends of its mouse: button, column and row (the first is 1), and whether
    /// it is held (`M`) or let go (`m`).
    fn mouse(&self, events: &[(u8, u16, u16, char)]) -> Result<()> {
        for (button, x, y, end) in events {
            let text = format!("\x1b[<{button};{x};{y}{end}");
            let bytes: Vec<String> = text.bytes().map(|b| format!("{b:02x}")).collect();
            let mut arguments = vec!["send-keys", "-H"];
            arguments.extend(bytes.iter().map(String::as_str));
            self.tmux(&arguments)?;
        }
        Ok(())
    }

    /// A command line.
    fn command(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", text])?;
        self.key("Enter")
    }

    fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) -> Result<String> {
        let end = Instant::now() + LIMIT;
        loop {
            let screen = self.screen()?;
            if is_there(&screen) {
                return Ok(screen);
            }
            if Instant::now() > end {
                bail!("{what} did not come:\n{screen}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The program that the shell has started.
    fn child(&self) -> Result<Pid> {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"])?;
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
        let child = children
            .split_whitespace()
            .next()
            .context("it runs nothing")?;
        Ok(Pid::from_raw(child.parse()?))
    }

    /// That the shell has its terminal back, as it was.
    fn is_as_before(&self) -> Result<()> {
        self.command("clear; stty -g >after; cmp before after && echo same")?;
        self.wait("the same terminal", |s| s.lines().any(|l| l == "same"))?;
        let modes = "#{alternate_on}#{mouse_any_flag}#{cursor_flag}";
        let modes = self.tmux(&["display-message", "-p", modes])?;
        ensure!(
            modes.trim() == "001",
            "alternate screen, mouse, cursor: {modes}"
        );
        Ok(())
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

/// What is being recorded is seen within seconds, with the cursor where it was; processes that
/// still run can be replayed; the end is told, and then nothing changes any more.
#[test]
fn what_is_being_recorded_grows() -> Result<()> {
    let place = Place::new(User::Own)?;
    // It goes on when a file is there, and gives up if that takes too long.
    let wait =
        |file: &str| format!("for i in $(seq 300); do [ -e {file} ] && break; sleep 0.2; done");
    let script = format!(
        "echo the first line; {}; echo the second line; {}; exit 3",
        wait("second"),
        wait("end")
    );
    let mut command = place.record(&["sh", "-c", &script]);
    let output = fs::File::create(place.path().join("output"))?;
    command.current_dir(place.path()).stdout(output);
    let mut recorder = command.spawn()?;
    let end = Instant::now() + LIMIT;
    while !place.session().join("session.json").exists() {
        ensure!(Instant::now() < end, "nothing is recorded");
        thread::sleep(Duration::from_millis(20));
    }
    let terminal = Terminal::open(&place)?;
    let (orch, session) = (place.orch(), place.session());
    let command = format!("{} -s {} tui", orch.display(), session.display());
    terminal.command(&command)?;
    terminal.wait("the tour", |s| s.contains("A tour in five lines"))?;
    terminal.key("Space")?;
    let is_live = |s: &str| s.lines().next().is_some_and(|l| l.contains("recording…"));
    terminal.wait("its processes", |s| is_live(s) && s.contains("sleep"))?;
    terminal.key("4")?;
    let is_at = |s: &str, line: &str| s.lines().any(|l| l.starts_with('▶') && l.contains(line));
    terminal.wait("what it printed", |s| is_at(s, "the first line"))?;
    fs::write(place.path().join("second"), "")?;
    let screen = terminal.wait("more of it", |s| is_at(s, "the second line"))?;
    ensure!(is_live(&screen), "{screen}");
    terminal.key("k")?;
    terminal.wait("the line before", |s| is_at(s, "the first line"))?;
    terminal.key("Enter")?;
    terminal.wait("the process then", |s| {
        is_live(s) && s.contains("at write(1, \"the first line")
    })?;
    terminal.key("4")?;
    fs::write(place.path().join("end"), "")?;
    let screen = terminal.wait("its end", |s| {
        s.contains("the recording has ended") && s.contains("exit 3")
    })?;
    ensure!(
        !is_live(&screen) && is_at(&screen, "the first line"),
        "{screen}"
    );
    ensure!(recorder.wait()?.code() == Some(3), "as it ended by itself");
    terminal.key("1")?;
    terminal.wait("how it ended", |s| {
        s.contains("exit 3, ") || s.contains("exit 3 ")
    })?;
    terminal.key("q")?;
    terminal.wait("the shell", |s| {
        s.contains("ready>") && !s.contains("2 Recording")
    })?;
    ensure!(!place.session().join("watched").exists(), "a file is left");
    Ok(())
}

/// Signals that a crash is told by end it, and leave the terminal as it was.
#[test]
fn crashes_give_the_terminal_back() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let terminal = Terminal::open(&place)?;
    let (orch, session) = (place.orch(), place.session());
    terminal.command("stty -g >before")?;
    for signal in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGABRT] {
        let command = format!("{} -s {} tui", orch.display(), session.display());
        terminal.command(&command)?;
        terminal.wait("the processes", |s| s.contains("killed by SIGABRT"))?;
        kill(terminal.child()?, signal)?;
        terminal.wait("the shell", |s| {
            s.contains("ready>") && !s.contains("2 Recording")
        })?;
        terminal.command("echo code $?")?;
        let code = format!("code {}", 128 + signal as i32);
        terminal.wait("its exit code", |s| s.contains(&code))?;
        terminal.is_as_before()?;
    }
    Ok(())
}

#[test]
fn in_a_terminal() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let terminal = Terminal::open(&place)?;
    let command = format!(
        "{} -s {} tui",
        place.orch().display(),
        place.session().display()
    );
    terminal.command("stty -g >before")?;
    terminal.command(&command)?;
    terminal.wait("the tour", |s| s.contains("A tour in five lines"))?;
    terminal.key("Space")?;
    // What each key leads to; a person would wait for it, too.
    let reached: [fn(&str) -> bool; 6] = [
        |s| s.contains("report.cpp:15") && s.contains("job.failures"),
        |s| s.contains("+0x88 4"),
        |_| true,
        |s| s.contains("3 accesses"),
        |_| true,
        is_culprit,
    ];
    terminal.wait("the processes", |s| s.contains("killed by SIGABRT"))?;
    for (key, reached) in KEYS.into_iter().zip(reached) {
        terminal.key(key)?;
        terminal.wait(key, reached)?;
    }

    // What changed a byte of its stack takes seconds to find: that can be given up.
    for key in ["w", "w", "b"] {
        terminal.key(key)?;
    }
    terminal.wait("its work, or its end", |s| {
        s.contains("Esc cancels") || s.contains("replayed backwards")
    })?;
    terminal.key("Escape")?;
    terminal.wait("its end", |s| !s.contains("Esc cancels"))?;
    terminal.key("BSpace")?;
    terminal.wait("the same screen", is_culprit)?;
    terminal.key("s")?;
    terminal.wait("a step behind it", |s| {
        s.lines()
            .any(|l| l.contains("+1 ") && l.contains("/submit"))
    })?;
    terminal.key("S")?;
    terminal.wait("where it was", |s| is_culprit(s) && !s.contains("+1 "))?;

    terminal.key("C-z")?;
    terminal.wait("the shell", |s| s.contains("Stopped") && !is_culprit(s))?;
    terminal.is_as_before()?;
    terminal.command("fg")?;
    terminal.wait("the same screen", is_culprit)?;

    terminal.tmux(&["resize-window", "-x", "30", "-y", "8"])?;
    terminal.wait("a word on its size", |s| s.contains("30x8 is too small"))?;
    terminal.tmux(&["resize-window", "-x", "100", "-y", "30"])?;
    terminal.wait("the same screen, smaller", is_culprit)?;

    // The mouse takes the right edge of the source, where it is let go it stays: the next time,
    // too.
    terminal.mouse(&[(0, 60, 8, 'M'), (32, 48, 9, 'M'), (0, 48, 9, 'm')])?;
    let is_divided = |s: &str| {
        let title = s.lines().find(|l| l.contains(" Stack "));
        let before = title.and_then(|l| l.split(" Stack ").next());
        before.is_some_and(|before| before.chars().count() == 49)
    };
    terminal.wait("a wider stack", |s| is_culprit(s) && is_divided(s))?;

    kill(terminal.child()?, Signal::SIGTERM)?;
    terminal.wait("the shell", |s| !is_culprit(s) && s.contains("ready>"))?;
    terminal.command("echo code $?")?;
    terminal.wait("its exit code", |s| s.contains("code 143"))?;
    terminal.is_as_before()?;

    // The tour is for the first time only; q ends it, whatever it does.
    terminal.command(&format!("{command} p11@exit"))?;
    terminal.wait("the position", |s| {
        s.contains("quit") && !s.contains("A tour") && is_divided(s)
    })?;
    terminal.key("v")?;
    let is_stacked = |s: &str| s.lines().any(|l| l.starts_with("▶▶ Stack "));
    terminal.wait("the stack below the source", is_stacked)?;
    // The time line goes with the mouse.
    let axis = |s: &str| {
        s.lines()
            .find(|l| l.contains(" RECORDING "))
            .map(str::to_owned)
    };
    terminal.key("1")?;
    let all = axis(&terminal.wait("the time line", |s| axis(s).is_some())?);
    terminal.key("+")?;
    let is_other =
        |than: &Option<String>, s: &str| axis(s).is_some_and(|l| than.as_ref() != Some(&l));
    let half = axis(&terminal.wait("a shorter time", |s| is_other(&all, s))?);
    terminal.mouse(&[(0, 70, 7, 'M'), (32, 80, 9, 'M'), (0, 80, 9, 'm')])?;
    terminal.wait("an earlier time", |s| is_other(&half, s))?;
    terminal.mouse(&[(0, 80, 7, 'M'), (32, 70, 7, 'M'), (0, 70, 7, 'm')])?;
    terminal.wait("the time from before", |s| axis(s) == half)?;
    terminal.key("q")?;
    terminal.wait("the shell", |s| {
        s.contains("ready>") && !s.contains("2 Recording")
    })?;
    terminal.command(&format!("{command} p11@exit"))?;
    terminal.wait("the same layout", is_stacked)?;
    terminal.key("q")?;
    terminal.wait("the shell", |s| {
        s.contains("ready>") && !s.contains("2 Recording")
    })?;
    terminal.command("echo code $?")?;
    terminal.wait("its exit code", |s| s.contains("code 0"))?;
    terminal.is_as_before()
}
