//! Whatever comes, in whatever order: nothing panics, and there is always a way out.

mod model;

use orch_tui::data::{Picture, Stop, StopAt};
use orch_tui::event::{Effect, Event, Key, Loaded, Request};
use orch_tui::{Overlay, State, Theme, script};
use proptest::prelude::*;

/// What may happen.
#[derive(Clone, Debug)]
enum Happens {
    Comes(Event),
    /// The mouse is pressed, moved, and let go.
    Dragged(Vec<(u16, u16)>),
    /// The oldest request that waits, or one that nobody waits for, is answered so.
    Answer(How),
}

#[derive(Clone, Copy, Debug)]
enum How {
    Model,
    Error,
    Empty,
    Live,
    Progress,
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        6 => any::<char>().prop_map(Key::Char),
        12 => proptest::char::range(' ', '~').prop_map(Key::Char),
        1 => proptest::char::range('a', 'z').prop_map(Key::Ctrl),
        8 => prop::sample::select(vec![
            Key::Enter, Key::Esc, Key::Backspace, Key::Delete, Key::Tab, Key::BackTab, Key::Up,
            Key::Down, Key::Left, Key::Right, Key::Home, Key::End, Key::PageUp, Key::PageDown,
        ]),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    let small = || 0..220_u16;
    let event = prop_oneof![
        12 => key().prop_map(Event::Key),
        2 => (small(), small()).prop_map(|(x, y)| Event::Press(x, y)),
        2 => (small(), small()).prop_map(|(x, y)| Event::Drag(x, y)),
        1 => Just(Event::Release),
        1 => (small(), small(), -1..2_i8).prop_map(|(x, y, by)| Event::Scroll(x, y, by)),
        2 => Just(Event::Tick),
        1 => (0..260_u16, 0..90_u16).prop_map(|(w, h)| Event::Resize(w, h)),
    ];
    let how = prop::sample::select(vec![
        How::Model,
        How::Model,
        How::Model,
        How::Error,
        How::Empty,
        How::Live,
        How::Progress,
    ]);
    prop_oneof![
        6 => event.prop_map(Happens::Comes),
        1 => prop::collection::vec((small(), 0..60_u16), 1..5).prop_map(Happens::Dragged),
        4 => how.prop_map(Happens::Answer),
    ]
}

/// An answer with nothing in it.
fn empty(request: &Request) -> Loaded {
    match request {
        Request::Overview => Loaded::Overview(Ok(Default::default())),
        Request::Lanes => Loaded::Lanes(Ok(Default::default())),
        Request::Arrows(..) => Loaded::Arrows(Ok(None)),
        Request::Blame(..) => Loaded::History(Ok(Default::default())),
        Request::Order(..) => Loaded::Order(Ok(None)),
        Request::Near(..) => Loaded::Near(Ok(Vec::new())),
        Request::Visit(..) | Request::Move(..) | Request::Run(..) => {
            Loaded::Picture(Ok(Box::new(Picture::default())))
        }
        Request::Message(..) => Loaded::Messages(Ok(Vec::new())),
        Request::Writers(..) => Loaded::Writers(Ok(Vec::new())),
        Request::Bookmarks(..) => Loaded::Bookmarks(Ok(Vec::new())),
        Request::Break(..) => Loaded::Stop(Ok(Stop {
            text: String::new(),
            at: StopAt::Memory {
                recording: 0,
                addr: u64::MAX,
                len: u64::MAX,
            },
        })),
        Request::Console => Loaded::Console(Ok(Default::default())),
        Request::Events(..) => Loaded::Events(Ok(Default::default())),
        Request::Seek(..) => Loaded::Sought(Ok(Default::default())),
    }
}

/// An answer of a session that is still being recorded.
fn live(request: &Request) -> Loaded {
    let mut answer = model::answer(request);
    match &mut answer {
        Loaded::Overview(Ok(overview)) => {
            overview.recording = true;
            overview.processes.truncate(3);
        }
        Loaded::Console(Ok(lines)) | Loaded::Events(Ok(lines)) => lines.lines.truncate(3),
        _ => {}
    }
    answer
}

fn error(request: &Request) -> Loaded {
    let why = || "it cannot be read\nfor this reason".to_owned();
    match request {
        Request::Overview => Loaded::Overview(Err(why())),
        Request::Lanes => Loaded::Lanes(Err(why())),
        Request::Arrows(..) => Loaded::Arrows(Err(why())),
        Request::Blame(..) => Loaded::History(Err(why())),
        Request::Order(..) => Loaded::Order(Err(why())),
        Request::Near(..) => Loaded::Near(Err(why())),
        Request::Visit(..) | Request::Move(..) | Request::Run(..) => Loaded::Picture(Err(why())),
        Request::Message(..) => Loaded::Messages(Err(why())),
        Request::Writers(..) => Loaded::Writers(Err(why())),
        Request::Bookmarks(..) => Loaded::Bookmarks(Err(why())),
        Request::Break(..) => Loaded::Stop(Err(why())),
        Request::Console => Loaded::Console(Err(why())),
        Request::Events(..) => Loaded::Events(Err(why())),
        Request::Seek(..) => Loaded::Sought(Err(why())),
    }
}

fn asked(effects: &[Effect], open: &mut Vec<(u64, Request)>) {
    for effect in effects {
        if let Effect::Ask(ticket, request) = effect {
            open.push((*ticket, request.clone()));
        }
    }
}

/// The last lines say how to leave what is on the screen.
fn tells_the_way_out(state: &State) -> Result<(), TestCaseError> {
    let screen = script::text(&script::screen(state));
    let (width, height) = state.size;
    if width < 40 || height < 10 {
        return Ok(());
    }
    let last = screen.lines().last().unwrap_or_default();
    let words = ["quit", "Esc", "any key"];
    prop_assert!(
        words.iter().any(|w| last.contains(w)),
        "no way out: {screen}"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn nothing_panics_and_there_is_a_way_out(
        all in prop::collection::vec(happens(), 1..80),
        colour: bool,
        ascii: bool,
        tour: bool,
    ) {
        let theme = Theme { colour, ascii, ..Theme::default() };
        let mut state = State::new((100, 30), theme);
        state.overlay = tour.then_some(Overlay::Tour);
        let mut open = Vec::new();
        let first = state.start(None, None);
        asked(&first, &mut open);
        for one in all {
            let events = match one {
                Happens::Comes(event) => vec![event],
                Happens::Dragged(places) => {
                    let press = Event::Press(places[0].0, places[0].1);
                    let drags = places[1..].iter().map(|&(x, y)| Event::Drag(x, y));
                    let all = [press].into_iter().chain(drags);
                    all.chain([Event::Release]).collect()
                }
                Happens::Answer(how) => {
                    if open.is_empty() {
                        continue;
                    }
                    let (ticket, request) = match how {
                        How::Progress => open[0].clone(),
                        _ => open.remove(0),
                    };
                    vec![match how {
                        How::Model => Event::Loaded(ticket, Box::new(model::answer(&request))),
                        How::Error => Event::Loaded(ticket, Box::new(error(&request))),
                        How::Empty => Event::Loaded(ticket, Box::new(empty(&request))),
                        How::Live => Event::Loaded(ticket, Box::new(live(&request))),
                        How::Progress => Event::Progress(ticket, "37 %".to_owned()),
                    }]
                }
            };
            for event in events {
                let effects = state.on(event);
                asked(&effects, &mut open);
                tells_the_way_out(&state)?;
                if state.over {
                    prop_assert!(effects.contains(&Effect::Quit));
                    return Ok(());
                }
            }
        }
        // Ctrl-C quits at once, whatever is open; Esc and q do, too.
        let mut other = state.clone();
        prop_assert_eq!(other.on(Event::Key(Key::Ctrl('c'))), vec![Effect::Quit]);
        for _ in 0..3 {
            let _ = state.on(Event::Key(Key::Esc));
        }
        prop_assert_eq!(state.on(Event::Key(Key::Char('q'))), vec![Effect::Quit]);
    }

    /// In the view of all processes, the mouse may do whatever it does, at any size.
    #[test]
    fn the_mouse_in_the_system_view(
        size in (0..260_u16, 0..90_u16),
        zooms in 0..9_usize,
        all in prop::collection::vec(prop_oneof![
            3 => (0..260_u16, 0..30_u16).prop_map(|(x, y)| Event::Press(x, y)),
            6 => (0..300_u16, 0..100_u16).prop_map(|(x, y)| Event::Drag(x, y)),
            3 => Just(Event::Release),
            1 => (0..260_u16, 0..90_u16).prop_map(|(w, h)| Event::Resize(w, h)),
            1 => (0..260_u16, 0..90_u16, -1..2_i8).prop_map(|(x, y, by)| Event::Scroll(x, y, by)),
            1 => prop::sample::select(vec!['+', '-', '0', '1', 'a']).prop_map(|c| Event::Key(Key::Char(c))),
        ], 1..30),
    ) {
        let mut state = State::new(size, Theme::default());
        for effect in state.start(None, None) {
            if let Effect::Ask(ticket, request) = effect {
                let _ = state.on(Event::Loaded(ticket, Box::new(model::answer(&request))));
            }
        }
        for _ in 0..zooms {
            let _ = state.on(Event::Key(Key::Char('+')));
        }
        let all_time = state.lanes.as_ref().map_or((0, 0), |l| l.span);
        for event in all {
            let (zoom, dragged) = (state.zoom, matches!(event, Event::Drag(..)));
            let _ = state.on(event);
            tells_the_way_out(&state)?;
            let shown = state.zoom.unwrap_or(all_time);
            prop_assert!(all_time.0 <= shown.0 && shown.0 < shown.1 && shown.1 <= all_time.1);
            let len = |zoom: Option<(u64, u64)>| zoom.map(|(from, to)| to - from);
            prop_assert!(!dragged || len(zoom) == len(state.zoom));
        }
    }
}
