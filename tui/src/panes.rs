//! The parts of the recording view that a cursor can be in.

use crate::data::Variable;
use crate::event::{Effect, Key, Look, Request};
use crate::state::State;

/// Bytes of a row of memory.
pub const ROW: u64 = 16;

/// Where the cursor is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// In the stack.
    #[default]
    Stack,
    /// In the variables of the function that is looked at.
    Variables,
    /// In memory.
    Memory,
    /// In source, or instructions.
    Source,
}

impl Pane {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Stack => Self::Variables,
            Self::Variables => Self::Memory,
            Self::Memory => Self::Source,
            Self::Source => Self::Stack,
        }
    }
}

impl State {
    /// The variables of the function that is looked at.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        let frame = self.picture.as_ref().and_then(|p| p.frames.get(self.frame));
        frame.map_or(&[], |frame| &frame.variables)
    }

    /// What is to be seen of a process beside what always is.
    #[must_use]
    pub fn look(&self) -> Look {
        Look {
            memory: self.memory.clone(),
            expressions: self.expressions.clone(),
        }
    }

    /// Lines of source, or instructions, and the index of the current one.
    #[must_use]
    pub fn source_rows(&self) -> (usize, usize) {
        let Some(picture) = &self.picture else {
            return (0, 0);
        };
        if self.code {
            let here = picture.code.iter().position(|i| i.current);
            return (picture.code.len(), here.unwrap_or(0));
        }
        let frame = picture.frames.get(self.frame);
        frame.and_then(|f| f.source.as_ref()).map_or((0, 0), |s| {
            let here = s.lines.iter().position(|l| l.0 == s.line);
            (s.lines.len(), here.unwrap_or(0))
        })
    }

    /// What the cursor is on, as a place to blame.
    #[must_use]
    pub fn pointed(&self) -> Option<String> {
        let (recording, addr, len) = self.pointed_memory()?;
        Some(format!("p{recording}:{addr:#x} {len}"))
    }

    /// The same: the recording, the first address, how many bytes.
    #[must_use]
    pub fn pointed_memory(&self) -> Option<(u32, u64, u64)> {
        let picture = self.picture.as_ref()?;
        let (addr, len) = match self.pane {
            Pane::Stack | Pane::Source => return None,
            Pane::Variables => self.variables().get(self.variable.selected)?.place?,
            Pane::Memory => {
                let memory = &picture.memory;
                memory.bytes.get(self.byte)?;
                (memory.addr.checked_add(self.byte as u64)?, 1)
            }
        };
        Some((picture.recording, addr, len))
    }

    /// The same picture with other memory.
    pub fn look_at(&mut self, memory: String) -> Vec<Effect> {
        self.memory = memory;
        self.look_again()
    }

    /// The same picture, with what is to be seen now.
    pub fn look_again(&mut self) -> Vec<Effect> {
        let Some(picture) = &self.picture else {
            return Vec::new();
        };
        let position = picture.position.clone();
        self.ask(Request::Visit(position, self.look()))
    }
}

/// A key that moves the cursor in memory; `None` if it does something else.
pub fn in_memory(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    let row = i64::try_from(ROW).unwrap_or(16);
    let page = i64::from(crate::layout::recording(state).memory.height)
        .saturating_sub(1)
        .max(1)
        * row;
    let by = match key {
        Key::Left | Key::Char('h') => -1,
        Key::Right | Key::Char('l') => 1,
        Key::Up | Key::Char('k') => -row,
        Key::Down | Key::Char('j') => row,
        Key::PageUp | Key::Ctrl('u') => -page,
        Key::PageDown | Key::Ctrl('d') => page,
        _ => return None,
    };
    Some(move_byte(state, by))
}

fn move_byte(state: &mut State, by: i64) -> Vec<Effect> {
    let Some(memory) = state.picture.as_ref().map(|p| &p.memory) else {
        return Vec::new();
    };
    let (addr, len) = (memory.addr, memory.bytes.len());
    let to = i64::try_from(state.byte).unwrap_or(0).saturating_add(by);
    match usize::try_from(to) {
        Ok(at) if at < len => {
            state.byte = at;
            Vec::new()
        }
        // Where memory ends, there is nothing to go on with.
        Ok(_)
            if len == 0
                || state
                    .picture
                    .as_ref()
                    .is_some_and(|p| p.memory.problem.is_some()) =>
        {
            state.byte = len.saturating_sub(1);
            Vec::new()
        }
        Ok(at) => turn(state, addr, at as u64),
        Err(_) => {
            let back = by.unsigned_abs().next_multiple_of(ROW);
            let from = addr.saturating_sub(back.min(addr));
            let at = (addr.saturating_add(state.byte as u64)).saturating_sub(by.unsigned_abs());
            turn(state, from, at.saturating_sub(from))
        }
    }
}

/// Memory from elsewhere on: what is asked for begins at a whole row.
fn turn(state: &mut State, addr: u64, at: u64) -> Vec<Effect> {
    let shown = state
        .picture
        .as_ref()
        .map_or(0, |p| p.memory.bytes.len() as u64);
    let skipped = match at < shown {
        true => 0,
        false => (at / ROW * ROW).saturating_sub(shown / 2 / ROW * ROW),
    };
    let addr = addr.saturating_add(skipped);
    state.byte = usize::try_from(at - skipped).unwrap_or(0);
    state.look_at(format!("{addr:#x}"))
}
