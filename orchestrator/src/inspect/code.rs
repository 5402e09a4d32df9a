//! Code as assembly.

use super::{Mapping, Still, mapping};
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Formatter as _, GasFormatter, Instruction,
    IntelFormatter, OpKind,
};
use orch_blame::symbols::Symbols;

/// How instructions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Syntax {
    /// As gas and gdb do: AT&T.
    #[default]
    Att,
    /// As Intel's manuals do.
    Intel,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its address.
    pub addr: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// In assembly.
    pub text: String,
    /// The function that it is in.
    pub function: Option<String>,
    /// The place that it goes to or reads, if it names one: address and name.
    pub target: Option<(u64, String)>,
}

/// Most bytes of an instruction (Intel SDM volume 2, 2.3.11).
const LONGEST: u64 = 15;
/// How far back a function's start is used to find instructions before a place.
const FAR: u64 = 64 << 10;

/// The instructions around `pc`: up to `before` before it, if the function's start is
/// known, it, and up to `after` behind it.
pub fn around(
    still: &dyn Still,
    maps: &[Mapping],
    symbols: &mut Symbols,
    pc: u64,
    (before, after): (usize, usize),
    syntax: Syntax,
) -> Vec<Line> {
    let start = symbol(maps, symbols, pc).map_or(pc, |(_, offset)| pc - offset);
    let mut instructions = match pc - start <= FAR {
        true => decode(still, start, pc - start),
        false => Vec::new(),
    };
    // Code that does not come to pc instruction by instruction has data in between.
    let reaches = instructions.last().is_some_and(|i| i.next_ip() == pc);
    let skip = match reaches {
        true => instructions.len().saturating_sub(before),
        false => instructions.len(),
    };
    instructions.drain(..skip);
    let behind = decode(still, pc, LONGEST * (after as u64 + 1));
    instructions.extend(behind.into_iter().take(after + 1));
    let mut formatter = Formatter::new(syntax);
    let line = |instruction: &Instruction| {
        let mut bytes = vec![0; instruction.len()];
        still.read(instruction.ip(), &mut bytes);
        Line {
            addr: instruction.ip(),
            bytes,
            text: formatter.format(instruction),
            function: name(maps, symbols, instruction.ip()),
            target: target(instruction).and_then(|addr| {
                let name = name(maps, symbols, addr);
                let name = name.or_else(|| linked(still, maps, symbols, addr));
                Some((addr, name?))
            }),
        }
    };
    instructions.iter().map(line).collect()
}

fn decode(still: &dyn Still, from: u64, len: u64) -> Vec<Instruction> {
    let mut code = vec![0; len as usize];
    let read = still.read(from, &mut code);
    let decoder = Decoder::with_ip(64, &code[..read], from, DecoderOptions::NONE);
    decoder
        .into_iter()
        .take_while(|i| !i.is_invalid())
        .collect()
}

/// The address of what an instruction branches to, or of the memory that it names by
/// its distance from itself.
fn target(instruction: &Instruction) -> Option<u64> {
    if matches!(instruction.op0_kind(), OpKind::NearBranch64) {
        return Some(instruction.near_branch_target());
    }
    let relative = instruction.is_ip_rel_memory_operand();
    relative.then(|| instruction.ip_rel_memory_address())
}

/// The function that an address is in, and how far.
fn symbol(maps: &[Mapping], symbols: &mut Symbols, addr: u64) -> Option<(String, u64)> {
    let (file, offset) = mapping(maps, addr)?.file_at(addr)?;
    let symbol = symbols.symbol(file, offset)?;
    Some((symbol.name, symbol.offset))
}

/// An address as `function+8`.
pub fn name(maps: &[Mapping], symbols: &mut Symbols, addr: u64) -> Option<String> {
    Some(match symbol(maps, symbols, addr)? {
        (name, 0) => name,
        (name, offset) => format!("{name}+{offset}"),
    })
}

/// What a piece of a procedure linkage table jumps to: `jmp *slot(%rip)`, maybe behind
/// `endbr64` (System V ABI for x86-64, 5.2).
fn linked(still: &dyn Still, maps: &[Mapping], symbols: &mut Symbols, addr: u64) -> Option<String> {
    let code = decode(still, addr, 2 * LONGEST);
    let jump = code.iter().find(|i| i.code() != Code::Endbr64)?;
    let slot = target(jump).filter(|_| jump.flow_control() == FlowControl::IndirectBranch)?;
    let (file, offset) = mapping(maps, slot)?.file_at(slot)?;
    Some(format!("{}@plt", symbols.slot(file, offset)?))
}

enum Formatter {
    Att(GasFormatter),
    Intel(IntelFormatter),
}

impl Formatter {
    fn new(syntax: Syntax) -> Self {
        let mut formatter = match syntax {
            Syntax::Att => Self::Att(GasFormatter::new()),
            Syntax::Intel => Self::Intel(IntelFormatter::new()),
        };
        let options = match &mut formatter {
            Self::Att(formatter) => formatter.options_mut(),
            Self::Intel(formatter) => formatter.options_mut(),
        };
        options.set_hex_prefix("0x");
        options.set_hex_suffix("");
        options.set_uppercase_hex(false);
        options.set_small_hex_numbers_in_decimal(false);
        options.set_branch_leading_zeros(false);
        options.set_show_branch_size(false);
        options.set_rip_relative_addresses(true);
        options.set_first_operand_char_index(7);
        formatter
    }

    fn format(&mut self, instruction: &Instruction) -> String {
        let mut text = String::new();
        match self {
            Self::Att(formatter) => formatter.format(instruction, &mut text),
            Self::Intel(formatter) => formatter.format(instruction, &mut text),
        }
        text
    }
}
