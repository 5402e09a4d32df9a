//! The examples solved by keys alone, as their READMEs say: from what was printed to the line
//! that is at fault, in another process. (The job-queue: `tui.rs`.) And their races, as the
//! command line tells them.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::orch::Place;
use serde::Deserialize;
use std::collections::HashSet;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Keys that an example may take.
const MOST: usize = 12;

fn render(place: &Place, script: &str, size: &str) -> Result<String> {
    let outcome = place.read(&["tui", "--render", script, "--size", size], LIMIT)?;
    ensure!(outcome.code() == Some(0), "{script}: {outcome}");
    Ok(outcome.stdout)
}

/// The last screen of those that a script showed.
fn last(screens: &str) -> &str {
    screens.rsplit("\n orch ").next().unwrap_or(screens)
}

/// The row that the cursor is on.
fn selected(screen: &str) -> &str {
    let row = last(screen).lines().find(|line| line.starts_with('▶'));
    row.unwrap_or_default()
}

/// The source line that is current.
fn current(screen: &str) -> &str {
    let is_it = |line: &&str| line.starts_with(" ▶ ");
    last(screen).lines().find(is_it).unwrap_or_default()
}

/// How many rows below the first one of what is offered this text is.
fn offered(screen: &str, text: &str) -> Result<usize> {
    let rows = last(screen).lines();
    let mut rows = rows.skip_while(|line| !line.contains("What it accessed last"));
    let found = rows.position(|line| line.contains(text));
    let found = found.and_then(|n| n.checked_sub(1));
    found.with_context(|| format!("{text} is not offered: {screen}"))
}

/// What this test looks at of an access.
#[derive(Debug, Deserialize)]
struct Row {
    recording: Option<String>,
    kind: String,
    race: Option<String>,
    after: Option<String>,
    via: Option<String>,
    old: Option<String>,
    new: String,
    #[serde(default)]
    unseen: bool,
}

/// Eight bytes, little-endian.
fn number(hex: &str) -> Result<u64> {
    Ok(u64::from_str_radix(hex, 16)?.swap_bytes())
}

fn races(place: &Place, at: &str, len: &str) -> Result<Vec<Row>> {
    let outcome = place.read(&["ublame", at, "--len", len, "--races", "--json"], LIMIT)?;
    ensure!(outcome.code() == Some(0), "{outcome}");
    let rows = outcome.stdout.lines();
    rows.map(|row| serde_json::from_str(row).context(row.to_owned()))
        .collect()
}

/// Two publishers in one slot: the quote that was seen, all of it, and what raced there.
#[test]
fn market_data_by_keys() -> Result<()> {
    let (place, outcome) = fixture::example("market-data", "reader: slot ")?;
    for size in ["150x40", "80x24"] {
        let mut keys = "Enter b Down Enter + + R".to_owned();
        let mut screen = render(&place, &keys, size)?;
        // What the reader saw before may race, too: with who wrote next.
        for _ in 0..2 {
            if !selected(&screen).contains(" publish") {
                keys += " R";
                screen = render(&place, &keys, size)?;
            }
        }
        ensure!(selected(&screen).contains(" publish"), "{screen}");
        keys += " Enter";
        ensure!(keys.split(' ').count() <= MOST, "{keys}");
        let there = render(&place, &keys, size)?;
        ensure!(
            there.contains("/build/publish, pid") && current(&there).contains("quote."),
            "{there}"
        );
    }

    let slot = outcome.stdout.split_whitespace().nth(2).unwrap_or_default();
    let slot: u64 = slot.parse().context("a slot")?;
    let object = place.path().file_name().unwrap_or_default();
    let at = format!("/dev/shm/{}+{:#x}", object.display(), 64 + 32 * slot);
    let rows = races(&place, &at, "24")?;
    let is_publisher = |position: &str| {
        let stores = rows.iter().filter(|row| row.kind == "store");
        let mut by = stores.filter_map(|row| row.recording.as_deref());
        by.any(|id| position.split('@').next() == Some(id))
    };
    let raced = |row: &Row| row.kind == "store" && row.race.as_deref().is_some_and(is_publisher);
    ensure!(rows.iter().any(raced), "{rows:?}");
    Ok(())
}

/// Processes store what they have computed from a value that is gone: those stores alone.
#[test]
fn lost_update_by_keys() -> Result<()> {
    let (place, _) = fixture::example("lost-update", "400 orders were handled, ")?;
    let keys = "Enter b Enter / u n s Enter";
    let screen = render(&place, keys, "150x40")?;
    let row = selected(&screen);
    ensure!(
        row.contains("store !!") && row.contains(", unseen"),
        "{screen}"
    );
    let position = row.split_whitespace().nth(1).unwrap_or_default();
    ensure!(keys.split(' ').count() < MOST);
    let there = render(&place, &format!("{keys} Enter"), "150x40")?;
    let first = there.lines().next().unwrap_or_default();
    ensure!(
        first.ends_with(position) && there.contains("at stores 0x"),
        "{there}"
    );

    let object = place.read(&["shm", "--json"], LIMIT)?.stdout;
    let object = object
        .split('"')
        .find(|text| text.starts_with("/dev/shm/psm_"));
    let rows = races(&place, &format!("{}+0", object.context("no object")?), "8")?;
    // What each stores is one more than what it knew: that is not what was there, if and only
    // if it had not seen that. (What it knew at first nobody has noted.)
    let mut known = HashSet::new();
    let mut lost = 0;
    for row in &rows {
        let is_first = known.insert(row.recording.clone());
        if let Some(old) = row
            .old
            .as_deref()
            .filter(|_| row.kind == "store" && !is_first)
        {
            ensure!(
                row.unseen == (number(&row.new)? != number(old)? + 1),
                "{row:?}"
            );
            lost += u32::from(row.unseen);
        }
    }
    ensure!(lost > 10, "{lost} of {rows:?}");
    // Who starts them has seen them end.
    let end = rows.last().context("no access")?;
    ensure!(
        end.after.is_some() && end.via.as_deref() == Some("exit"),
        "{end:?}"
    );
    Ok(())
}

/// A worker counts beyond its row: the store that races with those of the row's own worker.
#[test]
fn prefork_stats_by_keys() -> Result<()> {
    let (place, outcome) = fixture::example("prefork-stats", "requests unanswered")?;
    let words: Vec<&str> = outcome.stdout.split_whitespace().collect();
    let at = words.iter().position(|&word| word == "with");
    let left = at.and_then(|at| words.get(at + 1)).context("a number")?;
    for size in ["150x40", "80x24"] {
        // The cursor is on the server, which has failed, not on the workers that it ended.
        let screen = render(&place, "show Enter b", size)?;
        let system = screen.split("\n orch ").next().unwrap_or_default();
        ensure!(selected(system).contains("exit 1"), "{system}");
        let downs = offered(&screen, &format!("sees {left} "))?;
        let mut keys = format!("Enter b{} Enter R", " Down".repeat(downs));
        // Where the last access is the culprit's, the other one in the race is the worker's.
        if !selected(&render(&place, &keys, size)?).contains(" count ") {
            keys += " r";
        }
        keys += " Enter";
        ensure!(keys.split(' ').count() <= MOST, "{keys}");
        let there = render(&place, &keys, size)?;
        ensure!(
            there.contains("server.c:35")
                && current(&there).contains("row->status[status / 100]++"),
            "{there}"
        );
    }
    Ok(())
}

/// What a mutex between processes guards is in order, and so is what a parent wrote before
/// it forked and read when all had ended.
#[test]
fn what_a_mutex_guards_is_no_race() -> Result<()> {
    for (flag, expected) in [("-DLOCKED", false), ("-DOPEN", true)] {
        let flags = [flag.to_owned()];
        let (place, _) = fixture::recorded("memory/guarded.c", "guarded", &flags)?;
        let rows = races(&place, "anon:1+0x80", "8")?;
        let by = |id: &str| {
            rows.iter()
                .filter(|r| r.recording.as_deref() == Some(id))
                .count()
        };
        ensure!(by("p2") > 20 && by("p3") > 20, "{rows:?}");
        let between = rows.iter().filter(|row| row.race.is_some()).count();
        ensure!((between > 0) == expected, "{flag}: {between} of {rows:?}");
        let ordered = rows.iter().filter(|row| row.after.is_some());
        let by_lock = ordered
            .clone()
            .filter(|row| row.via.as_deref() == Some("memory"));
        ensure!((by_lock.count() > 20) != expected, "{flag}: {rows:?}");
        let last = rows.last().context("no access")?;
        ensure!(
            last.recording.as_deref() == Some("p1") && last.race.is_none(),
            "{last:?}"
        );
    }
    Ok(())
}
