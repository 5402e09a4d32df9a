//! Where the code of a captured file asks the processor what it is (`cpuid`): for
//! machines that have no fault for it, where the runtime replaces the instruction.
//!
//! Code is told from data by the section headers, and an instruction from bytes
//! within another by decoding from several places before it: from wherever one
//! begins, x86 code is soon decoded as it is executed.

use iced_x86::{Code, Decoder, DecoderOptions};
use object::LittleEndian;
use object::elf::{FileHeader64, SHF_EXECINSTR, SHT_PROGBITS, SectionHeader64};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

const CPUID: [u8; 2] = [0x0f, 0xa2];
/// How far before a candidate decoding begins, and from how many places.
const BEFORE: u64 = 160;
const TRIALS: usize = 16;

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

/// Whether decoding from several places behind `first` comes to a `cpuid` at `at`.
fn is_instruction(file: &File, first: u64, at: u64) -> Option<bool> {
    let at = usize::try_from(at - first).ok()?;
    let mut code = vec![0; at + CPUID.len()];
    file.read_exact_at(&mut code, first).ok()?;
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
    decoder.set_position(at).ok()?;
    Some(decoder.decode().code() == Code::Cpuid)
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
}
