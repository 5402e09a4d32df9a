//! Where the code of a captured file asks the processor what it is (`cpuid`): for
//! machines that have no fault for it, where the runtime replaces the instruction.
//!
//! Code is told from data by the section headers, and an instruction from bytes
//! within another by decoding from several places before it: from wherever one
//! begins, x86 code is soon decoded as it is executed.

use iced_x86::{Code, Decoder, DecoderOptions};
use object::LittleEndian;
use object::elf::{FileHeader64, SHF_EXECINSTR, SHT_PROGBITS};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::read::{ReadCache, ReadRef};
use std::fs::File;

const CPUID: [u8; 2] = [0x0f, 0xa2];
/// How far before a candidate decoding begins, and from how many places.
const BEFORE: usize = 160;
const TRIALS: usize = 16;

/// Offsets in the file of each `cpuid`; none if it is no ELF file for x86-64.
pub fn find(file: &File) -> Vec<u64> {
    sections(file).unwrap_or_default()
}

fn sections(file: &File) -> Option<Vec<u64>> {
    let data = &ReadCache::new(file);
    let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    if header.e_machine(endian) != object::elf::EM_X86_64 {
        return None;
    }
    let mut found = Vec::new();
    for section in header.section_headers(endian, data).ok()? {
        let executable = section.sh_flags(endian) & u64::from(SHF_EXECINSTR) != 0;
        if !executable || section.sh_type(endian) != SHT_PROGBITS {
            continue;
        }
        let (from, len) = (section.sh_offset(endian), section.sh_size(endian));
        let code = data.read_bytes_at(from, len).ok()?;
        found.extend(in_code(code).map(|at| from + at as u64));
    }
    Some(found)
}

/// Offsets of each in a section.
fn in_code(code: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memmem::find_iter(code, &CPUID).filter(|&at| {
        let first = at.saturating_sub(BEFORE);
        (first..(first + TRIALS).min(at + 1)).all(|from| comes_to(&code[from..], at - from))
    })
}

/// Whether decoding from the beginning of `code` comes to a `cpuid` at `at`.
fn comes_to(code: &[u8], at: usize) -> bool {
    let code = &code[..code.len().min(at + CPUID.len())];
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    while decoder.position() < at {
        let _skipped = decoder.decode();
    }
    decoder.position() == at && decoder.decode().code() == Code::Cpuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dynamic_linker_asks() {
        let file = File::open("/lib64/ld-linux-x86-64.so.2").unwrap();
        let found = find(&file);
        assert!(found.len() > 10, "{found:?}");
    }

    #[test]
    fn bytes_within_another_instruction_are_none() {
        let mut code = vec![0x90; 200];
        // mov $0xa20f,%eax; cpuid; nop
        code.extend([0xb8, 0x0f, 0xa2, 0, 0, 0x0f, 0xa2]);
        code.extend([0x90; 20]);
        assert_eq!(in_code(&code).collect::<Vec<_>>(), [205]);
        assert!(find(&File::open("/proc/self/maps").unwrap()).is_empty());
    }
}
