//! How the user has divided the view of a recording, and whether on a light ground: `$XDG_STATE_HOME/orch/tui-panes.json`.

use anyhow::{Context as _, Result};
use orch_recorder::session;
use orch_tui::{Layout, Shares, Split};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// The file. Sizes outside of a layout are those of the first one.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    layout: String,
    /// Colours for a light ground, or for a dark one, as the user has chosen; or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    light: Option<bool>,
    #[serde(flatten)]
    beside: Sizes,
    stacked: Sizes,
    code: Sizes,
}

/// Shares of a thousand.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Sizes {
    source: Option<u16>,
    upper: Option<u16>,
    stack: Option<u16>,
}

impl From<Shares> for Sizes {
    fn from(shares: Shares) -> Self {
        Self {
            source: shares.source,
            upper: shares.upper,
            stack: shares.stack,
        }
    }
}

impl From<Sizes> for Shares {
    fn from(sizes: Sizes) -> Self {
        Self {
            source: sizes.source,
            upper: sizes.upper,
            stack: sizes.stack,
        }
    }
}

impl From<Split> for Kept {
    fn from(split: Split) -> Self {
        Self {
            layout: split.layout.name().to_owned(),
            light: None,
            beside: split.beside.into(),
            stacked: split.stacked.into(),
            code: split.code.into(),
        }
    }
}

impl From<Kept> for Split {
    fn from(kept: Kept) -> Self {
        Self {
            layout: Layout::named(&kept.layout).unwrap_or_default(),
            beside: kept.beside.into(),
            stacked: kept.stacked.into(),
            code: kept.code.into(),
        }
    }
}

fn path() -> Option<PathBuf> {
    let dir = session::base_dir("XDG_STATE_HOME", ".local/state")?;
    Some(dir.join("orch/tui-panes.json"))
}

/// As it was last; as at first, where that is not known: it is not worth a question.
pub fn kept() -> (Split, Option<bool>) {
    let text = path().and_then(|path| fs::read(path).ok());
    text.map_or_else(Default::default, |text| parse(&text))
}

fn parse(text: &[u8]) -> (Split, Option<bool>) {
    let kept: Kept = serde_json::from_slice(text).unwrap_or_default();
    let light = kept.light;
    (kept.into(), light)
}

fn text(split: Split, light: Option<bool>) -> Result<Vec<u8>> {
    let kept = Kept {
        light,
        ..Kept::from(split)
    };
    Ok(serde_json::to_vec(&kept)?)
}

/// For the next time.
pub fn keep(split: Split, light: Option<bool>) -> Result<()> {
    let path = path().context("neither XDG_STATE_HOME nor HOME is set")?;
    let dir = path.parent().context("it is in a directory")?;
    fs::create_dir_all(dir)?;
    // Who reads it sees the old or the new.
    let mut new = NamedTempFile::new_in(dir)?;
    new.write_all(&text(split, light)?)?;
    new.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let sizes = |n| Shares {
            source: Some(n),
            upper: None,
            stack: Some(n + 1),
        };
        for layout in Layout::ALL {
            let split = Split {
                layout,
                beside: sizes(100),
                stacked: sizes(200),
                code: Shares::default(),
            };
            for light in [None, Some(true), Some(false)] {
                let text = text(split, light).expect("it is plain data");
                assert_eq!(parse(&text), (split, light));
            }
        }
        // As it was kept when there was one layout.
        let (old, light) = parse(br#"{"source":500,"upper":null,"stack":40}"#);
        assert_eq!(light, None);
        let of = (old.layout, old.beside.source, old.beside.stack, old.stacked);
        let shares = Shares::default();
        assert_eq!(of, (Layout::Beside, Some(500), Some(40), shares));
        assert_eq!(parse(b"rubbish"), (Split::default(), None));
        assert_eq!(parse(br#"{"layout":"other"}"#).0, Split::default());
    }
}
