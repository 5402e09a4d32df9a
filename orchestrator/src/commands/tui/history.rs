//! Who accessed shared memory.

use super::private;
use super::worker::Job;
use crate::commands::ublame::find::{Missing, find};
use crate::commands::ublame::order;
use crate::commands::ublame::row::{Rows, kind_name};
use crate::commands::ublame::table::{plain, seconds};
use crate::commands::ublame::value::{Format, show, show_old};
use crate::describe::safe;
use crate::output::cut;
use crate::position::Position;
use anyhow::{Result, bail};
use orch_blame::access::{Access, Kind, Old};
use orch_blame::graph::Graph;
use orch_blame::graph::order::{self as races, MOST_BYTES};
use orch_blame::index::{Index, Query};
use orch_blame::place::{self, Place};
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use orch_tui::data::{self, FORMATS, History, Near, Ordered, Value};

/// Rows that are shown: the last ones.
const MOST: usize = 20_000;
/// Characters of a value that are kept, of old and new each.
const LONGEST: usize = 200;
/// The same of what is told in one line.
const SHORT: usize = 40;
/// Accesses that are offered to choose from.
const NEAR: usize = 40;

/// A place as the user writes it, and maybe a number of bytes behind it.
fn parse(text: &str) -> Result<(Place, Option<u64>)> {
    let split = text.trim().rsplit_once(char::is_whitespace);
    let (place, len) = match split.and_then(|(place, len)| Some((place, place::number(len)?))) {
        Some((place, len)) => (place.trim(), Some(len)),
        None => (text.trim(), None),
    };
    if len == Some(0) {
        bail!("write a number of bytes, 1 or more");
    }
    Ok((place.parse()?, len))
}

/// A place: bytes of a shared object, or of a recording's own memory.
enum Wanted {
    Shared(Query),
    Own(RecordingId, u64, u64, Option<Position>),
}

/// Finds a place; an address means what it did at the position `from`, if that is of the
/// same recording.
fn locate(
    session: &Session,
    rows: &mut Rows<'_>,
    text: &str,
    from: Option<&str>,
) -> Result<Wanted> {
    let (place, len) = parse(text)?;
    let from: Option<Position> = from.and_then(|from| from.parse().ok());
    let from = from.filter(|from| match &place {
        Place::Address { recording, .. } | Place::Symbol { recording, .. } => {
            *recording == from.recording
        }
        Place::Object { .. } => false,
    });
    let before = from.map(|from| from.tick(session)).transpose()?;
    let found = match find(session, rows, &place, before)? {
        Ok(found) => found,
        Err(Missing::Other(why)) => bail!("{why}"),
        Err(Missing::Private {
            recording,
            addr,
            len: own,
            ..
        }) => {
            let len = len.or(own).unwrap_or(8);
            return Ok(Wanted::Own(recording, addr, len, from));
        }
    };
    Ok(Wanted::Shared(Query {
        object: found.object,
        offset: found.offset,
        len: len.or(found.len).unwrap_or(8),
        after: None,
        before: None,
        recordings: Vec::new(),
        stores: false,
        last: Some(MOST),
    }))
}

/// Who accessed a place.
pub fn history(
    session: &Session,
    index: &Index,
    job: &Job,
    text: &str,
    from: Option<&str>,
) -> Result<History> {
    let mut rows = Rows::new(session, index.catalog());
    let query = match locate(session, &mut rows, text, from)? {
        Wanted::Shared(query) => query,
        Wanted::Own(recording, addr, len, from) => {
            return private::history(session, job, (recording, addr, len), from);
        }
    };
    let mut all = Vec::new();
    index.query(&query, &mut |access| -> Result<()> {
        job.go_on()?;
        all.push(row(&mut rows, &access, &asked(&query, &access)));
        Ok(())
    })?;
    let mut note = mappers(&rows, &query);
    if all.len() == MOST {
        note = format!("the last {MOST} only; {note}");
    }
    Ok(History {
        place: rows.range(&query),
        note,
        rows: all,
        bytes: Some(data::Bytes {
            object: rows.object(query.object),
            offset: query.offset,
            len: query.len,
        }),
        ..History::default()
    })
}

/// What orders the accesses of a history, row by row.
pub fn order(
    session: &Session,
    index: &Index,
    graph: Option<&Graph>,
    job: &Job,
    (text, from): (&str, Option<&str>),
) -> Result<Vec<Option<Ordered>>> {
    let mut rows = Rows::new(session, index.catalog());
    let Wanted::Shared(query) = locate(session, &mut rows, text, from)? else {
        return Ok(Vec::new());
    };
    if query.len > MOST_BYTES {
        bail!("races are looked for in at most {MOST_BYTES} bytes; - shows fewer");
    }
    let orders = races::of(session, index, graph, (&query).into())?;
    let mut all = Vec::new();
    index.query(&query, &mut |access| -> Result<()> {
        job.go_on()?;
        let order = order::find(&orders, &rows, &access);
        all.push(order.map(|order| Ordered {
            text: order::words(order),
            before: Position::event(order.before.recording, order.before.tick.0).to_string(),
            race: order.by.is_none(),
            unseen: order.unseen,
        }));
        Ok(())
    })?;
    Ok(all)
}

fn mappers(rows: &Rows<'_>, query: &Query) -> String {
    const MOST: usize = 6;
    let mut who: Vec<String> = Vec::new();
    for m in place::mapped(rows.catalog, query.object) {
        if query
            .offset
            .checked_sub(m.offset)
            .is_some_and(|d| d < m.len)
        {
            let program = rows.program(m.recording).unwrap_or("?");
            let one = format!("{} {program}", m.recording);
            if !who.contains(&one) {
                who.push(one);
            }
        }
    }
    let more = who.len().saturating_sub(MOST);
    who.truncate(MOST);
    if more > 0 {
        who.push(format!("{more} more"));
    }
    match who.is_empty() {
        true => "nobody maps these bytes".to_owned(),
        false => format!("mapped by {}", safe(who.join(", ").as_bytes())),
    }
}

/// The part of an access that was asked for.
fn asked(query: &Query, access: &Access) -> Bytes {
    let all = access.new.len();
    let behind = |at: u64| at.saturating_sub(access.offset).min(all as u64) as usize;
    let part = behind(query.offset)..behind(query.offset.saturating_add(query.len));
    Bytes {
        new: access.new[part.clone()].to_vec(),
        old: access.old.as_ref().map(|old| old.part(part)),
    }
}

/// Bytes, and what was there before them.
struct Bytes {
    old: Option<Old>,
    new: Vec<u8>,
}

/// A row; `bytes` are those of the access that are to be seen.
fn row(rows: &mut Rows<'_>, access: &Access, bytes: &Bytes) -> data::Access {
    let site = rows.site(access);
    let recorded = site.kind.is_recorded();
    let position = rows.position(access).to_string();
    let code = rows.code(access);
    let frame = code.main().cloned().unwrap_or_default();
    let mut function = frame.function.unwrap_or_default();
    if let Some(called) = code.called().and_then(|f| f.function.as_deref()) {
        function += &format!(" ({})", plain(called));
    }
    let file = frame.file.as_deref().and_then(|f| f.rsplit('/').next());
    let file = match (file, frame.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.to_owned(),
        _ => String::new(),
    };
    let program = rows.program(site.recording).filter(|_| recorded);
    let time = rows.clock.at(access.tick);
    let by_page = if site.by_page { "~" } else { "" };
    data::Access {
        position,
        tick: access.tick.0,
        recording: site.recording.0,
        time: time.map_or_else(|| "?".to_owned(), |t| seconds(t.nanos)),
        program: safe(program.unwrap_or("-").as_bytes()),
        kind: match site.kind {
            Kind::CallStore => "syscall",
            kind => kind_name(kind),
        },
        place: format!("{:+#x}/{}{by_page}", access.offset, access.new.len()),
        offset: access.offset,
        order: None,
        values: (0..FORMATS.len())
            .map(|n| value(n, site.kind, bytes))
            .collect(),
        function: safe(function.as_bytes()),
        file: safe(file.as_bytes()),
    }
}

/// The values in one of [`FORMATS`].
fn value(format: usize, kind: Kind, bytes: &Bytes) -> Value {
    let new = || cut(&one(format, &bytes.new), LONGEST);
    match kind {
        Kind::Load | Kind::CallLoad => Value {
            old: None,
            new: format!("sees {}", new()),
        },
        Kind::Initial => Value {
            old: None,
            new: new(),
        },
        _ => change(format, bytes.old.as_ref(), &bytes.new),
    }
}

/// A change in one of [`FORMATS`].
pub fn change(format: usize, old: Option<&Old>, bytes: &[u8]) -> Value {
    let shown = |old: &Old| match FORMATS.get(format) {
        Some(&"int8") => known_words(old, 1),
        Some(&"int16") => known_words(old, 2),
        Some(&"int32") => known_words(old, 4),
        Some(&"text") => show_old(Format::Text, bytes, old),
        Some(&"hex") => show_old(Format::Hex, bytes, old),
        Some(&"float") => show_old(Format::Float, bytes, old),
        Some(&"auto") => show_old(Format::Auto, bytes, old),
        _ => show_old(Format::Int, bytes, old),
    };
    Value {
        old: Some(old.map_or_else(|| "?".to_owned(), |old| cut(&shown(old), LONGEST))),
        new: cut(&one(format, bytes), LONGEST),
    }
}

/// The same in one line.
pub fn change_in_short(format: usize, old: Option<&Old>, bytes: &[u8]) -> String {
    let Value { old, new } = change(format, old, bytes);
    let old = old.unwrap_or_default();
    format!("{} → {}", cut(&old, SHORT), cut(&new, SHORT))
}

/// Words of so many bytes that are shown.
const WORDS: usize = 16;

fn words(bytes: &[u8], size: usize) -> String {
    let words = bytes.chunks(size).take(WORDS);
    let words: Vec<String> = words.map(|word| show(Format::Int, word)).collect();
    words.join(" ")
}

/// The same; `?` for those of which a byte is not known.
fn known_words(old: &Old, size: usize) -> String {
    let all = (0..old.bytes.len()).step_by(size).take(WORDS);
    let words = all.map(|at| {
        let end = (at + size).min(old.bytes.len());
        let word: Option<Vec<u8>> = (at..end).map(|n| old.get(n)).collect();
        word.map_or_else(|| "?".to_owned(), |word| show(Format::Int, &word))
    });
    words.collect::<Vec<_>>().join(" ")
}

fn one(format: usize, bytes: &[u8]) -> String {
    match FORMATS.get(format) {
        Some(&"int") => show(Format::Int, bytes),
        Some(&"int8") => words(bytes, 1),
        Some(&"int16") => words(bytes, 2),
        Some(&"int32") => words(bytes, 4),
        Some(&"hex") => show(Format::Hex, bytes),
        Some(&"text") => show(Format::Text, bytes),
        Some(&"float") => show(Format::Float, bytes),
        _ => show(Format::Auto, bytes),
    }
}

/// What a recording accessed until a tick, the last first, each place once.
pub fn near(session: &Session, index: &Index, id: u32, tick: u64) -> Result<Vec<Near>> {
    let catalog = index.catalog();
    let mut rows = Rows::new(session, catalog);
    let recording = RecordingId(id);
    let mut found: Vec<(u64, Access)> = Vec::new();
    for object in &catalog.objects {
        if !object.traffic.iter().any(|t| t.recording == recording) {
            continue;
        }
        let query = Query {
            object: object.id,
            offset: 0,
            len: object.size.max(1),
            after: None,
            before: Some(Tick(tick.saturating_add(1))),
            recordings: vec![recording],
            stores: false,
            last: Some(NEAR),
        };
        index.query(&query, &mut |access| -> Result<()> {
            found.push((object.id, access));
            Ok(())
        })?;
    }
    found.sort_by_key(|(_, access)| std::cmp::Reverse(access.tick));
    let mut near: Vec<Near> = Vec::new();
    for (object, access) in found {
        if !rows.site(&access).kind.is_recorded() {
            continue;
        }
        let name = rows.object(object);
        let place = format!("{name}+{:#x} {}", access.offset, access.new.len());
        if near.iter().any(|n| n.place == place) {
            continue;
        }
        let bytes = Bytes {
            old: access.old.clone(),
            new: access.new.clone(),
        };
        let row = row(&mut rows, &access, &bytes);
        let (kind, function, file) = (row.kind, &row.function, &row.file);
        let value = row.values.first().map(ToString::to_string);
        let value = cut(&value.unwrap_or_default(), SHORT);
        let text = format!(
            "{:<9} {kind:<7} {place:<28} {value:<30} {function} {file}",
            row.position
        );
        let at = (row.recording, row.tick);
        near.push(Near { place, text, at });
        if near.len() == NEAR {
            break;
        }
    }
    Ok(near)
}
