//! Bookmarks, in a file of the session's directory.

use crate::describe::safe;
use anyhow::{Context as _, Result};
use orch_recorder::regular;
use orch_recorder::session::Session;
use orch_tui::data::{Bookmark, Change};
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use tempfile::NamedTempFile;

const FILE: &str = "bookmarks.json";
/// Most bytes of it.
const MOST: u64 = 64 << 20;

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    bookmarks: Vec<One>,
}

#[derive(Serialize, Deserialize)]
struct One {
    position: String,
    #[serde(default)]
    note: String,
}

/// Those that are kept, once `changes` are made.
pub fn change(session: &Session, changes: &[Change]) -> Result<Vec<Bookmark>> {
    let path = session.dir().join(FILE);
    // As it is now: others may have changed it.
    let kept = read(&path)?.bookmarks;
    let plain = |one: One| Bookmark {
        position: safe(one.position.as_bytes()),
        note: safe(one.note.as_bytes()),
    };
    let mut all: Vec<Bookmark> = kept.into_iter().map(plain).collect();
    for change in changes {
        change.apply(&mut all);
    }
    if !changes.is_empty() {
        let saved = save(session.dir(), &path, &all);
        saved.with_context(|| {
            let path = path.display();
            format!("cannot write {path}: bookmarks last until orch ends")
        })?;
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Kept> {
    let text = match regular::read(path, MOST) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Kept::default()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    serde_json::from_slice(&text).with_context(|| {
        format!(
            "{} is no list of bookmarks; move it away, or none are saved",
            path.display()
        )
    })
}

/// Who reads it sees the old or the new.
fn save(dir: &Path, path: &Path, all: &[Bookmark]) -> Result<()> {
    let one = |b: &Bookmark| One {
        position: b.position.clone(),
        note: b.note.clone(),
    };
    let kept = Kept {
        bookmarks: all.iter().map(one).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&kept)?;
    text.push(b'\n');
    // Only its owner may read it, as the rest of a session.
    let mut new = NamedTempFile::new_in(dir)?;
    new.write_all(&text)?;
    new.persist(path)?;
    Ok(())
}
