//! All that the screens show and know. Events change it, and make it ask for more;
//! nothing here touches a terminal, a file or a process.

use crate::act;
use crate::arrows::Arrows;
use crate::data::{
    Access, Bookmark, Change, End, History, Lanes, Line, Lines, Overview, Picture, Process, Stop,
    Value,
};
use crate::event::{Effect, Event, Loaded, Request, Way, Worker};
use crate::keymap::Keymap;
use crate::layout;
use crate::list::{List, filtered};
use crate::panes::{Pane, Units};
use crate::prompt::{Ask, Choice, Prompt};
use crate::split::{Border, Split};
use crate::theme::Theme;
use crate::timeline::Grabbed;
use crate::writers::Writers;
use std::sync::Arc;

/// Why nothing is offered to be blamed.
const NOTHING_NEAR: &str = "It has accessed no memory that processes share; type a place";

/// Where to look first: at what crashed; where the whole failed, at what failed last and
/// had nobody below it that did: others failed by it.
fn worst(processes: &[Process]) -> usize {
    let rows = processes.iter().enumerate();
    let crashed = rows.clone().filter(|(_, p)| p.end == End::Crashed);
    if let Some((n, _)) = crashed.min_by_key(|(_, p)| p.span.1) {
        return n;
    }
    // What was lost may have been the cause.
    if let Some(n) = processes.iter().position(|p| p.end == End::Damaged) {
        return n;
    }
    // What the first process has become by exec goes on with its number.
    let whole = processes.iter().rfind(|p| p.pid == processes[0].pid);
    if whole.is_none_or(|p| p.end != End::Failed) {
        return 0;
    }
    let depth = |p: &Process| p.branch.chars().count();
    let is_lowest = |n: usize, process: &Process| {
        let mut below = processes[n + 1..]
            .iter()
            .take_while(|p| depth(p) > depth(process));
        !below.any(|p| p.end == End::Failed)
    };
    let failed = rows.filter(|&(n, p)| p.end == End::Failed && is_lowest(n, p));
    failed.max_by_key(|(_, p)| p.span.1).map_or(0, |(n, _)| n)
}

/// What a filter looks at of a process.
fn searched(process: &Process) -> String {
    let pid = process.pid.map_or_else(String::new, |pid| pid.to_string());
    let (id, program, command) = (process.id, &process.program, &process.command);
    format!("p{id} {pid} {program} {command} {}", process.ending)
}

/// A screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// All processes over time.
    #[default]
    System,
    /// One of them at a position.
    Recording,
    /// Who accessed some memory.
    History,
    /// What was printed.
    Console,
    /// What happened.
    Events,
}

impl View {
    /// All, from left to right.
    pub const ALL: [Self; 5] = [
        Self::System,
        Self::Recording,
        Self::History,
        Self::Console,
        Self::Events,
    ];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Recording => "Recording",
            Self::History => "History",
            Self::Console => "Console",
            Self::Events => "Events",
        }
    }
}

/// What covers a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// What keys do, from this row on.
    Help(usize),
    /// The tour of the first start.
    Tour,
}

/// What the mouse moves while its button is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A border in the view of a recording.
    Border(Border),
    /// The time line of the system view.
    Time(Grabbed),
}

/// A request that is not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its ticket.
    pub ticket: u64,
    /// It.
    pub request: Request,
    /// What is done of it.
    pub progress: String,
    /// The user has not asked for it, and need not know.
    pub quiet: bool,
}

/// A list that can be filtered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Where in it.
    pub list: List,
    /// What rows must have.
    pub filter: String,
    /// Which of all rows was selected before the filter left none.
    pub lost: Option<usize>,
}

/// Where one was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which screen.
    pub view: View,
    /// At which position the process was.
    pub position: Option<String>,
    /// Which history was shown, and where in it.
    pub history: Option<(Arc<History>, Rows)>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Columns and rows.
    pub size: (u16, u16),
    /// Colours and characters.
    pub theme: Theme,
    /// Keys that mean others.
    pub keymap: Keymap,
    /// The screen that is shown.
    pub view: View,
    /// What covers it.
    pub overlay: Option<Overlay>,
    /// What the user is typing.
    pub prompt: Option<Prompt>,
    /// To be told: the text, and whether something failed.
    pub message: Option<(String, bool)>,
    /// What is being worked at.
    pub pending: Vec<Pending>,
    /// The next ticket.
    pub next: u64,
    /// Where to return to.
    pub back: Vec<Place>,
    /// The processes.
    pub overview: Option<Overview>,
    /// When they did how much.
    pub lanes: Option<Lanes>,
    /// What the process that is selected had to do with others.
    pub arrows: Arrows,
    /// Rows of the system view.
    pub system: Rows,
    /// The ticks that it shows; all, if none.
    pub zoom: Option<(u64, u64)>,
    /// Who accessed some memory.
    pub history: Option<Arc<History>>,
    /// Its rows.
    pub accesses: Rows,
    /// The access (recording and tick) that the history that is asked for is to show.
    pub aim: Option<(u32, u64)>,
    /// Where to, once the races of the history are known.
    pub race: Option<Way>,
    /// Which of the formats.
    pub format: usize,
    /// The view of a recording was turned to for a position that is still to come.
    pub visits: bool,
    /// A process at a position.
    pub picture: Option<Picture>,
    /// The same before the last step: what has changed is marked.
    pub before: Option<Picture>,
    /// The function of its stack that is looked at.
    pub frame: usize,
    /// How the view of a recording is divided.
    pub split: Split,
    /// What the mouse moves.
    pub held: Option<Held>,
    /// Instructions in place of source.
    pub code: bool,
    /// Memory to show of it.
    pub memory: String,
    /// Expressions whose values are shown above the variables.
    pub expressions: Vec<String>,
    /// The one that was added last, until its value is there.
    pub told: Option<String>,
    /// How it is shown.
    pub units: Units,
    /// Where in it the cursor is.
    pub byte: usize,
    /// Who wrote it.
    pub writers: Writers,
    /// The part of the view that the cursor is in.
    pub pane: Pane,
    /// The variable that is selected.
    pub variable: List,
    /// The line of source, or the instruction, that the cursor is on; none: the current one.
    pub cursor: Option<usize>,
    /// Positions that are kept.
    pub bookmarks: Vec<Bookmark>,
    /// What is not yet saved of them.
    pub unsaved: Vec<Change>,
    /// Where runs stop.
    pub stops: Vec<Stop>,
    /// What was printed.
    pub console: Option<Lines>,
    /// Its rows.
    pub printed: Rows,
    /// What happened.
    pub events: Option<Lines>,
    /// Its rows.
    pub happened: Rows,
    /// Of the current recording only.
    pub only: bool,
    /// For which recording and tick they were read.
    pub events_of: Option<(Option<u32>, u64)>,
    /// They are all that have this, wherever they are.
    pub sought: Option<String>,
    /// The event (recording and tick) that is to be selected when they come.
    pub event: Option<(u32, u64)>,
    /// Whether the session was still being recorded at first.
    pub was_live: bool,
    /// Whether it is over.
    pub over: bool,
}

impl State {
    /// The first state: what it wants to know comes by [`start`](Self::start).
    #[must_use]
    pub fn new(size: (u16, u16), theme: Theme) -> Self {
        Self {
            size,
            theme,
            memory: "$rsp".to_owned(),
            ..Self::default()
        }
    }

    /// What is to be read at first: the session, and a place or a position that was asked for.
    pub fn start(&mut self, blame: Option<&str>, position: Option<&str>) -> Vec<Effect> {
        let mut effects = self.ask(Request::Overview);
        effects.extend(self.ask(Request::Lanes));
        effects.extend(self.ask(Request::Bookmarks(Vec::new())));
        if let Some(position) = position {
            self.view = View::Recording;
            self.visits = true;
            effects.extend(self.ask(Request::Visit(position.to_owned(), self.look())));
        }
        if let Some(place) = blame {
            self.view = View::History;
            effects.extend(self.ask(Request::Blame(
                place.to_owned(),
                position.map(str::to_owned),
            )));
        }
        effects
    }

    /// What follows from an event.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = match event {
            Event::Key(key) => {
                // It may lead to another view.
                self.held = None;
                act::key(self, key)
            }
            Event::Press(x, y) => act::press(self, x, y),
            Event::Drag(x, y) => {
                act::drag(self, x, y);
                Vec::new()
            }
            Event::Release => act::release(self),
            Event::Scroll(_, _, by) => act::scroll(self, by),
            Event::Resize(width, height) => {
                self.size = (width, height);
                Vec::new()
            }
            Event::Tick => self.tick(),
            Event::Loaded(ticket, loaded) => self.loaded(ticket, *loaded),
            Event::Progress(ticket, text) => {
                if let Some(one) = self.pending.iter_mut().find(|p| p.ticket == ticket) {
                    one.progress = text;
                }
                Vec::new()
            }
        };
        self.settle();
        effects.extend(self.ask_for_arrows());
        effects
    }

    /// Asks for something; what was asked of the same kind before is not waited for any more.
    pub fn ask(&mut self, request: Request) -> Vec<Effect> {
        self.ask_as(request, false)
    }

    /// Asks for something that is to be shown when it comes, if it is not being waited for.
    pub fn ask_quietly(&mut self, request: Request) -> Vec<Effect> {
        let kind = std::mem::discriminant(&request);
        let same = |p: &Pending| std::mem::discriminant(&p.request) == kind && !p.quiet;
        match self.pending.iter().any(same) {
            true => Vec::new(),
            false => self.ask_as(request, true),
        }
    }

    fn ask_as(&mut self, request: Request, quiet: bool) -> Vec<Effect> {
        let kind = std::mem::discriminant(&request);
        let same = |p: &Pending| {
            let travels = |r: &Request| r.worker() == Worker::Travel;
            std::mem::discriminant(&p.request) == kind || travels(&p.request) && travels(&request)
        };
        let old: Vec<u64> = self
            .pending
            .iter()
            .filter(|p| same(p))
            .map(|p| p.ticket)
            .collect();
        self.pending.retain(|p| !old.contains(&p.ticket));
        self.next += 1;
        self.pending.push(Pending {
            ticket: self.next,
            request: request.clone(),
            progress: String::new(),
            quiet,
        });
        let mut effects = Vec::new();
        if !old.is_empty() {
            effects.push(Effect::Cancel(old));
        }
        effects.push(Effect::Ask(self.next, request));
        effects
    }

    /// What the user waits for.
    #[must_use]
    pub fn busy(&self) -> Option<&Pending> {
        self.pending.iter().rfind(|p| !p.quiet)
    }

    /// Waits for nothing any more.
    pub fn cancel(&mut self) -> Vec<Effect> {
        let given_up = self.pending.extract_if(.., |p| !p.quiet);
        let tickets: Vec<u64> = given_up.map(|p| p.ticket).collect();
        // Nor does the cursor go where the answers would have led.
        (self.race, self.aim) = (None, None);
        self.turn_back();
        self.message = Some(("cancelled".to_owned(), false));
        vec![Effect::Cancel(tickets)]
    }

    /// A position does not come: what was shown before is shown again.
    fn turn_back(&mut self) {
        if std::mem::take(&mut self.visits) && self.view == View::Recording {
            let before = self.back.pop();
            self.view = before.map_or(View::System, |place| place.view);
        }
    }

    /// Whether something is being replayed.
    #[must_use]
    pub fn travels(&self) -> bool {
        let mut all = self.pending.iter();
        all.any(|p| p.request.worker() == Worker::Travel)
    }

    fn loaded(&mut self, ticket: u64, loaded: Loaded) -> Vec<Effect> {
        let Some(at) = self.pending.iter().position(|p| p.ticket == ticket) else {
            return Vec::new();
        };
        let Pending {
            request: asked,
            quiet,
            ..
        } = self.pending.remove(at);
        match loaded {
            Loaded::Overview(Ok(overview)) if quiet => return self.grow(overview),
            Loaded::Console(Ok(lines)) if quiet => self.grow_console(lines),
            Loaded::Events(Ok(lines)) if quiet => self.grow_events(lines),
            Loaded::Overview(Ok(overview)) => {
                self.was_live = overview.recording;
                self.system.list.selected = worst(&overview.processes);
                if let Some(damage) = &overview.damage {
                    self.message = Some((damage.clone(), true));
                }
                self.overview = Some(overview);
            }
            Loaded::Lanes(Ok(lanes)) => self.lanes = Some(lanes),
            Loaded::Arrows(Ok(found)) => self.set_arrows(found),
            Loaded::Arrows(Err(e)) => {
                self.give_up_arrows();
                self.message = Some((e, true));
            }
            Loaded::History(Ok(history)) => return self.show_history(history, asked),
            Loaded::Order(Ok(found)) => self.set_order(&asked, found),
            Loaded::Near(Ok(near)) => {
                if let Some(prompt) = self.prompt.as_mut().filter(|p| p.ask == Ask::Blame) {
                    let choice = |n: crate::data::Near| Choice {
                        value: n.place,
                        text: n.text,
                        key: String::new(),
                        at: Some(n.at),
                    };
                    if near.is_empty() {
                        prompt.note = NOTHING_NEAR.to_owned();
                    }
                    prompt.choices = near.into_iter().map(choice).collect();
                    let first = !prompt.choices.is_empty() && prompt.text.is_empty();
                    prompt.chosen = first.then_some(0);
                }
            }
            Loaded::Messages(Ok(found)) => return act::go_to_message(self, found, &asked),
            Loaded::Bookmarks(Ok(all)) => self.set_bookmarks(all),
            Loaded::Stop(Ok(stop)) => self.set_stop(stop),
            Loaded::Writers(Ok(of)) => self.set_writers(asked, of),
            // Without colours memory is as it was: whoever asks for its history is told why.
            Loaded::Writers(Err(_)) => {}
            Loaded::Picture(Ok(picture)) => return self.show_picture(*picture, &asked),
            Loaded::Console(Ok(lines)) => {
                let last = self.until_cursor(&lines.lines);
                self.printed.list.selected = last;
                self.console = Some(lines);
            }
            Loaded::Events(Ok(lines)) => {
                if self.was_live && self.picture.is_none() {
                    self.happened.list.selected = lines.lines.len().saturating_sub(1);
                }
                self.events = Some(lines);
                self.sought = None;
                self.follow();
            }
            Loaded::Sought(Ok(lines)) => self.set_sought(&asked, lines),
            Loaded::Overview(Err(e))
            | Loaded::Lanes(Err(e))
            | Loaded::History(Err(e))
            | Loaded::Order(Err(e))
            | Loaded::Near(Err(e))
            | Loaded::Stop(Err(e))
            | Loaded::Bookmarks(Err(e))
            | Loaded::Messages(Err(e))
            | Loaded::Picture(Err(e))
            | Loaded::Console(Err(e))
            | Loaded::Events(Err(e))
            | Loaded::Sought(Err(e)) => {
                if quiet && asked.worker() == Worker::Read {
                    self.freeze();
                }
                if matches!(asked, Request::Visit(..)) {
                    self.turn_back();
                }
                self.message = Some((e, true));
            }
        }
        Vec::new()
    }

    fn show_picture(&mut self, picture: Picture, asked: &Request) -> Vec<Effect> {
        let moved = matches!(asked, Request::Move(..) | Request::Run(..));
        self.visits = false;
        self.expressions
            .retain(|text| picture.refused.iter().all(|(refused, _)| refused != text));
        if let Some((text, why)) = picture.refused.first() {
            self.message = Some((format!("{text} is {why}"), true));
        }
        let old = self.picture.take();
        let here = |old: &Picture| old.position == picture.position;
        if !old.as_ref().is_some_and(here) {
            self.frame = picture.frame;
            self.variable = List::default();
            self.cursor = None;
            self.before = old.filter(|_| moved);
        }
        if let Some(overview) = &self.overview
            && self.system.filter.is_empty()
            && let Some(at) = overview
                .processes
                .iter()
                .position(|p| p.id == picture.recording)
        {
            self.system.list.selected = at;
        }
        if let Some(why) = &picture.stopped {
            self.message = Some((why.clone(), false));
        }
        self.picture = Some(picture);
        // What is in no memory may be a reason that its row has no room for.
        let told = self.told.take();
        let mut added = self.variables().iter().filter(|v| v.pinned);
        let added = added.find(|v| Some(&v.name) == told.as_ref() && v.place.is_none());
        if let Some(added) = added {
            let text = format!("{}: {}", added.name, added.value);
            self.message = Some((text, false));
        }
        self.follow();
        let mut effects = self.load_view();
        effects.extend(self.ask_for_writers());
        effects
    }

    /// What the view that is shown still needs.
    pub fn load_view(&mut self) -> Vec<Effect> {
        match self.view {
            View::Console if self.console.is_none() => self.ask(Request::Console),
            View::Events => {
                let (recording, tick) = self.events_wanted();
                if self.events_of == Some((recording, tick)) {
                    return Vec::new();
                }
                self.events_of = Some((recording, tick));
                let tick = self.event.map_or(tick, |(_, tick)| tick);
                self.ask(Request::Events(recording, tick))
            }
            _ => Vec::new(),
        }
    }

    /// Events of whom, around which tick: where the process is that is shown; else the first
    /// ones, or the last ones of what was being recorded.
    pub(crate) fn events_wanted(&self) -> (Option<u32>, u64) {
        if let Some(picture) = &self.picture {
            return (Some(picture.recording).filter(|_| self.only), picture.tick);
        }
        let all = self.overview.iter().flat_map(|o| &o.processes);
        let last = all.map(|p| p.span.1).max().filter(|_| self.was_live);
        (None, last.unwrap_or(0))
    }

    /// The last line that is not behind the cursor; without one, the last.
    fn until_cursor(&self, lines: &[Line]) -> usize {
        let tick = self.picture.as_ref().map_or(u64::MAX, |p| p.tick);
        let at = lines.iter().rposition(|l| l.tick <= tick);
        at.unwrap_or(0)
    }

    /// Processes that the filter lets through.
    #[must_use]
    pub fn processes(&self) -> Vec<&Process> {
        let all = self.overview.iter().flat_map(|o| &o.processes);
        filtered(&self.system.filter, all, |p| searched(p))
    }

    /// Accesses that the filter lets through.
    #[must_use]
    pub fn rows(&self) -> Vec<&Access> {
        let all = self.history.iter().flat_map(|h| &h.rows);
        filtered(&self.accesses.filter, all, |r| self.searched(r))
    }

    /// What a filter looks at of an access.
    fn searched(&self, row: &Access) -> String {
        let value = row.values.get(self.format).map(Value::to_string);
        let value = value.unwrap_or_default();
        let order = row.order.as_ref().map_or("", |order| &order.text);
        let (place, code) = (&row.place, format!("{} {}", row.function, row.file));
        format!(
            "{} {} {} {place} {code} {value} {order}",
            row.position, row.program, row.kind
        )
    }

    /// Lines of the console or of the events that the filter lets through.
    #[must_use]
    pub fn lines(&self, view: View) -> Vec<&Line> {
        let (lines, filter) = match view {
            View::Console => (&self.console, &self.printed.filter),
            _ => (&self.events, &self.happened.filter),
        };
        let all = lines.iter().flat_map(|l| &l.lines);
        filtered(filter, all, |l| l.searched())
    }

    /// How many rows the view's list has.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.view {
            View::System => self.processes().len(),
            View::Recording if self.pane == Pane::Variables => self.variables().len(),
            View::Recording if self.pane == Pane::Source => self.source_rows().0,
            View::Recording => self.picture.as_ref().map_or(0, |p| p.frames.len()),
            View::History => self.rows().len(),
            View::Console | View::Events => self.lines(self.view).len(),
        }
    }

    /// The list of the view; a recording's is its stack.
    pub fn list(&mut self) -> Option<&mut Rows> {
        match self.view {
            View::System => Some(&mut self.system),
            View::Recording => None,
            View::History => Some(&mut self.accesses),
            View::Console => Some(&mut self.printed),
            View::Events => Some(&mut self.happened),
        }
    }

    /// Sees to it that what is selected is there, and on the screen.
    fn settle(&mut self) {
        let (len, height) = (self.count(), layout::list(self).height.into());
        if let Some(rows) = self.list() {
            rows.list.settle(len, height);
        }
        let frames = self.picture.as_ref().map_or(0, |p| p.frames.len());
        self.frame = self.frame.min(frames.saturating_sub(1));
        let variables = self.variables().len();
        let height = layout::recording(self).variables.height.saturating_sub(1);
        self.variable.settle(variables, height.into());
        let rows = self.source_rows().0;
        self.cursor = self.cursor.map(|n| n.min(rows.saturating_sub(1)));
        if let Some(Overlay::Help(from)) = self.overlay {
            self.overlay = Some(Overlay::Help(from.min(crate::draw::last_of_help(self))));
        }
        let bytes = self.picture.as_ref().map_or(0, |p| p.memory.bytes.len());
        self.byte = self.byte.min(bytes.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(branch: &str, pid: u32, last: u64, end: End) -> Process {
        Process {
            branch: branch.to_owned(),
            pid: Some(pid),
            span: (0, last),
            end,
            ..Process::default()
        }
    }

    #[test]
    fn the_first_look_goes_to_the_cause() {
        // A script that has failed by what it started last; a helper failed before.
        let mut all = vec![
            row("", 1, 90, End::Failed),
            row("├─", 2, 10, End::Failed),
            row("├─", 3, 80, End::Failed),
            row("│ └─", 4, 70, End::Failed),
            row("└─", 5, 85, End::Good),
        ];
        assert_eq!(worst(&all), 3);
        // Who was told to end by the one that failed has not failed.
        all[3].end = End::Killed;
        assert_eq!(worst(&all), 2);
        all[1].end = End::Crashed;
        assert_eq!(worst(&all), 1);
        all[1].end = End::Good;
        all[4].end = End::Damaged;
        assert_eq!(worst(&all), 4);
        all[4].end = End::Good;
        // Helpers that fail are no news where the whole did not.
        all[0].end = End::Good;
        all[1].end = End::Failed;
        assert_eq!(worst(&all), 0);
        assert_eq!(worst(&[]), 0);
    }
}
