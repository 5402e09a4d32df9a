//! Where code is that the user names, in all programs of the session.

use super::worker::Job;
use crate::commands::log::locate;
use crate::commands::log::location::Location;
use crate::commands::log::plan::{at_address, at_places};
use crate::describe::safe;
use crate::travel::Wanted;
use anyhow::{Result, bail};
use orch_blame::catalog::Catalog;
use orch_blame::symbols::{Frame, Places, Symbols};
use orch_recorder::files::FileId;
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use orch_tui::data::{Stop, StopAt};
use std::collections::{BTreeSet, HashMap};

/// Finds it; an address is one of the `recording`.
pub fn find(
    session: &Session,
    catalog: &Catalog,
    symbols: &mut Symbols,
    job: &Job,
    (text, recording): (&str, Option<u32>),
) -> Result<Stop> {
    // Addresses are listed with their recording: `p3:0x401136`.
    let (place, recording) = match text.split_once(":0x") {
        Some((id, _)) if id.parse::<RecordingId>().is_ok() => {
            (&text[id.len() + 1..], id.parse().ok())
        }
        _ => (text, recording.map(RecordingId)),
    };
    match place.parse()? {
        Location::Address(address) => at(session, catalog, symbols, address, recording),
        location => named(session, catalog, symbols, job, &location),
    }
}

fn at(
    session: &Session,
    catalog: &Catalog,
    symbols: &mut Symbols,
    address: u64,
    recording: Option<RecordingId>,
) -> Result<Stop> {
    let Some(id) = recording else {
        bail!(
            "an address is one of a recording: go to a position of it first, or write p3:{address:#x}"
        )
    };
    let wanted = at_address(catalog, id, address);
    if wanted.since.is_empty() {
        bail!("{id} has no code of a file at {address:#x}");
    }
    let last = session.summary(id)?.last_tick;
    let code = symbols.at(catalog, id, Tick(last.0), address);
    Ok(Stop {
        text: format!("{id}:{address:#x}"),
        at: StopAt::Code {
            lines: code.frames.first().and_then(line).into_iter().collect(),
            since: vec![(id.0, since(wanted))],
        },
    })
}

fn named(
    session: &Session,
    catalog: &Catalog,
    symbols: &mut Symbols,
    job: &Job,
    location: &Location,
) -> Result<Stop> {
    let ids = session.recordings()?;
    let images = locate::images(session, catalog, &ids)?;
    let mut found: Vec<(FileId, Places)> = Vec::new();
    for (n, image) in images.iter().enumerate() {
        job.go_on()?;
        job.tell(format!("{n} of {} files", images.len()));
        let places = match location {
            Location::Line { file, line } => symbols.line(image.file, file, *line),
            Location::Function(name) => symbols.function(image.file, name),
            Location::Address(_) => Places::default(),
        };
        found.push((image.file, places));
    }
    let mut lines = BTreeSet::new();
    let mut addresses: HashMap<FileId, Vec<u64>> = HashMap::new();
    for (file, places) in &found {
        for &addr in &places.addresses {
            lines.extend(symbols.frames(*file, addr).first().and_then(line));
            addresses.entry(*file).or_default().push(addr);
        }
    }
    if addresses.is_empty() {
        bail!("{}", unknown(location, &found));
    }
    let addresses = addresses.iter().map(|(&file, all)| (file, &all[..]));
    let addresses: HashMap<FileId, &[u64]> = addresses.collect();
    let mut of = Vec::new();
    for id in ids {
        job.go_on()?;
        let wanted = at_places(catalog, id, &addresses, symbols);
        if !wanted.since.is_empty() {
            of.push((id.0, since(wanted)));
        }
    }
    Ok(Stop {
        text: location.to_string(),
        at: StopAt::Code {
            lines: lines.into_iter().collect(),
            since: of,
        },
    })
}

/// File and line of a function, as the source is shown with them.
fn line(frame: &Frame) -> Option<(String, u32)> {
    Some((safe(frame.file.as_ref()?.as_bytes()), frame.line?))
}

fn since(wanted: Wanted) -> Vec<(u64, Vec<u64>)> {
    let all = wanted.since.into_iter();
    all.map(|since| (since.tick, since.addresses)).collect()
}

/// Why it is nowhere.
fn unknown(location: &Location, found: &[(FileId, Places)]) -> String {
    if found.iter().any(|(_, places)| places.chooses) {
        return format!(
            "which function {location} is, the dynamic linker chooses among several, as the \
             processor needs it: name that one"
        );
    }
    let (file, line) = match location {
        Location::Line { file, line } => (file, *line),
        _ => {
            return format!(
                "no program or library of this session has a function {location} (lines are \
                 written FILE:LINE)"
            );
        }
    };
    let lines: BTreeSet<u32> = found.iter().flat_map(|(_, p)| &p.lines).copied().collect();
    let near = [lines.range(..line).next_back(), lines.range(line..).next()];
    let near: Vec<String> = near.into_iter().flatten().map(u32::to_string).collect();
    match near.is_empty() {
        true => format!(
            "no program or library of this session was made from {file}, or its debugging \
             information is missing (gcc -g)"
        ),
        false => format!(
            "{file}:{line} has no code; the nearest lines that do: {}",
            near.join(" and ")
        ),
    }
}
