//! A process at a position: one is replayed at a time, and moved from where it stands.

use super::live::Live;
use super::worker::Job;
use super::{lines, motion, run};
use crate::commands::inspect::picture::frame as frame_of;
use crate::describe::{self, safe};
use crate::inspect::address::Range;
use crate::inspect::backtrace::{Call, backtrace};
use crate::inspect::code::{self, Syntax, around};
use crate::inspect::registers::{Registers, flags};
use crate::inspect::source;
use crate::inspect::unwind::Unwinder;
use crate::inspect::variables::{Variable, Variables};
use crate::inspect::{self, Mapping, Still, mapping, memory};
use crate::position::{At, Position, When};
use crate::travel::Travel;
use anyhow::{Context as _, Result};
use orch_abi::record::Regs;
use orch_blame::symbols::{Symbols, is_of_the_system};
use orch_recorder::files::FileStore;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use orch_tui::data::{self, Frame, Instruction, Memory, Picture};
use orch_tui::event::{Look, Request};
use std::path::PathBuf;

/// Functions of the stack that are shown at most.
pub(super) const FRAMES: usize = 60;
/// So many of them with their variables: to find these takes time at each step.
const WITH_VARIABLES: usize = 16;
/// Instructions before and behind the next one.
const AROUND: (usize, usize) = (40, 60);

/// What replays.
pub struct Traveller {
    pub(super) session: Session,
    live: Live,
    pub(super) travel: Option<Travel>,
    pub(super) symbols: Symbols,
    pub(super) unwinder: Unwinder,
    variables: Variables,
    files: Option<FileStore>,
    sources: Vec<PathBuf>,
    /// It may stand elsewhere than where the user was told.
    astray: bool,
    /// Where it was told to stand.
    told: Option<Position>,
}

impl Traveller {
    /// Nowhere yet.
    pub fn new(session: Session, sources: Vec<PathBuf>) -> Self {
        Self {
            symbols: Symbols::of(session.files().ok()),
            files: session.files().ok(),
            unwinder: Unwinder::default(),
            variables: Variables::default(),
            travel: None,
            astray: false,
            told: None,
            live: Live::new(session.clone()),
            session,
            sources,
        }
    }

    /// Goes there, and looks.
    pub fn answer(&mut self, job: &Job, request: &Request) -> Result<Picture> {
        let astray = std::mem::replace(&mut self.astray, true);
        let mut stopped = None;
        let (position, look) = match request {
            Request::Move(from, step, look) => {
                let from: Position = from.parse()?;
                self.begin(job, from, astray)?;
                motion::step(self, job, *step, from)?;
                (self.travel()?.position()?, look)
            }
            Request::Run(from, stops, way, look) => {
                let from: Position = from.parse()?;
                self.begin(job, from, astray)?;
                stopped = Some(run::run(self, job, stops, *way)?);
                (self.travel()?.position()?, look)
            }
            Request::Visit(text, look) => {
                let position = self.meant(text)?;
                // To look at something else there, nothing is to be replayed.
                if astray || self.told != Some(position) {
                    self.go(job, position)?;
                }
                (position, look)
            }
            _ => anyhow::bail!("this is for the other thread"),
        };
        let mut picture = self.picture(position, look)?;
        picture.stopped = stopped;
        self.astray = false;
        self.told = Some(position);
        Ok(picture)
    }

    /// Stands at `from`, to be moved.
    fn begin(&mut self, job: &Job, from: Position, astray: bool) -> Result<()> {
        let there = self.travel.as_ref().map(Travel::recording);
        if astray || there != Some(from.recording) {
            self.go(job, from)?;
        }
        job.interrupt_by(&self.travel()?.interrupter());
        Ok(())
    }

    /// Of a moment of all recordings, the one whose event it is, or the one that is shown, or
    /// else the first that runs then.
    fn meant(&self, text: &str) -> Result<Position> {
        let when: When = text.parse()?;
        let positions = when.positions(&self.session)?;
        let tick = when.tick(&self.session)?;
        let shown = self.told.map(|told| told.recording);
        let rank = |position: &&Position| {
            let owns = position.at == At::tick(tick);
            let is_shown = Some(position.recording) == shown;
            (!owns, !is_shown)
        };
        let best = positions.iter().min_by_key(rank).copied();
        best.with_context(|| format!("nothing runs at {text}"))
    }

    fn go(&mut self, job: &Job, to: Position) -> Result<()> {
        let grows = self.grows(to.recording);
        if grows || self.travel.as_ref().map(Travel::recording) != Some(to.recording) {
            // One at a time: the old one's processes end first.
            self.travel = None;
            self.travel = Some(Travel::open(self.session.clone(), to.recording)?);
        }
        let there = self.travel()?;
        job.interrupt_by(&there.interrupter());
        let gone = there.go_to(&to);
        gone.with_context(|| format!("cannot go to {to}"))
    }

    /// Whether a recording may be longer than when it was last looked at. Files that were
    /// kept meanwhile are known from here on.
    fn grows(&mut self, id: RecordingId) -> bool {
        let before = self.live.runs();
        self.session = self.live.now().clone();
        if before {
            self.symbols = Symbols::of(self.session.files().ok());
            self.files = self.session.files().ok();
        }
        before && !self.session.summary(id).is_ok_and(|s| s.finished)
    }

    /// The process that is replayed.
    pub(super) fn travel(&mut self) -> Result<&mut Travel> {
        self.travel.as_mut().context("nothing is replayed")
    }

    fn picture(&mut self, position: Position, look: &Look) -> Result<Picture> {
        let Some(travel) = &mut self.travel else {
            anyhow::bail!("nothing is replayed")
        };
        let maps = Still::maps(travel)?;
        let regs = travel.regs()?;
        let threads = Still::threads(travel)?;
        let (symbols, unwinder) = (&mut self.symbols, &mut self.unwinder);
        let stack = backtrace(travel, &maps, symbols, unwinder, &regs, FRAMES);
        let code = around(travel, &maps, symbols, regs.rip, AROUND, Syntax::default());
        let listed = threads.iter().map(|t| listed(t, &maps, symbols)).collect();
        let (mut sound, mut refused) = (Vec::new(), Vec::new());
        for text in &look.expressions {
            match Variables::parse(text) {
                Ok(_) => sound.push(text),
                Err(why) => refused.push((text.clone(), why)),
            }
        }
        let known = (0..stack.calls.len().min(WITH_VARIABLES)).map(|n| {
            let mut all = Vec::new();
            for text in &sound {
                let value = &mut self.variables;
                let rows = value.value(&*travel, symbols, &stack.calls, n, text);
                all.extend(rows.into_iter().map(|row| variable(row, true)));
            }
            let own = self.variables.of(&*travel, symbols, &stack.calls, n);
            all.extend(own.into_iter().map(|row| variable(row, false)));
            all
        });
        let known: Vec<Vec<data::Variable>> = known.collect();
        let registers = registers(&maps, symbols, &regs);
        let thread = threads.iter().find(|t| t.running).or(threads.first());
        let thread = match thread.filter(|_| threads.len() > 1) {
            Some(t) => format!(", thread {} of {} (tid {})", t.index, threads.len(), t.tid),
            None => String::new(),
        };
        let (pid, program) = crate::commands::process(&self.session, position.recording);
        let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
        let event = describe::at(&self.session, position);
        let event = event.map_or_else(String::new, |e| {
            format!("{} {}", position.at.relation(), e.text)
        });
        let mut frames: Vec<Frame> = stack.calls.iter().map(|call| self.frame(call)).collect();
        for (frame, variables) in frames.iter_mut().zip(known) {
            frame.variables = variables;
        }
        let frame = first_to_show(&frames, &stack.calls);
        let at = look.frame.unwrap_or(frame).min(stack.calls.len());
        let memory = self.memory(&maps, &regs, &stack.calls[at..], &look.memory)?;
        Ok(Picture {
            position: position.to_string(),
            recording: position.recording.0,
            tick: position.tick(&self.session)?.0,
            title: format!("{}{pid}{thread}", safe(program.as_bytes())),
            event: safe(event.as_bytes()),
            frame,
            frames,
            cut: stack.cut.clone().map(|_| "there may be more".to_owned()),
            code: code
                .into_iter()
                .map(|line| instruction(line, regs.rip))
                .collect(),
            registers,
            threads: listed,
            memory,
            hint: stack
                .calls
                .first()
                .and_then(|call| source::hint(call, &mut self.symbols)),
            stopped: None,
            refused,
        })
    }

    /// Memory that was asked for: by a variable of the first of these functions, or what is
    /// behind one; or else by an address.
    fn memory(
        &mut self,
        maps: &[Mapping],
        regs: &Regs,
        calls: &[Call],
        text: &str,
    ) -> Result<Memory> {
        let travel = self.travel.as_ref().context("nothing is replayed")?;
        let symbols = &mut self.symbols;
        let split = text.rsplit_once(':');
        let name = split.filter(|(_, len)| orch_blame::place::number(len).is_some());
        let name = name.map_or(text, |(name, _)| name);
        let rows = self.variables.value(travel, symbols, calls, 0, name);
        let place = rows.first().and_then(|row| row.place);
        Ok(match place {
            Some((addr, _)) => {
                let address = format!("{addr:#x}");
                let what = text.to_owned();
                Memory {
                    what,
                    ..memory_of(travel, maps, symbols, regs, &address)
                }
            }
            None => memory_of(travel, maps, symbols, regs, text),
        })
    }

    fn frame(&self, call: &Call) -> Frame {
        let known = frame_of(call);
        let place = match (&call.file, call.line, &call.module) {
            (Some(file), Some(line), _) => format!("{file}:{line}"),
            (Some(file), None, _) => file.clone(),
            (None, _, Some(module)) => module.path.clone(),
            _ => String::new(),
        };
        let mut function = call.function.clone().unwrap_or(match &call.module {
            Some(module) => format!("{:#x}", module.vaddr),
            None => known.text,
        });
        if call.trampoline {
            "<signal handler called>".clone_into(&mut function);
        }
        if call.inlined {
            function += " (inlined)";
        }
        Frame {
            pc: call.pc,
            function: safe(function.as_bytes()),
            place: safe(place.as_bytes()),
            source: lines::of(call, self.files.as_ref(), &self.sources),
            variables: Vec::new(),
        }
    }
}

/// The function that is shown first: the innermost that was written here, if its source is to
/// be read; else that one all the same, or the innermost that has source.
fn first_to_show(frames: &[Frame], calls: &[Call]) -> usize {
    let has_lines = |f: &Frame| f.source.as_ref().is_some_and(|s| !s.lines.is_empty());
    let is_own = |f: &Frame| {
        let source = f.source.as_ref();
        source.is_some_and(|s| !is_of_the_system(&s.file))
    };
    // Libraries of the system name their sources as they like.
    let is_library = |call: &Call| {
        let path = call.module.as_ref().map_or("", |module| &module.path[..]);
        ["/usr/", "/lib"].iter().any(|dir| path.starts_with(dir))
    };
    let with_lines = frames.iter().position(|f| is_own(f) && has_lines(f));
    let mut both = frames.iter().zip(calls);
    let found = with_lines.or_else(|| both.position(|(f, call)| is_own(f) && !is_library(call)));
    let found = found.or_else(|| frames.iter().position(has_lines));
    found.unwrap_or(0)
}

fn instruction(line: code::Line, rip: u64) -> Instruction {
    let target = line
        .target
        .map_or_else(String::new, |(_, name)| format!("  <{name}>"));
    Instruction {
        addr: line.addr,
        current: line.addr == rip,
        function: safe(line.function.unwrap_or_default().as_bytes()),
        text: safe(format!("{}{target}", line.text).as_bytes()),
    }
}

fn registers(
    maps: &[Mapping],
    symbols: &mut Symbols,
    regs: &Regs,
) -> Vec<(&'static str, u64, String)> {
    let mut values: Vec<(&'static str, u64, String)> = Vec::new();
    for (name, value) in Registers::from(regs).iter() {
        let value = value.unwrap_or(0);
        let meaning = mapping(maps, value).map_or_else(String::new, |map| {
            let code = map
                .is_code()
                .then(|| code::name(maps, symbols, value))
                .flatten();
            let what = code.unwrap_or_else(|| match map.has(regs.rsp) {
                true => "stack".to_owned(),
                false => memory::what(map, symbols),
            });
            what.rsplit('/').next().unwrap_or_default().to_owned()
        });
        values.push((name, value, safe(meaning.as_bytes())));
    }
    values.push(("rflags", regs.rflags, flags(regs.rflags)));
    values
}

fn memory_of(
    travel: &Travel,
    maps: &[Mapping],
    symbols: &mut Symbols,
    regs: &Regs,
    text: &str,
) -> Memory {
    /// What is behind what was asked for is shown too: some screens full.
    const SHOWN: u64 = 1024;
    let range = text.parse::<Range>().map_err(|e| e.to_string());
    let found = range.and_then(|range| {
        let found = range.resolve(&Registers::from(regs), maps, symbols);
        found.map_err(|e| e.to_string())
    });
    let what = text.to_owned();
    match found {
        Ok((addr, _)) => {
            let read = memory::read(travel, addr, SHOWN);
            let end = addr.wrapping_add(read.bytes.len() as u64);
            let problem = (!read.whole).then(|| memory::unreadable(maps, symbols, end));
            Memory {
                what,
                addr,
                bytes: read.bytes,
                problem,
            }
        }
        Err(why) => Memory {
            what,
            problem: Some(why),
            ..Memory::default()
        },
    }
}

fn variable(variable: Variable, pinned: bool) -> data::Variable {
    data::Variable {
        name: safe(variable.name.as_bytes()),
        value: variable.value,
        place: variable.place,
        pinned,
    }
}

fn listed(thread: &inspect::Thread, maps: &[Mapping], symbols: &mut Symbols) -> data::Thread {
    let place = code::name(maps, symbols, thread.regs.rip);
    data::Thread {
        index: thread.index,
        tid: thread.tid,
        running: thread.running,
        place: safe(
            place
                .unwrap_or_else(|| format!("{:#x}", thread.regs.rip))
                .as_bytes(),
        ),
    }
}
