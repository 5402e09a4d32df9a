//! What cpuid answers in a session: one table, taken when the session starts,
//! so that every process and every replay sees the same processor.
//!
//! Source: Intel SDM vol. 2A, CPUID. Features whose results differ from run
//! to run, or that can undo work (rdrand, rdseed, rdpid, TSX), are hidden.

use crate::arena::Arena;
use crate::files::CapturedFile;
use crate::regular;
use serde::{Deserialize, Serialize};
use std::arch::x86_64::__cpuid_count;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Leaves that do not depend on ecx are kept once, with this subleaf.
const ANY: u32 = u32::MAX;

/// One leaf and subleaf, and eax, ebx, ecx, edx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row(pub u32, pub u32, pub [u32; 4]);

fn ask(leaf: u32, subleaf: u32) -> [u32; 4] {
    let r = __cpuid_count(leaf, subleaf);
    [r.eax, r.ebx, r.ecx, r.edx]
}

/// The table of this machine.
#[must_use]
pub fn table() -> Vec<Row> {
    let mut rows = Vec::new();
    let last = ask(0, 0)[0].min(0x40);
    for leaf in 0..=last {
        let subleaves = match leaf {
            4 | 7 | 0xb | 0xf | 0x10 | 0x12 | 0x14 | 0x17 | 0x18 | 0x1a..=0x20 => 8,
            0xd => 20,
            _ => 0,
        };
        if subleaves == 0 {
            rows.push(Row(leaf, ANY, hide(leaf, 0, ask(leaf, 0))));
        }
        for subleaf in 0..subleaves {
            rows.push(Row(leaf, subleaf, hide(leaf, subleaf, ask(leaf, subleaf))));
        }
    }
    for base in [0x4000_0000_u32, 0x8000_0000] {
        let last = ask(base, 0)[0];
        if (base..base + 0x40).contains(&last) {
            for leaf in base..=last {
                // AMD's caches, quality of service and topology (APM vol. 3, E.4).
                match leaf {
                    0x8000_001d | 0x8000_0020 | 0x8000_0026 => {
                        rows.extend((0..8).map(|s| Row(leaf, s, ask(leaf, s))));
                    }
                    _ => rows.push(Row(leaf, ANY, ask(leaf, 0))),
                }
            }
        }
    }
    rows
}

fn hide(leaf: u32, subleaf: u32, mut r: [u32; 4]) -> [u32; 4] {
    match (leaf, subleaf) {
        (1, _) => r[2] &= !(1 << 30), // rdrand
        (7, 0) => {
            r[1] &= !(1 << 4 | 1 << 11 | 1 << 18); // hle, rtm, rdseed
            r[2] &= !(1 << 5 | 1 << 22); // waitpkg, rdpid
            r[3] &= !(1 << 5 | 1 << 22 | 1 << 24 | 1 << 25); // uintr, amx
        }
        _ => {}
    }
    r
}

/// Whether the processor can make cpuid fault (`arch_prctl(ARCH_SET_CPUID)`).
#[must_use]
pub fn can_fault() -> bool {
    std::fs::read_to_string("/proc/cpuinfo")
        .is_ok_and(|s| s.split_whitespace().any(|w| w == "cpuid_fault"))
}

/// Tells the runtimes where the code of a captured file asks, where the processor
/// has no fault for it.
pub fn tell(file: &CapturedFile, arena: &Arena) {
    let control = arena.control();
    let Some(row) = usize::try_from(file.id.0)
        .ok()
        .and_then(|id| control.code.get(id))
    else {
        return;
    };
    if file.cpuids.is_empty() || row.count.load(Ordering::Relaxed) != 0 {
        return;
    }
    let rows = control.code.iter();
    let first = rows.map(|r| r.first.load(Ordering::Relaxed) + r.count.load(Ordering::Relaxed));
    let first = first.max().unwrap_or(0);
    let room = control.cpuids.get(first as usize..).unwrap_or_default();
    let count = file.cpuids.len().min(room.len());
    for (to, &from) in room.iter().zip(&file.cpuids) {
        to.store(from, Ordering::Relaxed);
    }
    row.first.store(first, Ordering::Relaxed);
    let count = u32::try_from(count).expect("the table is small");
    row.count.store(count, Ordering::Release);
}

/// Puts the table where the runtime looks.
pub fn install(rows: &[Row], arena: &Arena) {
    let control = arena.control();
    for (to, Row(leaf, subleaf, out)) in control.cpuid.iter().zip(rows) {
        to.leaf.store(*leaf, Ordering::Relaxed);
        to.subleaf.store(*subleaf, Ordering::Relaxed);
        for (to, from) in to.out.iter().zip(out) {
            to.store(*from, Ordering::Relaxed);
        }
    }
    let n = rows.len().min(control.cpuid.len());
    control
        .cpuid_rows
        .store(u32::try_from(n).expect("small"), Ordering::Release);
}

const FILE: &str = "cpuid.json";
/// Most bytes of it; there are some KiB.
const MOST: u64 = 1 << 20;

/// Keeps the table in a session's directory.
///
/// # Errors
/// If the file cannot be written.
pub fn save(rows: &[Row], dir: &Path) -> io::Result<()> {
    std::fs::write(dir.join(FILE), serde_json::to_vec(rows)?)
}

/// The table of a session; `None` if it was recorded without one.
///
/// # Errors
/// If the file is there and no table.
pub fn load(dir: &Path) -> io::Result<Option<Vec<Row>>> {
    match regular::read(&dir.join(FILE), MOST) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
