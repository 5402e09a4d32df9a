//! Interception of shared memory: makes the stubs that `orch_abi::access`
//! describes.
//!
//! [`stub`] takes the program's code at an instruction that met shared memory.
//! `window` decides how many instructions the stub stands for, `operand` what
//! each does to memory, `flags` whether the program's flags matter there;
//! `sequence` writes what comes in place of an access, with the `registers` it
//! may use and the `assembler`, and `answer` puts it all into the bytes that the runtime gets.

mod answer;
mod around;
mod assembler;
mod flags;
mod operand;
mod registers;
mod sequence;
mod window;

use around::Around;
use assembler::Assembler;
use orch_abi::access::{Moved, Site};
use sequence::Sequence;
use window::Window;

/// Most bytes of an answer: a slot's message.
pub const MAX_ANSWER: usize = 4096;

/// Code that stands for the first instructions at some place of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Bytes of the program's code that it stands for.
    pub window: usize,
    /// How many of them precede the instruction that was asked for.
    pub before: usize,
    /// Whether a jump to it may be put in their place.
    pub patch: bool,
    /// The instructions of the window.
    pub moved: Vec<Moved>,
    /// Those of them that are accesses.
    pub sites: Vec<Site>,
    /// The code.
    pub code: Vec<u8>,
}

/// Makes the stub that will lie at `at` for the instruction at `ip`, with sites
/// numbered from `first_site`. `code` is the program's, `before` bytes of it
/// preceding `ip`. `None` if the instruction is not one that a stub can do.
#[must_use]
pub fn stub(code: &[u8], before: usize, ip: u64, at: u64, first_site: u32) -> Option<Stub> {
    let around = Around::new(code, before, ip);
    around
        .windows()
        .iter()
        .find_map(|window| build(window, ip, at, first_site))
}

fn build(window: &Window, ip: u64, at: u64, first_site: u32) -> Option<Stub> {
    let mut asm = Assembler::default();
    let live = flags::live(&window.instructions);
    let entries: Vec<_> = window.instructions.iter().map(|_| asm.label()).collect();
    let behind = asm.label();
    let mut sequences = Vec::new();
    for (n, i) in window.instructions.iter().enumerate() {
        asm.bind(entries[n]);
        if let Some(operand) = window.access(n) {
            let site = first_site.checked_add(u32::try_from(sequences.len()).ok()?)?;
            let next = entries.get(n + 1).copied().unwrap_or(behind);
            let s = Sequence::new(
                &mut asm,
                i,
                operand,
                live[n],
                i32::try_from(site).ok()?,
                next,
            )?;
            s.emit(&mut asm);
            sequences.push(s);
        } else if i.is_call_near() || i.is_call_near_indirect() {
            asm.call(i);
        } else {
            asm.moved(i, |target| window.index(target).map(|n| entries[n]));
        }
    }
    asm.bind(behind);
    asm.jump_to(window.end());
    for s in &sequences {
        s.emit_cold(&mut asm);
    }
    let block = asm.finish(at)?;
    let mut moved = Vec::new();
    for (i, &entry) in window.instructions.iter().zip(&entries) {
        moved.push(Moved {
            at: u32::try_from(i.ip() - window.ip()).ok()?,
            entry: u32::try_from(block.address(entry) - at).ok()?,
        });
    }
    let stub = Stub {
        window: window.len(),
        before: usize::try_from(ip - window.ip()).ok()?,
        patch: window.patch,
        moved,
        sites: sequences.iter().map(|s| s.site(&block)).collect(),
        code: block.code,
    };
    (stub.encode().len() <= MAX_ANSWER).then_some(stub)
}
