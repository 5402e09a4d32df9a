//! The commands that tell of shared memory, run on sessions that are made here.

mod common;

use common::TestSession;
use common::shared::{Info, P1, P2};
use serde_json::{Value, json};

fn kinds(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["kind"].as_str().expect("a word"))
        .collect()
}

#[test]
fn accesses_in_order_with_what_was_there_before() {
    let s = TestSession::shared(Info::Inside);
    let run = s.ublame(&["/dev/shm/q+0x40", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let rows = run.json();
    assert_eq!(
        kinds(&rows),
        [
            "store",
            "store",
            "load",
            "system call",
            "outside",
            "outside",
            "load"
        ]
    );
    let column = |name: &str| -> Vec<Value> { rows.iter().map(|row| row[name].clone()).collect() };
    assert_eq!(
        column("position"),
        [
            "p1@10", "p1@12", "p2@20", "p2@21", "p3@27", "p3@27", "p3@27"
        ]
    );
    assert_eq!(
        column("tid"),
        [
            json!(100),
            json!(105),
            json!(101),
            json!(101),
            json!(null),
            json!(null),
            json!(102)
        ]
    );
    assert_eq!(column("pid")[..3], [json!(100), json!(100), json!(101)]);
    assert_eq!(
        column("offset"),
        [0x40, 0x40, 0x40, 0x44, 0x40, 0x44, 0x40].map(|n| json!(n))
    );
    assert_eq!(column("size"), [8, 8, 8, 4, 1, 4, 8].map(|n| json!(n)));
    assert_eq!(rows[0]["old"], json!(null));
    assert_eq!(rows[1]["old"], "1100000000000000");
    assert_eq!(rows[1]["new"], "1200000000000000");
    assert_eq!(
        (&rows[3]["old"], &rows[3]["new"]),
        (&json!("00000000"), &json!("74657874"))
    );
    assert_eq!(
        (&rows[4]["old"], &rows[4]["new"]),
        (&json!("12"), &json!("63"))
    );
    assert_eq!(rows[4]["recording"], json!(null));
    assert_eq!(rows[0]["program"], "ring");
    assert_eq!(rows[0]["object"], "/dev/shm/q");
    assert!(rows[0]["time"].is_number());
    // A record that makes no sense is reported, and hurts nothing else.
    assert!(run.stderr.contains("p3: the record"), "{run:?}");
    let keys: Vec<&String> = rows[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys.len(), 18);
}

#[test]
fn code_is_named_with_what_is_inlined() {
    for info in [Info::Inside, Info::Beside] {
        let s = TestSession::shared(info);
        let rows = s.ublame(&["/dev/shm/q+0x40", "--json"]).json();
        assert_eq!(rows[0]["function"], "put");
        assert_eq!(rows[0]["line"], 3);
        assert!(
            rows[0]["file"]
                .as_str()
                .is_some_and(|f| f.ends_with("ring.c"))
        );
        assert_eq!(rows[0]["frames"][1]["function"], "push");
        assert_eq!(rows[0]["frames"][1]["line"], 6);
        assert_eq!(rows[2]["function"], "pop");
    }
    let stripped = TestSession::shared(Info::Nowhere);
    let rows = stripped.ublame(&["/dev/shm/q+0x40", "--json"]).json();
    let name = rows[0]["function"].as_str().expect("there is some name");
    assert!(
        name.starts_with("ring+0x") || !name.contains("push"),
        "{name}"
    );
    assert_eq!(rows[0]["line"], json!(null));
}

#[test]
fn rows_fit_and_say_what_is_to_be_known() {
    let s = TestSession::shared(Info::Inside);
    let run = s.orch(&["ublame", "q+0x40"]);
    // Two objects are called so.
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("/dev/shm/q\n  memfd:q"), "{run:?}");
    for width in ["100", "60", "40"] {
        let mut command = s.command(&["ublame", "shm/q+0x40"]);
        let run = common::Run::of(command.env("COLUMNS", width));
        assert_eq!(run.code, 0, "{run:?}");
        let width: usize = width.parse().expect("a number");
        for line in run.stdout.lines() {
            assert!(line.chars().count() <= width, "{line}");
        }
        assert!(
            run.stdout
                .starts_with("/dev/shm/q+0x40 (8 bytes)\nmapped by p1 ring")
        );
        assert!(run.stdout.contains("p1@12"), "{run:?}");
    }
    let text = s.orch(&["ublame", "shm/q+0x40"]).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.iter().any(|l| l.starts_with("p1@12 ")
            && l.contains("17 → 18")
            && l.contains("put ring.c:3")),
        "{text}"
    );
    assert!(lines.iter().any(|l| l.contains("outside")), "{text}");
}

#[test]
fn addresses_and_variables_lead_to_objects() {
    let s = TestSession::shared(Info::Inside);
    let at = |text: &str| s.ublame(&[text, "--json"]).json().len();
    assert_eq!(at(&format!("p1:{:#x}", P1 + 0x40)), 7);
    // Another object is there in the end.
    let now = s.ublame(&[&format!("p2:{:#x}", P2 + 0x40)]);
    assert_eq!(now.code, 1, "{now:?}");
    let then = s.ublame(&[
        &format!("p2:{:#x}", P2 + 0x40),
        "--before",
        "p2@24",
        "--json",
    ]);
    assert_eq!(then.json().len(), 4, "{then:?}");
    let rows = s.ublame(&["p1:counter", "--json"]).json();
    assert_eq!((rows.len(), &rows[0]["object"]), (1, &json!("anon:3")));
    assert_eq!(s.ublame(&["p1:nonsense"]).code, 1);
}

#[test]
fn other_memory_is_named() {
    let s = TestSession::shared(Info::Inside);
    let why = |text: &str| {
        let run = s.ublame(&[text]);
        assert_eq!(run.code, 1, "{run:?}");
        run.stderr
    };
    assert!(why("p1:0x7ffc00001000").contains("is its stack"));
    assert!(why("p2:0x555500000000").contains("ring in its memory"));
    let nothing = why("p1:0x10");
    assert!(
        nothing.contains("nothing mapped") && nothing.contains("nearest"),
        "{nothing}"
    );
    assert!(why("anon:3+0x100").contains("is beyond"));
    assert!(why("/dev/shm/q+0x38").contains("no access"));
    assert!(why("/dev/shm/other+0").contains("this session has"));
}

#[test]
fn rows_are_chosen() {
    let s = TestSession::shared(Info::Inside);
    let count = |args: &[&str]| {
        s.ublame(&[&["/dev/shm/q+0x40", "--json"], args].concat())
            .json()
            .len()
    };
    assert_eq!(count(&["--stores"]), 5);
    assert_eq!(count(&["--last", "2"]), 2);
    assert_eq!(count(&["-p", "p1"]), 2);
    assert_eq!(count(&["-p", "p1", "-p", "p2"]), 4);
    assert_eq!(count(&["--before", "p2@20"]), 2);
    assert_eq!(count(&["--after", "12", "--before", "21"]), 1);
    assert_eq!(count(&["--len", "4"]), 5);
    let code = |args: &[&str]| s.ublame(args).code;
    assert_eq!(code(&["p1:"]), 2);
    assert_eq!(code(&["q", "--len", "0"]), 2);
    assert_eq!(code(&["p9:0x10"]), 2);
    assert_eq!(code(&["/dev/shm/q", "-p", "p9"]), 2);
    assert_eq!(code(&["/dev/shm/q+0x1000"]), 1);
    assert_eq!(TestSession::ended().ublame(&["/dev/shm/q"]).code, 1);
}

#[test]
fn an_index_that_is_damaged_is_made_again() {
    let s = TestSession::shared(Info::Inside);
    let ask = || s.ublame(&["/dev/shm/q+0x40", "--json"]).stdout;
    let expected = ask();
    let path = s.dir().join("blame.index");
    let sound = std::fs::read(&path).expect("it was made");
    for at in (0..sound.len()).step_by(7) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&path, &bytes).expect("it can be written");
        assert_eq!(ask(), expected, "byte {at}");
    }
    std::fs::write(&path, &sound[..sound.len() / 2]).expect("it can be written");
    assert_eq!(ask(), expected);
}

#[test]
fn shm_lists_objects_and_who_used_them() {
    let s = TestSession::shared(Info::Inside);
    let rows = s.orch(&["shm", "--json"]).json();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["object"], "/dev/shm/q");
    assert_eq!(
        (&rows[0]["stores"], &rows[0]["stored"], &rows[0]["loads"]),
        (&json!(3), &json!(20), &json!(2))
    );
    assert_eq!(rows[0]["mappings"][0]["recording"], "p1");
    assert_eq!(rows[0]["traffic"][0]["stores"], 2);
    let text = s.orch(&["shm"]).stdout;
    assert!(text.contains("memfd:q, 4.0 kB: 0 stores"), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert_eq!(TestSession::ended().orch(&["shm"]).code, 1);
}

#[test]
fn graph_of_what_depends_on_what() {
    let s = TestSession::shared(Info::Inside);
    let edges = s.orch(&["graph", "--json"]).json();
    let has = |from: &str, to: &str, cause: &str| {
        let one = |e: &Value| e["from"] == from && e["to"] == to && e["cause"] == cause;
        assert!(edges.iter().any(one), "{from} {to} {cause}: {edges:?}");
    };
    has("p1@3", "p2@4", "fork");
    has("p1@12", "p2@20", "memory");
    has("p1@3", "p1@12", "program");
    let text = s.orch(&["graph", "-p", "p1", "-p", "p2"]).stdout;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("p1@12 → p2@20  memory /dev/shm/q+0x40..0x48"),
        "{text}"
    );
    let near = s.orch(&["graph", "--around", "p2@20", "--hops", "1"]);
    assert_eq!(near.stdout.lines().count(), 1, "{near:?}");
    let dot = s.orch(&["graph", "--dot"]).stdout;
    assert!(
        dot.starts_with("digraph orch {") && dot.trim_end().ends_with('}'),
        "{dot}"
    );
    assert_eq!(s.orch(&["graph", "--from", "100"]).code, 1);
    assert_eq!(s.orch(&["graph", "--around", "p9@1"]).code, 2);
}
