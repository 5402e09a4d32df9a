//! What is seen of real processes, and that gdb sees the same.

pub mod live;

use super::address::Range;
use super::backtrace::{Backtrace, backtrace};
use super::code::{Syntax, around};
use super::registers::Registers;
use super::unwind::{By, Unwinder};
use super::{Mapping, Still, memory};
use live::{Live, Programs};
use orch_blame::symbols::Symbols;

/// All that is needed to look at a process.
struct Look {
    live: Live,
    maps: Vec<Mapping>,
    symbols: Symbols,
    unwinder: Unwinder,
}

impl Look {
    fn at(programs: &Programs, program: &std::path::Path, args: &[&str]) -> Self {
        let live = programs.stop(program, args);
        let maps = live.maps().expect("it has mappings");
        Self {
            live,
            maps,
            symbols: programs.symbols(),
            unwinder: Unwinder::default(),
        }
    }

    fn backtrace(&mut self) -> Backtrace {
        let regs = self.live.regs().expect("it stands still");
        let (live, maps) = (&self.live, &self.maps);
        backtrace(live, maps, &mut self.symbols, &mut self.unwinder, &regs, 64)
    }

    /// The names of the functions on the stack, compared with gdb's.
    fn names(&mut self) -> Vec<String> {
        let backtrace = self.backtrace();
        assert_eq!(backtrace.cut, None, "{backtrace:#?}");
        let names = names(&backtrace);
        self.live.let_go();
        if let Some(theirs) = self.live.as_gdb_sees_it() {
            assert_eq!(names, theirs, "ours, and gdb's");
        }
        names
    }
}

fn names(backtrace: &Backtrace) -> Vec<String> {
    let name = |call: &super::backtrace::Call| match (call.trampoline, &call.function) {
        (true, _) => "<signal>".to_owned(),
        (false, Some(name)) => name.clone(),
        (false, None) => "??".to_owned(),
    };
    backtrace.calls.iter().map(name).collect()
}

/// What the innermost functions are called.
#[track_caller]
fn begins(names: &[String], expected: &[&str]) {
    assert_eq!(names[..expected.len().min(names.len())], *expected);
}

const NESTED: [&str; 4] = ["third", "second", "first", "main"];

#[test]
fn functions_of_code_that_is_not_optimised() {
    let programs = Programs::new();
    let program = programs.build("a", "nested.c", &["-O0", "-g"]);
    begins(&Look::at(&programs, &program, &[]).names(), &NESTED);
}

#[test]
fn functions_of_optimised_code_without_frame_pointers() {
    let programs = Programs::new();
    let flags = ["-O2", "-g", "-fomit-frame-pointer"];
    let program = programs.build("a", "nested.c", &flags);
    let mut look = Look::at(&programs, &program, &[]);
    let lines: Vec<Option<u32>> = look.backtrace().calls.iter().map(|c| c.line).collect();
    assert!(lines[..4].iter().all(Option::is_some), "{lines:?}");
    begins(&look.names(), &NESTED);
}

#[test]
fn functions_by_symbols_alone() {
    let programs = Programs::new();
    let program = programs.build("a", "nested.c", &["-O2"]);
    begins(&Look::at(&programs, &program, &[]).names(), &NESTED);
}

#[test]
fn functions_that_are_inlined() {
    let programs = Programs::new();
    let program = programs.build("a", "inlined.c", &["-O2", "-g"]);
    let mut look = Look::at(&programs, &program, &[]);
    let backtrace = look.backtrace();
    let inlined: Vec<bool> = backtrace.calls.iter().map(|c| c.inlined).collect();
    assert_eq!(inlined[..4], [true, true, false, false], "{backtrace:#?}");
    begins(&look.names(), &["inner", "outer", "work", "main"]);
}

#[test]
fn functions_that_a_signal_interrupted() {
    let programs = Programs::new();
    for flags in [["-O2", "-g"], ["-O0", "-g"]] {
        let program = programs.build("a", "handler.c", &flags);
        let mut look = Look::at(&programs, &program, &[]);
        let backtrace = look.backtrace();
        assert!(backtrace.calls[1].trampoline, "{backtrace:#?}");
        assert_eq!(backtrace.calls[2].by, By::SignalFrame);
        begins(&look.names(), &["handler", "<signal>", "fault", "main"]);
    }
}

#[test]
fn a_call_of_nothing() {
    let programs = Programs::new();
    let program = programs.build("a", "handler.c", &["-O2", "-g"]);
    let mut look = Look::at(&programs, &program, &["jump"]);
    let expected = ["handler", "<signal>", "??", "jump", "main"];
    begins(&look.names(), &expected);
}

#[test]
fn functions_of_shared_libraries() {
    let programs = Programs::new();
    programs.build(
        "liblibrary.so",
        "library.c",
        &["-O2", "-g", "-shared", "-fPIC"],
    );
    let flags = ["-O2", "-g", "-L.", "-llibrary"];
    let program = programs.build("a", "caller.c", &flags);
    let names = Look::at(&programs, &program, &[]).names();
    begins(&names, &["back"]);
    let sorted = names
        .iter()
        .position(|n| n == "sorted")
        .expect("qsort_r was called there");
    begins(
        &names[sorted..],
        &["sorted", "through", "library_call", "main"],
    );
}

#[test]
fn functions_that_align_their_stack() {
    let programs = Programs::new();
    for flags in [["-O2", "-g"], ["-O0", "-g"], ["-O2", "-mstackrealign"]] {
        let program = programs.build("a", "aligned.c", &flags);
        let names = Look::at(&programs, &program, &[]).names();
        begins(&names, &["leaf", "varying", "aligned", "main"]);
    }
}

#[test]
fn functions_of_the_c_library() {
    let programs = Programs::new();
    let program = programs.build("a", "sleeping.c", &["-O2", "-g"]);
    let mut look = Look::at(&programs, &program, &[]);
    while !names(&look.backtrace())[0].contains("poll") {
        look.live.step();
    }
    let names = look.names();
    let own = names
        .iter()
        .position(|n| n == "wait_for_it")
        .expect("it calls poll");
    begins(&names[own..], &["wait_for_it", "main"]);
}

#[test]
fn unwinding_information_of_debuggers_only() {
    let programs = Programs::new();
    let flags = [
        "-O2",
        "-g",
        "-fomit-frame-pointer",
        "-fno-asynchronous-unwind-tables",
    ];
    let program = programs.build("a", "nested.c", &flags);
    begins(&Look::at(&programs, &program, &[]).names(), &NESTED);
}

const NO_INFORMATION: [&str; 4] = [
    "-O1",
    "-fno-omit-frame-pointer",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
];

#[test]
fn frame_pointers_where_there_is_no_information() {
    let programs = Programs::new();
    let program = programs.build("a", "nested.c", &NO_INFORMATION);
    let mut look = Look::at(&programs, &program, &[]);
    let backtrace = look.backtrace();
    assert_eq!(backtrace.calls[1].by, By::Guess);
    begins(&look.names(), &NESTED);
}

#[test]
fn code_without_information_or_frame_pointers() {
    let programs = Programs::new();
    let flags = [&NO_INFORMATION[..], &["-fomit-frame-pointer"]].concat();
    let program = programs.build("a", "nested.c", &flags);
    // gdb takes a wrong turn here.
    begins(
        &names(&Look::at(&programs, &program, &[]).backtrace()),
        &NESTED,
    );
}

#[test]
fn code_without_names_is_told_by_its_file() {
    let programs = Programs::new();
    let flags = [&NO_INFORMATION[..], &["-s"]].concat();
    let program = programs.build("a", "nested.c", &flags);
    let mut look = Look::at(&programs, &program, &[]);
    let backtrace = look.backtrace();
    let place = backtrace.calls[2].place();
    let expected = format!("in {}+0x", program.display());
    assert!(place.starts_with(&expected), "{place}");
    assert_eq!(backtrace.cut, None, "{backtrace:#?}");
    let own = |call: &&super::backtrace::Call| call.place().starts_with(&expected);
    // The functions of the program, and its start.
    assert_eq!(backtrace.calls.iter().filter(own).count(), NESTED.len() + 1);
}

/// Steps through a program, and counts the stacks that do not come to main.
fn lost_on_the_way(flags: &[&str]) -> (usize, Vec<String>) {
    let programs = Programs::new();
    let program = programs.build("a", "nested.c", flags);
    let mut look = Look::at(&programs, &program, &[]);
    let registers = Registers::default();
    let go: Range = "go".parse().expect("it is a variable");
    let (addr, len) = go
        .resolve(&registers, &look.maps, &mut look.symbols)
        .expect("it is there");
    assert_eq!(len, 4);
    look.live.write(addr, &[1]);
    let (mut steps, mut lost) = (0, Vec::new());
    loop {
        let backtrace = look.backtrace();
        let names = names(&backtrace);
        let mut own = names.iter().filter(|n| NESTED.contains(&n.as_str()));
        if names.iter().any(|n| n.contains("exit")) || steps > 2000 {
            return (steps, lost);
        }
        // Calls of the C library have the program's functions behind them.
        let chain: Vec<&str> = own.by_ref().map(String::as_str).collect();
        let whole = NESTED.ends_with(&chain) && !chain.is_empty();
        let before_main = names[0].contains("libc_start");
        if (!whole && !before_main) || backtrace.cut.is_some() {
            lost.push(format!(
                "{}: {names:?}",
                look.live.regs().expect("it stands").rip
            ));
        }
        look.live.step();
        steps += 1;
    }
}

#[test]
fn at_each_instruction_of_optimised_code() {
    let (steps, lost) = lost_on_the_way(&["-O2", "-g", "-fomit-frame-pointer"]);
    assert!(steps > 50);
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn at_each_instruction_of_code_without_information() {
    let (steps, lost) = lost_on_the_way(&NO_INFORMATION);
    assert!(steps > 50);
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn addresses_of_registers_and_variables() {
    let programs = Programs::new();
    let program = programs.build("a", "nested.c", &["-O2", "-g"]);
    let mut look = Look::at(&programs, &program, &[]);
    let regs = look.live.regs().expect("it stands still");
    let registers = Registers::from(&regs);
    let mut resolve = |text: &str| {
        let range: Range = text.parse().map_err(|e| format!("{e}"))?;
        let resolved = range.resolve(&registers, &look.maps, &mut look.symbols);
        resolved.map_err(|e| e.to_string())
    };
    assert_eq!(resolve("$rsp+8:16"), Ok((regs.rsp + 8, 16)));
    assert_eq!(resolve("$pc"), Ok((regs.rip, Range::DEFAULT)));
    assert_eq!(resolve("0x1000:0x20"), Ok((0x1000, 32)));
    let (counters, size) = resolve("counters").expect("it is a variable");
    assert_eq!(size, 16);
    assert_eq!(resolve("counters+4"), Ok((counters + 4, 12)));
    assert_eq!(resolve("counters+4:4"), Ok((counters + 4, 4)));
    for text in [
        "$nothing",
        "no_such_variable",
        "",
        "0x:4",
        "0x10:0",
        "$rsp+",
        "12:x",
    ] {
        assert!(resolve(text).is_err(), "{text}");
    }
    let bytes = memory::read(&look.live, counters, 16);
    assert!(bytes.whole);
    let lines: Vec<String> = memory::lines(&bytes).collect();
    assert!(
        lines[0].contains(" 01 00 00 00 02 00 00 00  03 00 00 00 04 00 00 00  |"),
        "{lines:?}"
    );
    let text = memory::unreadable(&look.maps, &look.symbols, 16);
    assert!(
        text.contains("nothing is mapped at 0x10; nearest"),
        "{text}"
    );
}

#[test]
fn functions_of_other_files_are_named_where_they_are_called() {
    let programs = Programs::new();
    let program = programs.build("a", "sleeping.c", &["-O2", "-g"]);
    let mut look = Look::at(&programs, &program, &[]);
    let stack = look.backtrace().calls;
    let own = |call: &&super::backtrace::Call| call.function.as_deref() == Some("wait_for_it");
    let pc = stack.iter().find(own).expect("it has not returned").pc;
    let symbols = &mut look.symbols;
    let lines = around(&look.live, &look.maps, symbols, pc, (20, 20), Syntax::Att);
    let mut targets = lines.iter().filter_map(|l| Some(&l.target.as_ref()?.1));
    assert!(targets.any(|name| name == "poll@plt"), "{lines:#?}");
}

#[test]
fn instructions_around_one() {
    let programs = Programs::new();
    let program = programs.build("a", "nested.c", &NO_INFORMATION);
    let mut look = Look::at(&programs, &program, &[]);
    let caller = look.backtrace().calls[1].pc;
    for (syntax, add) in [
        (Syntax::Att, "add    $0x1,%edi"),
        (Syntax::Intel, "add    edi,0x1"),
    ] {
        let symbols = &mut look.symbols;
        let lines = around(&look.live, &look.maps, symbols, caller, (2, 3), syntax);
        let at = lines
            .iter()
            .position(|l| l.addr == caller)
            .expect("it is shown");
        assert!(at >= 1 && lines.len() == at + 4, "{lines:#?}");
        let before = &lines[at - 1];
        assert!(before.text.starts_with("call "), "{before:?}");
        assert_eq!(lines[0].text, add);
        let (_, name) = before.target.as_ref().expect("it is a function");
        assert_eq!(name, "third");
        assert!(
            before
                .function
                .as_ref()
                .is_some_and(|f| f.starts_with("second"))
        );
    }
}
