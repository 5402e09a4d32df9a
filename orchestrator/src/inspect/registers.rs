//! Registers: the general ones by number, as far as they are known, and the others by name.

use crate::travel::{Component, Xstate};
use orch_abi::record::Regs;

/// The registers of a frame: those that a caller kept for itself are not known
/// once it has called. Numbers are DWARF's (System V ABI for x86-64, figure 3.36).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers([Option<u64>; COUNT]);

/// How many there are, with the return address.
pub const COUNT: usize = 17;

/// Number of rsp.
pub const RSP: usize = 7;
/// Number of rbp.
pub const RBP: usize = 6;
/// Number of the return address: for a frame, where it is.
pub const RIP: usize = 16;

/// Names, by number.
pub const NAMES: [&str; COUNT] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip",
];

/// Registers that a function gives back as it got them (System V ABI, 3.2.1).
pub const KEPT: [usize; 6] = [3, RBP, 12, 13, 14, 15];

/// The order in which people expect them: gdb's.
const SHOWN: [usize; COUNT] = [0, 3, 2, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

impl From<&Regs> for Registers {
    fn from(r: &Regs) -> Self {
        let values = [
            r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
            r.r12, r.r13, r.r14, r.r15, r.rip,
        ];
        Self(values.map(Some))
    }
}

impl Registers {
    /// One by its number.
    pub fn get(&self, number: usize) -> Option<u64> {
        self.0.get(number).copied().flatten()
    }

    /// One by its name.
    pub fn named(&self, name: &str) -> Option<u64> {
        let number = NAMES.iter().position(|&n| n == name)?;
        self.get(number)
    }

    /// Sets one.
    pub fn set(&mut self, number: usize, value: Option<u64>) {
        if let Some(register) = self.0.get_mut(number) {
            *register = value;
        }
    }

    /// Where the frame is in the program.
    pub fn pc(&self) -> u64 {
        self.get(RIP).unwrap_or(0)
    }

    /// Where its stack ends.
    pub fn sp(&self) -> u64 {
        self.get(RSP).unwrap_or(0)
    }

    /// Names and values, in the usual order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> + '_ {
        SHOWN.into_iter().map(|n| (NAMES[n], self.0[n]))
    }
}

/// The flags that are set, by their names (Intel SDM volume 1, 3.4.3).
pub fn flags(rflags: u64) -> String {
    const FLAGS: [(u32, &str); 11] = [
        (0, "CF"),
        (2, "PF"),
        (4, "AF"),
        (6, "ZF"),
        (7, "SF"),
        (8, "TF"),
        (9, "IF"),
        (10, "DF"),
        (11, "OF"),
        (18, "AC"),
        (21, "ID"),
    ];
    let set = FLAGS.iter().filter(|(bit, _)| rflags >> bit & 1 != 0);
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    names.join(" ")
}

/// x87 and vector registers, whole: names and values. A vector register goes by the name that it
/// has at its full length.
pub fn extended(state: &Xstate) -> Vec<(String, String)> {
    // What `fxsave` stores (SDM volume 1, table 10-2).
    const CONTROL: usize = 0;
    const STATUS: usize = 2;
    const MXCSR: usize = 24;
    const ST: usize = 32;
    const XMM: usize = 160;
    let legacy = state.legacy();
    let piece = |component, n: usize, len: usize| {
        let bytes = state.component(component)?;
        bytes.get(n * len..(n + 1) * len)
    };
    let mut all = vec![
        ("fctrl".to_owned(), number(&legacy[CONTROL..CONTROL + 2])),
        ("fstat".to_owned(), number(&legacy[STATUS..STATUS + 2])),
        ("mxcsr".to_owned(), number(&legacy[MXCSR..MXCSR + 4])),
    ];
    for n in 0..8 {
        let at = ST + 16 * n;
        all.push((format!("st{n}"), number(&legacy[at..at + 10])));
    }
    for n in 0..16 {
        let at = XMM + 16 * n;
        let mut bytes = legacy[at..at + 16].to_vec();
        let mut name = 'x';
        let halves = [('y', Component::Ymmh, 16), ('z', Component::Zmmh, 32)];
        for (longer, component, len) in halves {
            if let Some(half) = piece(component, n, len) {
                bytes.extend(half);
                name = longer;
            }
        }
        all.push((format!("{name}mm{n}"), number(&bytes)));
    }
    let high = (0..16).filter_map(|n| Some((n + 16, piece(Component::Zmm16, n, 64)?)));
    all.extend(high.map(|(n, bytes)| (format!("zmm{n}"), number(bytes))));
    let masks = (0..8).filter_map(|n| Some((n, piece(Component::Masks, n, 8)?)));
    all.extend(masks.map(|(n, bytes)| (format!("k{n}"), number(bytes))));
    all
}

/// A number of any length, the lowest byte first.
fn number(bytes: &[u8]) -> String {
    let digits = bytes.iter().rev().map(|b| format!("{b:02x}"));
    format!("0x{}", digits.collect::<String>())
}
