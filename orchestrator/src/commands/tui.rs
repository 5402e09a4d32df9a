//! `orch tui`: what the screens of the crate `orch-tui` show is read here.

mod arrows;
mod bookmarks;
mod breakpoint;
mod config;
mod counts;
mod crash;
mod history;
mod lines;
mod live;
mod message;
mod motion;
mod panes;
mod picture;
mod printed;
mod private;
mod progress;
mod read;
mod reader;
mod run;
mod searcher;
mod terminfo;
mod worker;
mod writers;

use super::Usage;
use crate::position::When;
use anyhow::{Context as _, Result, bail};
use config::Config;
use orch_recorder::session;
use orch_tui::script::{self, Step};
use orch_tui::terminal::{self, End};
use orch_tui::{Overlay, State, Theme, svg};
use std::env;
use std::fs;
use std::io::{IsTerminal as _, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use worker::Workers;

/// Arguments of `orch tui`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch tui                                  all processes; those that crashed stand out
  orch tui p3@exit                          p3 as it was when it ended
  orch tui --blame /dev/shm/q+0x40          who wrote that, and from there on by Enter
  orch tui --render 'Enter b show' --size 120x36
  orch tui --render '4 G Enter' --svg > screen.svg

The keys that work are in the last line; ? explains all, : searches commands. A place
to blame may have a number of bytes behind it: '/dev/shm/q+0x40 4'.

--render needs no terminal: the keys of the script are pressed one after another, each
when what it asked for is there, and the screen is printed where the script says `show`
and at its end. Its words: j, Enter, Esc, Tab, S-Tab, Up, Down, Left, Right, Home, End,
PgUp, PgDn, Bksp, Del, Space, C-u, 'text', click:X,Y, drag:X,Y-X,Y, size:80x24,
wait:SECONDS (in which what is being recorded grows), show.

Other keys and colours, and a layout, are read from $XDG_CONFIG_HOME/orch/tui.toml
(docs/tui.md).
NO_COLOR is obeyed; --ascii (or a locale without UTF-8) uses no other characters.")]
pub struct Args {
    /// Begin at this position: p3@18402, p3@exit, @50%.
    #[arg(value_name = "POS")]
    position: Option<When>,
    /// Begin with who wrote this: p3:0xADDRESS, OBJECT+OFFSET or p3:SYMBOL+OFFSET, and bytes.
    #[arg(long, value_name = "WHERE")]
    blame: Option<String>,
    /// Press these keys, without a terminal, and print the screens.
    #[arg(long, value_name = "SCRIPT", value_parser = steps, allow_hyphen_values = true)]
    render: Option<Script>,
    /// Columns and rows of these screens.
    #[arg(long, value_name = "WxH", value_parser = size, default_value = "120x36", requires = "render")]
    size: (u16, u16),
    /// As a picture (SVG); of the last screen only.
    #[arg(long, requires = "render")]
    svg: bool,
    /// Characters of ASCII only.
    #[arg(long)]
    ascii: bool,
    /// Colours for a terminal with a light ground (default: as COLORFGBG tells).
    #[arg(long)]
    light: bool,
    /// Where sources are, if not where they were compiled; may be given several times.
    #[arg(long, value_name = "DIR")]
    sources: Vec<PathBuf>,
}

/// Keys to be pressed.
#[derive(Clone, Debug)]
struct Script(Vec<Step>);

fn steps(text: &str) -> Result<Script, String> {
    script::parse(text).map(Script).map_err(|e| e.to_string())
}

fn size(text: &str) -> Result<(u16, u16), String> {
    script::size(text)
        .ok_or_else(|| "write columns and rows, 1000 of each at most: 120x36".to_owned())
}

/// An answer that takes longer is no answer.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    if args.render.is_none() && !(stdin().is_terminal() && stdout().is_terminal()) {
        let text =
            "orch tui needs a terminal; `orch tui --render SCRIPT` prints screens without one";
        return Err(Usage(text.to_owned()).into());
    }
    let session = super::locate(dir)?;
    let ids = session.recordings()?;
    // What is being recorded may come.
    if ids.is_empty() && session.meta().running().is_none() {
        let dir = session.dir().display();
        bail!("nothing was recorded in {dir}; `orch record -- COMMAND` makes another session");
    }
    if let Some(When::At(position)) = args.position {
        position.tick(&session)?;
    }
    for dir in &args.sources {
        if !dir.is_dir() {
            let text = format!("--sources {}: there is no such directory", dir.display());
            return Err(Usage(text).into());
        }
    }
    let config = config::read()?;
    // A script's screens are not to depend on what was dragged or chosen before.
    let (split, kept) = match &args.render {
        None => panes::kept(),
        Some(_) => Default::default(),
    };
    let mut state = State::new(args.size, theme(args, &config, kept));
    state.keymap = config.keymap;
    state.split = split;
    if let Some(layout) = config.layout {
        state.split.layout = layout;
    }
    let mut workers = Workers::start(&session, &args.sources);
    let position = args.position.map(|p| p.to_string());
    let first = state.start(args.blame.as_deref(), position.as_deref());
    let Some(Script(steps)) = &args.render else {
        if is_first() {
            state.overlay = Some(Overlay::Tour);
        }
        let before = (state.split, state.theme.light);
        crash::prepare().context("the terminal cannot be asked for its modes")?;
        let end = terminal::run(&mut state, &mut workers, first)?;
        let light = match state.theme.light == before.1 {
            true => kept,
            false => Some(state.theme.light),
        };
        if (state.split, state.theme.light) != before
            && let Err(e) = panes::keep(state.split, light)
        {
            eprintln!("orch: layout, sizes of panes and colours are not kept: {e:#}");
        }
        return Ok(match end {
            End::Quit => ExitCode::SUCCESS,
            End::Signal(signal) => ExitCode::from(128 + u8::try_from(signal).unwrap_or(0)),
        });
    };
    script::begin(&mut state, &mut workers, first, LIMIT).map_err(anyhow::Error::msg)?;
    // What the command line asks for and cannot be is an error, whatever the keys do.
    let asked = args.blame.is_some() || args.position.is_some();
    let failed = state.message.clone().filter(|(_, bad)| asked && *bad);
    let screens = script::run(&mut state, &mut workers, Vec::new(), steps, LIMIT);
    let screens = screens.map_err(anyhow::Error::msg)?;
    let code = match failed {
        Some((why, _)) => {
            eprintln!("orch: {why}");
            super::found(false)
        }
        None => ExitCode::SUCCESS,
    };
    let mut out = stdout().lock();
    if args.svg {
        let last = screens.last();
        let picture = last.map_or_else(String::new, |s| svg::svg(s, state.theme.light));
        out.write_all(picture.as_bytes())?;
        return Ok(code);
    }
    for screen in &screens {
        out.write_all(script::text(screen).as_bytes())?;
    }
    Ok(code)
}

fn theme(args: &Args, config: &Config, kept: Option<bool>) -> Theme {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    // The first of these that is set counts (locale(7)).
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let utf8 = locale.is_some_and(|l| l.to_lowercase().replace('-', "").contains("utf8"));
    // The last part is the ground's colour: 7 and 15 are white (rxvt's convention).
    let ground = set("COLORFGBG").and_then(|c| c.rsplit(';').next()?.parse::<u8>().ok());
    Theme {
        light: args.light
            || config
                .light
                .or(kept)
                .unwrap_or(matches!(ground, Some(7 | 15))),
        colours: config.colours,
        colour: set("NO_COLOR").is_none()
            && (args.render.is_some() || terminfo::has_colours(set("TERM").as_deref())),
        ascii: args.ascii || config.ascii.unwrap_or(!utf8 && args.render.is_none()),
    }
}

/// Whether nobody has used this before; the next time somebody has.
fn is_first() -> bool {
    let Some(dir) = session::base_dir("XDG_STATE_HOME", ".local/state") else {
        return false;
    };
    let file = dir.join("orch/tui-tour");
    if file.exists() {
        return false;
    }
    let made = file
        .parent()
        .is_some_and(|dir| fs::create_dir_all(dir).is_ok());
    made && fs::write(&file, "").is_ok()
}
