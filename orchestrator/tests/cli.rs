//! The commands that read sessions, run on sessions that are made here.

mod common;

use common::{Run, TestSession};

#[test]
fn ls_shows_the_tree() {
    let s = TestSession::ended();
    let run = s.orch(&["ls"]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "sh -c 'echo hi | cat'");
    assert!(lines[1].contains(", exit 0, "), "{run:?}");
    let ends: Vec<&str> = ["p1", "├─p2", "│ └─p3", "└─p4"]
        .iter()
        .map(|start| {
            *lines
                .iter()
                .find(|l| l.starts_with(start))
                .expect("it is listed")
        })
        .collect();
    assert!(ends[0].contains("exit 0") && ends[0].ends_with("sh -c 'echo hi | cat'"));
    assert!(ends[1].contains("→ p3 exec") && ends[1].contains("(fork) sh -c"));
    assert!(ends[2].contains("exit 3") && ends[2].ends_with("cat"));
    assert!(ends[3].contains("killed by SIGKILL"));
    assert!(run.stdout.contains("  io_uring_setup, 2 times"), "{run:?}");
}

#[test]
fn record_takes_no_session_to_read() {
    let s = TestSession::ended();
    let run = s.orch(&["-s", "elsewhere", "record", "true"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("`orch record -o DIR` makes one"),
        "{run:?}"
    );
}

#[test]
fn ls_says_when_a_session_was_not_ended() {
    let cut = TestSession::cut_off();
    let run = cut.orch(&["ls"]);
    assert!(run.stdout.contains("the recorder was killed"), "{run:?}");
    assert!(
        run.stdout.contains("cut off: recorder was killed"),
        "{run:?}"
    );
    let running = TestSession::running();
    let run = running.orch(&["ls"]);
    assert!(
        run.stdout.contains("still being recorded by process"),
        "{run:?}"
    );
    assert!(!run.stdout.contains("cut off"), "{run:?}");
    assert_eq!(
        running.orch(&["ls", "--json"]).json()[0]["state"],
        "running"
    );
}

#[test]
fn ls_in_json() {
    let objects = TestSession::ended().orch(&["ls", "--json"]).json();
    assert_eq!(objects.len(), 5);
    assert_eq!(objects[0]["state"], "ended");
    assert_eq!(objects[0]["refused"][0]["call"], "io_uring_setup");
    assert_eq!(objects[1]["recording"], "p1");
    assert_eq!(objects[2]["next"], "p3");
    assert_eq!(objects[3]["exit"], 3);
    assert_eq!(objects[3]["parent"], "p2");
    assert_eq!(objects[4]["signal"], "SIGKILL");
}

#[test]
fn ls_keeps_to_the_width_of_the_terminal() {
    let s = TestSession::ended();
    let run = Run::of(s.command(&["ls"]).env("COLUMNS", "80"));
    let table = run.stdout.lines().skip(3).take(5);
    for line in table {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn events_are_in_order() {
    let s = TestSession::ended();
    let ticks = |args: &[&str]| -> Vec<u64> {
        let all = s.orch(&[&["events", "--json"], args].concat()).json();
        all.iter()
            .map(|e| e["tick"].as_u64().expect("a number"))
            .collect()
    };
    let all = ticks(&[]);
    assert!(all.is_sorted() && all.len() > 8, "{all:?}");
    assert_eq!(ticks(&["--from", "10", "--to", "13"]), [10, 11, 12, 13]);
    assert_eq!(ticks(&["--from", "p3@start", "--limit", "2"]), [12, 13]);
    assert_eq!(ticks(&["-p", "p3", "--to", "p3@end"]).last(), Some(&14));
    assert_eq!(ticks(&["--limit", "3"]).len(), 3);
    assert!(ticks(&["--all"]).len() > all.len());
}

#[test]
fn events_look_like_those_of_strace() {
    let s = TestSession::ended();
    let run = s.orch(&["events", "-c", "write,io_uring_setup"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], r#"p1@3     write(1, "hi\nwor", 6) = 6"#);
    let refused = "(refused: cannot be recorded)";
    assert!(
        lines
            .iter()
            .any(|l| l.contains("-1 ENOSYS") && l.ends_with(refused)),
        "{run:?}"
    );
    let event = &s
        .orch(&["events", "--json", "-c", "write", "--limit", "1"])
        .json()[0];
    assert_eq!(event["recording"], "p1");
    assert_eq!(event["event"], "syscall");
    assert_eq!(event["name"], "write");
    assert_eq!(event["args"]["fd"], "1");
    assert_eq!(event["result"], 6);
}

#[test]
fn events_of_a_session_that_was_cut_off_are_there() {
    let run = TestSession::cut_off().orch(&["events"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("write(1"), "{run:?}");
}

#[test]
fn a_damaged_block_is_reported_and_skipped() {
    let s = TestSession::ended();
    s.damage();
    let run = s.orch(&["events"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("is damaged"), "{run:?}");
    assert!(run.stdout.contains("p4@"), "{run:?}");
}

#[test]
fn console_has_whole_lines_with_their_positions() {
    let s = TestSession::ended();
    let run = s.orch(&["console"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let expected = [
        "p1@3     hi",
        "p3@13    from cat \\xff",
        "p1@3     world",
        "p4@21    red",
        "p4@22    no newline",
    ];
    assert_eq!(lines, expected);
    let objects = s.orch(&["console", "--json", "-p", "p3"]).json();
    assert_eq!(objects[0]["text"], "from cat \\xff");
    assert_eq!(objects[0]["tick"], 13);
    let raw = s.orch(&["console", "--raw", "-p", "p4"]);
    assert_eq!(raw.stdout, "\x1b[31mred\x1b[0m\nno newline");
}

#[test]
fn nobody_has_to_read_it_all() {
    let s = TestSession::long();
    let mut child = s
        .command(&["events"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("orch can be run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn sessions_are_listed_and_removed() {
    let s = TestSession::ended();
    let listed = s.orch(&["sessions", "--json"]).json();
    assert_eq!(listed[0]["name"], "sh-1");
    assert_eq!(listed[0]["recordings"], 4);
    // A wrong name removes nothing.
    assert_eq!(s.orch(&["sessions", "remove", "sh-1", "sh-2"]).code, 2);
    assert_eq!(s.orch(&["sessions"]).code, 0);
    assert_eq!(s.orch(&["sessions", "remove", "sh-1"]).code, 0);
    assert_eq!(s.orch(&["sessions"]).code, 1);
    let running = TestSession::running();
    let run = running.orch(&["sessions", "remove", "sh-1"]);
    assert!(
        run.code == 1 && run.stderr.contains("still being recorded"),
        "{run:?}"
    );
}

#[test]
fn wrong_usage_is_told_from_finding_nothing() {
    let s = TestSession::ended();
    let code = |args: &[&str]| {
        let run = s.orch(args);
        if run.code != 0 {
            assert!(!run.stderr.contains("panicked"), "{run:?}");
        }
        run.code
    };
    assert_eq!(code(&["events", "-c", "mount"]), 1);
    assert_eq!(code(&["events", "-c", "nonsense"]), 2);
    assert_eq!(code(&["events", "-p", "p9"]), 2);
    assert_eq!(code(&["events", "--from", "p9@start"]), 2);
    assert_eq!(code(&["events", "--from", "yesterday"]), 2);
    assert_eq!(code(&["events", "--from", "p1@999999"]), 2);
    assert_eq!(code(&["events", "--from", "p1@50%", "--to", "@end"]), 0);
    assert_eq!(code(&["graph", "--around", "p1@999999"]), 2);
    assert_eq!(code(&["inspect", "p1@999999"]), 2);
    assert_eq!(code(&["inspect", "p9@start"]), 2);
    assert_eq!(code(&["inspect", "p1@start", "--mem", "0x10:x"]), 2);
    assert_eq!(code(&["ublame", "p1:0x1000", "--before", "p1@999999"]), 2);
    assert_eq!(code(&["console", "-p", "p2"]), 1);
    assert_eq!(code(&["replay", "-p", "p9"]), 2);
    assert_eq!(code(&["-s", "/nonexistent", "ls"]), 2);
    assert_eq!(code(&["nonsense"]), 2);
}

#[test]
fn a_session_is_named_by_option_variable_or_age() {
    let s = TestSession::ended();
    let newest = s.orch(&["ls"]);
    assert_eq!(newest.code, 0, "{newest:?}");
    let dir = s.dir().to_str().expect("UTF-8");
    let elsewhere = TestSession::running();
    assert_eq!(elsewhere.orch(&["ls", "-s", dir]).stdout, newest.stdout);
    let run = Run::of(elsewhere.command(&["ls"]).env("ORCH_SESSION", dir));
    assert_eq!(run.stdout, newest.stdout);
}

#[test]
fn scripts_and_pages_are_made() {
    let s = TestSession::ended();
    for shell in ["bash", "zsh", "fish"] {
        let run = s.orch(&["completions", shell]);
        assert!(run.code == 0 && run.stdout.contains("doctor"), "{shell}");
    }
    let dir = s.dir().join("man");
    assert_eq!(s.orch(&["man", dir.to_str().expect("UTF-8")]).code, 0);
    for page in [
        "orch.1",
        "orch-record.1",
        "orch-sessions-remove.1",
        "ublame.1",
    ] {
        assert!(dir.join(page).exists(), "{page}");
    }
    assert!(!dir.join("orch-replay-host.1").exists());
}

#[test]
fn doctor_says_what_is_there() {
    let run = TestSession::ended().orch(&["doctor", "--json"]);
    let findings = run.json();
    for what in [
        "kernel",
        "seccomp filters",
        "ptrace",
        "cpuid faulting",
        "disk space",
        "gdb",
    ] {
        let finding = findings.iter().find(|f| f["what"] == what);
        let state = finding.expect("it is looked at")["state"]
            .as_str()
            .expect("a word");
        assert!(
            ["ok", "limited", "missing"].contains(&state),
            "{what}: {state}"
        );
    }
}
