use super::*;
use crate::inspect::Still as _;
use crate::inspect::tests::live::{Live, Programs};
use clap::Parser as _;
use orch_abi::record::{Insn, Start};
use orch_recorder::trace::RecordingId;
use orch_recorder::trace::record::build;
use serde_json::Value;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A program that stands still, and a recording that says it is p1.
fn stopped(source: &str, flags: &[&str]) -> (Programs, Live) {
    let programs = Programs::new();
    let program = programs.build("a", source, flags);
    let session = &programs.session;
    let mut writer = session.writer(RecordingId(1)).expect("a new recording");
    let start = Start {
        pid: 77,
        argc: 1,
        ..Start::default()
    };
    let start = build::start(1, &start, program.as_os_str(), &["a"], "/".as_ref());
    writer.append(&start).expect("a record");
    let insn = build::insn(5, &Insn::default());
    writer.append(&insn).expect("a record");
    writer.finish().expect("there is room");
    let live = programs.stop(&program, &[]);
    (programs, live)
}

fn picture(programs: &Programs, live: &mut Live, options: &[&str]) -> Result<Picture> {
    let line = [&["inspect", "p1@5"], options].concat();
    let args = Line::try_parse_from(line)?.args;
    let When::At(position) = args.position else {
        panic!("it is in p1");
    };
    Picture::take(&programs.session, position, live, &args)
}

fn json(programs: &Programs, live: &mut Live, options: &[&str]) -> Value {
    let picture = picture(programs, live, options).expect("it stands still");
    serde_json::to_value(&picture).expect("it has a JSON form")
}

#[test]
fn a_summary() {
    let (programs, mut live) = stopped("nested.c", &["-O2", "-g"]);
    let all = json(&programs, &mut live, &[]);
    assert_eq!(all["position"], "p1@5");
    assert_eq!(all["pid"], 77);
    assert_eq!(all["event"]["event"], "insn");
    assert_eq!(all["frames"][0]["function"], "third");
    assert_eq!(all["frames"][3]["function"], "main");
    let line = all["frames"][0]["line"].as_u64().expect("it is known");
    assert_eq!(all["source"]["line"], line);
    let lines = all["source"]["lines"].as_array().expect("it is readable");
    let text = |n: u64| lines.iter().find(|l| l[0] == n).map(|l| l[1].clone());
    assert_eq!(text(line), Some("    STOP;".into()));
    let rip = live.regs().expect("it stands still").rip;
    assert_eq!(all["registers"]["rip"], format!("{rip:#x}"));
    for absent in ["disassembly", "memory", "thread_list", "maps", "hint"] {
        assert_eq!(all[absent], Value::Null);
    }
}

#[test]
fn what_was_asked_for_alone() {
    let (programs, mut live) = stopped("nested.c", &["-O2", "-g"]);
    let mem = ["--mem", "counters", "--mem", "$rsp:8"];
    let some = json(&programs, &mut live, &mem);
    assert_eq!(some["memory"][0]["hex"], "01000000020000000300000004000000");
    assert_eq!(some["frames"], Value::Null);
    let some = json(&programs, &mut live, &["--disasm", "--threads", "--maps"]);
    let current = |i: &&Value| i["current"] == true;
    let instructions = some["disassembly"].as_array().expect("there is code");
    assert_eq!(instructions.iter().filter(current).count(), 1);
    assert_eq!(
        some["thread_list"][0]["place"],
        "third < second < first < main"
    );
    let maps = some["maps"].as_array().expect("it has memory");
    assert!(maps.iter().any(|m| m["what"] == "[stack]"));
    let few = json(&programs, &mut live, &["--backtrace", "--limit", "2"]);
    assert_eq!(few["frames"].as_array().map(Vec::len), Some(2));
    assert!(few["cut"].as_str().is_some_and(|c| c.contains("--limit")));
}

#[test]
fn what_is_missing_is_said() {
    let (programs, mut live) = stopped("nested.c", &["-O2", "-s"]);
    let all = json(&programs, &mut live, &[]);
    let hint = all["hint"].as_str().expect("there is no information");
    assert!(hint.contains("compiled with -g"), "{hint}");
    let some = picture(&programs, &mut live, &["--mem", "0x10:4"]).expect("the rest is there");
    assert!(!some.is_whole());
    let problem = some.memory[0].problem.as_ref().expect("nothing is there");
    assert!(problem.contains("nothing is mapped at 0x10"), "{problem}");
    for (option, value, told) in [
        ("--mem", "counters", "gcc -g"),
        ("--mem", "$nothing", "$rsp"),
        ("--thread", "7", "there are 0"),
    ] {
        let error = picture(&programs, &mut live, &[option, value]);
        let error = error.err().expect("there is no such thing").to_string();
        assert!(error.contains(told), "{error}");
    }
}
