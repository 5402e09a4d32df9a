//! From what the user wrote to bytes of a shared object.

use super::row::Rows;
use crate::commands::{Usage, recordings};
use anyhow::Result;
use orch_blame::place::{self, Mapping, Memory, Place, PlaceError};
use orch_blame::scan::Piece;
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};

/// Bytes of a shared object.
pub struct Found {
    /// Number of the object.
    pub object: u64,
    /// First byte.
    pub offset: u64,
    /// How many, if the place says so.
    pub len: Option<u64>,
}

/// Why a place is not in shared memory.
pub enum Missing {
    /// It is memory of one process alone.
    Private {
        /// Whose.
        recording: RecordingId,
        /// First byte.
        addr: u64,
        /// How many, if the place says so.
        len: Option<u64>,
        /// What is there, in words.
        note: String,
    },
    /// For another reason.
    Other(String),
}

/// Finds the place; `Err` is why it is not in shared memory.
pub fn find(
    session: &Session,
    rows: &mut Rows<'_>,
    place: &Place,
    before: Option<Tick>,
) -> Result<Result<Found, Missing>> {
    match place {
        Place::Object {
            name,
            offset,
            whole,
        } => match place::object(rows.catalog, name, *offset, whole) {
            Ok((object, offset)) => Ok(Ok(Found::of(object, offset, None))),
            Err(e @ PlaceError::Ambiguous { .. }) => Err(Usage(e.to_string()).into()),
            Err(e) => Ok(Err(Missing::Other(e.to_string()))),
        },
        Place::Address { recording, addr } => {
            recordings(session, Some(*recording))?;
            address(session, rows, *recording, *addr, before, None)
        }
        Place::Symbol {
            recording,
            name,
            offset,
        } => {
            recordings(session, Some(*recording))?;
            symbol(session, rows, (*recording, name, *offset), before)
        }
    }
}

fn symbol(
    session: &Session,
    rows: &mut Rows<'_>,
    (id, name, offset): (RecordingId, &str, u64),
    before: Option<Tick>,
) -> Result<Result<Found, Missing>> {
    let tick = before.unwrap_or(Tick(u64::MAX));
    let symbols = rows.symbols.data(rows.catalog, id, tick, name);
    match &symbols[..] {
        [] => Ok(Err(Missing::Other(format!(
            "no file that {id} has mapped defines a variable {name:?} (it may be a function, \
             stripped, or local to a function); an address (p3:0x…) works without symbols"
        )))),
        [one] => {
            let addr = one.addr.saturating_add(offset);
            let len = one.size.checked_sub(offset).filter(|&n| n > 0);
            address(session, rows, id, addr, before, len)
        }
        several => {
            let lines: Vec<String> = several
                .iter()
                .map(|s| format!("\n  {id}:{:#x}  in {}, {} bytes", s.addr, s.file, s.size))
                .collect();
            let text = format!("{id} has several variables {name:?}:{}", lines.concat());
            Err(Usage(text).into())
        }
    }
}

fn address(
    session: &Session,
    rows: &Rows<'_>,
    id: RecordingId,
    addr: u64,
    before: Option<Tick>,
    len: Option<u64>,
) -> Result<Result<Found, Missing>> {
    if let Some((object, offset)) = place::shown(rows.catalog, id, addr, before) {
        return Ok(Ok(Found::of(object, offset, len)));
    }
    let tick = before.unwrap_or(Tick(u64::MAX));
    let memory = Memory::read(session, id, tick)?;
    let when = if before.is_some() { " then" } else { "" };
    Ok(Err(match memory.at(addr) {
        Some(piece) => {
            let what = what(rows, &piece);
            let note = format!("{id}:{addr:#x} is {what}{when}, not shared with other processes");
            match piece.what {
                Mapping::Shared => Missing::Other(note),
                _ => Missing::Private {
                    recording: id,
                    addr,
                    len,
                    note,
                },
            }
        }
        None => {
            let (below, above) = memory.around(addr);
            let near = [below, above].into_iter().flatten().map(|piece| {
                let end = piece.addr.saturating_add(piece.len);
                format!("\n  {:#x}..{end:#x}  {}", piece.addr, what(rows, &piece))
            });
            let near: Vec<String> = near.collect();
            let near = match near.is_empty() {
                true => String::new(),
                false => format!("; nearest to it are{}", near.concat()),
            };
            Missing::Other(format!("{id} had nothing mapped at {addr:#x}{when}{near}"))
        }
    }))
}

fn what(rows: &Rows<'_>, piece: &Piece<Mapping>) -> String {
    match piece.what {
        Mapping::Stack => "its stack".to_owned(),
        Mapping::Heap => "its heap".to_owned(),
        Mapping::File(file) => format!("{} in its memory", rows.symbols.path(file).display()),
        Mapping::Shared => "a shared mapping that no access to was recorded".to_owned(),
        Mapping::Anonymous => "anonymous memory of its own".to_owned(),
    }
}
