//! Blame of real recordings, compared with what the programs note themselves.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// What these tests look at of an access.
#[derive(Debug, Deserialize)]
struct Row {
    position: String,
    pid: Option<u64>,
    kind: String,
    function: Option<String>,
    line: Option<u64>,
    offset: u64,
    old: Option<String>,
    new: String,
}

/// What these tests look at of an object.
#[derive(Debug, Deserialize)]
struct Object {
    object: String,
    stores: u64,
}

/// One store, as the program noted it.
#[derive(Debug, PartialEq, Eq)]
struct Store {
    pid: u64,
    old: u64,
    new: u64,
}

fn json<T: for<'a> Deserialize<'a>>(place: &Place, arguments: &[&str]) -> Result<Vec<T>> {
    let outcome = place.read(arguments, LIMIT)?;
    ensure!(outcome.code() == Some(0), "{arguments:?}\n{outcome}");
    let lines = outcome.stdout.lines();
    lines
        .map(|l| serde_json::from_str(l).context(l.to_owned()))
        .collect()
}

/// Stores the bytes of a row into the value of the slot at `base`.
fn put(value: u64, base: u64, offset: u64, hex: &str) -> Result<u64> {
    let mut bytes = value.to_le_bytes();
    for (i, digits) in hex.as_bytes().chunks(2).enumerate() {
        let at = offset + i as u64;
        if let Some(byte) = at.checked_sub(base).and_then(|n| bytes.get_mut(n as usize)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits)?, 16)?;
        }
    }
    Ok(u64::from_le_bytes(bytes))
}

/// The stores to a slot: rows of one position are of one store.
fn stores(rows: &[Row], base: u64, line: u64) -> Result<Vec<Store>> {
    let mut value = 0;
    let mut out = Vec::new();
    for rows in rows.chunk_by(|a, b| a.position == b.position) {
        let old = value;
        for row in rows {
            ensure!(row.kind != "outside", "{row:?}");
            if let Some(old) = row.old.as_deref().filter(|old| !old.contains('?')) {
                ensure!(
                    put(value, base, row.offset, old)? == value,
                    "{row:?} after {value:#x}"
                );
            }
            value = put(value, base, row.offset, &row.new)?;
        }
        let Some(row) = rows.iter().find(|r| r.kind == "store") else {
            continue;
        };
        ensure!(
            row.function.as_deref() == Some("put") && row.line == Some(line),
            "{row:?}"
        );
        out.push(Store {
            pid: row.pid.context("a store has a process")?,
            old,
            new: value,
        });
    }
    Ok(out)
}

#[test]
fn every_store_is_blamed_on_who_made_it() -> Result<()> {
    let place = Place::new(User::Own)?;
    let program = place.path().join("prog");
    fixture::build("memory/blame.c", None, &[], &program)?;
    let mut command = place.record(&[program.to_str().context("UTF-8")?]);
    let recorded = run::run(&mut command, LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let mut expected: BTreeMap<u64, Vec<Store>> = BTreeMap::new();
    let mut line = 0;
    for text in recorded.stdout.lines() {
        let words: Vec<u64> = text.split(' ').filter_map(|w| w.parse().ok()).collect();
        match words[..] {
            [slot, pid, old, new] => {
                expected
                    .entry(slot)
                    .or_default()
                    .push(Store { pid, old, new })
            }
            [n] => line = n,
            _ => {}
        }
    }
    let objects: Vec<Object> = json(&place, &["shm", "--json"])?;
    let object = objects
        .iter()
        .max_by_key(|o| o.stores)
        .context("memory is shared")?;
    ensure!(object.object.contains("orch-blame"), "{object:?}");
    ensure!(expected.len() == 8 && line > 0, "{recorded}");
    for (slot, expected) in expected {
        let base = slot * 8;
        let whole = format!("{}+{base}", object.object);
        let rows: Vec<Row> = json(&place, &["ublame", &whole, "--stores", "--json"])?;
        let found = stores(&rows, base, line).with_context(|| format!("slot {slot}"))?;
        ensure!(
            found == expected,
            "slot {slot}: {found:#?}\nbut it was {expected:#?}"
        );
    }
    let (far, none) = ("+0x10000000".to_owned(), "+zz".to_owned());
    for (behind, code, word) in [
        (far, 1, "beyond"),
        (none, 1, "an offset behind it is a number"),
    ] {
        let outcome = place.read(&["ublame", &(object.object.clone() + &behind)], LIMIT)?;
        ensure!(
            outcome.code() == Some(code) && outcome.stderr.contains(word),
            "{outcome}"
        );
    }
    let outcome = place.read(&["ublame", &object.object, "--last", "0"], LIMIT)?;
    ensure!(outcome.code() == Some(2), "{outcome}");
    Ok(())
}

#[test]
fn what_others_store_comes_from_outside() -> Result<()> {
    const LAST: u64 = 50;
    let place = Place::new(User::Own)?;
    let program = place.path().join("prog");
    fixture::build("memory/outside.c", None, &[], &program)?;
    let shared = tempfile::Builder::new()
        .prefix("orch-outside-")
        .tempfile_in("/dev/shm")?;
    let path = shared.path().to_str().context("UTF-8")?;
    shared.as_file().set_len(4096)?;
    let mut command = place.record(&[program.to_str().context("UTF-8")?, path]);
    let recorded = std::thread::scope(|scope| {
        let questions = scope.spawn(|| ask(shared.as_file(), LAST));
        let recorded = run::run(&mut command, LIMIT);
        let asked = questions.join().expect("it does not panic");
        recorded.and_then(|outcome| asked.context(outcome.to_string()).map(|()| outcome))
    })?;
    let printed: Vec<u64> = recorded
        .stdout
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    ensure!(
        recorded.code() == Some(0) && printed == (1..=LAST).collect::<Vec<_>>(),
        "{recorded}"
    );
    place.check(LIMIT)?;
    let rows: Vec<Row> = json(
        &place,
        &["ublame", &format!("{path}+0"), "--stores", "--json"],
    )?;
    let mut value = 0;
    let mut found = Vec::new();
    for row in rows {
        ensure!(
            matches!(row.kind.as_str(), "outside" | "initial"),
            "{row:?}"
        );
        value = put(value, 0, row.offset, &row.new)?;
        found.push(value);
    }
    found.retain(|&value| value != 0);
    ensure!(found == printed, "found {found:?}");
    Ok(())
}

/// Counts up the word at the start of the file; both readers answer behind it.
fn ask(file: &File, last: u64) -> Result<()> {
    let end = Instant::now() + LIMIT;
    for n in 1..=last {
        file.write_all_at(&n.to_le_bytes(), 0)?;
        let mut answers = [0; 16];
        while answers[..8] != n.to_le_bytes() || answers[8..] != n.to_le_bytes() {
            ensure!(Instant::now() < end, "{n} is not answered");
            std::thread::sleep(Duration::from_micros(200));
            file.read_exact_at(&mut answers, 8)?;
        }
    }
    Ok(())
}
