//! How each example is solved: from what it printed to the place that is
//! damaged, from there by blame to the culprit. What is said about the culprit
//! comes from the rows of the blame.

use super::rows::Row;
use super::tour::Tour;
use anyhow::{Context as _, Result};

/// The numbers in a text.
fn numbers(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// The source line of a row, as a line of its own.
fn quote(tour: &Tour, row: &Row) -> String {
    let line = row.file().zip(row.line);
    let text = line.and_then(|(file, line)| tour.example.line(file, line));
    text.map_or_else(String::new, |text| format!("\n    {text}"))
}

fn object(tour: &Tour) -> Result<String> {
    let found = tour.object()?;
    found.context("no shared memory was recorded")
}

/// `submit` writes a title that is too long, over the next job's failures.
pub fn job_queue(tour: &mut Tour) -> Result<Option<String>> {
    // struct Queue: 16 bytes, then jobs of 40, whose first field is `failures`.
    let printed = tour.printed("report: job ")?;
    let Some(&job) = printed
        .first()
        .and_then(|line| numbers(&line.text).first().copied())
        .as_ref()
    else {
        return Ok(None);
    };
    let place = format!("{}+{:#x}", object(tour)?, 16 + 40 * job);
    tour.say(&format!(
        "Nobody counts failures like that. Job {job}'s counter is in shared memory; who wrote it?"
    ))?;
    tour.show(&["ublame", &place, "--len", "4"])?;
    let rows = tour.blame(&place, 4)?;
    let is_report = |row: &Row| row.is_load() && row.program.as_deref() == Some("report");
    let Some(seen) = rows.iter().position(is_report) else {
        return Ok(None);
    };
    let culprit = rows[..seen].iter().rev().find(|row| row.is_store());
    Ok(culprit.filter(|row| row.is_in("submit.cpp")).map(|row| {
        format!(
            "It was {}: {}. It put the title of job {} there, which has more bytes than \
             characters, and wrote on into job {job}:{}",
            row.who(),
            row.place(),
            job - 1,
            quote(tour, row)
        )
    }))
}

/// Two publishers write one slot at a time.
pub fn market_data(tour: &mut Tour) -> Result<Option<String>> {
    // struct Ring: 64 bytes, then quotes of 32: version, bid, ask.
    let printed = tour.printed("reader: slot ")?;
    let Some(line) = printed.first() else {
        return Ok(None);
    };
    let &[slot, bid, bid_cents, ask, ask_cents] = &numbers(&line.text)[..] else {
        return Ok(None);
    };
    let start = 64 + 32 * slot;
    let place = format!("{}+{start:#x}", object(tour)?);
    let before = format!("{}@{}", line.recording, line.tick);
    tour.say(&format!(
        "No exchange makes such a quote. Who wrote version, bid and ask of slot {slot}?"
    ))?;
    let shown = [
        "ublame", &place, "--len", "24", "--stores", "--before", &before, "--last", "8",
    ];
    tour.show(&shown)?;
    let rows = tour.blame(&place, 24)?;
    let last = |offset: u64, price: u64| {
        let stored = |row: &&Row| row.is_store() && row.tick < line.tick;
        let mut stores = rows.iter().rev().filter(stored);
        stores.find(|row| row.offset == offset && row.new_word(offset) == Some(price))
    };
    let bid = last(start + 8, 100 * bid + bid_cents);
    let ask = last(start + 16, 100 * ask + ask_cents);
    let (Some(bid), Some(ask)) = (bid, ask) else {
        return Ok(None);
    };
    let both = [bid, ask].iter().all(|row| row.is_in("publish.cpp"));
    let text = format!(
        "The bid is by {}: {}. The ask is by {}: {}. Both wrote slot {slot} at once; its \
         version tells readers of one writer at work, not of two:{}{}",
        bid.who(),
        bid.place(),
        ask.who(),
        ask.place(),
        quote(tour, bid),
        quote(tour, ask)
    );
    Ok((both && bid.recording != ask.recording).then_some(text))
}

/// A process stores what it computed from a value that is no longer there.
pub fn lost_update(tour: &mut Tour) -> Result<Option<String>> {
    let object = object(tour)?;
    let place = format!("{object}+0x0");
    let rows = tour.blame(&place, 8)?;
    let Some((load, store)) = lost(&rows) else {
        return Ok(None);
    };
    tour.say(
        "The counter is all that is shared. A store that does not make it greater has lost \
         something; this is the first of them, and what led to it:",
    )?;
    let (after, before) = (load.tick.saturating_sub(1), store.tick + 1);
    let (after, before) = (after.to_string(), before.to_string());
    tour.show(&[
        "ublame", &place, "--len", "8", "--after", &after, "--before", &before,
    ])?;
    let recordings = tour.recordings()?;
    let mut own = recordings.iter().filter(|p| Some(p.pid) == store.pid);
    let Some(process) = own.find(|p| p.command.ends_with("count.py")) else {
        return Ok(None);
    };
    // Blame knows the interpreter's code, not the script's.
    let stores = |line: &&(usize, &str)| line.1.contains("total[0] =");
    let text = tour.example.text("count.py").unwrap_or_default();
    let Some((number, line)) = text.lines().enumerate().find(|line| stores(&line)) else {
        return Ok(None);
    };
    let value = |word: Option<u64>| word.map_or_else(|| "?".to_owned(), |n| n.to_string());
    Ok(Some(format!(
        "{}, running {}, saw {} at {}, and stored {} at {} over {}, which others had counted to \
         meanwhile. Only count.py:{} stores there:\n    {}",
        store.who(),
        process.command,
        value(load.new_word(0)),
        load.position,
        value(store.new_word(0)),
        store.position,
        value(store.old_word(0)),
        number + 1,
        line.trim()
    )))
}

/// The first store that makes the counter no greater, and the load that its
/// process had computed it from.
fn lost(rows: &[Row]) -> Option<(&Row, &Row)> {
    rows.iter().enumerate().find_map(|(n, store)| {
        let (old, new) = (store.old_word(0)?, store.new_word(0)?);
        if !store.is_store() || new > old {
            return None;
        }
        let mut own = rows[..n]
            .iter()
            .rev()
            .filter(|row| row.recording == store.recording);
        let load = own.next().filter(|row| row.is_load())?;
        (load.new_word(0)? + 1 == new).then_some((load, store))
    })
}

/// A worker counts in the row of the next one.
pub fn prefork_stats(tour: &mut Tour) -> Result<Option<String>> {
    // struct row: 56 bytes, of which `active` is the first.
    let printed = tour.printed("server: worker ")?;
    let Some(&worker) = printed
        .first()
        .and_then(|line| numbers(&line.text).first().copied())
        .as_ref()
    else {
        return Ok(None);
    };
    let row_of = |text: &str| Some(numbers(text)).filter(|n| n.len() == 4 && n[0] == worker);
    let Some(owner) = tour
        .printed(" ")?
        .iter()
        .find_map(|line| row_of(&line.text))
    else {
        return Ok(None);
    };
    let pid = owner[1];
    let recordings = tour.recordings()?;
    let server = |p: &&super::rows::Process| p.command.contains("build/server") && p.next.is_none();
    let others = recordings
        .iter()
        .filter(server)
        .filter(|p| u64::from(p.pid) != pid);
    let others: Vec<&str> = others.map(|p| p.recording.as_str()).collect();
    let place = format!("{}+{:#x}", object(tour)?, 56 * worker);
    tour.say(&format!(
        "Worker {worker} (pid {pid}) says when it is active in its own row of the shared page. \
         Who else wrote there?"
    ))?;
    let mut shown = vec!["ublame", &place, "--len", "8", "--stores", "--last", "4"];
    shown.extend(others.iter().flat_map(|id| ["-p", id]));
    tour.show(&shown)?;
    let rows = tour.blame(&place, 8)?;
    let foreign = |row: &&Row| row.is_store() && row.pid.map(u64::from) != Some(pid);
    let culprits: Vec<&Row> = rows.iter().filter(foreign).collect();
    let culprit = culprits.last().filter(|row| row.is_in("server.c"));
    Ok(culprit.map(|row| {
        format!(
            "It was {}: {}. That makes {} of these stores: a status of 5xx is counted behind the \
             end of the own row.{}",
            row.who(),
            row.place(),
            culprits.len(),
            quote(tour, row)
        )
    }))
}
