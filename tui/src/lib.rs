//! The screens of orch, as a library: [`State`] and what events do to it, and drawing,
//! which is a function of the state. What is shown is plain data ([`data`]); whoever reads
//! recordings answers [`event::Request`]s (a [`Backend`]). It knows no recording and no
//! replay: `orchestrator` has the commands, and depends on this crate.

mod act;
mod arrows;
mod bookmarks;
pub mod data;
mod draw;
pub mod event;
mod filter;
mod keymap;
pub mod keys;
mod layout;
mod list;
mod live;
mod panes;
mod prompt;
mod races;
pub mod script;
mod split;
mod state;
mod stops;
pub mod svg;
pub mod terminal;
mod theme;
mod timeline;
mod writers;

pub use arrows::{Around, Arrows};
pub use draw::draw;
pub use keymap::Keymap;
pub use list::{Filter, List};
pub use live::INTERVAL;
pub use panes::{Pane, Units};
pub use prompt::{Ask, Choice, Prompt};
pub use ratatui::style::Color;
pub use split::{Border, Layout, Shares, Split};
pub use state::{Held, Overlay, Pending, Place, Rows, State, View};
pub use theme::{Colours, Theme};
pub use timeline::Grabbed;
pub use writers::Writers;

use event::{Event, Request};
use std::sync::mpsc::Receiver;

/// Who works at requests, in the background.
pub trait Backend {
    /// Works at a request; answers come as events with its ticket.
    fn ask(&mut self, ticket: u64, request: Request);

    /// Nobody waits for these tickets any more.
    fn cancel(&mut self, tickets: &[u64]);

    /// Where answers come.
    fn answers(&self) -> &Receiver<Event>;
}
