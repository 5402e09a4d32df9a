//! A panic gives the terminal back, and its message is on the ordinary screen.

use orch_tui::event::{Event, Request};
use orch_tui::{Backend, State, Theme, terminal};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};

struct Panics(Receiver<Event>);

impl Backend for Panics {
    fn ask(&mut self, _: u64, _: Request) {
        panic!("the backend is broken");
    }

    fn cancel(&mut self, _: &[u64]) {}

    fn answers(&self) -> &Receiver<Event> {
        &self.0
    }
}

const INSIDE: &str = "ORCH_TUI_TEST_PANIC";

/// Runs itself in a terminal of its own, that of script(1).
#[test]
fn the_terminal_is_given_back() {
    if std::env::var_os(INSIDE).is_some() {
        let mut state = State::new((80, 24), Theme::default());
        let first = state.start(None, None);
        let _ = terminal::run(&mut state, &mut Panics(mpsc::channel().1), first);
        unreachable!("it panics before");
    }
    let test = std::env::current_exe().expect("this is a file");
    let line = format!(
        "stty rows 24 cols 80; stty -g; '{}' --exact the_terminal_is_given_back --nocapture; stty -g",
        test.display()
    );
    let script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env(INSIDE, "1")
        .env("TERM", "xterm-256color")
        .output()
        .expect("script (bsdutils) is installed");
    let output = String::from_utf8_lossy(&script.stdout);
    let settings = |l: &&str| l.matches(':').count() > 20;
    let stty: Vec<&str> = output.lines().map(str::trim).filter(settings).collect();
    assert_eq!(stty.len(), 2, "{output}");
    assert_eq!(stty[0], stty[1], "{output}");
    let entered = output
        .find("\x1b[?1049h")
        .expect("the other screen is entered");
    let left = output.find("\x1b[?1049l").expect("and left");
    let told = output
        .find("the backend is broken")
        .expect("the panic is told");
    assert!(entered < left && left < told, "{output}");
    // The cursor is shown, the mouse is the terminal's again.
    for sequence in ["\x1b[?25h", "\x1b[?1000l", "\x1b[?2004l"] {
        assert!(
            output.rfind(sequence) > Some(entered),
            "{sequence:?}: {output}"
        );
    }
}
