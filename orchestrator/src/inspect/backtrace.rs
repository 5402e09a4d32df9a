//! Stack traces with names: inlined functions too, and where in which file the rest is.

use super::registers::Registers;
use super::unwind::{By, End, Unwinder};
use super::{Mapping, Still, mapping};
use orch_abi::record::Regs;
use orch_blame::symbols::Symbols;
use orch_recorder::files::FileId;

/// A function that has not returned, or is inlined in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where it goes on.
    pub pc: u64,
    /// The registers there, as far as they are known; those of the function that it is in,
    /// if it is inlined.
    pub registers: Registers,
    /// How it was found.
    pub by: By,
    /// Its name, demangled.
    pub function: Option<String>,
    /// Source file, as the debugging information has it.
    pub file: Option<String>,
    /// Line in it, from 1.
    pub line: Option<u32>,
    /// Whether it is inlined in the next one.
    pub inlined: bool,
    /// The captured file that its code is in.
    pub module: Option<Module>,
    /// Whether this is where a signal handler returns to.
    pub trampoline: bool,
}

/// A place in a captured program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Which.
    pub file: FileId,
    /// Where it was.
    pub path: String,
    /// The place in its own terms of addresses.
    pub vaddr: u64,
}

/// The stack of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// Innermost first.
    pub calls: Vec<Call>,
    /// Why there are no more, if there may be.
    pub cut: Option<String>,
}

/// The stack of a thread, down to `limit` functions that are not inlined.
pub fn backtrace(
    still: &dyn Still,
    maps: &[Mapping],
    symbols: &mut Symbols,
    unwinder: &mut Unwinder,
    regs: &Regs,
    limit: usize,
) -> Backtrace {
    let (frames, end) = unwinder.frames(still, maps, symbols, regs, limit);
    let mut calls = Vec::new();
    for frame in &frames {
        let code = frame.code();
        let file = mapping(maps, code).and_then(|map| map.file_at(code));
        let outer = Call {
            pc: frame.registers.pc(),
            registers: frame.registers,
            by: frame.by,
            function: None,
            file: None,
            line: None,
            inlined: false,
            module: file
                .map(|(file, offset)| module(symbols, file, offset, code, frame.registers.pc())),
            trampoline: frame.trampoline,
        };
        let known = file.map(|(file, offset)| symbols.code(file, offset));
        let names = known.as_ref().map_or(&[][..], |code| &code.frames);
        if names.is_empty() {
            calls.push(outer);
            continue;
        }
        for (n, name) in (1..).zip(names) {
            calls.push(Call {
                function: name.function.clone(),
                file: name.file.clone(),
                line: name.line,
                inlined: n < names.len(),
                ..outer.clone()
            });
        }
    }
    let cut = match end {
        End::Outermost => None,
        End::Limit => Some("there are more; --limit shows them".to_owned()),
        End::Lost(why) => Some(why),
    };
    Backtrace { calls, cut }
}

fn module(symbols: &mut Symbols, file: FileId, offset: u64, code: u64, pc: u64) -> Module {
    let vaddr = symbols.vaddr(file, offset).unwrap_or(offset);
    Module {
        file,
        path: symbols.path(file.0).display().to_string(),
        vaddr: vaddr.wrapping_add(pc.wrapping_sub(code)),
    }
}

impl Call {
    /// Where it is, without its address.
    pub fn place(&self) -> String {
        if self.trampoline {
            return "<signal handler called>".to_owned();
        }
        let line = |file: &str| match self.line {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        };
        let inlined = if self.inlined { " (inlined)" } else { "" };
        match (&self.function, &self.file, &self.module) {
            (Some(function), Some(file), _) => {
                format!("in {function}{inlined} at {}", line(file))
            }
            (Some(function), None, Some(module)) => {
                format!("in {function}{inlined} from {}", module.path)
            }
            (Some(function), None, None) => format!("in {function}{inlined}"),
            (None, Some(file), _) => format!("at {}", line(file)),
            (None, None, Some(module)) => format!("in {}+{:#x}", module.path, module.vaddr),
            (None, None, None) => "in unknown code".to_owned(),
        }
    }
}
