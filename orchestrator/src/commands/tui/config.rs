//! The user's keys, colours and layout: `$XDG_CONFIG_HOME/orch/tui.toml`.

use crate::commands::Usage;
use anyhow::{Context as _, Result};
use orch_recorder::session;
use orch_tui::event::Key;
use orch_tui::{Color, Colours, Keymap, Layout, script};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

/// What it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub keymap: Keymap,
    pub colours: Colours,
    pub light: Option<bool>,
    pub ascii: Option<bool>,
    pub layout: Option<Layout>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// A key that is pressed, and the one that it means.
    keys: BTreeMap<Spanned<String>, Spanned<String>>,
    theme: Theme,
    recording: Recording,
}

/// The view of a recording.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Recording {
    layout: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Theme {
    light: Option<bool>,
    ascii: Option<bool>,
    recordings: Vec<Spanned<String>>,
    dim: Option<Spanned<String>>,
    bad: Option<Spanned<String>>,
    warn: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    text: Option<Spanned<String>>,
    number: Option<Spanned<String>>,
    word: Option<Spanned<String>>,
}

/// Reads it, if there is one.
///
/// # Errors
/// If it cannot be read, or makes no sense.
pub fn read() -> Result<Config> {
    let Some(dir) = session::base_dir("XDG_CONFIG_HOME", ".config") else {
        return Ok(Config::default());
    };
    let path = dir.join("orch/tui.toml");
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Config::default())
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn parse(path: &Path, text: &str) -> Result<Config> {
    config(text).map_err(|Wrong { at, why }| {
        let line = 1 + text.bytes().take(at).filter(|&b| b == b'\n').count();
        Usage(format!("{}:{line}: {why}", path.display())).into()
    })
}

/// What makes no sense, and where.
struct Wrong {
    at: usize,
    why: String,
}

impl Wrong {
    fn new(at: Range<usize>, why: String) -> Self {
        Self { at: at.start, why }
    }
}

fn config(text: &str) -> Result<Config, Wrong> {
    let file: File = toml::from_str(text).map_err(|e| {
        let at = e.span().unwrap_or_default();
        Wrong::new(at, e.message().trim_end().replace('\n', ", "))
    })?;
    let mut pairs = Vec::new();
    for (pressed, meant) in &file.keys {
        let key = key(pressed)?;
        if key == Key::Ctrl('c') {
            let why = "C-c always quits".to_owned();
            return Err(Wrong::new(pressed.span(), why));
        }
        pairs.push((key, self::key(meant)?));
    }
    let theme = &file.theme;
    let mut recordings = Colours::default().recordings;
    for (n, name) in theme.recordings.iter().enumerate() {
        let most = recordings.len();
        let Some(to) = recordings.get_mut(n) else {
            let why = format!("recordings have {most} colours at most, in turn");
            return Err(Wrong::new(name.span(), why));
        };
        *to = Some(colour(name)?);
    }
    let own = |name: &Option<Spanned<String>>| name.as_ref().map(colour).transpose();
    Ok(Config {
        keymap: Keymap::new(pairs),
        colours: Colours {
            recordings,
            dim: own(&theme.dim)?,
            bad: own(&theme.bad)?,
            warn: own(&theme.warn)?,
            key: own(&theme.key)?,
            text: own(&theme.text)?,
            number: own(&theme.number)?,
            word: own(&theme.word)?,
        },
        light: theme.light,
        ascii: theme.ascii,
        layout: file.recording.layout.as_ref().map(layout).transpose()?,
    })
}

fn layout(name: &Spanned<String>) -> Result<Layout, Wrong> {
    Layout::named(name.get_ref()).ok_or_else(|| {
        let all = Layout::ALL.map(Layout::name).join(", ");
        let why = format!("{:?} is no layout: write one of {all}", name.get_ref());
        Wrong::new(name.span(), why)
    })
}

fn key(name: &Spanned<String>) -> Result<Key, Wrong> {
    script::key(name.get_ref()).ok_or_else(|| {
        let why = format!(
            "{:?} is no key: write x, C-x, Enter, Esc, Tab, S-Tab, Up, Down, Left, Right, Home, End, \
             PgUp, PgDn, Bksp, Del or Space",
            name.get_ref()
        );
        Wrong::new(name.span(), why)
    })
}

fn colour(name: &Spanned<String>) -> Result<Color, Wrong> {
    name.get_ref().parse().map_err(|_| {
        let why = format!(
            "{:?} is no colour: write red, lightblue, #ff8700, or a number of the terminal's 256",
            name.get_ref()
        );
        Wrong::new(name.span(), why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_colours() {
        let text = "[keys]\nQ = \"q\"\n\"C-n\" = \"Down\"\n\n[theme]\nlight = true\n\
                    recordings = [\"red\", \"#0000ff\", \"208\"]\nbad = \"lightred\"\n\n[recording]\nlayout = \"stacked\"\n";
        let config = parse(Path::new("tui.toml"), text).expect("it is sound");
        assert_eq!(config.keymap.meant(Key::Char('Q')), Key::Char('q'));
        assert_eq!(config.keymap.meant(Key::Ctrl('n')), Key::Down);
        assert_eq!((config.light, config.ascii), (Some(true), None));
        assert_eq!(config.layout, Some(Layout::Stacked));
        let colours = config.colours;
        assert_eq!(colours.recordings[2], Some(Color::Indexed(208)));
        assert_eq!(colours.recordings[3], None);
        assert_eq!(colours.bad, Some(Color::LightRed));
        let empty = parse(Path::new("tui.toml"), "").expect("nothing is sound");
        assert_eq!(empty, Config::default());
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for (text, line, why) in [
            ("[keys]\nq = \"Q\"\nxx = \"q\"\n", 3, "\"xx\" is no key"),
            ("[keys]\n\nQ = \"quit\"\n", 3, "\"quit\" is no key"),
            ("[keys]\n\"C-c\" = \"j\"\n", 2, "C-c always quits"),
            ("[theme]\nbad = \"loud\"\n", 2, "\"loud\" is no colour"),
            (
                "\n[theme]\nrecordings = [\"red\",\n\"rde\"]\n",
                4,
                "\"rde\" is no colour",
            ),
            ("[theme]\nlight = \"yes\"\n", 2, "invalid type"),
            ("[theme]\nlihgt = true\n", 2, "unknown field `lihgt`"),
            (
                "[recording]\nlayout = \"wide\"\n",
                2,
                "\"wide\" is no layout: write one of beside, stacked, code",
            ),
            ("[keys\n", 1, ""),
            ("[colours]\n", 1, "unknown field `colours`"),
        ] {
            let error = parse(Path::new("/x/tui.toml"), text).expect_err(text);
            let error = error.to_string();
            let begins = format!("/x/tui.toml:{line}: ");
            assert!(error.starts_with(&begins), "{text}: {error}");
            assert!(error.contains(why) && !error.contains('\n'), "{error}");
        }
        let seven = format!("[theme]\nrecordings = [{}]\n", "\"red\", ".repeat(7));
        let error = parse(Path::new("x"), &seven).expect_err("too many");
        assert!(error.to_string().contains("6 colours at most"), "{error}");
    }
}
