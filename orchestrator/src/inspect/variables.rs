//! Variables of functions that have not returned: where the debugging information says
//! that they are (DWARF 5, 2.5, 2.6 and 3.3), and what is there.

mod path;
mod value;

use super::Still;
use super::backtrace::Call;
use super::registers::Registers;
use super::unwind::By;
use gimli::{
    AttributeValue, DebugInfoOffset, DebuggingInformationEntry, DwAt, Dwarf, DwarfSections,
    EndianSlice, EntriesTreeNode, EvaluationResult, Expression, LittleEndian, Location, Unit,
    UnitOffset, Value, ValueType, constants as dw,
};
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ReadCache};
use orch_blame::symbols::Symbols;
use orch_recorder::files::FileId;
use path::{Path as Way, Unfound};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = DebuggingInformationEntry<'a, 'a, Slice<'a>>;

/// A variable, or a member of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name; a member's with those of what it is in: `job.failures`.
    pub name: String,
    /// Its value, or why there is none.
    pub value: String,
    /// First byte and size, if it is in memory: what a reference refers to.
    pub place: Option<(u64, u64)>,
}

/// Finds variables. Keeps what it has read of files.
#[derive(Default)]
pub struct Variables {
    files: HashMap<FileId, Rc<Info>>,
}

/// What a program's files tell of its variables.
#[derive(Default)]
struct Info {
    sections: Vec<DwarfSections<Vec<u8>>>,
    units: Vec<Piece>,
    /// Global variables that are not in it: to look for one takes time.
    unknown: RefCell<HashSet<String>>,
}

/// Code of a unit.
struct Piece {
    begin: u64,
    end: u64,
    sections: usize,
    unit: DebugInfoOffset,
}

/// A function that has not returned, as expressions need it.
struct Frame<'a> {
    still: &'a dyn Still,
    registers: Registers,
    /// The caller's stack pointer (DWARF 5, 6.4: the CFA, as x86-64 defines it).
    cfa: Option<u64>,
    /// What was added to the file's addresses.
    bias: u64,
    /// Where it is, in the file's terms.
    pc: u64,
}

/// Where a value is.
#[derive(Clone, Copy)]
enum Where {
    Memory(u64),
    Value(u64),
}

impl Variables {
    /// Those of `calls[n]`, parameters first; none where nothing is known of them.
    pub fn of(
        &mut self,
        still: &dyn Still,
        symbols: &mut Symbols,
        calls: &[Call],
        n: usize,
    ) -> Vec<Variable> {
        let found = self.frame(still, symbols, calls, n);
        let found = found.and_then(|(info, frame, level)| {
            info.at(&frame, level, |there, scopes, level| {
                let mut found = Vec::new();
                for offset in scopes.levels.get(level)? {
                    let entry = there.unit.entry(*offset).ok()?;
                    there.variable(&entry, scopes.base, &mut found);
                }
                Some(found)
            })
        });
        found.unwrap_or_default()
    }

    /// What `text` means in `calls[n]` (`job.name`, `*p`, `a[3]`, `p->next`), and its members;
    /// or why it means nothing.
    pub fn value(
        &mut self,
        still: &dyn Still,
        symbols: &mut Symbols,
        calls: &[Call],
        n: usize,
        text: &str,
    ) -> Vec<Variable> {
        let found = text.parse::<Way>().and_then(|way| {
            let frame = self.frame(still, symbols, calls, n);
            let found = frame.and_then(|(info, frame, level)| {
                info.at(&frame, level, |there, scopes, level| {
                    Some(there.follow(&info, scopes, level, &way, text))
                })
            });
            let found = found.unwrap_or_else(|| {
                Err(Unfound::Unknown(
                    "no variables are known in this function".to_owned(),
                ))
            });
            match found {
                Ok(found) => Ok(found),
                Err(Unfound::Other(why)) => Err(why),
                // A library does not know the program's.
                Err(Unfound::Unknown(why)) => {
                    let global = self.global(still, symbols, calls, n, (&way, text));
                    global.unwrap_or(Err(why))
                }
            }
        });
        found.unwrap_or_else(|why| {
            vec![Variable {
                name: text.to_owned(),
                value: why,
                place: None,
            }]
        })
    }

    /// Whether a text is an expression; why not.
    pub fn parse(text: &str) -> Result<(), String> {
        text.parse::<Way>().map(drop)
    }

    /// What a global variable of another file means, of those that functions of the stack are in.
    fn global(
        &mut self,
        still: &dyn Still,
        symbols: &mut Symbols,
        calls: &[Call],
        n: usize,
        (way, text): (&Way, &str),
    ) -> Option<Result<Vec<Variable>, String>> {
        let file = |call: &Call| call.module.as_ref().map(|m| m.file);
        let mut seen = vec![file(calls.get(n)?)];
        for (other, call) in calls.iter().enumerate() {
            if seen.contains(&file(call)) {
                continue;
            }
            seen.push(file(call));
            let frame = self.frame(still, symbols, calls, other);
            let found = frame.and_then(|(info, frame, _)| info.global(&frame, way, text));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// What is known of `calls[n]`, and how many functions are inlined around it.
    fn frame<'s>(
        &mut self,
        still: &'s dyn Still,
        symbols: &mut Symbols,
        calls: &[Call],
        n: usize,
    ) -> Option<(Rc<Info>, Frame<'s>, usize)> {
        let call = calls.get(n)?;
        let module = call.module.as_ref()?;
        // Inlined functions have the registers of the one that they are in.
        let inner = calls[n..].iter().position(|c| !c.inlined)?;
        let exact = matches!(call.by, By::Registers | By::SignalFrame);
        let frame = Frame {
            still,
            registers: call.registers,
            cfa: calls.get(n + inner + 1).map(|c| c.registers.sp()),
            bias: call.pc.wrapping_sub(module.vaddr),
            pc: module.vaddr.wrapping_sub(u64::from(!exact)),
        };
        let info = self.files.entry(module.file);
        let info = info.or_insert_with(|| {
            let paths = symbols.sources(module.file);
            Rc::new(Info::read(paths.iter().map(AsRef::as_ref)))
        });
        Some((Rc::clone(info), frame, inner))
    }
}

impl Info {
    fn read<'p>(paths: impl Iterator<Item = &'p Path>) -> Self {
        let mut info = Self::default();
        for path in paths {
            // What cannot be read says nothing.
            let _ = info.add(path);
        }
        info
    }

    fn add(&mut self, path: &Path) -> Option<()> {
        let cache = ReadCache::new(File::open(path).ok()?);
        let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
        let sections = DwarfSections::load(|id| {
            let section = file.section_by_name(id.name());
            let data = section.and_then(|s| s.uncompressed_data().ok());
            Ok::<_, gimli::Error>(data.map_or_else(Vec::new, |data| data.into_owned()))
        });
        let sections = sections.ok()?;
        let dwarf = borrow(&sections);
        let mut units = dwarf.units();
        while let Some(header) = units.next().ok()? {
            let Some(offset) = header.offset().as_debug_info_offset() else {
                continue;
            };
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            let Ok(mut ranges) = dwarf.unit_ranges(&unit) else {
                continue;
            };
            while let Ok(Some(range)) = ranges.next() {
                self.units.push(Piece {
                    begin: range.begin,
                    end: range.end,
                    sections: self.sections.len(),
                    unit: offset,
                });
            }
        }
        self.sections.push(sections);
        Some(())
    }

    /// Shows `see` the function at the frame's place that `level` others are inlined
    /// around, the outermost of them no longer inlined.
    fn at<T>(
        &self,
        frame: &Frame<'_>,
        level: usize,
        see: impl for<'a> FnOnce(&There<'a, '_>, &Scopes<'a>, usize) -> Option<T>,
    ) -> Option<T> {
        let here = |piece: &&Piece| piece.begin <= frame.pc && frame.pc < piece.end;
        let piece = self.units.iter().find(here)?;
        let dwarf = borrow(self.sections.get(piece.sections)?);
        let header = dwarf.debug_info.header_from_offset(piece.unit).ok()?;
        let unit = dwarf.unit(header).ok()?;
        let there = There {
            dwarf: &dwarf,
            unit: &unit,
            frame,
        };
        let mut scopes = Scopes::default();
        let mut tree = unit.entries_tree(None).ok()?;
        there.find(tree.root().ok()?, &mut scopes).ok()?;
        see(&there, &scopes, level)
    }
}

fn borrow(sections: &DwarfSections<Vec<u8>>) -> Dwarf<Slice<'_>> {
    sections.borrow(|section| EndianSlice::new(section, LittleEndian))
}

/// The functions at a place, and their variables.
#[derive(Default)]
struct Scopes<'a> {
    /// Of the outermost, and of what is inlined in it and at the place, inwards.
    levels: Vec<Vec<UnitOffset>>,
    /// The outermost's frame base.
    base: Option<Expression<Slice<'a>>>,
}

/// A unit, and a frame in it.
struct There<'a, 'f> {
    dwarf: &'a Dwarf<Slice<'a>>,
    unit: &'a Unit<Slice<'a>>,
    frame: &'f Frame<'f>,
}

impl<'a> There<'a, '_> {
    fn find(
        &self,
        node: EntriesTreeNode<'_, '_, '_, Slice<'a>>,
        scopes: &mut Scopes<'a>,
    ) -> gimli::Result<()> {
        let entry = node.entry();
        match entry.tag() {
            dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine => {
                if !self.covers(entry)? {
                    return Ok(());
                }
                if entry.tag() == dw::DW_TAG_subprogram {
                    scopes.levels.clear();
                    let base = entry.attr_value(dw::DW_AT_frame_base)?;
                    scopes.base = base.and_then(|base| self.expression(base));
                }
                scopes.levels.push(Vec::new());
            }
            dw::DW_TAG_lexical_block if !self.covers(entry)? => return Ok(()),
            dw::DW_TAG_compile_unit
            | dw::DW_TAG_lexical_block
            | dw::DW_TAG_namespace
            | dw::DW_TAG_structure_type
            | dw::DW_TAG_class_type => {}
            _ => return Ok(()),
        }
        // What is inlined beside a variable is no scope of the variables behind it:
        // such a function's own come first, with its parameters.
        let level = scopes.levels.len();
        let mut children = node.children();
        while let Some(child) = children.next()? {
            let tag = child.entry().tag();
            let own = tag == dw::DW_TAG_variable || tag == dw::DW_TAG_formal_parameter;
            match scopes.levels.get_mut(level.wrapping_sub(1)) {
                Some(variables) if own => variables.push(child.entry().offset()),
                _ if own => {}
                _ => self.find(child, scopes)?,
            }
        }
        Ok(())
    }

    fn covers(&self, entry: &DebuggingInformationEntry<'_, '_, Slice<'a>>) -> gimli::Result<bool> {
        let mut ranges = self.dwarf.die_ranges(self.unit, entry)?;
        while let Some(range) = ranges.next()? {
            if range.begin <= self.frame.pc && self.frame.pc < range.end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The expression that holds at the frame's place.
    fn expression(&self, value: AttributeValue<Slice<'a>>) -> Option<Expression<Slice<'a>>> {
        if let AttributeValue::Exprloc(expression) = value {
            return Some(expression);
        }
        let mut all = self.dwarf.attr_locations(self.unit, value).ok()??;
        while let Some(one) = all.next().ok()? {
            if one.range.begin <= self.frame.pc && self.frame.pc < one.range.end {
                return Some(one.data);
            }
        }
        None
    }

    /// An attribute of an entry, or of the one that it is an instance of.
    fn attribute(&self, entry: &Entry<'a>, name: DwAt) -> Option<AttributeValue<Slice<'a>>> {
        if let Some(value) = entry.attr_value(name).ok()? {
            return Some(value);
        }
        for origin in [dw::DW_AT_abstract_origin, dw::DW_AT_specification] {
            if let Some(AttributeValue::UnitRef(at)) = entry.attr_value(origin).ok()? {
                let entry = self.unit.entry(at).ok()?;
                return entry.attr_value(name).ok()?;
            }
        }
        None
    }

    fn name(&self, entry: &Entry<'a>) -> Option<String> {
        let name = self.attribute(entry, dw::DW_AT_name)?;
        let name = self.dwarf.attr_string(self.unit, name).ok()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// The type that an entry has, in this unit.
    fn type_of(&self, entry: &Entry<'a>) -> Option<UnitOffset> {
        match self.attribute(entry, dw::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(offset),
            _ => None,
        }
    }

    fn variable(
        &self,
        entry: &Entry<'a>,
        base: Option<Expression<Slice<'a>>>,
        found: &mut Vec<Variable>,
    ) {
        let (Some(name), Some(of)) = (self.name(entry), self.type_of(entry)) else {
            return;
        };
        match self.place(entry, base) {
            Ok(at) => self.show(found, &name, of, at, 0),
            Err(why) => found.push(Variable {
                name,
                value: why.to_owned(),
                place: None,
            }),
        }
    }

    /// Where a variable is, or why that is not known.
    fn place(
        &self,
        entry: &Entry<'a>,
        base: Option<Expression<Slice<'a>>>,
    ) -> Result<Where, &'static str> {
        let location = self.attribute(entry, dw::DW_AT_location);
        if let Some(expression) = location.and_then(|location| self.expression(location)) {
            let at = self.evaluate(expression, base);
            return at.ok_or("not followed: it is in pieces, or needs what a caller had");
        }
        let constant = self.attribute(entry, dw::DW_AT_const_value);
        let signed = || Some(constant.as_ref()?.sdata_value()?.cast_unsigned());
        let value = constant.as_ref().and_then(AttributeValue::udata_value);
        let value = value.or_else(signed).map(Where::Value);
        value.ok_or("not kept here (optimized out)")
    }

    fn evaluate(
        &self,
        expression: Expression<Slice<'a>>,
        base: Option<Expression<Slice<'a>>>,
    ) -> Option<Where> {
        /// Of a loop, there would be more.
        const MOST: u32 = 1000;
        let mut evaluation = expression.evaluation(self.unit.encoding());
        evaluation.set_max_iterations(MOST);
        let mut state = evaluation.evaluate().ok()?;
        for _ in 0..MOST {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let value = self.read_word(address, size.into())?;
                    evaluation.resume_with_memory(Value::Generic(value))
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.frame.registers.get(register.0.into())?;
                    evaluation.resume_with_register(Value::Generic(value))
                }
                EvaluationResult::RequiresFrameBase => {
                    let (Where::Memory(base) | Where::Value(base)) = self.evaluate(base?, None)?;
                    evaluation.resume_with_frame_base(base)
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    evaluation.resume_with_call_frame_cfa(self.frame.cfa?)
                }
                EvaluationResult::RequiresRelocatedAddress(addr) => {
                    evaluation.resume_with_relocated_address(addr.wrapping_add(self.frame.bias))
                }
                EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                    let addr = self.dwarf.address(self.unit, index).ok()?;
                    let bias = if relocate { self.frame.bias } else { 0 };
                    evaluation.resume_with_indexed_address(addr.wrapping_add(bias))
                }
                EvaluationResult::RequiresBaseType(_) => {
                    evaluation.resume_with_base_type(ValueType::Generic)
                }
                _ => return None,
            }
            .ok()?;
        }
        if state != EvaluationResult::Complete {
            return None;
        }
        let pieces = evaluation.result();
        let [piece] = &pieces[..] else {
            return None;
        };
        match piece.location {
            Location::Address { address } => Some(Where::Memory(address)),
            Location::Register { register } => {
                let value = self.frame.registers.get(register.0.into())?;
                Some(Where::Value(value))
            }
            Location::Value { value } => value.to_u64(u64::MAX).ok().map(Where::Value),
            _ => None,
        }
    }

    /// A little-endian number of at most 8 bytes.
    fn read_word(&self, addr: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let part = bytes.get_mut(..size)?;
        (self.frame.still.read(addr, part) == size).then(|| u64::from_le_bytes(bytes))
    }
}
