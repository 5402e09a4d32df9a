//! A session that is still being recorded: it grows, the cursor stays where it is.

mod model;

use orch_tui::data::{Line, Lines, Overview};
use orch_tui::event::{Effect, Event, Key, Loaded, Request};
use orch_tui::{State, Theme, View, script};

/// The state, and a session of so many lines and processes.
struct Live {
    state: State,
    session: Overview,
    printed: Vec<Line>,
    open: Vec<(u64, Request)>,
}

impl Live {
    fn start(processes: usize, lines: u64) -> Self {
        let mut live = Self {
            state: State::new((100, 16), Theme::default()),
            session: Overview::default(),
            printed: Vec::new(),
            open: Vec::new(),
        };
        live.grow(processes, lines);
        let first = live.state.start(None, None);
        live.perform(first);
        live
    }

    fn grow(&mut self, processes: usize, lines: u64) {
        let Loaded::Overview(Ok(mut session)) = model::answer(&Request::Overview) else {
            unreachable!("the model has a session");
        };
        session.recording = true;
        session.processes.truncate(processes);
        session.processes[0].span.1 = lines;
        session.processes[0].ending = "running".to_owned();
        self.session = session;
        let line = |n: u64| Line {
            position: format!("p1@{}", n / 2),
            tick: n / 2,
            recording: 1,
            text: format!("line {n}"),
            ..Line::default()
        };
        self.printed = (0..lines).map(line).collect();
    }

    fn answer(&self, request: &Request) -> Loaded {
        let lines = || {
            Ok(Lines {
                lines: self.printed.clone(),
                ..Lines::default()
            })
        };
        match request {
            Request::Overview => Loaded::Overview(Ok(self.session.clone())),
            Request::Console => Loaded::Console(lines()),
            Request::Events(..) => Loaded::Events(lines()),
            other => model::answer(other),
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let asked = effects.into_iter().filter_map(|effect| match effect {
            Effect::Ask(ticket, request) => Some((ticket, request)),
            _ => None,
        });
        self.open.extend(asked);
        while !self.open.is_empty() {
            let (ticket, request) = self.open.remove(0);
            let answer = Box::new(self.answer(&request));
            let effects = self.state.on(Event::Loaded(ticket, answer));
            self.perform(effects);
        }
    }

    fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            let effects = self.state.on(Event::Key(Key::Char(key)));
            self.perform(effects);
        }
    }

    fn tick(&mut self) {
        let effects = self.state.on(Event::Tick);
        self.perform(effects);
    }

    fn screen(&self) -> String {
        script::text(&script::screen(&self.state))
    }

    /// The row that the cursor is on, and which row of the screen that is.
    fn selected(&self) -> (usize, String) {
        let screen = self.screen();
        let mut rows = screen.lines().enumerate();
        let row = rows.find(|(_, l)| l.starts_with('▶'));
        let (at, row) = row.expect("a row is selected");
        // Without what is drawn of its time: that becomes longer.
        (at, row.chars().take(34).collect())
    }
}

#[test]
fn processes_come_and_the_cursor_stays() {
    let mut live = Live::start(2, 10);
    assert!(
        live.screen()
            .lines()
            .next()
            .is_some_and(|l| l.ends_with("recording…"))
    );
    live.keys("j");
    let create = live.selected();
    assert!(create.1.contains("create"), "{create:?}");
    live.grow(5, 500);
    live.tick();
    assert_eq!(live.selected(), create);
    assert!(live.screen().contains("report"), "{}", live.screen());

    live.session.recording = false;
    live.tick();
    let screen = live.screen();
    assert!(!screen.contains("recording…"), "{screen}");
    assert!(screen.contains("the recording has ended"), "{screen}");
    assert_eq!(live.selected(), create);
    // It is static then.
    assert_eq!(live.state.on(Event::Tick), []);
}

#[test]
fn who_is_at_the_end_of_a_list_stays_there() {
    for view in ["4", "5"] {
        let mut live = Live::start(1, 50);
        live.keys(view);
        assert!(
            live.selected().1.contains("line 49"),
            "{:?}",
            live.selected()
        );
        live.grow(1, 80);
        live.tick();
        assert!(
            live.selected().1.contains("line 79"),
            "{:?}",
            live.selected()
        );
        // Elsewhere it stays on its line, and the line where it is on the screen; although
        // lines come before it, of a process whose log was written later.
        live.keys("kkk");
        let line = live.selected();
        assert!(line.1.contains("line 76"), "{line:?}");
        live.grow(1, 120);
        let late = Line {
            position: "p2@3".to_owned(),
            tick: 3,
            recording: 2,
            text: "late".to_owned(),
            ..Line::default()
        };
        live.printed.insert(8, late);
        live.tick();
        assert_eq!(live.selected(), line);
        // Where it is in a filtered list, too.
        live.keys("/");
        live.keys("7");
        live.keys("6");
        let line = live.selected();
        live.grow(1, 200);
        live.tick();
        assert!(live.screen().contains("line 176"), "{}", live.screen());
        assert!(
            line.1.contains("line 76") && live.selected().1.contains("line"),
            "{line:?}"
        );
    }
}

#[test]
fn nobody_is_told_of_what_is_read_now_and_then() {
    let mut live = Live::start(1, 5);
    let asked = live.state.on(Event::Tick);
    assert!(
        matches!(asked[..], [Effect::Ask(_, Request::Overview)]),
        "{asked:?}"
    );
    // It is asked for once at a time, is no work to be given up, and hides no message.
    assert_eq!(live.state.on(Event::Tick), []);
    assert!(!live.screen().contains("Esc"), "{}", live.screen());
    assert_eq!(live.state.on(Event::Key(Key::Esc)), []);
    assert_eq!(live.state.pending.len(), 1);
    // What the user asks for goes before it.
    live.keys("4");
    assert_eq!(live.state.view, View::Console);
    assert!(live.selected().1.contains("line 4"));
}

#[test]
fn a_session_that_goes_away_is_told_once() {
    let mut live = Live::start(2, 5);
    let asked = live.state.on(Event::Tick);
    let [Effect::Ask(ticket, _)] = asked[..] else {
        panic!("it looks for more: {asked:?}");
    };
    let gone = Loaded::Overview(Err("it is gone".to_owned()));
    assert_eq!(live.state.on(Event::Loaded(ticket, Box::new(gone))), []);
    assert!(live.screen().contains("it is gone") && live.screen().contains("create"));
    assert_eq!(live.state.on(Event::Tick), []);
}
