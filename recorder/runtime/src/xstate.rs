//! Makes deterministic what the dynamic linker saves of vector registers while
//! it binds a function. `xsavec` leaves out components in their initial state, and
//! which the processor takes to be in that state is its own affair (Intel SDM
//! vol. 1, 13.6, "XINUSE"; AMD processors change their mind): what lay on
//! the stack before stays there or not, and the program may see it. So it becomes a jump
//! to a stub that clears the area first, and says that all was saved.

use crate::thread::Thread;
use crate::{arch::x86_64 as arch, patch};
use core::mem::offset_of;

/// What saves in `_dl_runtime_resolve_xsave` and `…_xsavec` of glibc (since 2.26):
/// `xsave 0x40(%rsp)`, `xsavec 0x40(%rsp)`.
const SAVES: [[u8; 5]; 2] = [
    [0x0f, 0xae, 0x64, 0x24, 0x40],
    [0x0f, 0xc7, 0x64, 0x24, 0x40],
];
/// Before it, `mov $components,%eax; xor %edx,%edx`, within so many bytes.
const BEFORE: usize = 80;

/// What the stub keeps of the program's registers; part of [`Thread`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Kept {
    rax: u64,
    rcx: u64,
    rdi: u64,
}

/// Diverts the instruction at `site`, if it is one of them.
pub fn divert(t: &mut Thread, site: u64) -> bool {
    read_site(t, site)
        .and_then(|(save, components)| assemble(save, components))
        .and_then(|code| patch::divert(site, 5, &code.bytes[..code.len]))
        .is_some()
}

/// Whether `code` begins with an instruction that may be one of them.
pub fn looks_so(code: &[u8]) -> bool {
    SAVES.iter().any(|s| code.starts_with(s))
}

/// The instruction at `at`, and the components that are asked for.
fn read_site(t: &mut Thread, at: u64) -> Option<([u8; 5], u32)> {
    let mut code = [0; BEFORE + 5];
    let from = at - BEFORE as u64;
    // SAFETY: guarded.
    let read = arch::guarded(t, || unsafe {
        (from as *const u8).copy_to(code.as_mut_ptr(), code.len());
    });
    let save = [0, 1, 2, 3, 4].map(|i| code[BEFORE + i]);
    let known = read && SAVES.contains(&save);
    known
        .then(|| components(&code[..BEFORE]))
        .flatten()
        .map(|c| (save, c))
}

/// `mov $components,%eax; xor %edx,%edx`, the last one.
fn components(code: &[u8]) -> Option<u32> {
    let matches = |b: &&[u8]| b[0] == 0xb8 && b[5..] == [0x31, 0xd2];
    let b = code.windows(7).rev().find(matches)?;
    Some(u32::from_le_bytes([b[1], b[2], b[3], b[4]]))
}

/// Offset of the area from the stack pointer.
const AREA: u64 = 0x40;
/// In the area: the XMM registers, and behind the header what else there is.
const XMM: u64 = 160;
const EXTENDED: u64 = 576;

/// Bytes behind the header for the components, in compacted form; nothing if
/// there is one of a size that we do not know.
fn extended(components: u64) -> Option<u64> {
    // AVX, MPX's bounds and their state, opmask, both parts of AVX-512, APX
    // (SDM vol. 1, 13.5). All are aligned as they follow each other.
    const SIZES: [(u32, u64); 7] = [
        (2, 256),
        (3, 64),
        (4, 64),
        (5, 64),
        (6, 512),
        (7, 1024),
        (19, 128),
    ];
    let known = SIZES.iter().fold(2, |k, (bit, _)| k | 1 << bit);
    (components & !known == 0).then(|| {
        let sizes = SIZES.iter().filter(|(bit, _)| components >> bit & 1 == 1);
        sizes.map(|(_, size)| size).sum()
    })
}

struct Code {
    bytes: [u8; 128],
    len: usize,
}

impl Code {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// A `mov` between a register and `gs:[field]`.
    fn gs(&mut self, op: u8, modrm: u8, field: usize) {
        self.put(&[0x65, 0x48, op, modrm, 0x25]);
        self.put(&((offset_of!(Thread, kept) + field) as u32).to_le_bytes());
    }
}

/// What is done instead of `save`: leaves registers and flags as they are.
fn assemble(save: [u8; 5], components: u32) -> Option<Code> {
    const STORE: u8 = 0x89;
    const LOAD: u8 = 0x8b;
    const RAX: (u8, usize) = (0x04, offset_of!(Kept, rax));
    const RCX: (u8, usize) = (0x0c, offset_of!(Kept, rcx));
    const RDI: (u8, usize) = (0x3c, offset_of!(Kept, rdi));
    let saved = u64::from(components) & arch::xcr0();
    let words = (EXTENDED + extended(saved)? - XMM) / 8;
    let mut c = Code {
        bytes: [0; 128],
        len: 0,
    };
    for (register, field) in [RAX, RCX, RDI] {
        c.gs(STORE, register, field);
    }
    // The standard form is as long as is laid out for all components, and `xsave` fills it.
    if save == SAVES[1] {
        c.put(&[0x48, 0x8d, 0xbc, 0x24]); // lea …(%rsp),%rdi
        c.put(&((AREA + XMM) as u32).to_le_bytes());
        c.put(&[0xb9]); // mov $words,%ecx
        c.put(&(words as u32).to_le_bytes());
        c.put(&[0xb8, 0, 0, 0, 0]); // mov $0,%eax
        c.put(&[0xf3, 0x48, 0xab]); // rep stos
        c.gs(LOAD, RAX.0, RAX.1);
    }
    // With XMM registers in their initial state it might not be saved.
    c.put(&[0x0f, 0xae, 0x5c, 0x24, AREA as u8 + 24]); // stmxcsr
    c.put(&save);
    c.put(&[0xc7, 0x44, 0x24, AREA as u8 + 28, 0xff, 0xff, 0, 0]); // its mask
    c.put(&[0x48, 0xc7, 0x84, 0x24]); // movq $saved: XSTATE_BV
    c.put(&(AREA as u32 + 512).to_le_bytes());
    c.put(&(saved as u32).to_le_bytes());
    for (register, field) in [RCX, RDI] {
        c.gs(LOAD, register, field);
    }
    Some(c)
}
