//! What an instruction does to the memory that it names.

use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, OpAccess, OpKind};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Most bytes of an instruction (Intel SDM, volume 2, 2.3.11).
const LONGEST: usize = 15;

/// Whether the instruction at an offset of a file reads what it writes; `None` if there is
/// none that writes memory.
pub fn reads_what_it_writes(file: &Path, offset: u64) -> Option<bool> {
    let mut code = [0; LONGEST];
    let len = File::open(file).ok()?.read_at(&mut code, offset).ok()?;
    reads(code.get(..len)?)
}

fn reads(code: &[u8]) -> Option<bool> {
    let i = Decoder::new(64, code, DecoderOptions::NONE).decode();
    if i.is_invalid() {
        return None;
    }
    let mut info = InstructionInfoFactory::new();
    let info = info.info(&i);
    let memory = (0..i.op_count()).filter(|&n| {
        matches!(
            i.op_kind(n),
            OpKind::Memory | OpKind::MemoryESDI | OpKind::MemoryESEDI | OpKind::MemoryESRDI
        )
    });
    let mut ways = memory.map(|n| info.op_access(n));
    ways.find_map(|way| match way {
        OpAccess::Write | OpAccess::CondWrite => Some(false),
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => Some(true),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::reads;

    #[test]
    fn an_exchange_reads_and_a_move_does_not() {
        let of = |code: &[u8]| reads(code);
        // lock cmpxchg %ecx,(%rdi); xchg %eax,(%rdi); addl $1,(%rdi); lock xadd %eax,(%rdi)
        assert_eq!(of(&[0xf0, 0x0f, 0xb1, 0x0f]), Some(true));
        assert_eq!(of(&[0x87, 0x07]), Some(true));
        assert_eq!(of(&[0x83, 0x07, 0x01]), Some(true));
        assert_eq!(of(&[0xf0, 0x0f, 0xc1, 0x07]), Some(true));
        // mov %eax,(%rdi); stosb; movsb reads other memory than it writes
        assert_eq!(of(&[0x89, 0x07]), Some(false));
        assert_eq!(of(&[0xaa]), Some(false));
        assert_eq!(of(&[0xa4]), Some(false));
        // mov (%rdi),%eax; no instruction; nothing
        assert_eq!(of(&[0x8b, 0x07]), None);
        assert_eq!(of(&[0x06]), None);
        assert_eq!(of(&[]), None);
    }
}
