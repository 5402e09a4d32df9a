//! The parts of the recording view that a cursor can be in.

use crate::data::Variable;
use crate::event::{Effect, Key, Look, Request};
use crate::state::State;

/// How memory is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Units {
    /// Bytes in hexadecimal, and as text.
    #[default]
    Hex,
    /// Integers of a byte.
    Int8,
    /// Integers of two bytes.
    Int16,
    /// Integers of four bytes.
    Int32,
    /// Integers of eight bytes.
    Int64,
    /// Text only.
    Text,
}

impl Units {
    /// All, in the order in which a key shows them.
    pub const ALL: [Self; 6] = [
        Self::Hex,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Text,
    ];

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|&units| units == self);
        Self::ALL[at.map_or(0, |at| at + 1) % Self::ALL.len()]
    }

    /// What it is called, as in a history.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Text => "text",
        }
    }

    /// Bytes of one.
    #[must_use]
    pub const fn size(self) -> u64 {
        match self {
            Self::Hex | Self::Int8 | Self::Text => 1,
            Self::Int16 => 2,
            Self::Int32 => 4,
            Self::Int64 => 8,
        }
    }

    /// Bytes of a row.
    #[must_use]
    pub const fn row(self) -> u64 {
        match self {
            Self::Text => 64,
            _ => 16,
        }
    }
}

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
            frame: None,
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

    /// Where a variable is that is shown, by its name (`job.failures`, `p3:job.failures`, maybe
    /// a number of bytes behind it), as a place to blame.
    #[must_use]
    pub fn variable_at(&self, text: &str) -> Option<String> {
        let picture = self.picture.as_ref()?;
        let own = format!("p{}:", picture.recording);
        let mut words = text.split_whitespace();
        let name = words.next()?;
        let name = name.strip_prefix(&own).unwrap_or(name);
        let bytes = words.next();
        let other = picture.frames.iter().flat_map(|f| &f.variables);
        let mut all = self.variables().iter().chain(other);
        let (addr, len) = all.find(|v| v.name == name && v.place.is_some())?.place?;
        let bytes = bytes.map_or_else(|| len.to_string(), str::to_owned);
        Some(format!("{own}{addr:#x} {bytes}"))
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
                let (size, at) = (self.units.size(), self.byte as u64);
                let at = at / size * size;
                let len = size.min((memory.bytes.len() as u64).checked_sub(at)?);
                (memory.addr.checked_add(at)?, len.checked_sub(1)? + 1)
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
        let frame = Some(self.frame);
        let look = self.look();
        self.ask(Request::Visit(position, Look { frame, ..look }))
    }
}

/// A key that moves the cursor in memory; `None` if it does something else.
pub fn in_memory(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    let number = |n: u64| i64::try_from(n).unwrap_or(16);
    let (row, unit) = (number(state.units.row()), number(state.units.size()));
    let page = i64::from(crate::layout::recording(state).memory.height)
        .saturating_sub(1)
        .max(1)
        * row;
    let by = match key {
        Key::Left | Key::Char('h') => -unit,
        Key::Right | Key::Char('l') => unit,
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
            let back = by.unsigned_abs().next_multiple_of(state.units.row());
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
    let row = state.units.row();
    let skipped = match at < shown {
        true => 0,
        false => (at / row * row).saturating_sub(shown / 2 / row * row),
    };
    let addr = addr.saturating_add(skipped);
    state.byte = usize::try_from(at - skipped).unwrap_or(0);
    state.look_at(format!("{addr:#x}"))
}
