//! Instructions that would not do the same in replay: what saves vector registers
//! in the dynamic linker ([`xstate`]), and, where the processor has no fault for
//! it, each `cpuid` of mapped files, which tells among other things what processor
//! the thread is on, and which of them there are the supervisor knows. In the dynamic
//! linker, which each program begins with, all that would trap is patched ahead.

use crate::patch::{Followers, Site};
use crate::sys::{call, mm, nr};
use crate::thread::{self, Thread};
use crate::{arch::x86_64 as arch, generated, log, patch, xstate};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use orch_abi::layout::PAGE;
use orch_abi::record::Map;
use orch_abi::shared::{FIRST_MAPS, IMAGE_SITES, ImageRow};
use orch_abi::window::begins;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of code that are looked through: glibc's dynamic linker has 150 kB.
const MOST_CODE: u64 = 512 << 10;

/// Recording: the program's first mappings of code, which the supervisor tells.
pub fn first_maps() {
    let message = log::scratch().cast::<Map>();
    for i in 0..FIRST_MAPS {
        // SAFETY: the message has room for them, and is filled in before the image runs.
        let m = unsafe { message.add(i).read_unaligned() };
        if m.len == 0 {
            break;
        }
        mapped(&m);
    }
    // SAFETY: as above; it is text that people are shown if anything fails.
    unsafe { log::scratch().write_bytes(0, FIRST_MAPS * size_of::<Map>()) };
}

/// A captured file has been mapped.
pub fn mapped(m: &Map) {
    let control = log::control();
    let row = m.file.checked_sub(1);
    let Some(row) = row.and_then(|f| control.code.get(f as usize)) else {
        return;
    };
    let first = row.first.load(Relaxed) as usize;
    let count = row.count.load(Relaxed) as usize;
    if u64::from(m.prot) & mm::EXEC == 0 || count == 0 {
        return;
    }
    let here = |offset: &u64| (m.offset..m.offset + m.len - 1).contains(offset);
    let sites = control.cpuids[first..][..count].iter();
    let sites = sites.map(|s| s.load(Relaxed)).filter(here);
    let sites = sites.map(|s| m.addr + (s - m.offset));
    let (Some(from), Some(last)) = (sites.clone().next(), sites.clone().last()) else {
        return;
    };
    let from = from & !(PAGE - 1);
    let len = (last + 2 - from).next_multiple_of(PAGE);
    if call(nr::MPROTECT, &[from, len, mm::READ | mm::WRITE | mm::EXEC]) < 0 {
        return;
    }
    for at in sites {
        if patch::replaced(at) {
            // SAFETY: the page is writable, and nothing runs there yet.
            unsafe { (at as *mut [u8; 2]).write(patch::CLTS) };
        }
    }
    call(nr::MPROTECT, &[from, len, u64::from(m.prot)]);
}

/// What is patched in an image, in the upper bits of its offset.
mod site {
    pub const SAVE: u32 = 0;
    pub const CPUID: u32 = 1;
    pub const CALL: u32 = 2;
    /// Where these bits are.
    pub const SHIFT: u32 = 24;
}

/// Treats the dynamic linker, or program without one, whose headers are at `base`, before it
/// runs.
pub fn init(base: u64, is_linker: bool) {
    let t = thread::current();
    let Some((key, start, len)) = describe(t, base) else {
        return;
    };
    let mut sites = [0; IMAGE_SITES];
    let n = known(key, &mut sites).unwrap_or_else(|| {
        let n = search(t, start, len, &mut sites);
        remember(key, &sites[..n]);
        n
    });
    let followers = if is_linker {
        Followers::Memory
    } else {
        Followers::Registers
    };
    patch::all_at_once(start, start + len, || {
        for &s in &sites[..n] {
            let at = start + u64::from(s & ((1 << site::SHIFT) - 1));
            match s >> site::SHIFT {
                site::SAVE => _ = xstate::divert(t, at),
                site::CPUID => patch::ahead(at + 2, Site::Cpuid(followers)),
                _ => {
                    // SAFETY: `search` has read these bytes: `mov $number,%eax`.
                    let number = unsafe { ((at + 1) as *const u32).read_unaligned() };
                    patch::ahead(at + 7, Site::Call(number));
                }
            }
        }
    });
}

/// A key for what the image is, address and length of its code.
fn describe(t: &mut Thread, base: u64) -> Option<(u64, u64, u64)> {
    const PT_LOAD: u32 = 1;
    const PF_X: u32 = 1;
    const ET_DYN: u16 = 3;
    let mut found = None;
    arch::guarded(t, || {
        // SAFETY: guarded. Elf64_Ehdr: e_type at 16, e_phoff at 32, e_phnum at 56; Elf64_Phdr:
        // p_type, p_flags, p_vaddr at 16, p_memsz at 40; 56 bytes (elf(5)).
        unsafe {
            if *(base as *const [u8; 4]) != *b"\x7fELF" {
                return;
            }
            let dynamic = *((base + 16) as *const u16) == ET_DYN;
            let headers = base + *((base + 32) as *const u64);
            for i in 0..u64::from(*((base + 56) as *const u16)) {
                let h = headers + i * 56;
                let [kind, flags] = *(h as *const [u32; 2]);
                if kind == PT_LOAD && flags & PF_X != 0 {
                    let address = *((h + 16) as *const u64);
                    let start = if dynamic { base + address } else { address };
                    // Headers and notes, the build's id among them.
                    let page = core::slice::from_raw_parts(base as *const u8, PAGE as usize);
                    found = Some((xxh3_64(page), start, *((h + 40) as *const u64)));
                }
            }
        }
    });
    found.filter(|&(_, _, len)| len <= MOST_CODE)
}

/// What an earlier process found in the same image.
fn known(key: u64, sites: &mut [u32; IMAGE_SITES]) -> Option<usize> {
    let rows = &log::control().images;
    let row = rows.iter().find(|r| r.key.load(Acquire) == key)?;
    for (to, from) in sites.iter_mut().zip(&row.sites) {
        *to = from.load(Relaxed);
    }
    Some((row.count.load(Relaxed) as usize).min(IMAGE_SITES))
}

/// Keeps it for those that come, if there is room.
fn remember(key: u64, sites: &[u32]) {
    let free = |r: &&ImageRow| r.claimed.compare_exchange(0, 1, Relaxed, Relaxed).is_ok();
    let Some(row) = log::control().images.iter().find(free) else {
        return;
    };
    for (to, &from) in row.sites.iter().zip(sites) {
        to.store(from, Relaxed);
    }
    row.count.store(sites.len() as u32, Relaxed);
    row.key.store(key, Release);
}

/// Offsets in the code of the instructions, those first without which replay would differ.
fn search(t: &mut Thread, start: u64, len: u64, sites: &mut [u32; IMAGE_SITES]) -> usize {
    let mut n = 0;
    arch::guarded(t, || {
        // SAFETY: guarded.
        let code = unsafe { core::slice::from_raw_parts(start as *const u8, len as usize) };
        for wanted in [site::SAVE, site::CPUID, site::CALL] {
            // Most bytes are none that it begins with: decoding all would take a millisecond.
            for at in 0..code.len() {
                if n < IMAGE_SITES && looks_like(wanted, &code[at..]) && begins(code, at) {
                    sites[n] = wanted << site::SHIFT | at as u32;
                    n += 1;
                }
            }
        }
    });
    n
}

fn looks_like(wanted: u32, code: &[u8]) -> bool {
    match wanted {
        site::SAVE => xstate::looks_so(code),
        site::CPUID => {
            code.starts_with(&patch::CPUID_CODE)
                || code.starts_with(&patch::CLTS) && generated::is_on()
        }
        // `mov $number,%eax; syscall`
        _ => code[0] == 0xb8 && code.get(5..7) == Some(&[0x0f, 0x05]),
    }
}
