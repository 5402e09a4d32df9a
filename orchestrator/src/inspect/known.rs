//! What a recording knows of memory that a replaying process has no names for: shared
//! objects, which are closed to the program there, the heap, the first stack.

use super::{Mapping, What};
use anyhow::Result;
use orch_blame::catalog::Catalog;
use orch_blame::objects;
use orch_blame::place::{self, Memory};
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};

/// Names mappings of a recording at a tick as the program knew them, and joins those
/// that only replay tells apart.
pub fn name(
    session: &Session,
    catalog: &Catalog,
    (id, tick): (RecordingId, Tick),
    maps: Vec<Mapping>,
) -> Result<Vec<Mapping>> {
    let memory = Memory::read(session, id, tick)?;
    let views = place::views_at(catalog, id, tick);
    let mut named: Vec<Mapping> = Vec::new();
    for map in maps {
        let pieces: Vec<_> = views.pieces(map.start, map.end - map.start).collect();
        for piece in &pieces {
            let object = catalog.object(piece.what);
            let label = object.map_or_else(String::new, |o| objects::unique_label(catalog, o));
            push(
                &mut named,
                Mapping {
                    start: piece.addr,
                    end: piece.addr + piece.len,
                    prot: prot(catalog, (id, tick), piece.addr).unwrap_or(map.prot),
                    what: What::Named(format!("{label}+{:#x}", piece.offset)),
                },
            );
        }
        if pieces.is_empty() {
            let what = match map.what {
                What::Named(name) if name.is_empty() => {
                    let kind = memory.at(map.start).map(|piece| piece.what);
                    What::Named(String::from(match kind {
                        Some(place::Mapping::Stack) => "[stack]",
                        Some(place::Mapping::Heap) => "[heap]",
                        _ => "",
                    }))
                }
                what => what,
            };
            push(&mut named, Mapping { what, ..map });
        }
    }
    Ok(named)
}

/// How a recording has mapped the shared memory at an address.
fn prot(catalog: &Catalog, (id, tick): (RecordingId, Tick), addr: u64) -> Option<u32> {
    let views = catalog.views.iter().filter(|v| v.recording == id);
    let mut views = views.filter(|v| v.tick <= tick);
    let view = views.rfind(|v| v.addr <= addr && addr - v.addr < v.len)?;
    u32::try_from(view.prot).ok()
}

/// Adds a mapping, to the last one if it only goes on with that.
fn push(maps: &mut Vec<Mapping>, map: Mapping) {
    if let Some(last) = maps.last_mut()
        && (last.end, last.prot) == (map.start, map.prot)
        && let (What::File { file, .. }, Some((same, offset))) = (&map.what, last.behind())
        && (*file, Some(offset)) == (same, map.file_at(map.start).map(|f| f.1))
    {
        last.end = map.end;
        return;
    }
    maps.push(map);
}
