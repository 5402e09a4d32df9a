//! What `orch last` finds of a variable whose history is known, and what `orch ublame`
//! answers for memory that is not shared.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::orch::Place;
use serde::Deserialize;
use std::time::Duration;

/// Also for a change that is millions of instructions behind its event.
const LIMIT: Duration = Duration::from_secs(60);

/// What these tests look at of a change.
#[derive(Deserialize)]
struct Change {
    position: String,
    old: String,
    new: String,
    function: Option<String>,
    event: Option<Event>,
}

#[derive(Deserialize)]
struct Event {
    name: String,
}

/// A little-endian number.
fn number(hex: &str) -> Result<i64> {
    let bytes = (0..8).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
    Ok(i64::from_le_bytes(bytes[..].try_into()?))
}

fn recorded() -> Result<Place> {
    recorded_of("memory/history.c")
}

fn recorded_of(source: &str) -> Result<Place> {
    Ok(fixture::recorded(source, "prog", &[])?.0)
}

fn changes(place: &Place, arguments: &[&str]) -> Result<Vec<Change>> {
    let outcome = place.read(&[arguments, &["--json"]].concat(), LIMIT)?;
    ensure!(outcome.code() == Some(0), "{arguments:?}\n{outcome}");
    let lines = outcome.stdout.lines();
    lines
        .map(|l| serde_json::from_str(l).context(l.to_owned()))
        .collect()
}

fn told(change: &Change) -> Result<(i64, i64, String)> {
    let by = change.event.as_ref().map(|event| event.name.clone());
    let by = by.or(change.function.clone()).unwrap_or_default();
    Ok((number(&change.old)?, number(&change.new)?, by))
}

#[test]
fn the_history_of_a_variable() -> Result<()> {
    const HISTORY: [(i64, i64, &str); 7] = [
        (6000, 7000, "far_away"),
        (5000, 6000, "handler"),
        (4000, 5000, "read"),
        (401, 4000, "by_memcpy"),
        (399, 401, "in_a_loop"),
        (397, 399, "in_a_loop"),
        (395, 397, "in_a_loop"),
    ];
    let place = recorded()?;
    let found = changes(&place, &["last", "p1:value", "-n", "7"])?;
    let told: Vec<_> = found.iter().map(told).collect::<Result<_>>()?;
    let expected = HISTORY.map(|(old, new, by)| (old, new, by.to_owned()));
    ensure!(told == expected, "{told:?}");
    // A position that was told leads to the change before it.
    for (n, change) in found.iter().enumerate().take(5) {
        let earlier = changes(&place, &["last", "p1:value", "--before", &change.position])?;
        let (there, then) = (&earlier[0].position, &found[n + 1].position);
        ensure!(
            number(&earlier[0].new)? == told[n + 1].1,
            "{there}, not {then}"
        );
    }
    Ok(())
}

#[test]
fn a_child_has_a_history_of_its_own() -> Result<()> {
    let place = recorded()?;
    let found = changes(&place, &["last", "p2:value", "-n", "3"])?;
    let told: Vec<_> = found.iter().map(told).collect::<Result<_>>()?;
    ensure!(told == [(6000, 6001, "main".to_owned())], "{told:?}");
    let none = place.read(&["last", "p2:untouched"], LIMIT)?;
    ensure!(none.code() == Some(1) && none.stdout.is_empty(), "{none}");
    ensure!(none.stderr.contains("orch last p1:0x"), "{none}");
    Ok(())
}

#[test]
fn what_never_changed_and_what_cannot_be_watched() -> Result<()> {
    let place = recorded()?;
    for (arguments, code, why) in [
        (&["last", "p1:untouched"][..], 1, "has not changed"),
        (&["last", "p1:value", "--len", "40"], 2, "too many"),
        (&["last", "p1:nothing"], 2, "no file that is mapped defines"),
        (&["last", "p1:0x10"], 2, "nothing is mapped"),
        (&["last", "p7:value"], 2, "p7 is not in this session"),
        (
            &["last", "p1:value", "--before", "p2@end"],
            2,
            "another recording",
        ),
    ] {
        let outcome = place.read(arguments, LIMIT)?;
        let is = outcome.code() == Some(code) && outcome.stderr.contains(why);
        ensure!(is && outcome.stdout.is_empty(), "{arguments:?}\n{outcome}");
    }
    // Two words, neither of which is aligned with it.
    let found = changes(&place, &["last", "p1:packed+3", "--len", "8"])?;
    ensure!(found[0].new.starts_with("7061636b6564"), "{}", found[0].new);
    Ok(())
}

#[test]
fn blame_of_private_memory() -> Result<()> {
    let place = recorded()?;
    let found = changes(&place, &["ublame", "p1:value", "--last", "2"])?;
    let told: Vec<_> = found.iter().map(told).collect::<Result<_>>()?;
    let functions: Vec<_> = told.iter().map(|(_, new, by)| (*new, &by[..])).collect();
    ensure!(
        functions == [(7000, "far_away"), (6000, "handler")],
        "{told:?}"
    );
    let outcome = place.read(&["ublame", "p1:value"], LIMIT)?;
    ensure!(outcome.stderr.contains("not shared"), "{outcome}");
    Ok(())
}

/// Stores by neighbouring instructions, and one to all that is watched.
#[test]
fn neighbours_are_told_apart() -> Result<()> {
    let place = recorded_of("memory/neighbours.c")?;
    let found = changes(&place, &["last", "p1:pair", "--len", "16", "-n", "50"])?;
    let value = |hex: &str| Ok::<_, anyhow::Error>((number(&hex[..16])?, number(&hex[16..])?));
    let told = found.iter().map(|c| Ok((value(&c.old)?, value(&c.new)?)));
    let told: Vec<_> = told.collect::<Result<_>>()?;
    let stores = [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 1),
        (2, 2),
        (3, 2),
        (3, 3),
        (4, 3),
        (4, 4),
        (5, 5),
        (6, 5),
        (6, 6),
    ];
    let pairs = stores.windows(2).map(|w| (w[0], w[1]));
    let expected: Vec<_> = pairs.rev().collect();
    ensure!(told == expected, "{told:?}");
    Ok(())
}

#[test]
fn what_changes_often() -> Result<()> {
    let place = recorded_of("memory/often.c")?;
    let history = |of: &str, n: &str| -> Result<Vec<(i64, i64)>> {
        let found = changes(&place, &["last", of, "-n", n])?;
        let pair = |c: &Change| Ok((number(&c.old)?, number(&c.new)?));
        found.iter().map(pair).collect()
    };
    let neighbours = history("p1:neighbours", "9")?;
    ensure!(
        neighbours == [(3, 4), (2, 3), (1, 2), (0, 1)],
        "{neighbours:?}"
    );
    let looped = history("p1:looped", "4")?;
    ensure!(
        looped == [(2991, 2992), (2990, 2991), (2982, 2990), (2981, 2982)],
        "{looped:?}"
    );
    let at_events = history("p1:at_events", "3")?;
    ensure!(
        at_events == [(3000, 0), (0, 3000), (2999, 0)],
        "{at_events:?}"
    );
    Ok(())
}

#[test]
fn no_changes_are_not_asked_for() -> Result<()> {
    let outcome = recorded()?.read(&["last", "p1:value", "-n", "0"], LIMIT)?;
    let why = "write a number, 1 or more";
    ensure!(
        outcome.code() == Some(2) && outcome.stderr.contains(why),
        "{outcome}"
    );
    Ok(())
}
