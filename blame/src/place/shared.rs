//! Shared memory that a recording has mapped, and what it is called: read from the
//! recordings themselves, where no index is needed for anything else.

use crate::catalog::{Catalog, ObjectInfo, ViewChange};
use crate::error::BlameError;
use orch_abi::record::Kind;
use orch_recorder::session::Session;
use orch_recorder::trace::{Block, Record, RecordError, RecordingId, Tick};
use std::collections::BTreeMap;

/// The views of recording `id`, and if there are any, the objects of all recordings, as an
/// index has them; `None` if a recording does not say where its own are.
///
/// # Errors
/// If a recording cannot be read.
pub fn shared(session: &Session, id: RecordingId) -> Result<Option<Catalog>, BlameError> {
    let mut found = Found::default();
    if !found.read(session, id)? {
        return Ok(None);
    }
    if !found.views.is_empty() {
        // Others may have objects of the same name, and the last to name one is right.
        found = Found::default();
        for other in session.recordings()? {
            if !found.read(session, other)? {
                return Ok(None);
            }
        }
        found.views.retain(|view| view.recording == id);
    }
    Ok(Some(Catalog {
        objects: found.objects.into_values().collect(),
        views: found.views,
        ..Catalog::default()
    }))
}

#[derive(Default)]
struct Found {
    objects: BTreeMap<u64, ObjectInfo>,
    views: Vec<ViewChange>,
}

impl Found {
    /// Reads a recording; `false` if it does not say where.
    fn read(&mut self, session: &Session, id: RecordingId) -> Result<bool, BlameError> {
        let mut reader = session.reader(id)?;
        let Some(blocks) = reader.noted_blocks(|rare| rare.shared.as_deref()) else {
            return Ok(false);
        };
        let mut block = Block::default();
        for n in blocks {
            // What is damaged is missing here as in an index.
            if reader.read_block(n, &mut block).is_ok() {
                for record in block.records().flatten() {
                    let _ = self.record(id, &record);
                }
            }
        }
        Ok(true)
    }

    fn object(&mut self, id: u64) -> &mut ObjectInfo {
        let new = || ObjectInfo::new(id);
        self.objects.entry(id).or_insert_with(new)
    }

    fn record(&mut self, recording: RecordingId, record: &Record<'_>) -> Result<(), RecordError> {
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Object) => {
                let (object, name) = record.object()?;
                self.object(object.id).describe(&object, name);
            }
            Some(Kind::View) => {
                let v = record.view()?;
                if v.object != 0 {
                    self.object(v.object);
                }
                self.views.push(ViewChange {
                    recording,
                    tick: Tick(record.head.tick),
                    addr: v.addr,
                    len: v.len,
                    object: v.object,
                    offset: v.offset,
                    prot: v.prot,
                });
            }
            _ => {}
        }
        Ok(())
    }
}
