//! Where the code of a captured file asks the processor what it is (`cpuid`): for
//! machines that have no fault for it, where the runtime replaces the instruction.
//!
//! Code is told from data by the section headers, and an instruction from bytes
//! within another by decoding from several places before it: from wherever one
//! begins, x86 code is soon decoded as it is executed. Libraries have tables among
//! their code, too (libcrypto's points of P-256): what is decoded around the
//! instruction must be what compilers make.

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, Mnemonic,
};
use object::LittleEndian;
use object::elf::{FileHeader64, SHF_EXECINSTR, SHT_PROGBITS, SectionHeader64};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use orch_abi::window;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Changes whenever other instructions are found.
pub const RULES: u32 = 3;

const CPUID: [u8; 2] = [0x0f, 0xa2];
/// How far before a candidate decoding begins, and from how many places.
const BEFORE: u64 = 160;
const TRIALS: usize = 16;
/// How many bytes around a candidate must be code.
const NEAR: usize = 40;
const BEHIND: usize = 48;

/// Where the bytes of a `cpuid` are in a file that is read piece by piece.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Offsets.
    found: Vec<u64>,
    /// Bytes that were looked at.
    len: u64,
    /// The last of them.
    last: u8,
}

impl Candidates {
    /// Looks at the bytes that follow.
    pub fn look(&mut self, piece: &[u8]) {
        if self.last == CPUID[0] && piece.first() == Some(&CPUID[1]) {
            self.found.push(self.len - 1);
        }
        let found = memchr::memmem::find_iter(piece, &CPUID);
        self.found.extend(found.map(|at| self.len + at as u64));
        self.len += piece.len() as u64;
        self.last = piece.last().copied().unwrap_or(self.last);
    }

    /// Offsets of those that are instructions; none if `file` is no ELF file for x86-64.
    pub fn instructions(self, file: &File) -> Vec<u64> {
        if self.found.is_empty() {
            return Vec::new();
        }
        let Some(sections) = sections(file) else {
            return Vec::new();
        };
        let is_code = |&at: &u64| {
            let section = sections.iter().find(|s| s.contains(&at))?;
            is_instruction(file, at.saturating_sub(BEFORE).max(section.start), at)
        };
        let mut found = self.found;
        found.retain(|at| is_code(at) == Some(true));
        found
    }
}

/// Where code is in a file.
fn sections(file: &File) -> Option<Vec<Range<u64>>> {
    let data = &ReadCache::new(file);
    let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    if header.e_machine(endian) != object::elf::EM_X86_64 {
        return None;
    }
    let headers = header.section_headers(endian, data).ok()?.iter();
    let code = headers.filter(|s| {
        let executable = s.sh_flags(endian) & u64::from(SHF_EXECINSTR) != 0;
        executable && s.sh_type(endian) == SHT_PROGBITS
    });
    let range = |s: &SectionHeader64<LittleEndian>| {
        let from = s.sh_offset(endian);
        from..from.saturating_add(s.sh_size(endian))
    };
    Some(code.map(range).collect())
}

/// Whether decoding from several places behind `first` comes to a `cpuid` at `at`, in the
/// midst of code.
fn is_instruction(file: &File, first: u64, at: u64) -> Option<bool> {
    let at = usize::try_from(at - first).ok()?;
    let mut code = vec![0; at + CPUID.len() + BEHIND];
    let len = file.read_at(&mut code, first).ok()?;
    code.truncate(len.max(at + CPUID.len()));
    let mut decoder = Decoder::new(64, &code, DecoderOptions::NONE);
    // Ways that begin apart soon go together: each is gone to where one came before.
    let mut passed = vec![false; at];
    for from in 0..TRIALS.min(at) {
        decoder.set_position(from).ok()?;
        while decoder.position() < at && !passed[decoder.position()] {
            passed[decoder.position()] = true;
            let _skipped = decoder.decode();
        }
        if decoder.position() > at {
            return Some(false);
        }
    }
    // The first place near that one of them came by.
    let near = at.saturating_sub(NEAR)..at;
    let from = near.clone().find(|&place| passed[place]).unwrap_or(at);
    let begins = if window::asked_for(&code[..at]) {
        at
    } else {
        from
    };
    Some(is_code(&mut decoder, begins, at))
}

/// Whether what is decoded from `from` over the `cpuid` at `at` to the next instruction that
/// leads away is what programs are made of.
fn is_code(decoder: &mut Decoder<'_>, from: usize, at: usize) -> bool {
    const MOST: usize = 8;
    let (mut behind, mut flags) = (0, 0);
    if decoder.set_position(from).is_err() {
        return false;
    }
    while decoder.can_decode() && behind < MOST {
        let here = decoder.position();
        let insn = decoder.decode();
        if decoder.last_error() == DecoderError::NoMoreBytes {
            break;
        }
        flags += u32::from(only_moves_flags(&insn));
        if here == at && insn.code() != Code::Cpuid || is_odd(&insn) || flags > 1 {
            return false;
        }
        if here > at {
            behind += 1;
            use FlowControl::{Return, UnconditionalBranch};
            if matches!(insn.flow_control(), Return | UnconditionalBranch) {
                break;
            }
        }
    }
    true
}

/// A single byte that compilers hardly write, but people do: once.
fn only_moves_flags(insn: &Instruction) -> bool {
    use Mnemonic::{Clc, Cmc, Lahf, Sahf, Stc};
    matches!(insn.mnemonic(), Clc | Cmc | Lahf | Sahf | Stc)
}

/// What one finds in data, but hardly beside a `cpuid`.
fn is_odd(insn: &Instruction) -> bool {
    use {CpuidFeature as F, Mnemonic as M};
    let m = insn.mnemonic();
    let odd = matches!(
        m,
        M::INVALID
            | M::In
            | M::Out
            | M::Insb
            | M::Insd
            | M::Outsb
            | M::Outsd
            | M::Int
            | M::Int1
            | M::Iret
            | M::Iretd
            | M::Iretq
            | M::Hlt
            | M::Cli
            | M::Sti
            | M::Clts
            | M::Loop
            | M::Loope
            | M::Loopne
            | M::Jrcxz
            | M::Jecxz
            | M::Xlatb
            | M::Enter
            | M::Retf
            | M::Lodsb
            | M::Lodsd
            | M::Scasb
            | M::Scasd
            | M::Cmpsb
            | M::Cmpsd
            | M::Std
            | M::Wait
            | M::Rcl
            | M::Rcr
    );
    let old = |f: &F| {
        matches!(
            f,
            F::FPU | F::FPU287 | F::FPU387 | F::D3NOW | F::XOP | F::TBM | F::MPX
        )
    };
    let repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
    odd && !repeated || insn.is_privileged() || insn.cpuid_features().iter().any(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn find(file: &File, piece: usize) -> Vec<u64> {
        let mut content = Vec::new();
        { file }.read_to_end(&mut content).unwrap();
        let mut candidates = Candidates::default();
        content.chunks(piece).for_each(|p| candidates.look(p));
        candidates.instructions(file)
    }

    #[test]
    fn the_dynamic_linker_asks() {
        let open = || File::open("/lib64/ld-linux-x86-64.so.2").unwrap();
        let found = find(&open(), 256 << 10);
        assert!(found.len() > 10, "{found:?}");
        assert_eq!(found, find(&open(), 1));
    }

    #[test]
    fn bytes_within_another_instruction_are_none() {
        let mut code = vec![0x90; 200];
        // mov $0xa20f,%eax; cpuid; nop
        code.extend([0xb8, 0x0f, 0xa2, 0, 0, 0x0f, 0xa2]);
        code.extend([0x90; 20]);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&code).unwrap();
        assert_eq!(is_instruction(&file, 41, 201), Some(false));
        assert_eq!(is_instruction(&file, 45, 205), Some(true));
        assert!(find(&File::open("/proc/self/maps").unwrap(), 100).is_empty());
    }

    #[test]
    fn tables_among_the_code_are_none() {
        let mut x = 1_u64;
        let mut random = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        };
        let mut file = tempfile::tempfile().unwrap();
        let mut wrong = 0;
        for _ in 0..1000 {
            let mut table: Vec<u8> = (0..400).map(|_| random()).collect();
            table[200..202].copy_from_slice(&CPUID);
            file.write_all_at(&table, 0).unwrap();
            wrong += u32::from(is_instruction(&file, 40, 200) == Some(true));
        }
        file.flush().unwrap();
        assert!(wrong <= 2, "{wrong} of 1000");
    }
}
