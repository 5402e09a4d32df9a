//! All that is shown of a process, as text or as JSON.

use super::Args;
use crate::commands::Usage;
use crate::describe::{self, Line};
use crate::inspect::backtrace::{Backtrace, Call, backtrace};
use crate::inspect::code::{self, around};
use crate::inspect::names::Names;
use crate::inspect::registers::{self, Registers, flags};
use crate::inspect::source::{self, Source};
use crate::inspect::unwind::{By, Unwinder};
use crate::inspect::variables::{Variable, Variables};
use crate::inspect::{Mapping, Still, Thread, known, mapping, memory};
use crate::position::Position;
use anyhow::Result;
use orch_abi::record::Regs;
use orch_blame::index::Index;
use orch_blame::place;
use orch_blame::symbols::Symbols;
use orch_recorder::files::FileStore;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use std::collections::BTreeMap;

/// It.
#[derive(Serialize)]
pub struct Picture {
    pub position: String,
    #[serde(serialize_with = "describe::id")]
    pub recording: RecordingId,
    pub pid: Option<u32>,
    pub program: String,
    /// Number of the thread that is shown.
    pub thread: u32,
    pub tid: u32,
    /// How many threads there are.
    pub threads: usize,
    pub event: Option<Line>,
    /// How the position is related to the event, in a word.
    #[serde(skip)]
    pub relation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<Frame>>,
    /// Why the stack may go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locals: Option<Vec<Locals>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registers: Option<Values>,
    /// x87 and vector registers, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disassembly: Option<Vec<Instruction>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_list: Option<Vec<ThreadRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maps: Option<Vec<MapRow>>,
    /// What would show more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether registers are told with what they point to.
    #[serde(skip)]
    pub with_meaning: bool,
}

/// A line of the stack.
#[derive(Serialize)]
pub struct Frame {
    pub pc: String,
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub inlined: bool,
    pub module: Option<String>,
    /// Place in the module, in its own terms.
    pub offset: Option<String>,
    pub by: By,
    /// All of it in words.
    pub text: String,
}

/// Registers: names, values, and what they point to.
pub struct Values(pub Vec<(&'static str, u64, Option<String>)>);

/// An instruction.
#[derive(Serialize)]
pub struct Instruction {
    pub address: String,
    pub current: bool,
    pub bytes: String,
    pub text: String,
    pub function: Option<String>,
    pub target: Option<String>,
}

/// Some memory.
#[derive(Serialize)]
pub struct Memory {
    pub what: String,
    pub address: String,
    pub hex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// As text.
    #[serde(skip)]
    pub lines: Vec<String>,
}

/// The variables of a function.
#[derive(Serialize)]
pub struct Locals {
    /// Which of the stack: 0 is the innermost.
    pub level: usize,
    pub function: Option<String>,
    pub variables: Vec<Local>,
}

/// A variable, or a member of one.
#[derive(Serialize)]
pub struct Local {
    pub name: String,
    pub value: String,
    /// Where it is in memory, if it is.
    pub address: Option<String>,
    pub size: Option<u64>,
}

/// A thread.
#[derive(Serialize)]
pub struct ThreadRow {
    pub thread: u32,
    pub tid: u32,
    pub name: Option<String>,
    pub running: bool,
    pub pc: String,
    pub fs_base: String,
    /// Its innermost functions.
    pub place: String,
}

/// A mapping.
#[derive(Serialize)]
pub struct MapRow {
    pub start: String,
    pub end: String,
    pub prot: String,
    pub offset: Option<String>,
    pub what: String,
}

/// What is used to look.
struct Look<'a, S> {
    still: &'a S,
    maps: Vec<Mapping>,
    symbols: Symbols,
    unwinder: Unwinder,
    files: Option<FileStore>,
}

impl Picture {
    /// Takes it, as far as `args` ask for it.
    pub fn take(
        session: &Session,
        position: Position,
        still: &mut impl Still,
        args: &Args,
    ) -> Result<Self> {
        let threads = still.threads()?;
        let thread = chosen(&threads, args.thread)?;
        let mut maps = still.maps()?;
        // Names of memory cost reading the recording up to here.
        if args.maps || args.regs || !args.mem.is_empty() {
            maps = named(session, position, maps)?;
        }
        let extended = match args.regs && args.json && thread.running {
            true => still.extended()?,
            false => None,
        };
        let mut look = Look {
            maps,
            still,
            symbols: Symbols::of(session.files().ok()),
            unwinder: Unwinder::default(),
            files: session.files().ok(),
        };
        let nothing = !(args.regs
            || args.backtrace
            || args.locals
            || args.source
            || args.disasm
            || args.threads
            || args.maps)
            && args.mem.is_empty();
        let regs = &match thread.running {
            true => look.still.regs()?,
            false => thread.regs,
        };
        let general = Registers::from(regs);
        let stack = look.stack(regs, args.limit);
        let (pid, program) = crate::commands::process(session, position.recording);
        let wanted = |asked: bool| asked || nothing;
        let with_source = wanted(args.source);
        Ok(Self {
            position: position.to_string(),
            recording: position.recording,
            pid,
            program,
            thread: thread.index,
            tid: thread.tid,
            threads: threads.len(),
            event: describe::at(session, position),
            relation: position.at.relation(),
            source: with_source.then(|| look.source(&stack, args)).flatten(),
            hint: (with_source || args.backtrace)
                .then(|| source::hint(stack.calls.first()?, &mut look.symbols))
                .flatten(),
            cut: stack.cut.clone().filter(|_| wanted(args.backtrace)),
            frames: wanted(args.backtrace).then(|| stack.calls.iter().map(frame).collect()),
            locals: args.locals.then(|| look.locals(&stack)),
            registers: wanted(args.regs).then(|| look.registers(regs, thread.fs_base)),
            extended: extended.map(|state| registers::extended(&state).into_iter().collect()),
            disassembly: args.disasm.then(|| look.disassembly(regs, args)),
            memory: args
                .mem
                .iter()
                .map(|range| look.memory(&general, range))
                .collect::<Result<_>>()?,
            thread_list: match args.threads {
                true => Some(look.threads(session, position, &threads)?),
                false => None,
            },
            maps: args.maps.then(|| look.maps()),
            with_meaning: args.regs,
        })
    }

    /// Whether all that was asked for could be read.
    pub fn is_whole(&self) -> bool {
        self.memory.iter().all(|memory| memory.problem.is_none())
    }
}

/// Mappings of a position with the names of what is there.
pub fn named(session: &Session, position: Position, maps: Vec<Mapping>) -> Result<Vec<Mapping>> {
    let at = (position.recording, position.tick(session)?);
    match place::shared(session, position.recording)? {
        Some(catalog) if !Index::is_kept(session) => known::name(session, &catalog, at, maps),
        _ => {
            let index = crate::commands::index::open(session)?;
            known::name(session, index.catalog(), at, maps)
        }
    }
}

fn chosen(threads: &[Thread], number: Option<u32>) -> Result<&Thread> {
    let found = match number {
        Some(number) => threads.iter().find(|t| t.index == number),
        None => threads.iter().find(|t| t.running).or(threads.first()),
    };
    found.ok_or_else(|| {
        let all: Vec<String> = threads.iter().map(|t| t.index.to_string()).collect();
        let all = all.join(", ");
        Usage(format!("there is no such thread here; there are {all}")).into()
    })
}

/// A line of the stack as it is shown.
pub fn frame(call: &Call) -> Frame {
    let module = call.module.as_ref();
    Frame {
        pc: format!("{:#x}", call.pc),
        function: call.function.clone(),
        file: call.file.clone(),
        line: call.line,
        inlined: call.inlined,
        module: module.map(|m| m.path.clone()),
        offset: module.map(|m| format!("{:#x}", m.vaddr)),
        by: call.by,
        text: call.place(),
    }
}

impl<S: Still> Look<'_, S> {
    fn stack(&mut self, regs: &Regs, limit: usize) -> Backtrace {
        let (symbols, unwinder) = (&mut self.symbols, &mut self.unwinder);
        backtrace(self.still, &self.maps, symbols, unwinder, regs, limit)
    }

    /// The variables of all functions that have some.
    fn locals(&mut self, stack: &Backtrace) -> Vec<Locals> {
        let mut finder = Variables::default();
        let of = |(level, call): (usize, &Call)| {
            let found = finder.of(self.still, &mut self.symbols, &stack.calls, level);
            let local = |v: Variable| Local {
                name: v.name,
                value: v.value,
                address: v.place.map(|(addr, _)| format!("{addr:#x}")),
                size: v.place.map(|(_, size)| size),
            };
            Locals {
                level,
                function: call.function.clone(),
                variables: found.into_iter().map(local).collect(),
            }
        };
        let all = stack.calls.iter().enumerate().map(of);
        all.filter(|l| !l.variables.is_empty()).collect()
    }

    /// The source of the innermost function whose source is there; where there is none, why.
    fn source(&self, stack: &Backtrace, args: &Args) -> Option<Source> {
        let around = if args.source { 5 } else { 2 };
        let lines = |call| source::of(call, around, self.files.as_ref(), &args.sources);
        let mut with_lines = stack.calls.iter().filter_map(lines);
        let first = with_lines.next()?;
        if !first.lines.is_empty() {
            return Some(first);
        }
        Some(with_lines.find(|s| !s.lines.is_empty()).unwrap_or(first))
    }

    fn registers(&mut self, regs: &Regs, fs_base: u64) -> Values {
        let registers = Registers::from(regs);
        let mut values = Vec::new();
        for (name, value) in registers.iter() {
            let value = value.unwrap_or(0);
            values.push((name, value, self.meaning(value)));
        }
        values.push(("rflags", regs.rflags, Some(flags(regs.rflags))));
        values.push(("fs_base", fs_base, None));
        Values(values)
    }

    /// What is at an address.
    fn meaning(&mut self, addr: u64) -> Option<String> {
        let map = mapping(&self.maps, addr)?;
        let name = map
            .is_code()
            .then(|| code::name(&self.maps, &mut self.symbols, addr));
        name.flatten()
            .or_else(|| Some(memory::what(map, &self.symbols)))
    }

    fn disassembly(&mut self, regs: &Regs, args: &Args) -> Vec<Instruction> {
        const AROUND: (usize, usize) = (8, 12);
        let symbols = &mut self.symbols;
        let lines = around(
            self.still,
            &self.maps,
            symbols,
            regs.rip,
            AROUND,
            args.syntax,
        );
        let instruction = |line: code::Line| Instruction {
            address: format!("{:#x}", line.addr),
            current: line.addr == regs.rip,
            bytes: hex(&line.bytes),
            text: line.text,
            function: line.function,
            target: line
                .target
                .map(|(addr, name)| format!("{addr:#x} <{name}>")),
        };
        lines.into_iter().map(instruction).collect()
    }

    fn memory(
        &mut self,
        registers: &Registers,
        range: &crate::inspect::address::Range,
    ) -> Result<Memory> {
        let found = range.resolve(registers, &self.maps, &mut self.symbols);
        let (addr, len) = found.map_err(|e| Usage(e.to_string()))?;
        if len > memory::MOST {
            let most = memory::MOST;
            return Err(Usage(format!("{len} bytes are too many; at most {most}")).into());
        }
        let read = memory::read(self.still, addr, len);
        let end = addr.wrapping_add(read.bytes.len() as u64);
        let problem = (!read.whole).then(|| memory::unreadable(&self.maps, &self.symbols, end));
        Ok(Memory {
            what: range.address.to_string(),
            address: format!("{addr:#x}"),
            hex: hex(&read.bytes),
            problem,
            lines: memory::lines(&read).collect(),
        })
    }

    fn threads(
        &mut self,
        session: &Session,
        position: Position,
        threads: &[Thread],
    ) -> Result<Vec<ThreadRow>> {
        let names = Names::read(session, position.recording)?;
        let (tick, over) = (position.tick(session)?, position.at.is_behind());
        let names = names.at_tick(tick.0, over);
        let mut row = |thread: &Thread| ThreadRow {
            name: names.get(&thread.index).map(|&name| name.to_owned()),
            ..self.thread(thread)
        };
        Ok(threads.iter().map(&mut row).collect())
    }

    fn thread(&mut self, thread: &Thread) -> ThreadRow {
        const SHOWN: usize = 4;
        let stack = self.stack(&thread.regs, SHOWN);
        let name = |call: &Call| call.function.clone().unwrap_or_else(|| call.place());
        let names: Vec<String> = stack.calls.iter().map(name).take(SHOWN).collect();
        ThreadRow {
            thread: thread.index,
            tid: thread.tid,
            name: None,
            running: thread.running,
            pc: format!("{:#x}", thread.regs.rip),
            fs_base: format!("{:#x}", thread.fs_base),
            place: names.join(" < "),
        }
    }

    fn maps(&self) -> Vec<MapRow> {
        let row = |map: &Mapping| MapRow {
            start: format!("{:#x}", map.start),
            end: format!("{:#x}", map.end),
            prot: memory::prot(map),
            offset: map.file_at(map.start).map(|(_, at)| format!("{at:#x}")),
            what: memory::what(map, &self.symbols),
        };
        self.maps.iter().map(row).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Serialize for Values {
    fn serialize<T: Serializer>(&self, to: T) -> Result<T::Ok, T::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value, _) in &self.0 {
            map.serialize_entry(name, &format!("{value:#x}"))?;
        }
        map.end()
    }
}
