//! How the user has divided the view of a recording: `$XDG_STATE_HOME/orch/tui-panes.json`.

use anyhow::{Context as _, Result};
use orch_recorder::session;
use orch_tui::Split;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// Shares of a thousand.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    source: Option<u16>,
    upper: Option<u16>,
    stack: Option<u16>,
}

fn path() -> Option<PathBuf> {
    let dir = session::base_dir("XDG_STATE_HOME", ".local/state")?;
    Some(dir.join("orch/tui-panes.json"))
}

/// As it was last; as at first, where that is not known: it is not worth a question.
pub fn kept() -> Split {
    let text = path().and_then(|path| fs::read(path).ok());
    let kept: Option<Kept> = text.and_then(|text| serde_json::from_slice(&text).ok());
    let kept = kept.unwrap_or_default();
    Split {
        source: kept.source,
        upper: kept.upper,
        stack: kept.stack,
    }
}

/// For the next time.
pub fn keep(split: Split) -> Result<()> {
    let path = path().context("neither XDG_STATE_HOME nor HOME is set")?;
    let dir = path.parent().context("it is in a directory")?;
    fs::create_dir_all(dir)?;
    let kept = Kept {
        source: split.source,
        upper: split.upper,
        stack: split.stack,
    };
    // Who reads it sees the old or the new.
    let mut new = NamedTempFile::new_in(dir)?;
    new.write_all(&serde_json::to_vec(&kept)?)?;
    new.persist(path)?;
    Ok(())
}
