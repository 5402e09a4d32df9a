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
