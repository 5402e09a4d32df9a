//! Places in shared memory as the user writes them: `p3:0x7f0012345678`,
//! `/dev/shm/q+0x40`, `p3:SYMBOL+8`.

mod memory;
mod shared;

pub use memory::{Mapping, Memory};
pub use shared::shared;

use crate::catalog::{Catalog, ViewChange};
use crate::objects;
use crate::scan::Ranges;
use orch_recorder::trace::{RecordingId, Tick};
use std::str::FromStr;

/// What is to be blamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address of a recording.
    Address {
        /// Whose.
        recording: RecordingId,
        /// The address.
        addr: u64,
    },
    /// A variable of a recorded program.
    Symbol {
        /// Whose.
        recording: RecordingId,
        /// Its name.
        name: String,
        /// Bytes behind its start.
        offset: u64,
    },
    /// A shared object.
    Object {
        /// The text before the `+`.
        name: String,
        /// Bytes behind its start.
        offset: u64,
        /// The whole text: an object may have a `+` in its name.
        whole: String,
    },
}

/// Text that is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a place in shared memory{EXAMPLES}")]
pub struct ParsePlaceError(String);

/// What to write instead.
const EXAMPLES: &str = "; write one of
  p3:0x7f0012345678     an address in a recording
  /dev/shm/q+0x40       a shared object and an offset (also memfd:NAME, sysv:ID, anon:NUMBER)
  p3:counters+8         a variable of a recorded program";

/// A place that cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// No object is called so.
    #[error(
        "no shared object is called {name:?}{}{}",
        hint(name),
        list(candidates)
    )]
    NoObject {
        /// What was asked for.
        name: String,
        /// The objects that there are.
        candidates: Vec<String>,
    },
    /// Several objects are called so.
    #[error("{name:?} may be any of{}", lines(candidates))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The objects that it may be.
        candidates: Vec<String>,
    },
}

fn lines(candidates: &[String]) -> String {
    let line = |name: &String| {
        let name = name.chars().map(|c| match c {
            c if c.is_control() => c.escape_unicode().to_string(),
            c => c.to_string(),
        });
        format!("\n  {}", name.collect::<String>())
    };
    candidates.iter().map(line).collect()
}

fn hint(name: &str) -> &'static str {
    if name.contains('+') {
        " (an offset behind it is a number: +64, +0x40)"
    } else {
        ""
    }
}

fn list(candidates: &[String]) -> String {
    if candidates.is_empty() {
        return ": this session has none".to_owned();
    }
    format!("; this session has{}", lines(candidates))
}

/// A number, decimal or `0x…`.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()
        }
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// What is before a last `+NUMBER`, and the number; 0 if there is none.
fn with_offset(text: &str) -> (&str, u64) {
    let split = text.rsplit_once('+');
    match split.and_then(|(name, offset)| Some((name, number(offset)?))) {
        Some((name, offset)) => (name, offset),
        None => (text, 0),
    }
}

impl FromStr for Place {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, ParsePlaceError> {
        let error = || ParsePlaceError(text.to_owned());
        let (name, offset) = with_offset(text);
        if name.is_empty() || text.ends_with('+') || text.ends_with(':') {
            return Err(error());
        }
        let of_recording = name
            .split_once(':')
            .and_then(|(id, rest)| Some((id.parse::<RecordingId>().ok()?, rest)));
        Ok(match of_recording {
            None => Self::Object {
                name: name.to_owned(),
                offset,
                whole: text.to_owned(),
            },
            Some((recording, rest)) => match number(rest) {
                Some(addr) => Self::Address {
                    recording,
                    addr: addr.checked_add(offset).ok_or_else(error)?,
                },
                None if rest.starts_with(|c: char| c.is_ascii_digit()) || rest.is_empty() => {
                    return Err(error());
                }
                None => Self::Symbol {
                    recording,
                    name: rest.to_owned(),
                    offset,
                },
            },
        })
    }
}

/// The object that is meant by `name` (or by `whole`, with its offset in the
/// name), and the offset.
///
/// # Errors
/// If there is none, or more than one.
pub fn object(
    catalog: &Catalog,
    name: &str,
    offset: u64,
    whole: &str,
) -> Result<(u64, u64), PlaceError> {
    let labels = |objects: &[&crate::catalog::ObjectInfo]| -> Vec<String> {
        let label = |o: &&crate::catalog::ObjectInfo| objects::unique_label(catalog, o);
        objects.iter().map(label).collect()
    };
    let (found, offset) = match objects::find(catalog, whole) {
        found if found.is_empty() => (objects::find(catalog, name), offset),
        found => (found, 0),
    };
    match &found[..] {
        [one] => Ok((one.id, offset)),
        [] => Err(PlaceError::NoObject {
            name: name.to_owned(),
            candidates: labels(&catalog.objects.iter().collect::<Vec<_>>()),
        }),
        several => Err(PlaceError::Ambiguous {
            name: name.to_owned(),
            candidates: labels(several),
        }),
    }
}

/// The object and the offset that an address of a recording shows: before
/// `before`, or else the last that it showed.
#[must_use]
pub fn shown(
    catalog: &Catalog,
    id: RecordingId,
    addr: u64,
    before: Option<Tick>,
) -> Option<(u64, u64)> {
    let mut views = catalog.views.iter().filter(|v| v.recording == id);
    let covers = |v: &&ViewChange| v.addr <= addr && addr - v.addr < v.len;
    let view = match before {
        Some(tick) => {
            let mut views = views.filter(|v| v.tick <= tick);
            views.rfind(covers).filter(|v| v.object != 0)
        }
        None => views.rfind(|v| covers(v) && v.object != 0),
    }?;
    Some((view.object, view.offset.checked_add(addr - view.addr)?))
}

/// Where an object is mapped in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Which recording.
    pub recording: RecordingId,
    /// From when on.
    pub from: Tick,
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// Offset in the object.
    pub offset: u64,
    /// `PROT_*`.
    pub prot: u64,
}

/// Everywhere that `object` was ever mapped; each place once.
#[must_use]
pub fn mapped(catalog: &Catalog, object: u64) -> Vec<Mapped> {
    let mut out: Vec<Mapped> = Vec::new();
    for v in catalog.views.iter().filter(|v| v.object == object) {
        let same = |m: &Mapped| {
            (m.recording, m.addr, m.len, m.offset) == (v.recording, v.addr, v.len, v.offset)
        };
        match out.iter_mut().find(|m| same(m)) {
            Some(known) => known.prot |= v.prot,
            None => out.push(Mapped {
                recording: v.recording,
                from: v.tick,
                addr: v.addr,
                len: v.len,
                offset: v.offset,
                prot: v.prot,
            }),
        }
    }
    out
}

/// The views of a recording at a tick.
#[must_use]
pub fn views_at(catalog: &Catalog, id: RecordingId, tick: Tick) -> Ranges<u64> {
    let mut ranges = Ranges::default();
    let views = catalog.views.iter().filter(|v| v.recording == id);
    for v in views.filter(|v| v.tick <= tick) {
        ranges.set(v.addr, v.len, (v.object != 0).then_some(v.object), v.offset);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_written() {
        let id = RecordingId(3);
        let address = |addr| Place::Address {
            recording: id,
            addr,
        };
        let symbol = |name: &str, offset| Place::Symbol {
            recording: id,
            name: name.to_owned(),
            offset,
        };
        assert_eq!("p3:0x7f00".parse(), Ok(address(0x7f00)));
        assert_eq!("p3:0x7f00+8".parse(), Ok(address(0x7f08)));
        assert_eq!("p3:ring".parse(), Ok(symbol("ring", 0)));
        assert_eq!("p3:ns::ring+0x10".parse(), Ok(symbol("ns::ring", 16)));
        for (text, name, offset) in [
            ("/dev/shm/q+0x40", "/dev/shm/q", 64),
            ("memfd:frames+4096", "memfd:frames", 4096),
            ("sysv:12", "sysv:12", 0),
            ("a+b", "a+b", 0),
        ] {
            let place = Place::Object {
                name: name.to_owned(),
                offset,
                whole: text.to_owned(),
            };
            assert_eq!(text.parse(), Ok(place));
        }
        for text in ["", "+8", "p3:", "p3:0xzz", "q+", "p3:0xffffffffffffffff+9"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
