//! Recordings in an editor's debugger: what a client of the debug adapter protocol sees
//! that does what editors do.

mod client;

use anyhow::{Context as _, Result, ensure};
use client::{Adapter, Client, LIMIT, nothing_is_left};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

fn tick(position: &str) -> Result<u64> {
    let digits = position.split_once('@').context("no position")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit());
    Ok(digits[..end.unwrap_or(digits.len())].parse()?)
}

/// A recording of a shell that does nothing.
fn nothing_much(user: User) -> Result<Place> {
    let place = Place::new(user)?;
    let recorded = run::run(&mut place.record(&["true"]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    Ok(place)
}

/// From the assertion that fails in one process to the line in another that is the
/// cause, and to what was its cause in turn.
#[test]
fn the_culprit_is_found() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let (report, submit) = (
        place.recording("build/report")?,
        place.recording("build/submit")?,
    );
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;

    // Nothing is said of where: it is where a process crashed.
    let position = client.launch(json!({}))?;
    ensure!(position.starts_with(&format!("{report}@")), "{position}");
    let main = client.frame("main")?;
    let source = main["source"]["path"].as_str().unwrap_or_default();
    ensure!(
        source.ends_with("report.cpp") && main["line"] == 15,
        "{main}"
    );
    let scopes = client.ask("scopes", json!({ "frameId": main["id"] }))?;
    let job = client.variable(&scopes["scopes"][0], "job")?;
    let failures = client.variable(&job, "failures")?;
    let number: i64 = failures["value"].as_str().context("no value")?.parse()?;
    ensure!(number < 0, "{failures}");
    let title = client.variable(&job, "title")?;
    ensure!(
        title["value"]
            .as_str()
            .is_some_and(|v| v.contains("compact")),
        "{title}"
    );

    // Who wrote it: asked of the variable that is shown, and of an expression.
    let shown = json!({ "variablesReference": job["variablesReference"], "name": "failures" });
    let who = client.ask("orch/whoWrote", shown)?;
    let typed = json!({ "expression": "job.failures", "frameId": main["id"] });
    let again = client.ask("orch/whoWrote", typed)?;
    ensure!(who == again, "{who}\n{again}");
    let rows = who["rows"].as_array().context("no rows")?;
    let mut stores = rows.iter().filter(|row| row["kind"] == "store");
    let culprit = stores.next_back().context("nobody")?;
    ensure!(
        culprit["file"]
            .as_str()
            .is_some_and(|f| f.ends_with("submit.cpp")),
        "{culprit}"
    );

    // In this process, it came with the load in the loop.
    client.watch(json!({ "name": "job.failures", "frameId": main["id"] }))?;
    let seen = client.go("reverseContinue", "data breakpoint")?;
    ensure!(tick(&seen)? < tick(&position)?, "{seen}");

    // Over there. What is watched here is nothing there.
    let to = json!({ "position": culprit["position"] });
    let there = client.ask("orch/jump", to)?;
    ensure!(
        there["position"] == culprit["position"],
        "{there} {culprit}"
    );
    ensure!(client.stop("goto")?.starts_with(&format!("{submit}@")));
    let writer = client.frame("set_title")?;
    ensure!(
        writer["source"]["path"]
            .as_str()
            .is_some_and(|p| p.ends_with("submit.cpp"))
            && writer["line"] == 16,
        "{writer}"
    );
    ensure!(client.value("title._M_string_length", &writer)? == "40");

    // What made it that long, and the steps there and back.
    client.watch(json!({ "name": "title._M_string_length", "frameId": writer["id"] }))?;
    let long = client.go("reverseContinue", "data breakpoint")?;
    client.frame("getline")?;
    client.ask("setDataBreakpoints", json!({ "breakpoints": [] }))?;
    let out = client.go("stepOut", "step")?;
    ensure!(tick(&out)? >= tick(&long)?, "{long} {out}");
    let on = client.go("next", "step")?;
    let back = client.go("stepBack", "step")?;
    ensure!(on != out && on != back, "{out} {on} {back}");
    let single = json!({ "threadId": 1, "granularity": "instruction" });
    for command in ["next", "stepBack"] {
        client.ask(command, single.clone())?;
        let there = client.stop("step")?;
        ensure!((there == back) == (command == "stepBack"), "{there} {back}");
    }
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

/// Breakpoints, by line and by function, with conditions, from both sides.
#[test]
fn breakpoints() -> Result<()> {
    let (place, _) = fixture::job_queue()?;
    let submit = place.recording("build/submit")?;
    let source = place.path().join("job-queue/submit.cpp");
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    client.launch(json!({ "position": format!("{submit}@start") }))?;
    let source = json!({ "path": source });
    let long = "title._M_string_length == 40";
    let set = json!({ "source": source, "breakpoints": [
        { "line": 16, "condition": long }, { "line": 1000 }
    ] });
    let set = client.ask("setBreakpoints", set)?;
    ensure!(set["breakpoints"][0]["verified"] == true, "{set}");
    ensure!(set["breakpoints"][1]["verified"] == false, "{set}");
    let hit = client.go("continue", "breakpoint")?;
    let frame = client.frame("set_title")?;
    let title = client.value("title", &frame)?;
    ensure!(title.starts_with("\"写真"), "{title}");

    // The same instant from behind.
    let none = json!({ "source": source, "breakpoints": [] });
    client.ask("setBreakpoints", none)?;
    client.go("continue", "pause")?;
    let functions = json!({ "breakpoints": [{ "name": "set_title", "hitCondition": "2" }] });
    client.ask("setFunctionBreakpoints", functions)?;
    client.go("reverseContinue", "function breakpoint")?;
    client.ask("setFunctionBreakpoints", json!({ "breakpoints": [] }))?;
    client.go("continue", "pause")?;
    let set = json!({ "source": source, "breakpoints": [{ "line": 16, "condition": long }] });
    client.ask("setBreakpoints", set)?;
    ensure!(client.go("reverseContinue", "breakpoint")? == hit);

    // What a console does.
    let arguments = json!({ "context": "repl", "frameId": client.frame("submit")?["id"],
        "expression": "orch when" });
    let said = client.ask("evaluate", arguments)?;
    ensure!(said["result"] == hit, "{said}");
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

/// A step is one of the thread that it is asked of, though others run meanwhile.
#[test]
fn threads_step() -> Result<()> {
    let (place, _) = fixture::recorded("threads/sync.c", "sync", &[])?;
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    client.launch(json!({ "position": "p1@50%" }))?;
    let threads = client.ask("threads", json!({}))?;
    let threads = threads["threads"].as_array().context("no threads")?;
    let name = |t: &Value| t["name"].as_str().unwrap_or_default().to_owned();
    ensure!(name(&threads[0]).contains("runs"), "{threads:?}");
    // The first one waits for the others to end.
    let waits = threads
        .iter()
        .find(|t| name(t).starts_with("sync, thread 0,"));
    let waits = waits.with_context(|| format!("{threads:?}"))?;
    for thread in [&threads[0], waits] {
        client.ask("next", json!({ "threadId": thread["id"] }))?;
        let stop = client.event("stopped")?;
        let expected = stop["reason"] == "step" && stop["threadId"] == thread["id"];
        ensure!(expected, "{thread}: {stop}");
    }
    client.ask("stepBack", json!({ "threadId": waits["id"] }))?;
    client.stop("step")?;
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

#[test]
fn nonsense_is_refused() -> Result<()> {
    let place = nothing_much(User::Own)?;
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    for body in ["{", "[]", "null", "{\"seq\":1}", "\u{1}"] {
        client.say(body)?;
        let answer = client.next()?;
        ensure!(answer["success"] == false, "{body}: {answer}");
    }
    client.say(r#"{"seq":7,"type":"response","request_seq":1,"success":true}"#)?;
    for early in [
        "stackTrace",
        "continue",
        "configurationDone",
        "pause",
        "threads",
    ] {
        client.refused(early, json!({}), "no recording yet")?;
    }
    client.refused("nothing", json!({}), "no request \"nothing\"")?;
    for (arguments, why) in [
        (json!({ "session": "/nowhere" }), "/nowhere"),
        (json!({ "session": 5 }), "session is a text"),
        (json!({ "position": "here" }), "here"),
        (json!({ "position": "p1@99999999" }), "p1"),
        (json!({ "position": "p9@start" }), "p9"),
        (json!({ "gdb": "/nowhere/gdb" }), "is gdb installed?"),
        (json!({ "gdb": "/bin/true" }), "gdb has ended"),
        (json!({ "setup": ["nonsense"] }), "nonsense"),
        (json!({ "sources": "here" }), "sources is a list"),
    ] {
        client.refused("launch", arguments, why)?;
    }
    client.launch(json!({}))?;
    client.refused("launch", json!({}), "already")?;
    let nothing = json!({});
    for (command, arguments, why) in [
        ("stackTrace", nothing.clone(), "threadId"),
        ("stackTrace", json!({ "threadId": 99 }), "99"),
        ("scopes", json!({ "frameId": 99 }), "another instant"),
        (
            "variables",
            json!({ "variablesReference": 99 }),
            "another instant",
        ),
        (
            "evaluate",
            json!({ "expression": "nothing.at\nall" }),
            "\"nothing\"",
        ),
        ("setBreakpoints", nothing.clone(), "path"),
        (
            "readMemory",
            json!({ "memoryReference": "x" }),
            "memoryReference",
        ),
        ("setVariable", nothing.clone(), "cannot be changed"),
        ("orch/jump", json!({ "position": "p9@start" }), "p9"),
        ("orch/whoWrote", nothing.clone(), "say what"),
    ] {
        client.refused(command, arguments, why)?;
    }
    // It is there all the same.
    ensure!(!client.stack()?.is_empty());
    client.ask("terminate", json!({}))?;
    client.event("terminated")?;
    client.refused("launch", json!({}), "being closed")?;
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

#[test]
fn what_is_no_protocol_ends_it() -> Result<()> {
    let place = nothing_much(User::Own)?;
    let mut adapter = Adapter::start(&place)?;
    adapter.client.write(b"GET / HTTP/1.1\r\n\r\n")?;
    ensure!(adapter.client.next()?["success"] == false);
    adapter.client.event("terminated")?;
    ensure!(adapter.end(&place)? == Some(1));
    Ok(())
}

/// A computation that is long enough for all that is done to it to come in its middle.
fn long_computation() -> Result<Place> {
    let place = Place::new(User::Own)?;
    let script = "i=0; while [ $i -lt 1500000 ]; do i=$((i + 1)); done";
    let recorded = run::run(&mut place.record(&["dash", "-c", script]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    Ok(place)
}

/// What moves can be stopped, and is where it was then; breakpoints can be set meanwhile.
#[test]
fn what_moves_is_stopped() -> Result<()> {
    let place = long_computation()?;
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    let one = json!({ "threadId": 1 });
    let last = client.launch(json!({ "position": "p1@end" }))?;
    let start = client.ask("orch/jump", json!({ "position": "p1@90%" }))?;
    let start = start["position"].as_str().context("no position")?;
    client.stop("goto")?;
    for _ in 0..3 {
        client.ask("continue", one.clone())?;
        client.refused("stackTrace", one.clone(), "pause it first")?;
        client.ask("threads", json!({}))?;
        let functions = json!({ "breakpoints": [{ "name": "_exit" }] });
        let set = client.ask("setFunctionBreakpoints", functions)?;
        ensure!(set["breakpoints"][0]["verified"] == true, "{set}");
        client.ask("pause", one.clone())?;
        ensure!(client.stop("pause")? == start);
        ensure!(!client.stack()?.is_empty());
    }
    // It is hit, whatever was interrupted.
    let hit = client.go("continue", "function breakpoint")?;
    ensure!(tick(&hit)? <= tick(&last)?, "{hit}");
    client.ask("reverseContinue", one.clone())?;
    client.ask("pause", one)?;
    ensure!(client.stop("pause")? == hit);
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

/// What replays may be gone in the middle of a motion, while gdb is still there.
#[test]
fn the_replay_vanishes() -> Result<()> {
    let place = long_computation()?;
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    client.launch(json!({ "position": "p1@90%" }))?;
    client.ask("continue", json!({ "threadId": 1 }))?;
    let serves = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|&b| b == 0);
        words.next().is_some_and(|w| w.ends_with(b"/orch")) && words.any(|w| w == b"serve")
    };
    let below = run::descendants(adapter.process.id().cast_signed());
    let replay = below.into_iter().find(serves).context("no orch serve")?;
    kill(Pid::from_raw(replay), Signal::SIGKILL)?;
    client.event("terminated")?;
    client.refused("stackTrace", json!({ "threadId": 1 }), "no recording")?;
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

/// However the client, or the adapter, goes: nothing is left.
#[test]
fn nothing_is_left_of_who_vanishes() -> Result<()> {
    let place = long_computation()?;
    for killed in [false, true] {
        for moving in [None, Some("launch"), Some("reverseContinue")] {
            let what = format!("killed: {killed}, moving: {moving:?}");
            let mut adapter = Adapter::start(&place)?;
            let client = &mut adapter.client;
            client.ask("initialize", json!({}))?;
            if moving == Some("launch") {
                client.send("launch", &json!({ "position": "p1@end" }))?;
            } else {
                client.ask("launch", json!({ "position": "p1@end" }))?;
            }
            if moving == Some("reverseContinue") {
                client.send("reverseContinue", &json!({ "threadId": 1 }))?;
            }
            std::thread::sleep(Duration::from_millis(300));
            if killed {
                adapter.process.kill()?;
            } else {
                adapter.client.out = None;
            }
            let code = adapter.end(&place).with_context(|| what.clone())?;
            ensure!(
                code == if killed { None } else { Some(0) },
                "{what}: {code:?}"
            );
        }
    }
    Ok(())
}

/// A gdb that ends by itself is told of.
#[test]
fn gdb_vanishes() -> Result<()> {
    let place = nothing_much(User::Own)?;
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    client.launch(json!({}))?;
    let below = run::descendants(adapter.process.id().cast_signed());
    let gdb = below.first().context("no gdb")?;
    kill(Pid::from_raw(*gdb), Signal::SIGKILL)?;
    client.event("terminated")?;
    client.refused("stackTrace", json!({ "threadId": 1 }), "no recording")?;
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

/// A jump to where the selected thread is not there yet, and back; threads have their names.
#[test]
fn jumps_find_the_thread_that_runs() -> Result<()> {
    let (place, _) = fixture::recorded("debugging/named.c", "named", &[])?;
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    let quiet = "handle SIGUSR1 nostop noprint";
    client.launch(json!({ "position": "p1@start", "setup": [quiet] }))?;
    client.ask(
        "setFunctionBreakpoints",
        json!({ "breakpoints": [{ "name": "pause_here" }] }),
    )?;
    let there = client.go("continue", "function breakpoint")?;
    let names = |client: &mut Client| -> Result<Vec<String>> {
        let threads = client.ask("threads", json!({}))?;
        let threads = threads["threads"].as_array().context("no threads")?.clone();
        let name = |t: &Value| t["name"].as_str().unwrap_or_default().to_owned();
        Ok(threads.iter().map(name).collect())
    };
    let all = names(client)?;
    let begins = |text: &str| all.iter().any(|name| name.starts_with(text));
    ensure!(begins("chief, thread 0, waits"), "{all:?}");
    ensure!(begins("work <&>, thread 1, runs"), "{all:?}");
    ensure!(begins("thread 2, waits"), "{all:?}");
    client.ask("orch/jump", json!({ "position": "p1@start" }))?;
    client.stop("goto")?;
    let first = names(client)?;
    ensure!(
        first.len() == 1 && first[0].starts_with("named, thread 0, runs"),
        "{first:?}"
    );
    client.ask("orch/jump", json!({ "position": there }))?;
    let stopped = client.event("stopped")?;
    let of = json!({ "threadId": stopped["threadId"] });
    let stack = client.ask("stackTrace", of)?;
    ensure!(stack["stackFrames"][0]["name"] == "pause_here", "{stack}");
    ensure!(names(client)? == all, "{all:?}");
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

/// Functions in expressions run on a copy, of which nothing is left.
#[test]
fn functions_are_called() -> Result<()> {
    let (place, _) = fixture::recorded("debugging/named.c", "named", &[])?;
    let mut adapter = Adapter::start(&place)?;
    let client = &mut adapter.client;
    let quiet = "handle SIGUSR1 nostop noprint";
    client.launch(json!({ "position": "p1@start", "setup": [quiet] }))?;
    client.ask(
        "setFunctionBreakpoints",
        json!({ "breakpoints": [{ "name": "stand" }] }),
    )?;
    let here = client.go("continue", "function breakpoint")?;
    for context in ["watch", "repl"] {
        let of = |expression: &str| json!({ "expression": expression, "context": context });
        for _ in 0..2 {
            let value = client.ask("evaluate", of("counted(4) + 1"))?;
            ensure!(value["result"] == "9" && value["type"] == "int", "{value}");
        }
        client.refused("evaluate", of("speak()"), "signaled while in a function")?;
        let calls = client.ask("evaluate", of("calls"))?;
        ensure!(calls["result"] == "0", "{calls}");
    }
    // One that comes to a breakpoint is left.
    let both = json!({ "breakpoints": [{ "name": "stand" }, { "name": "counted" }] });
    client.ask("setFunctionBreakpoints", both)?;
    let stops = json!({ "expression": "counted(4)", "context": "watch" });
    client.refused("evaluate", stops, "stopped while in a function")?;
    ensure!(client.ask("orch/when", json!({}))?["position"] == here);
    client.go("continue", "function breakpoint")?;
    client.ask("disconnect", json!({}))?;
    ensure!(adapter.end(&place)? == Some(0));
    Ok(())
}

/// Editors that connect have a debugger each.
#[test]
fn several_connect() -> Result<()> {
    let place = nothing_much(User::Ordinary)?;
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session());
    let mut listener = command
        .args(["dap", "--listen", ":0"])
        .stderr(Stdio::piped())
        .spawn()?;
    let mut errors = BufReader::new(listener.stderr.take().context("no errors")?);
    let mut line = String::new();
    errors.read_line(&mut line)?;
    let address = line.trim_end().rsplit(' ').next().context("no address")?;
    let connect = || -> Result<Client> {
        let stream = TcpStream::connect(address).with_context(|| line.clone())?;
        Ok(Client::new(stream.try_clone()?, stream))
    };
    let (mut one, mut other) = (connect()?, connect()?);
    let there = one.launch(json!({ "position": "p1@start" }))?;
    ensure!(other.launch(json!({ "position": "p1@exit" }))? != there);
    ensure!(one.ask("orch/when", json!({}))?["position"] == there);
    one.ask("disconnect", json!({}))?;
    other.ask("orch/when", json!({}))?;
    // Who listens takes the others along.
    listener.kill()?;
    listener.wait()?;
    nothing_is_left(&place)
}
