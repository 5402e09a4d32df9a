//! A session that nobody recorded, the same for all tests, and who answers from it.

use orch_tui::data::{
    Access, Arrow, Bookmark, Bytes, Change, End, FORMATS, Frame, History, Instruction, Lane, Lanes,
    Line, Lines, Memory, Message, Near, Ordered, Overview, Picture, Process, Source, Stop, StopAt,
    Thread, Value, Variable,
};
use orch_tui::event::{Loaded, Request, To, Way};

/// What the model says to a request.
pub fn answer(request: &Request) -> Loaded {
    match request {
        Request::Overview => Loaded::Overview(Ok(overview())),
        Request::Lanes => Loaded::Lanes(Ok(lanes())),
        Request::Arrows(around, _) => Loaded::Arrows(Ok(Some(arrows(around.recording)))),
        Request::Blame(place, _) if place.contains("nowhere") => {
            Loaded::History(Err("no shared object is called nowhere".to_owned()))
        }
        Request::Blame(place, _) => Loaded::History(Ok(history(place))),
        Request::Order((place, _), false) if place.contains("large") => Loaded::Order(Ok(None)),
        Request::Order(..) => Loaded::Order(Ok(Some(order()))),
        Request::Near(..) => Loaded::Near(Ok(near())),
        Request::Visit(position, _) if position.contains("nowhere") => {
            Loaded::Picture(Err("nothing runs at nowhere".to_owned()))
        }
        Request::Visit(position, look) => {
            let mut picture = picture(position, &look.memory, 0);
            let none = look.expressions.iter().filter(|text| text.ends_with('+'));
            let none = none.map(|text| (text.clone(), "no expression".to_owned()));
            picture.refused = none.collect();
            for frame in &mut picture.frames {
                let pinned = |text: &String| Variable {
                    name: text.clone(),
                    value: match &text[..] {
                        "lost" => "no variable lost is known in this function".to_owned(),
                        _ => "17".to_owned(),
                    },
                    place: Some((0x7f00_0000_2000, 4)).filter(|_| text != "lost"),
                    pinned: true,
                };
                let sound = look.expressions.iter().filter(|text| !text.ends_with('+'));
                let pinned = sound.map(pinned);
                frame.variables.splice(..0, pinned);
            }
            Loaded::Picture(Ok(Box::new(picture)))
        }
        Request::Move(position, motion, look) => {
            let step = if motion.back { 1 } else { 2 };
            Loaded::Picture(Ok(Box::new(picture(
                &format!("{position}+{step}"),
                &look.memory,
                step,
            ))))
        }
        Request::Run(position, stops, way, look) => {
            let step = if *way == Way::Back { 3 } else { 4 };
            let mut picture = picture(&format!("{position}+{step}"), &look.memory, step);
            let why = stops.first().map(|s| format!("stopped by {}", s.text));
            picture.stopped = why.or_else(|| Some("the recording ends here".to_owned()));
            Loaded::Picture(Ok(Box::new(picture)))
        }
        Request::Message(_, To::Peer) => Loaded::Messages(Ok(vec![
            message(
                "p4@800",
                "p4@800 submit → p6@945 report  memory /dev/shm/job-queue+0x88..0x8c",
            ),
            message("p3@640", "p3@640 work → p6@945 report  pipe bytes 0..12"),
        ])),
        Request::Message(..) => Loaded::Messages(Ok(vec![message(
            "p6@945",
            "p4@800 submit → p6@945 report  memory /dev/shm/job-queue+0x88..0x8c",
        )])),
        // The first bytes are of two, what is behind them is of nobody.
        Request::Writers(_, _, bytes) => {
            let of = (0..bytes.len()).map(|n| match n {
                0..20 => Some(4),
                20..40 => Some(2),
                _ => None,
            });
            Loaded::Writers(Ok(of.collect()))
        }
        Request::Bookmarks(changes) => Loaded::Bookmarks(Ok(bookmarks(changes))),
        Request::Break(text, _) if text.contains("nowhere") => {
            Loaded::Stop(Err("no program has a function nowhere".to_owned()))
        }
        Request::Break(text, _) => Loaded::Stop(Ok(stop(text))),
        Request::Console => Loaded::Console(Ok(console())),
        Request::Events(..) => Loaded::Events(Ok(events())),
        Request::Seek(_, _, filter) => Loaded::Sought(Ok(sought(filter))),
    }
}

fn message(position: &str, text: &str) -> Message {
    Message {
        position: position.to_owned(),
        text: text.to_owned(),
    }
}

/// Two that the session has kept, and what was changed.
fn bookmarks(changes: &[Change]) -> Vec<Bookmark> {
    let bookmark = |position: &str, note: &str| Bookmark {
        position: position.to_owned(),
        note: note.to_owned(),
    };
    let mut all = vec![
        bookmark("p4@800", "the title that is too long 写真"),
        bookmark("p6@946+57", ""),
    ];
    for change in changes {
        match change {
            Change::Add(bookmark) => all.push(bookmark.clone()),
            Change::Remove(position) => all.retain(|b| b.position != *position),
        }
    }
    all
}

/// Where a breakpoint is: a line of the source, or else an instruction.
fn stop(text: &str) -> Stop {
    let line = text
        .rsplit_once(':')
        .and_then(|(_, line)| line.parse().ok());
    let addr = text.strip_prefix("0x");
    let addr = addr.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    Stop {
        text: text.to_owned(),
        at: StopAt::Code {
            lines: line.map(|line| (source().file, line)).into_iter().collect(),
            since: vec![(6, vec![(0, vec![addr.unwrap_or(0x40_1020)])])],
        },
    }
}

fn process(
    id: u32,
    branch: &str,
    program: &str,
    span: (u64, u64),
    ending: &str,
    end: End,
) -> Process {
    Process {
        id,
        branch: branch.to_owned(),
        pid: Some(12_100 + id),
        program: program.to_owned(),
        command: format!("build/{program}"),
        span,
        ending: ending.to_owned(),
        end,
        events: 40 * u64::from(id),
    }
}

fn overview() -> Overview {
    Overview {
        command: "./launch.sh".to_owned(),
        note: "2026-03-04 10:20:30, took 0.053 s, exit 134".to_owned(),
        recording: false,
        damage: None,
        processes: vec![
            process(1, "", "bash", (0, 999), "exit 134", End::Failed),
            process(2, "├─", "create", (60, 300), "exit 0", End::Good),
            process(3, "├─", "work", (320, 990), "exit 0", End::Good),
            process(4, "├─", "submit", (400, 900), "→ p5", End::Exec),
            process(
                6,
                "└─",
                "report",
                (500, 950),
                "SIGABRT (core dumped)",
                End::Crashed,
            ),
        ],
    }
}

fn lanes() -> Lanes {
    let lane = |id: u32, signals: &[u64]| Lane {
        recording: id,
        density: (0..100)
            .map(|n| if n % (id + 2) == 0 { n } else { 0 })
            .collect(),
        shared: (0..100)
            .map(|n| if id > 1 && n % 10 == id { n } else { 0 })
            .collect(),
        signals: signals.to_vec(),
    };
    Lanes {
        span: (0, 999),
        each: 10,
        lanes: vec![
            lane(1, &[700]),
            lane(2, &[]),
            lane(3, &[]),
            lane(4, &[]),
            lane(6, &[950]),
        ],
    }
}

/// Of the one that reports, and of the first one.
fn arrows(of: u32) -> Vec<Arrow> {
    let all = [
        ((1, 60), (2, 60)),
        ((1, 320), (3, 330)),
        ((4, 800), (6, 940)),
        ((6, 950), (1, 960)),
    ];
    let all = all.into_iter().map(|(from, to)| Arrow { from, to });
    all.filter(|a| a.from.0 == of || a.to.0 == of).collect()
}

/// A value, and maybe what was there before it.
fn shown(text: &str) -> Value {
    let split = text.split_once(" → ");
    let (old, new) = split.map_or((None, text), |(old, new)| (Some(old.to_owned()), new));
    let new = new.to_owned();
    Value { old, new }
}

fn access(
    tick: u64,
    id: u32,
    program: &str,
    kind: &'static str,
    value: &str,
    place: (&str, &str),
) -> Access {
    Access {
        position: format!("p{id}@{tick}"),
        tick,
        recording: id,
        time: format!("0.0{tick}"),
        program: program.to_owned(),
        kind,
        place: "+0x88/4".to_owned(),
        values: FORMATS
            .iter()
            .map(|format| shown(&format!("{value} ({format})")))
            .collect(),
        function: place.0.to_owned(),
        file: place.1.to_owned(),
        offset: 0x88,
        order: None,
    }
}

/// Of a place as the screens write it: `…+0x88 4`.
fn history(place: &str) -> History {
    let (object, bytes) = place.rsplit_once('+').unwrap_or((place, "0x88 4"));
    let (offset, len) = bytes.split_once(' ').unwrap_or((bytes, "4"));
    let offset = offset.trim_start_matches("0x");
    let offset = u64::from_str_radix(offset, 16).unwrap_or(0x88);
    let len = len.parse().unwrap_or(4);
    if place.starts_with("long") {
        let mut history = self::history("short 4");
        let change = format!("{}01 → {}02", "ab".repeat(24), "ab".repeat(24));
        history.rows[1].values.fill(shown(&change));
        history.rows[1].place = "+0x90/32".to_owned();
        return history;
    }
    History {
        place: format!("{object}+{offset:#x} ({len} bytes)"),
        note: "mapped by p2 create, p3 work, p4 submit, p6 report".to_owned(),
        rows: vec![
            access(120, 2, "create", "store", "? → 0", ("main", "create.cpp:7")),
            access(
                800,
                4,
                "submit",
                "store",
                "0 → 2594104980",
                ("set_title (memcpy)", "submit.cpp:16"),
            ),
            access(
                945,
                6,
                "report",
                "load",
                "sees 2594104980",
                ("main", "report.cpp:12"),
            ),
        ],
        bytes: Some(Bytes {
            object: object.to_owned(),
            offset,
            len,
        }),
        ..History::default()
    }
}

fn order() -> Vec<Option<Ordered>> {
    let order = |text: &str, before: &str, race| {
        Some(Ordered {
            text: text.to_owned(),
            before: before.to_owned(),
            race,
            unseen: race,
        })
    };
    vec![
        None,
        order("race p2@120, unseen", "p2@120", true),
        order("after p4@800 memory", "p4@800", false),
    ]
}

fn near() -> Vec<Near> {
    [0x88, 0x80, 0x8]
        .into_iter()
        .map(|offset| Near {
            place: format!("/dev/shm/job-queue+{offset:#x} 4"),
            text: format!(
                "p6@945  load  /dev/shm/job-queue+{offset:#x} 4  sees 17  main report.cpp:12"
            ),
            at: (6, 945),
        })
        .collect()
}

fn source() -> Source {
    Source {
        file: "/src/job-queue/report.cpp".to_owned(),
        line: 15,
        lines: (1..=40)
            .map(|n| {
                (
                    n,
                    format!("\tline_{n}(\"一行 text\", {n}); // what it does, at some length"),
                )
            })
            .collect(),
        problem: None,
    }
}

fn frame(n: u64, function: &str, with_source: bool) -> Frame {
    let variable = |name: &str, value: &str, place| Variable {
        name: name.to_owned(),
        value: value.to_owned(),
        place,
        pinned: false,
    };
    Frame {
        pc: 0x40_1000 + n,
        function: function.to_owned(),
        place: match with_source {
            true => "/src/job-queue/report.cpp:15".to_owned(),
            false => "/usr/lib/x86_64-linux-gnu/libc.so.6".to_owned(),
        },
        source: with_source.then(source),
        variables: match with_source {
            true => vec![
                variable("queue", "Queue {…}", Some((0x7f00_0000_1000, 656))),
                variable("queue.submitted", "5", Some((0x7f00_0000_1000, 4))),
                variable("job.failures", "-1700862316", Some((0x7f00_0000_1088, 4))),
                variable("i", "not kept here (optimized out)", None),
            ],
            false => Vec::new(),
        },
    }
}

/// A process; `step` changes some of it.
fn picture(position: &str, memory: &str, step: u64) -> Picture {
    let names = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15", "rip", "rflags",
    ];
    let registers = names.iter().zip(1..).map(|(&name, n)| {
        let value = if name == "rip" || name == "rax" {
            0x40_1000 + step
        } else {
            n * 0x1111
        };
        (
            name,
            value,
            if name == "rsp" {
                "[stack]".to_owned()
            } else {
                String::new()
            },
        )
    });
    let thread = |index, running| Thread {
        index,
        tid: 12_106 + index,
        running,
        place: "__futex_wait+31".to_owned(),
    };
    let frames = [
        "__pthread_kill",
        "raise",
        "abort",
        "__assert_fail",
        "main",
        "_start",
    ];
    Picture {
        position: position.to_owned(),
        recording: 6,
        tick: 946 + step,
        title: "/src/job-queue/build/report, pid 12106, thread 0 of 2 (tid 12106)".to_owned(),
        event: "at tgkill(12106, 12106, SIGABRT) = 0".to_owned(),
        frames: (0..)
            .zip(frames)
            .map(|(n, f)| frame(n, f, f == "main"))
            .collect(),
        frame: 4,
        cut: None,
        code: (0..30)
            .map(|n| Instruction {
                addr: 0x40_1000 + 4 * n,
                current: n == 12,
                function: "main+48".to_owned(),
                text: "mov    -0x8(%rbp),%rax".to_owned(),
            })
            .collect(),
        registers: registers.collect(),
        threads: vec![thread(0, true), thread(1, false)],
        memory: match memory {
            "nothing" => Memory {
                what: memory.to_owned(),
                problem: Some("no file that is mapped defines a variable \"nothing\"".to_owned()),
                ..Memory::default()
            },
            _ => Memory {
                what: memory.to_owned(),
                addr: 0x7ffc_1234_5678,
                bytes: (0..1024_u32)
                    .map(|n| (n * 7 + u32::try_from(step).unwrap_or(0)) as u8)
                    .collect(),
                problem: None,
            },
        },
        hint: None,
        stopped: None,
        refused: Vec::new(),
    }
}

fn line(tick: u64, id: u32, text: &str, bad: bool) -> Line {
    Line {
        position: format!("p{id}@{tick}"),
        tick,
        recording: id,
        thread: None,
        text: text.to_owned(),
        bad,
    }
}

fn console() -> Lines {
    let printed = [
        (500, 3, "worker 12103: rotate the logs"),
        (620, 3, "worker 12103: 写真を小さくする（十五枚）!"),
        (
            945,
            6,
            "report: job 3 “compact the database” failed -1700862316 times",
        ),
        (
            950,
            6,
            "report: report.cpp:15: int main(): Assertion `job.failures <= 3' failed.",
        ),
    ];
    Lines {
        lines: printed
            .iter()
            .map(|&(tick, id, text)| line(tick, id, text, false))
            .collect(),
        ..Lines::default()
    }
}

fn events() -> Lines {
    let call = |n: u64| {
        line(
            900 + n,
            6,
            &format!("write(2, \"report: {n}\"..., 62) = 62"),
            n % 9 == 4,
        )
    };
    Lines {
        lines: (0..60).map(call).collect(),
        note: Some("2000 either side of @946".to_owned()),
        part: true,
    }
}

/// Of these, and one that is far from there.
fn sought(filter: &str) -> Lines {
    let mut all = vec![line(7, 2, "openat(AT_FDCWD, \"/far/away\")", true)];
    all.extend(events().lines);
    let found = all.into_iter().filter(|line| line.text.contains(filter));
    Lines {
        lines: found.collect(),
        ..Lines::default()
    }
}
