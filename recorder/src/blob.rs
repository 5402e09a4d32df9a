//! The runtime's image: the ELF file that the build produced, laid out flat
//! and relocated for its fixed address.

use object::elf;
use object::read::elf::{
    ElfFile64, FileHeader as _, ProgramHeader as _, Rela as _, SectionHeader as _,
};
use orch_abi::layout::{RUNTIME_BASE, RUNTIME_LEN};
use std::sync::OnceLock;

/// The runtime as an ELF file, with symbols (for gdb's `add-symbol-file`).
pub const ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.elf"));

/// A loadable image.
#[derive(Debug)]
pub struct Image {
    /// Bytes from [`RUNTIME_BASE`] on; what follows, up to `RUNTIME_LEN`, is zero.
    pub bytes: Vec<u8>,
    /// Address of the first instruction.
    pub entry: u64,
}

/// The runtime, ready to be mapped at [`RUNTIME_BASE`].
///
/// # Panics
/// If the build produced a file that is not such an image.
pub fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| load(ELF).expect("the build produced a static-pie ELF file for x86-64"))
}

fn load(file: &[u8]) -> object::Result<Image> {
    let elf = ElfFile64::<object::Endianness>::parse(file)?;
    let endian = elf.endian();
    let mut bytes = Vec::new();
    for segment in elf.elf_program_headers() {
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        let at = usize::try_from(segment.p_vaddr(endian)).unwrap_or(usize::MAX);
        let data = segment.data(endian, file).unwrap_or_default();
        assert!(
            segment.p_vaddr(endian) + segment.p_memsz(endian) <= RUNTIME_LEN,
            "the runtime outgrew RUNTIME_LEN"
        );
        if bytes.len() < at + data.len() {
            bytes.resize(at + data.len(), 0);
        }
        bytes[at..at + data.len()].copy_from_slice(data);
    }
    for section in elf.elf_section_table().iter() {
        let Some((relocations, _)) = section.rela(endian, file)? else {
            continue;
        };
        for r in relocations {
            assert_eq!(
                r.r_type(endian, false),
                elf::R_X86_64_RELATIVE,
                "only relative relocations are expected"
            );
            let value = RUNTIME_BASE.wrapping_add_signed(r.r_addend(endian));
            let at = usize::try_from(r.r_offset(endian)).unwrap_or(usize::MAX);
            if bytes.len() < at + 8 {
                bytes.resize(at + 8, 0);
            }
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    Ok(Image {
        bytes,
        entry: RUNTIME_BASE + elf.elf_header().e_entry(endian),
    })
}
