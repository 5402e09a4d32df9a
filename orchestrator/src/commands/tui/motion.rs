//! Steps: by instructions, lines and events, both ways.

use super::picture::Traveller;
use super::worker::Job;
use crate::describe;
use crate::inspect::backtrace::{Call, backtrace};
use crate::inspect::{Mapping, Still, mapping, word};
use crate::position::{At, Position};
use crate::travel::{Reason, Stops, TravelError, is_call};
use anyhow::{Context as _, Result};
use iced_x86::FlowControl;
use orch_abi::record::Kind;
use orch_blame::symbols::{Frame, is_of_the_system};
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use orch_tui::event::{By, Motion};

/// A line that takes more instructions is left where it is.
const MOST: usize = 20_000;

/// A step from `from`, where the process stands.
pub fn step(to: &mut Traveller, job: &Job, motion: Motion, from: Position) -> Result<()> {
    match (motion.by, motion.back) {
        (By::Instruction, false) => to.travel()?.step(),
        (By::Instruction, true) => to.travel()?.step_back(),
        (By::Event, back) => {
            let position = event(&to.session, from, back)?;
            to.travel()?.go_to(&position)
        }
        (By::Line, back) => {
            let here = to.travel()?.here().clone();
            let mut lines = Lines::new(to, job)?;
            let done = match back {
                true => lines.back(motion.frame),
                false => lines.forward(motion.frame),
            };
            if done.is_err() {
                // A line that is not there is no reason to be elsewhere.
                let travel = to.travel()?;
                if !done.as_ref().is_err_and(is_interrupted) {
                    travel.go(here)?;
                }
            }
            done
        }
    }
}

fn is_interrupted(e: &anyhow::Error) -> bool {
    matches!(e.downcast_ref(), Some(TravelError::Interrupted))
}

/// The next event that people care for, or the one before.
fn event(session: &Session, from: Position, back: bool) -> Result<Position> {
    let tick = from.tick(session)?.0;
    let id = from.recording;
    let is_behind = from.at.is_behind() && from.at != At::End;
    let found = match back {
        false => search(
            session,
            id,
            (tick + u64::from(from.at != At::Start), u64::MAX),
            true,
        )?,
        true => {
            let end = if is_behind {
                tick
            } else {
                tick.saturating_sub(1)
            };
            let near = search(session, id, (end.saturating_sub(4000), end), false)?;
            match near {
                Some(near) => Some(near),
                None => search(session, id, (0, end), false)?,
            }
        }
    };
    match (found, back) {
        (Some(tick), _) => Ok(Position::event(id, tick)),
        (None, true) => Err(TravelError::Start.into()),
        (None, false) => Err(TravelError::End.into()),
    }
}

/// The first or the last event among these ticks.
fn search(
    session: &Session,
    id: RecordingId,
    (from, to): (u64, u64),
    first: bool,
) -> Result<Option<u64>> {
    let mut records = session.reader(id)?.records();
    records.seek_tick(Tick(from))?;
    let mut found = None;
    while let Some(record) = records.next_record()? {
        let tick = record.head.tick;
        if tick > to {
            break;
        }
        let passed_over = matches!(
            Kind::from_u8(record.head.kind),
            Some(
                Kind::Object | Kind::View | Kind::Ended | Kind::Digest | Kind::Point | Kind::Spawn
            )
        );
        if passed_over || describe::is_internal(&record) || tick < from {
            continue;
        }
        found = Some(tick);
        if first {
            break;
        }
    }
    Ok(found)
}

type Place = (String, u32);

/// Steps of lines.
struct Lines<'t> {
    to: &'t mut Traveller,
    job: &'t Job,
    maps: Vec<Mapping>,
}

impl<'t> Lines<'t> {
    fn new(to: &'t mut Traveller, job: &'t Job) -> Result<Self> {
        let maps = Still::maps(to.travel()?)?;
        Ok(Self { to, job, maps })
    }

    /// The line of the program here, if it has one.
    fn place(&mut self) -> Result<Option<Place>> {
        let rip = self.to.travel()?.regs()?.rip;
        if mapping(&self.maps, rip).is_none() {
            self.maps = Still::maps(self.to.travel()?)?;
        }
        let file = mapping(&self.maps, rip).and_then(|map| map.file_at(rip));
        let code = file.map(|(file, offset)| self.to.symbols.code(file, offset));
        Ok(code.and_then(|code| {
            // What headers of the system brought is part of the line that uses it.
            let own = |f: &&Frame| !f.file.as_deref().is_some_and(is_of_the_system);
            let frame = code.frames.iter().find(own).or(code.frames.first())?;
            Some((frame.file.clone()?, frame.line?))
        }))
    }

    /// A function of the stack, if it is not the innermost.
    fn caller(&mut self, frame: usize) -> Result<Option<Call>> {
        if frame == 0 {
            return Ok(None);
        }
        let (maps, to) = (&self.maps, &mut *self.to);
        let travel = to.travel.as_mut().context("nothing is replayed")?;
        let regs = travel.regs()?;
        let (symbols, unwinder) = (&mut to.symbols, &mut to.unwinder);
        let stack = backtrace(
            travel,
            maps,
            symbols,
            unwinder,
            &regs,
            super::picture::FRAMES,
        );
        // What is inlined in the innermost function has not called it.
        let inner = stack.calls.iter().position(|call| !call.inlined);
        let is_caller = inner.is_some_and(|inner| frame > inner);
        Ok(stack.calls.into_iter().nth(frame).filter(|_| is_caller))
    }

    /// To another line of the function or its caller.
    fn forward(&mut self, frame: usize) -> Result<()> {
        let start = match self.caller(frame)? {
            None => self.place()?,
            Some(caller) => {
                if !self.run(caller.pc, caller.registers.sp(), false)? {
                    return Ok(());
                }
                let line = caller.file.zip(caller.line);
                let now = self.place()?;
                if now.is_some() && now != line {
                    return Ok(());
                }
                line
            }
        };
        if start.is_none() {
            return self.out();
        }
        for _ in 0..MOST {
            self.job.go_on()?;
            let regs = self.to.travel()?.regs()?;
            let instruction = self.to.travel()?.instruction(regs.rip);
            if is_call(&instruction) {
                if !self.run(instruction.next_ip(), regs.rsp, false)? {
                    return Ok(());
                }
            } else {
                self.to.travel()?.step()?;
            }
            let now = self.place()?;
            if now.is_some() && now != start {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Out of functions without lines: to the first caller that has one.
    fn out(&mut self) -> Result<()> {
        let (maps, to) = (&self.maps, &mut *self.to);
        let Some(travel) = to.travel.as_mut() else {
            return Ok(());
        };
        let regs = travel.regs()?;
        let (frames, _) = to.unwinder.frames(travel, maps, &mut to.symbols, &regs, 64);
        let caller = frames.iter().skip(1).find(|frame| {
            let code = frame.code();
            let file = mapping(maps, code).and_then(|map| map.file_at(code));
            file.is_some_and(|(file, offset)| {
                let code = to.symbols.code(file, offset);
                code.frames.first().is_some_and(|f| f.line.is_some())
            })
        });
        let Some(registers) = caller.map(|frame| frame.registers) else {
            anyhow::bail!("no function of the stack has source lines; ← and → step instructions");
        };
        self.run(registers.pc(), registers.sp(), false)?;
        Ok(())
    }

    /// Runs until the program is about to execute what is at `ip` with a stack that is not
    /// deeper than `sp`; `false` if it comes to the end first.
    fn run(&mut self, ip: u64, sp: u64, back: bool) -> Result<bool> {
        let stops = Stops::at(ip);
        loop {
            self.job.go_on()?;
            let travel = self.to.travel()?;
            let reason = if back {
                travel.run_back(&stops)?
            } else {
                travel.run(&stops)?
            };
            if !matches!(reason, Reason::Breakpoint(_)) {
                return Ok(false);
            }
            if travel.regs()?.rsp >= sp {
                return Ok(true);
            }
        }
    }

    /// To the beginning of the line before.
    fn back(&mut self, frame: usize) -> Result<()> {
        if let Some(caller) = self.caller(frame)? {
            let there = self.to.travel()?.calls_to(caller.pc).next();
            let there = there.context("the function was not called by a call; ← steps back")?;
            if !self.run(there, caller.registers.sp(), true)? {
                return Ok(());
            }
        }
        let start = self.place()?;
        let mut found: Option<Place> = None;
        for _ in 0..MOST {
            self.job.go_on()?;
            let here = self.to.travel()?.here().clone();
            match self.instruction_back() {
                Ok(()) => {}
                Err(e) if found.is_some() && !is_interrupted(&e) => {
                    return self.to.travel()?.go(here);
                }
                Err(e) => return Err(e),
            }
            let now = self.place()?;
            match &found {
                None if now.is_some() && now != start => found = now,
                Some(_) if now != found => return self.to.travel()?.go(here),
                _ => {}
            }
        }
        Ok(())
    }

    /// An instruction back; what was called is passed over.
    fn instruction_back(&mut self) -> Result<()> {
        self.to.travel()?.step_back()?;
        let travel = self.to.travel()?;
        let regs = travel.regs()?;
        if travel.instruction(regs.rip).flow_control() != FlowControl::Return {
            return Ok(());
        }
        let Some(target) = word(&*travel, regs.rsp) else {
            return Ok(());
        };
        let call = travel.calls_to(target).next();
        if let Some(at) = call {
            self.run(at, regs.rsp.wrapping_add(8), true)?;
        }
        Ok(())
    }
}
