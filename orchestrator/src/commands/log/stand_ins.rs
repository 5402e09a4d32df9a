//! Code that goes by the name of a function elsewhere.

use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::{Endianness, elf, elf::FileHeader64};
use std::ops::Range;

/// What of a file has a function's name, and leads to it only.
#[derive(Default)]
pub struct StandIns {
    /// Functions that the dynamic linker asks which one to use (GNU indirect functions).
    choosers: Vec<Range<u64>>,
    /// Jumps to functions of other files, in the procedure linkage table.
    stubs: Vec<Range<u64>>,
}

impl StandIns {
    /// Those in a file for a function.
    pub fn of(file: &[u8], name: &str) -> object::Result<Self> {
        let header = FileHeader64::<Endianness>::parse(file)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, file)?;
        let mut found = Self::default();
        for section in sections.iter() {
            // .plt, .plt.sec, .plt.got
            if sections.section_name(endian, section)?.starts_with(b".plt") {
                let at = section.sh_addr(endian);
                found.stubs.push(at..at + section.sh_size(endian));
            }
        }
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let symbols = sections.symbols(endian, file, kind)?;
            for symbol in symbols.iter() {
                let chooses = symbol.st_type() == elf::STT_GNU_IFUNC;
                if chooses && symbol.name(endian, symbols.strings())? == name.as_bytes() {
                    let at = symbol.st_value(endian);
                    found.choosers.push(at..at + symbol.st_size(endian).max(1));
                }
            }
        }
        Ok(found)
    }

    /// Takes them away; whether a function was left out that chooses.
    pub fn drop_from(&self, addresses: &mut Vec<u64>) -> bool {
        let is_in = |all: &[Range<u64>], at: &u64| all.iter().any(|r| r.contains(at));
        let chooses = addresses.iter().any(|at| is_in(&self.choosers, at));
        addresses.retain(|at| !is_in(&self.choosers, at) && !is_in(&self.stubs, at));
        chooses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The functions of this very program: libc's are stubs here, if they are there at all.
    #[test]
    fn own_functions_are_no_stand_ins() {
        let file = std::fs::read("/proc/self/exe").expect("it is there");
        let found = StandIns::of(&file, "memcpy").expect("it is ELF");
        assert!(found.choosers.is_empty());
        let mut addresses = vec![0];
        assert!(!found.drop_from(&mut addresses) && addresses == [0]);
        assert!(StandIns::of(b"#!/bin/sh", "memcpy").is_err());
    }
}
