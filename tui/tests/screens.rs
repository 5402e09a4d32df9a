//! What the views look like at three sizes, from a fixed model. `cargo insta review`, or
//! `INSTA_UPDATE=always cargo test`, takes over what is meant to look otherwise.

mod model;

use orch_tui::event::{Event, Request};
use orch_tui::{Backend, Keymap, State, Theme, script};
use ratatui::buffer::Buffer;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Answers at once.
struct Model {
    send: Sender<Event>,
    answers: Receiver<Event>,
}

impl Model {
    fn new() -> Self {
        let (send, answers) = mpsc::channel();
        Self { send, answers }
    }
}

impl Backend for Model {
    fn ask(&mut self, ticket: u64, request: Request) {
        let answer = Box::new(model::answer(&request));
        self.send
            .send(Event::Loaded(ticket, answer))
            .expect("we hold the other end");
    }

    fn cancel(&mut self, _: &[u64]) {}

    fn answers(&self) -> &Receiver<Event> {
        &self.answers
    }
}

/// A narrow terminal, the usual one of the pictures, a wide one.
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 36), (200, 50)];

/// Each view, and what may cover it: a name, and keys to get there.
const SCREENS: [(&str, &str); 29] = [
    ("system", "G"),
    ("system-zoomed", "G Enter 1 + + Left"),
    ("system-arrows", "g"),
    ("system-no-arrows", "a"),
    ("recording", "Enter"),
    ("recording-step", "Enter Right w j"),
    ("recording-memory", "Enter w w j l l Right"),
    ("recording-instructions", "Enter d"),
    ("breakpoints", "Enter B w w w j j j B c w w j W L"),
    ("breakpoint-instruction", "Enter d w w w k k B j"),
    (
        "recording-divided",
        "Enter drag:71,8-50,8 drag:90,10-90,14 drag:5,24-5,28",
    ),
    ("recording-stacked", "Enter v"),
    (
        "recording-stacked-divided",
        "Enter v drag:5,15-5,10 drag:60,18-40,18 drag:5,24-5,28",
    ),
    ("recording-code", "Enter v v"),
    ("recording-code-variables", "Enter v v w Down"),
    (
        "recording-code-memory",
        "Enter : 'code only' Enter d m Enter",
    ),
    ("breakpoint-command", "Enter : 'break nowhere' Enter"),
    (
        "expressions",
        "Enter x 'queue.jobs[3].title' Enter x '*p' Enter w x Down",
    ),
    ("message-next", "Enter t"),
    ("message-peer", "Enter P"),
    ("bookmarks", "Enter M 'the report fails' Enter J"),
    ("bookmark-note", "4 M 'printed'"),
    ("history", "Enter b Enter"),
    ("history-filter", "Enter b Enter / 'submit' Enter f f"),
    ("who-wrote", "Enter b"),
    ("console", "4"),
    ("events", "Enter 5"),
    ("help", "Enter ?"),
    ("palette", ": 'bl'"),
];

/// What is shown after the keys, and wherever they say `show`; first what is at `place`.
fn screens(mut state: State, place: Option<&str>, keys: &str) -> Vec<Buffer> {
    let first = state.start(place, None);
    let steps = script::parse(keys).expect("a script");
    let limit = Duration::from_secs(5);
    script::run(&mut state, &mut Model::new(), first, &steps, limit).expect("the model answers")
}

fn last(state: State, keys: &str) -> Buffer {
    let last = screens(state, None, keys).pop();
    last.expect("a script shows its last screen")
}

fn text(keys: &str, size: (u16, u16), theme: Theme) -> String {
    script::text(&last(State::new(size, theme), keys))
}

#[test]
fn views() {
    for (width, height) in SIZES {
        for (name, keys) in SCREENS {
            let screen = text(keys, (width, height), Theme::default());
            assert_eq!(screen.lines().count(), usize::from(height), "{name}");
            insta::assert_snapshot!(format!("{name}-{width}x{height}"), screen);
        }
    }
}

/// Bytes have the colour of who wrote them, as in the history and in the legend.
#[test]
fn memory_has_the_colours_of_its_writers() {
    let screen = last(State::new((200, 50), Theme::default()), "Enter");
    let text = script::text(&screen);
    let mut lines = text.lines().zip(0..);
    let (head, y) = lines
        .find(|(l, _)| l.contains("Memory $rsp"))
        .expect("memory");
    let column = |text: &str| {
        let at = head.find(text).expect("it is in the line");
        u16::try_from(head[..at].chars().count()).expect("a column")
    };
    assert!(head.contains("by p2 create p4 submit"), "{head}");
    let colour = |x: u16, y: u16| screen[(x, y)].fg;
    let (create, submit) = (
        colour(column("p2 create"), y),
        colour(column("p4 submit"), y),
    );
    assert_ne!(create, submit);
    let left = column("── Memory");
    let byte = |n: u16| colour(left + 14 + 3 * (n % 16) + n % 16 / 8, y + 1 + n / 16);
    // What is behind the two, nobody is known to have written.
    let seen = [byte(1), byte(19), byte(20), byte(39), byte(41)];
    assert_eq!(seen[..4], [submit, submit, create, create]);
    assert!(![create, submit].contains(&seen[4]));
}

/// From an access to what it was in a race with, and to the next one that was in one.
#[test]
fn races_are_gone_to() {
    let row = |keys: &str| {
        let screen = text(
            &format!("Enter b Enter {keys}"),
            (140, 36),
            Theme::default(),
        );
        let row = screen.lines().find(|l| l.starts_with('▶'));
        (row.expect("a row").to_owned(), screen)
    };
    assert!(row("").0.contains("p6@945"), "the access that was chosen");
    assert!(row("R").0.contains("p2@120"));
    let (selected, screen) = row("R r");
    assert!(
        selected.contains("p4@800") && selected.contains("store !!"),
        "{screen}"
    );
    let none = "neither this access nor one before";
    assert!(row("R R").1.contains(none));
    assert!(row("r").1.contains("no later access"));
    // Those that are in order have no mark, and the filter knows what orders them.
    assert!(row("/ 'memory' Enter").1.contains("1 of 3 accesses"));
    // Where it would take long, they are looked for when they are wanted.
    let state = State::new((140, 36), Theme::default());
    let screens = screens(state, Some("large 4"), "show R");
    let screens: Vec<String> = screens.iter().map(script::text).collect();
    assert!(!screens[0].contains("race p2@120"), "{}", screens[0]);
    assert!(screens[1].contains("race p2@120"), "{}", screens[1]);
    assert!(
        screens[1].lines().any(|l| l.starts_with("▶ p2@120")),
        "{}",
        screens[1]
    );
}

/// Twice as many bytes, aligned, and half of them around the row.
#[test]
fn histories_get_wider_and_narrower() {
    let asked = |keys: &str| {
        let screen = text(
            &format!("Enter b Enter {keys}"),
            (140, 36),
            Theme::default(),
        );
        let title = screen.lines().find(|l| l.contains("Accesses to"));
        title.expect("a history").to_owned()
    };
    assert!(asked("").contains("+0x88 (4 bytes)"));
    assert!(asked("+").contains("+0x88 (8 bytes)"));
    assert!(asked("+ +").contains("+0x80 (16 bytes)"));
    assert!(asked("+ + -").contains("+0x88 (8 bytes)"));
    assert!(asked("- -").contains("+0x88 (1 bytes)"));
    assert!(asked(&"- ".repeat(9)).contains("(1 bytes)"));
    assert!(asked(&"+ ".repeat(30)).contains("+0x0 (4096 bytes)"));
}

/// Values have the room that there is; the selected one is seen in full below the rows.
#[test]
fn long_values_are_seen() {
    let history = |place: &str, size| {
        let state = State::new(size, Theme::default());
        script::text(&screens(state, Some(place), "show k")[1])
    };
    for size in [(80, 24), (120, 36), (220, 50)] {
        let screen = history("long 40", size);
        let row = screen.lines().find(|l| l.starts_with('▶')).expect("a row");
        let values = row.split_once(" → ").expect("a change");
        let last = |text: &str| text.split_whitespace().next_back().map(str::to_owned);
        let (old, new) = (last(values.0), values.1.split_whitespace().next());
        assert_ne!(old.as_deref(), new, "{screen}");
        let lines: Vec<&str> = screen.lines().rev().skip(2).take(2).collect();
        let is_there = |n: usize, name: &str| lines[n].contains(name) && lines[n].contains("ab");
        let whole = size.0 == 220;
        assert_eq!(
            is_there(1, " before ") && is_there(0, " now "),
            !whole,
            "{screen}"
        );
    }
    // Rows that differ in their places are told apart at any width.
    for width in [60, 80, 100, 120] {
        let screen = history("long 40", (width, 24));
        assert!(screen.contains("+0x90/32"), "{screen}");
    }
    let screen = history("short 4", (80, 24));
    let head = screen.lines().find(|l| l.contains("POSITION"));
    assert!(head.is_some_and(|l| !l.contains("PLACE")), "{screen}");
}

/// What is selected stays so when a filter comes and goes.
#[test]
fn filters_keep_the_row() {
    for (view, filter, row) in [
        ("1", "report", "p6 "),
        ("4", "photo", "p3@500"),
        ("4", "compact", "p6@945"),
        ("5", "n: 17", "p6@917"),
        ("Enter b Enter", "submit", "p4@800"),
    ] {
        // From the first row on, the next that has it; where none has, where one was.
        for end in ["Enter Esc", "Esc", "Bksp Bksp Bksp Bksp Bksp Bksp Bksp Esc"] {
            let filter = filter.replace("n: ", "");
            let keys = format!("{view} Home / '{filter}' {end}");
            let screen = text(&keys, (160, 36), Theme::default());
            let selected = screen.lines().find(|l| l.starts_with('▶'));
            let wanted = if filter == "photo" { "p3@500" } else { row };
            let is_it = selected.is_some_and(|l| l.contains(wanted));
            assert!(is_it, "{keys}: {screen}");
            assert!(!screen.contains("filter “"), "{keys}: {screen}");
        }
    }
}

/// Where no event near has it, all are searched; Esc shows those around it.
#[test]
fn all_events_are_searched() {
    let drawn = |keys: &str| text(keys, (120, 36), Theme::default());
    let typed = drawn("Enter 5 / 'openat'");
    assert!(
        typed.contains("0 of 60") && typed.contains("none of these has that; Enter searches all"),
        "{typed}"
    );
    let found = drawn("Enter 5 / 'openat' Enter");
    assert!(found.contains("▶ p2@7  openat(AT_FDCWD"), "{found}");
    assert!(found.contains("filter “openat”: 1 of all"), "{found}");
    let none = drawn("Enter 5 / 'nothing' Enter");
    assert!(none.contains("no event has that; Esc shows all"), "{none}");
    // The model has the same around any event.
    assert!(drawn("Enter 5 / 'openat' Enter Esc").contains("60 events"));
    assert!(
        drawn("Enter 5 / 'wrt' Enter").contains("60 of 60"),
        "letters"
    );
    // Those that are near are enough, until one asks again.
    let near = drawn("Enter 5 / 'write' Enter");
    assert!(near.contains("/ Enter searches all"), "{near}");
    let again = drawn("Enter 5 / 'write' Enter / Enter");
    assert!(again.contains("60 of all"), "{again}");
}

/// Memory is seen as bytes, as integers and as text; the cursor goes by what is shown.
#[test]
fn memory_in_units() {
    let drawn = |keys: &str| text(keys, (200, 50), Theme::default());
    let row = |screen: &str| {
        let row = screen.lines().find(|l| l.contains("7ffc12345678 "));
        row.expect("memory").to_owned()
    };
    assert!(row(&drawn("Enter")).contains("00 07 0e 15"));
    for (keys, name, shown) in [
        ("f", "int8", "  0   7  14  21"),
        ("f f", "int16", "  1792   5390"),
        ("f f f", "int32", "  353240832   824845084"),
        ("f f f f", "int64", " 3542682660399613696 "),
        ("f f f f f", "text", " .....#*18?FMT[bipw~...."),
    ] {
        let screen = drawn(&format!("Enter {keys}"));
        assert!(
            screen.contains(&format!("Memory $rsp as {name}")),
            "{screen}"
        );
        assert!(row(&screen).contains(shown), "{screen}");
    }
    assert!(row(&drawn("Enter f f f f f f")).contains("00 07 0e 15"));
    // Two integers on, and who wrote that one.
    let screen = drawn("Enter w w f f f l l b");
    assert!(screen.contains("Accesses to p6:0x7ffc12345680"), "{screen}");
}

/// What is typed takes the place of what was proposed; what is edited stays.
#[test]
fn memory_is_asked_for() {
    let title = |keys: &str| {
        let screen = text(keys, (120, 36), Theme::default());
        let title = screen
            .lines()
            .find_map(|l| l.split("Memory ").nth(1).map(str::to_owned));
        let what = title.and_then(|t| t.split_whitespace().next().map(str::to_owned));
        what.unwrap_or(screen)
    };
    assert_eq!(title("Enter m 'job' Enter"), "job");
    assert_eq!(title("Enter m Enter"), "$rsp");
    assert_eq!(title("Enter m End ':8' Enter"), "$rsp:8");
    assert_eq!(title("Enter m Bksp Bksp 'ip' Enter"), "$rip");
}

/// A variable that is shown is blamed by its name, with that of its recording or without.
#[test]
fn variables_are_blamed_by_name() {
    for (typed, place) in [
        ("p6:job.failures", "Accesses to p6:0x7f0000001088"),
        ("job.failures", "Accesses to p6:0x7f0000001088"),
        ("p6:queue 8", "Accesses to p6:0x7f0000001000"),
    ] {
        let keys = format!("Enter b '{typed}' Enter");
        let screen = text(&keys, (160, 36), Theme::default());
        let title = screen.lines().find(|l| l.contains("Accesses to"));
        assert!(title.is_some_and(|t| t.contains(place)), "{keys}: {screen}");
    }
    let other = text(
        "Enter b 'p3:job.failures' Enter",
        (160, 36),
        Theme::default(),
    );
    assert!(other.contains("Accesses to p3:job.failures"), "{other}");
    // Where source is, a place is asked for.
    let source = text("Enter w w w b", (160, 36), Theme::default());
    assert!(source.contains("What it accessed last"), "{source}");
}

/// A position that cannot be shown leaves what was there before.
#[test]
fn positions_that_are_none_lead_nowhere() {
    for (keys, view) in [
        ("@ 'nowhere' Enter", "RECORDING"),
        ("4 @ 'nowhere' Enter", "Printed by all"),
        ("Enter 4 @ 'nowhere' Enter", "Printed by all"),
    ] {
        let screen = text(keys, (120, 36), Theme::default());
        assert!(
            screen.contains(view) && screen.contains("nothing runs at nowhere"),
            "{screen}"
        );
        let back = text(&format!("{keys} Bksp"), (120, 36), Theme::default());
        let first = keys.starts_with("Enter");
        assert_eq!(back.contains("this is where you began"), !first, "{back}");
    }
    let mut state = State::new((120, 36), Theme::default());
    let first = state.start(None, Some("nowhere"));
    let steps = script::parse("show").expect("a script");
    let limit = Duration::from_secs(5);
    let screens = script::run(&mut state, &mut Model::new(), first, &steps, limit);
    let screen = script::text(&screens.expect("the model answers")[0]);
    assert!(screen.contains("RECORDING"), "{screen}");
    // Where nothing is shown, no key is that would need something.
    let screen = text("2", (120, 36), Theme::default());
    let keys = screen.lines().last().unwrap_or_default();
    assert!(
        !keys.contains("instr") && keys.contains("@ position"),
        "{screen}"
    );
    assert!(!keys.contains("Bksp"), "{screen}");
}

/// Without a position, what is selected stays in sight.
#[test]
fn zooming_stays_at_what_is_selected() {
    for keys in ["+", "+ +", "+ + +", "+ + + + + -"] {
        let screen = text(keys, (120, 36), Theme::default());
        let row = screen.lines().find(|l| l.starts_with('▶'));
        assert!(row.is_some_and(|l| l.contains('✗')), "{keys}: {screen}");
    }
}

/// A value that a row has no room for is seen in full where the cursor is.
#[test]
fn values_are_seen_in_full() {
    let drawn = |keys: &str| text(keys, (120, 36), Theme::default());
    let line = |screen: &str| screen.lines().rev().nth(1).unwrap_or_default().to_owned();
    let screen = drawn("Enter w j j j");
    assert_eq!(line(&screen), "", "it fits: {screen}");
    // A narrow column.
    let screen = drawn("Enter drag:72,9-90,9 w j j j");
    assert_eq!(
        line(&screen).trim(),
        "i: not kept here (optimized out)",
        "{screen}"
    );
    let screen = drawn("Enter x 'lost' Enter");
    assert_eq!(
        line(&screen).trim(),
        "lost: no variable lost is known in this function"
    );
    let screen = drawn("Enter x '1+' Enter");
    assert_eq!(line(&screen).trim(), "1+ is no expression");
    assert!(!screen.contains("=1+"), "{screen}");
}

/// Help is read to its end, by pages too, at any width.
#[test]
fn help_is_read_to_its_end() {
    let drawn = |keys: &str| text(&format!("Enter ? {keys}"), (80, 24), Theme::default());
    for keys in [
        "G",
        "End",
        "PgDn PgDn PgDn PgDn PgDn",
        "C-d C-d C-d C-d C-d C-d",
    ] {
        let screen = drawn(keys);
        assert!(screen.contains("q          Quit"), "{keys}: {screen}");
        assert!(
            drawn(&format!("{keys} g")).contains("Step one instruction back"),
            "{keys}"
        );
        assert!(
            drawn(&format!("{keys} PgUp")).contains("Keys: Recording"),
            "{keys}"
        );
    }
    for keys in ["", "PgDn", "G"] {
        let screen = drawn(keys);
        let lines = screen.lines().skip(2);
        assert!(lines.clone().all(|l| !l.contains('…')), "{keys}: {screen}");
    }
    assert!(!drawn("Esc").contains("Keys: Recording"));
    assert_eq!(drawn("G"), drawn("G j j j"));
}

/// The tour is read at 80 columns, and gives way to keys that do something.
#[test]
fn the_tour_swallows_no_key() {
    let drawn = |keys: &str| {
        let mut state = State::new((80, 24), Theme::default());
        state.overlay = Some(orch_tui::Overlay::Tour);
        script::text(&last(state, keys))
    };
    let screen = drawn("");
    let tour = screen.split("A tour in five lines").nth(1);
    assert!(tour.is_some_and(|tour| !tour.contains('…')), "{screen}");
    assert!(drawn("Enter").contains("report.cpp:15"));
    assert!(drawn("4").contains("Printed by all"));
    let system = drawn("Space");
    assert!(!system.contains("A tour") && !system.contains("this key does nothing"));
}

/// The last line tells of a filter, and a list without rows why it has none.
#[test]
fn filters_are_told_of() {
    for view in ["1", "3", "4", "5"] {
        let begin = if view == "3" { "Enter b Enter" } else { view };
        for size in [(80, 24), (120, 36)] {
            let keys = format!("{begin} / 'xyzzy' Enter");
            let screen = text(&keys, size, Theme::default());
            let last = screen.lines().last().unwrap_or_default();
            assert!(last.contains("Esc show all"), "{screen}");
            assert!(screen.contains("has that; Esc shows all"), "{screen}");
        }
    }
    // The list of keys at 80 columns.
    let screen = text("", (80, 24), Theme::default());
    let last = screen.lines().last().unwrap_or_default();
    assert!(last.contains("/ filter +/- zoom"), "{screen}");
}

/// What cannot be read is told at the start, in as many lines as that takes.
#[test]
fn damage_is_told() {
    struct Damaged(Model);
    impl Backend for Damaged {
        fn ask(&mut self, ticket: u64, request: Request) {
            let mut answer = model::answer(&request);
            if let orch_tui::event::Loaded::Overview(Ok(overview)) = &mut answer {
                let why = "p3 cannot be read: p3.events is not a recording of orch (or its first \
                           bytes are damaged). All else is as it was recorded";
                overview.damage = Some(why.to_owned());
                overview.processes[2].end = orch_tui::data::End::Damaged;
                overview.processes[4].end = orch_tui::data::End::Good;
            }
            let sent = self.0.send.send(Event::Loaded(ticket, Box::new(answer)));
            sent.expect("we hold the other end");
        }
        fn cancel(&mut self, _: &[u64]) {}
        fn answers(&self) -> &Receiver<Event> {
            &self.0.answers
        }
    }
    let mut state = State::new((80, 24), Theme::default());
    let first = state.start(None, None);
    let steps = script::parse("show").expect("a script");
    let limit = Duration::from_secs(5);
    let screens = script::run(&mut state, &mut Damaged(Model::new()), first, &steps, limit);
    let screen = script::text(&screens.expect("the model answers")[0]);
    assert!(
        screen.contains("p3 cannot be read") && screen.contains("as it was recorded"),
        "{screen}"
    );
    let row = screen.lines().find(|l| l.starts_with('▶'));
    assert!(row.is_some_and(|l| l.contains("p3 ")), "{screen}");
}

/// The border between two parts goes where the mouse takes it, and no further than there is
/// room on both sides.
#[test]
fn borders_are_dragged() {
    let column = |screen: &str| {
        let title = screen.lines().find(|l| l.contains(" Stack "));
        let title = title.expect("there is a stack");
        let at = title
            .find(" Stack ")
            .map_or(0, |at| title[..at].chars().count());
        at - 2
    };
    let row = |screen: &str| screen.lines().position(|l| l.contains("── Registers"));
    let drawn = |keys: &str| text(keys, (120, 36), Theme::default());
    let first = drawn("Enter");
    assert_eq!((column(&first), row(&first)), (72, Some(24)));
    for (drag, to) in [
        ("72,9-50,9", 50),
        ("71,4-40,20", 40),
        ("72,9-0,9", 30),
        ("72,9-119,9", 90),
    ] {
        assert_eq!(column(&drawn(&format!("Enter drag:{drag}"))), to, "{drag}");
    }
    for (drag, to) in [
        ("3,24-3,28", 28),
        ("100,24-0,12", 12),
        ("3,24-3,0", 7),
        ("3,24-3,35", 31),
    ] {
        assert_eq!(
            row(&drawn(&format!("Enter drag:{drag}"))),
            Some(to),
            "{drag}"
        );
    }
    // Elsewhere, the mouse takes nothing; a command undoes it.
    assert_eq!(column(&drawn("Enter drag:20,9-50,9")), 72);
    let again = drawn("Enter drag:72,9-50,9 drag:3,24-3,28 : 'panes of the sizes' Enter");
    assert_eq!((column(&again), row(&again)), (72, Some(24)));
}

/// The time under the mouse goes where the mouse goes, as far as the session has time; where it
/// does not move, it is a click.
#[test]
fn the_time_line_is_dragged() {
    let drawn = |keys: &str| {
        let screen = text(&format!("G Enter 1 {keys}"), (120, 36), Theme::default());
        let cursor = screen.lines().nth(4).map(|l| l.chars().collect::<Vec<_>>());
        let cursor = cursor.and_then(|l| l.iter().rposition(|&c| c == '│'));
        (cursor, screen)
    };
    let first = drawn("+ +").0.expect("the cursor is shown");
    let moved = "+ + drag:60,6-70,6";
    assert_eq!(drawn(moved).0, Some(first + 10));
    // Also by the ticks above the lanes, and to places beside them.
    for (from, to) in [((80, 6), (75, 6)), ((55, 3), (46, 12)), ((70, 8), (74, 20))] {
        let drag = format!("drag:{},{}-{},{}", from.0, from.1, to.0, to.1);
        let (dragged, screen) = drawn(&format!("{moved} {drag}"));
        let there = first + 10 + to.0 - from.0;
        assert_eq!(dragged, Some(there), "{drag}: {screen}");
    }
    assert_eq!(drawn(&format!("{moved} drag:70,6-60,6")).1, drawn("+ +").1);
    // Nothing is behind the end, or before the start.
    assert_eq!(drawn("+ + drag:90,6-60,6").1, drawn("+ +").1);
    let start = drawn(&format!("+ + {}", "drag:51,6-118,6 ".repeat(5))).1;
    assert!(start.contains(" @0 "), "{start}");
    assert!(
        drawn("drag:90,6-70,6")
            .1
            .contains("all of the session is shown")
    );
    // A click on another row selects it, a second one goes there; a drag does neither.
    let selected = |screen: &str| screen.lines().position(|l| l.starts_with('▶'));
    assert_eq!(selected(&drawn("click:90,6").1), Some(6));
    assert!(drawn("click:90,6 click:90,6").1.contains("report.cpp:15"));
    assert_eq!(selected(&drawn("+ drag:90,6-80,6").1), Some(8));
    assert_eq!(selected(&drawn("+ click:90,6 drag:90,6-80,6").1), Some(6));
}

/// On the smallest screen, too, there is source, and what the cursor is in.
#[test]
fn layouts_of_the_smallest_screen() {
    for layout in ["", "v", "v v"] {
        for (name, keys) in [("stack", ""), ("variables", "w"), ("memory", "w w")] {
            let keys = format!("Enter {layout} {keys} Esc");
            let screen = text(&keys, (40, 10), Theme::default());
            assert!(screen.contains("▶ 15      line_15"), "{keys}: {screen}");
            let title = format!("▶▶ {}", name.split_at(1).0.to_uppercase() + &name[1..]);
            let is_there = screen.contains(&title);
            assert_eq!(
                is_there,
                (layout, name) != ("v v", "stack"),
                "{keys}: {screen}"
            );
        }
    }
    // Where there is no stack, the function is named.
    let code = text("Enter v v", (40, 10), Theme::default());
    assert!(code.contains(" p6@exit 5 of 6 main at "), "{code}");
    assert!(
        code.contains("layout: code; v shows the next one"),
        "{code}"
    );
    // Each layout has sizes of its own, and keeps them.
    let row = |keys: &str| {
        let screen = text(keys, (120, 36), Theme::default());
        screen.lines().position(|l| l.contains("── Registers"))
    };
    assert_eq!(row("Enter v drag:3,24-3,20"), Some(20));
    assert_eq!(row("Enter v drag:3,24-3,20 v v"), Some(24));
    assert_eq!(row("Enter v drag:3,24-3,20 v v v"), Some(20));
    let undone = "Enter v drag:3,24-3,20 : 'panes of the sizes' Enter";
    assert_eq!(row(undone), row("Enter v"));
}

/// Keys of the user's do what those do that they mean, and are shown in their place.
#[test]
fn keys_of_the_user() {
    let shown = |keys: &str| {
        let mut state = State::new((140, 50), Theme::default());
        let key = |name: &str| script::key(name).expect("a key");
        state.keymap = Keymap::new(vec![
            (key("C-r"), key("Enter")),
            (key("Q"), key("q")),
            (key("/"), key("b")),
        ]);
        script::text(&last(state, keys))
    };
    let screen = shown("C-r");
    assert!(
        screen.contains("report.cpp:15") && screen.contains("Q quit"),
        "{screen}"
    );
    let screen = shown("/");
    assert!(screen.contains("What it accessed last"), "{screen}");
    let help = shown("?");
    assert!(help.contains("C-r is Enter, Q is q, / is b"), "{help}");
    // What is typed is text.
    let screen = shown("4 f : Q");
    assert!(screen.contains(": Q"), "{screen}");
}

#[test]
fn terminals_that_are_too_small_say_so() {
    for size in [(20, 5), (39, 24), (120, 9), (1, 1)] {
        let screen = text("Enter", size, Theme::default());
        let wanted = format!("{}x{} is too small", size.0, size.1);
        let shown = wanted
            .get(..usize::from(size.0).min(wanted.len()))
            .unwrap_or_default();
        // What does not fit ends in one sign of its own.
        let first = screen.lines().next().unwrap_or_default();
        assert!(
            first.starts_with(shown.get(..shown.len() - 1).unwrap_or_default()),
            "{screen}"
        );
    }
}

#[test]
fn ascii_is_ascii() {
    let theme = Theme {
        ascii: true,
        ..Theme::default()
    };
    for (name, keys) in SCREENS {
        let screen = text(keys, (120, 36), theme);
        assert!(screen.is_ascii(), "{name}: {screen}");
    }
}

#[test]
fn without_colour_nothing_is_lost() {
    let theme = Theme {
        colour: false,
        ..Theme::default()
    };
    for (name, keys) in SCREENS {
        for cell in &last(State::new((120, 36), theme), keys).content {
            let plain = ratatui::style::Color::Reset;
            assert_eq!((cell.fg, cell.bg), (plain, plain), "{name}");
        }
        assert_eq!(
            text(keys, (120, 36), theme),
            text(keys, (120, 36), Theme::default()),
            "{name}"
        );
    }
}
