//! What a program's file says about unwinding: `.eh_frame` (Linux Standard Base,
//! "Exception Frames") and `.debug_frame` (DWARF 5, 6.4).

use super::registers::{COUNT, KEPT, RIP, RSP, Registers};
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, Error, Evaluation,
    EvaluationResult, Expression, FrameDescriptionEntry, LittleEndian, Location, RegisterRule,
    UnwindContext, UnwindSection, Value,
};
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ReadCache};
use std::fs::File;
use std::path::{Path, PathBuf};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Unwinding information of a program, from its own file and its debugging file.
#[derive(Default)]
pub struct Cfi {
    eh_frames: Vec<EhFrames>,
    debug_frames: Vec<Vec<u8>>,
}

struct EhFrames {
    frames: Vec<u8>,
    header: Option<Vec<u8>>,
    bases: BaseAddresses,
}

/// The registers of a caller.
pub struct Caller {
    pub registers: Registers,
    /// It was not called, but interrupted: where it is, its next instruction is.
    pub interrupted: bool,
}

impl Cfi {
    /// Reads it from files that have the same addresses.
    pub fn read(paths: &[PathBuf]) -> Self {
        let mut cfi = Self::default();
        for path in paths {
            // What cannot be read says nothing.
            let _ = cfi.add(path);
        }
        cfi
    }

    fn add(&mut self, path: &Path) -> Option<()> {
        let cache = ReadCache::new(File::open(path).ok()?);
        let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
        let section = |name| {
            let section = file.section_by_name(name)?;
            let data = section.uncompressed_data().ok()?.into_owned();
            (!data.is_empty()).then_some((data, section.address()))
        };
        let address = |name| file.section_by_name(name).map_or(0, |s| s.address());
        // A separate debugging file has the section's head, but not the section.
        if let Some((frames, addr)) = section(".eh_frame") {
            let header = section(".eh_frame_hdr");
            let bases = BaseAddresses::default()
                .set_eh_frame(addr)
                .set_eh_frame_hdr(header.as_ref().map_or(0, |h| h.1))
                .set_text(address(".text"))
                .set_got(address(".got"));
            let header = header.map(|h| h.0);
            self.eh_frames.push(EhFrames {
                frames,
                header,
                bases,
            });
        }
        self.debug_frames
            .extend(section(".debug_frame").map(|s| s.0));
        Some(())
    }

    /// The caller of the function at `vaddr`; `None` if nothing is said about that.
    /// The return address is unknown where the function has no caller.
    pub fn caller(
        &self,
        vaddr: u64,
        registers: &Registers,
        read: &dyn Fn(u64) -> Option<u64>,
    ) -> Option<Caller> {
        let eh_frame = |frames: &EhFrames| {
            let section = EhFrame::new(&frames.frames, LittleEndian);
            let fde = frames.find(&section, vaddr).ok()?;
            let frame = Frame {
                section: &section,
                bases: &frames.bases,
                fde: &fde,
            };
            frame.caller(vaddr, registers, read)
        };
        let debug_frame = |frames: &Vec<u8>| {
            let mut section = DebugFrame::new(frames, LittleEndian);
            section.set_address_size(8);
            let bases = BaseAddresses::default();
            let cie = DebugFrame::cie_from_offset;
            let fde = section.fde_for_address(&bases, vaddr, cie).ok()?;
            let frame = Frame {
                section: &section,
                bases: &bases,
                fde: &fde,
            };
            frame.caller(vaddr, registers, read)
        };
        let mut found = self.eh_frames.iter().filter_map(eh_frame);
        found
            .next()
            .or_else(|| self.debug_frames.iter().find_map(debug_frame))
    }
}

impl EhFrames {
    /// The entry of the function at `vaddr`, by the table if there is one.
    fn find<'a>(
        &'a self,
        section: &EhFrame<Slice<'a>>,
        vaddr: u64,
    ) -> Result<FrameDescriptionEntry<Slice<'a>>, Error> {
        let cie = EhFrame::cie_from_offset;
        if let Some(header) = &self.header
            && let Ok(header) = EhFrameHdr::new(header, LittleEndian).parse(&self.bases, 8)
            && let Some(table) = header.table()
        {
            return table.fde_for_address(section, &self.bases, vaddr, cie);
        }
        section.fde_for_address(&self.bases, vaddr, cie)
    }
}

/// What is said about a function.
struct Frame<'a, S: UnwindSection<Slice<'a>>> {
    section: &'a S,
    bases: &'a BaseAddresses,
    fde: &'a FrameDescriptionEntry<Slice<'a>>,
}

impl<'a, S: UnwindSection<Slice<'a>>> Frame<'a, S> {
    fn caller(
        &self,
        vaddr: u64,
        registers: &Registers,
        read: &dyn Fn(u64) -> Option<u64>,
    ) -> Option<Caller> {
        let mut context = UnwindContext::new();
        let row = self
            .fde
            .unwind_info_for_address(self.section, self.bases, &mut context, vaddr);
        let row = row.ok()?;
        let evaluate = |expression: &gimli::UnwindExpression<usize>, first: Option<u64>| {
            let expression = expression.get(self.section).ok()?;
            self.evaluate(expression, first, registers, read)
        };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => registers
                .get(register.0.into())?
                .wrapping_add_signed(*offset),
            CfaRule::Expression(expression) => evaluate(expression, None)?,
        };
        let mut caller = Registers::default();
        for n in 0..COUNT {
            let value = match row.register(gimli::Register(n as u16)) {
                RegisterRule::Undefined if n == RSP => Some(cfa),
                // What is not mentioned was not touched, if it is to be kept.
                RegisterRule::Undefined if KEPT.contains(&n) => registers.get(n),
                RegisterRule::SameValue => registers.get(n),
                RegisterRule::Offset(offset) => read(cfa.wrapping_add_signed(offset)),
                RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(offset)),
                RegisterRule::Register(other) => registers.get(other.0.into()),
                RegisterRule::Expression(e) => evaluate(&e, Some(cfa)).and_then(read),
                RegisterRule::ValExpression(e) => evaluate(&e, Some(cfa)),
                RegisterRule::Constant(value) => Some(value),
                _ => None,
            };
            // A return address that is not where it should be is not the end of the stack.
            if n == RIP
                && value.is_none()
                && row.register(gimli::X86_64::RA) != RegisterRule::Undefined
            {
                return None;
            }
            caller.set(n, value);
        }
        Some(Caller {
            registers: caller,
            interrupted: self.fde.is_signal_trampoline(),
        })
    }

    /// The value of an expression (DWARF 5, 2.5), `first` on its stack.
    fn evaluate(
        &self,
        expression: Expression<Slice<'a>>,
        first: Option<u64>,
        registers: &Registers,
        read: &dyn Fn(u64) -> Option<u64>,
    ) -> Option<u64> {
        let mut evaluation: Evaluation<Slice<'a>> =
            expression.evaluation(self.fde.cie().encoding());
        if let Some(first) = first {
            evaluation.set_initial_value(first);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = registers.get(register.0.into())?;
                    evaluation.resume_with_register(Value::Generic(value))
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let bits = u32::from(size) * 8;
                    let mask = u64::MAX.checked_shr(64_u32.checked_sub(bits)?)?;
                    evaluation.resume_with_memory(Value::Generic(read(address)? & mask))
                }
                _ => return None,
            }
            .ok()?;
        }
        match evaluation.result().first()?.location {
            Location::Address { address } => Some(address),
            _ => None,
        }
    }
}
