//! Which instructions may be displaced by a five-byte jump: asked by the
//! runtime when it chooses where to stop a thread, and when it comes to look
//! for that place again.
//!
//! Lengths follow the opcode maps of the SDM, vol. 2, appendix A, and 2.3 and
//! 2.7 for VEX and EVEX. An instruction that this module does not know is one
//! that is left where it is.

/// Bytes of `jmp rel32`.
pub const JUMP: usize = 5;
/// Most bytes that a window can have: four and one instruction of 15.
pub const MAX_WINDOW: usize = JUMP - 1 + 15;

/// What stands in the way of executing an instruction elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing; a conditional branch is relocated with its target.
    Plain,
    /// It never goes on to the next instruction.
    Away,
    /// It may be stepped over, but not displaced: it pushes the address behind
    /// it, or it is entered behind its prefix, or it goes round by itself.
    Fixed,
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Bytes.
    pub len: usize,
    /// Where it goes.
    pub flow: Flow,
}

/// Instructions of at least [`JUMP`] bytes that can be displaced together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Bytes.
    pub len: usize,
    /// Bit `n`: an instruction begins at offset `n`.
    pub starts: u32,
}

/// The window that begins with `code`.
#[must_use]
pub fn window(code: &[u8]) -> Option<Window> {
    let mut w = Window::default();
    while w.len < JUMP {
        let insn = decode(code.get(w.len..)?)?;
        w.starts |= 1 << w.len;
        w.len += insn.len;
        if insn.flow == Flow::Fixed || insn.flow == Flow::Away && w.len < JUMP {
            return None;
        }
    }
    Some(w)
}

/// Whether an instruction begins at `at`: decoding from most places before comes there,
/// as it soon falls into step.
#[must_use]
pub fn begins(code: &[u8], at: usize) -> bool {
    const BEFORE: usize = 96;
    const TRIALS: usize = 16;
    let first = at.saturating_sub(BEFORE);
    let starts = first..(first + TRIALS).min(at + 1);
    let comes = |&from: &usize| {
        let mut here = from;
        while here < at {
            let rest = &code[here..(here + 15).min(code.len())];
            here += decode(rest).map_or(1, |i| i.len);
        }
        here == at
    };
    2 * starts.clone().filter(comes).count() > starts.len()
}

/// Whether the bytes before a `cpuid` set what it is asked for: `xor %eax,%eax`, or `mov` of
/// a number that it can have (SDM vol. 2, CPUID), and `%ecx` after that or not. Hardly any
/// data ends like that.
#[must_use]
pub fn asked_for(before: &[u8]) -> bool {
    match before {
        [rest @ .., 0x31 | 0x33, 0xc9] | [rest @ .., 0xb9, 0..0x20, 0, 0, 0] => sets_leaf(rest),
        _ => sets_leaf(before),
    }
}

fn sets_leaf(before: &[u8]) -> bool {
    let leaf = |low: u8, middle: [u8; 2], high: u8| {
        low < 0x40 && middle == [0, 0] && matches!(high, 0 | 0x40 | 0x80)
    };
    match before {
        [.., 0x31 | 0x33, 0xc0] => true,
        [.., 0xb8, low, a, b, high] => leaf(*low, [*a, *b], *high),
        _ => false,
    }
}

/// Places of a page.
#[derive(Clone, Copy, Debug)]
pub struct Places([u64; 64]);

impl Places {
    /// Whether `place` is one of them.
    #[must_use]
    pub fn has(&self, place: usize) -> bool {
        self.0
            .get(place / 64)
            .is_some_and(|word| word >> (place % 64) & 1 != 0)
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }
}

/// Where on a page instructions are that are executed once the one at `from` is, as far as
/// that can be told: not what follows a call, as it may never return, and not what is not
/// known here. `cpuid` is.
#[must_use]
pub fn executed(page: &[u8; 4096], from: usize) -> Places {
    const CPUID: [u8; 2] = [0x0f, 0xa2];
    const MOST: usize = 64;
    let mut places = Places([0; 64]);
    let (mut waiting, mut count) = ([from; MOST], 1);
    while count > 0 {
        count -= 1;
        let mut at = waiting[count];
        while at < page.len() && !places.has(at) {
            let code = &page[at..];
            let insn = match decode(code) {
                _ if code.starts_with(&CPUID) => Insn {
                    len: CPUID.len(),
                    flow: Flow::Plain,
                },
                Some(insn) => insn,
                None => match unmoved(code) {
                    0 => break,
                    len => Insn {
                        len,
                        flow: Flow::Plain,
                    },
                },
            };
            places.add(at);
            let target =
                branch(&code[..insn.len]).map(|by| (at + insn.len).wrapping_add_signed(by));
            if let Some(target) = target.filter(|&t| t < page.len())
                && count < MOST
            {
                waiting[count] = target;
                count += 1;
            }
            if insn.flow == Flow::Away || is_call(code) {
                break;
            }
            at += insn.len;
        }
    }
    places
}

/// Length of an instruction that is not displaced, but stands between others that ask the
/// processor: `pushf`, `popf`, `xgetbv`; 0 if it is none.
fn unmoved(code: &[u8]) -> usize {
    match code {
        [0x9c | 0x9d, ..] => 1,
        [0x0f, 0x01, 0xd0, ..] => 3,
        _ => 0,
    }
}

/// How far a direct jump leads, from its end.
fn branch(insn: &[u8]) -> Option<isize> {
    match *insn {
        [0xeb | 0x70..=0x7f | 0xe0..=0xe3, by] => Some(isize::from(by.cast_signed())),
        [0xe9, a, b, c, d] | [0x0f, 0x80..=0x8f, a, b, c, d] => {
            isize::try_from(i32::from_le_bytes([a, b, c, d])).ok()
        }
        _ => None,
    }
}

fn is_call(code: &[u8]) -> bool {
    let opcode = code
        .iter()
        .position(|b| !matches!(b, 0x40..=0x4f | 0x66 | 0xf2));
    match opcode.map(|at| &code[at..]) {
        Some([0xe8, ..]) => true,
        Some([0xff, modrm, ..]) => modrm >> 3 & 7 == 2,
        _ => false,
    }
}

/// Length of the repeated string instruction that `code` begins with, if it is one
/// (SDM vol. 2: prefixes f2/f3, 66, 67, rex; opcodes a4-a7, aa-af).
#[must_use]
pub fn repeated(code: &[u8]) -> Option<usize> {
    let prefix = |b: &u8| matches!(b, 0xf2 | 0xf3 | 0x66 | 0x67 | 0x40..=0x4f);
    let at = code.iter().position(|b| !prefix(b))?;
    let repeats = code[..at].iter().any(|b| matches!(b, 0xf2 | 0xf3));
    (repeats && matches!(code[at], 0xa4..=0xa7 | 0xaa..=0xaf)).then_some(at + 1)
}

/// What follows an opcode.
#[derive(Clone, Copy)]
enum Form {
    None,
    Imm(usize),
    /// 4 bytes, or 2 with an operand-size prefix.
    ImmZ,
    ModRm(usize),
    ModRmZ,
}

/// The instruction that `code` begins with, if it is one that a program can
/// execute without the kernel, and whose result does not depend on where it is.
#[must_use]
pub fn decode(code: &[u8]) -> Option<Insn> {
    let mut at = 0;
    let (mut word, mut short_address, mut lock, mut repeat) = (false, false, false, false);
    loop {
        match code.get(at)? {
            0x66 => word = true,
            0x67 => short_address = true,
            0xf0 => lock = true,
            0xf2 | 0xf3 => repeat = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => {}
            _ => break,
        }
        at += 1;
    }
    let mut wide = false;
    if code.get(at)? & 0xf0 == 0x40 {
        wide = code[at] & 8 != 0;
        at += 1;
    }
    let op = *code.get(at)?;
    at += 1;
    let modrm = code.get(at).copied();
    let (form, mut flow) = match op {
        0x0f => {
            at += 1;
            two_byte(modrm?, code, &mut at, word)?
        }
        0xc4 | 0xc5 | 0x62 => (extended(op, code, &mut at)?, Flow::Plain),
        _ => one_byte(op, modrm.unwrap_or(0), wide, word || short_address)?,
    };
    let string = matches!(op, 0xa4..=0xa7 | 0xaa..=0xaf);
    if lock || repeat && string {
        flow = Flow::Fixed;
    }
    let z = if word && !wide { 2 } else { 4 };
    let tail = match form {
        Form::None => 0,
        Form::Imm(n) => n,
        Form::ImmZ => z,
        Form::ModRm(n) => operand(code, at)? + n,
        Form::ModRmZ => operand(code, at)? + z,
    };
    let len = at + tail;
    (len <= 15 && len <= code.len()).then_some(Insn { len, flow })
}

/// Bytes of ModRM, SIB and displacement.
fn operand(code: &[u8], at: usize) -> Option<usize> {
    let m = *code.get(at)?;
    let (mode, rm) = (m >> 6, m & 7);
    if mode == 3 {
        return Some(1);
    }
    let sib = usize::from(rm == 4);
    let base = if rm == 4 { code.get(at + 1)? & 7 } else { rm };
    Some(
        1 + sib
            + match mode {
                0 => {
                    if base == 5 {
                        4
                    } else {
                        0
                    }
                }
                1 => 1,
                _ => 4,
            },
    )
}

fn one_byte(op: u8, modrm: u8, wide: bool, sized: bool) -> Option<(Form, Flow)> {
    let reg = modrm >> 3 & 7;
    let form = match op {
        0x00..=0x3f => match op & 7 {
            0..=3 => Form::ModRm(0),
            4 => Form::Imm(1),
            5 => Form::ImmZ,
            _ => return None,
        },
        0x50..=0x5f
        | 0x90..=0x99
        | 0x9b
        | 0x9e
        | 0x9f
        | 0xa4..=0xa7
        | 0xaa..=0xaf
        | 0xc9
        | 0xd7
        | 0xf5
        | 0xf8
        | 0xf9
        | 0xfc
        | 0xfd => Form::None,
        0x63 | 0x84..=0x8e | 0xd0..=0xd3 | 0xd8..=0xdf => Form::ModRm(0),
        // Other values of reg are XOP.
        0x8f if reg == 0 => Form::ModRm(0),
        0x68 | 0xa9 => Form::ImmZ,
        0x69 | 0x81 => Form::ModRmZ,
        0xc7 if reg == 0 => Form::ModRmZ,
        0xc6 if reg == 0 => Form::ModRm(1),
        0x6a | 0xa8 | 0xb0..=0xb7 | 0x70..=0x7f | 0xe0..=0xe3 => Form::Imm(1),
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 => Form::ModRm(1),
        0xa0..=0xa3 if !sized => Form::Imm(8),
        0xb8..=0xbf if wide => Form::Imm(8),
        0xb8..=0xbf => Form::ImmZ,
        0xc2 if !sized => return Some((Form::Imm(2), Flow::Away)),
        0xc3 if !sized => return Some((Form::None, Flow::Away)),
        0xc8 => Form::Imm(3),
        0xe8 if !sized => return Some((Form::Imm(4), Flow::Fixed)),
        0xe9 if !sized => return Some((Form::Imm(4), Flow::Away)),
        0xeb => return Some((Form::Imm(1), Flow::Away)),
        0xf6 => Form::ModRm(usize::from(reg < 2)),
        0xf7 => {
            if reg < 2 {
                Form::ModRmZ
            } else {
                Form::ModRm(0)
            }
        }
        0xfe if reg < 2 => Form::ModRm(0),
        0xff => {
            return match reg {
                0 | 1 | 6 => Some((Form::ModRm(0), Flow::Plain)),
                2 => Some((Form::ModRm(0), Flow::Fixed)),
                4 => Some((Form::ModRm(0), Flow::Away)),
                _ => None,
            };
        }
        _ => return None,
    };
    Some((form, Flow::Plain))
}

fn two_byte(op: u8, code: &[u8], at: &mut usize, word: bool) -> Option<(Form, Flow)> {
    let form = match op {
        0x0d
        | 0x10..=0x1f
        | 0x28..=0x2f
        | 0x40..=0x6f
        | 0x74..=0x76
        | 0x7c..=0x7f
        | 0x90..=0x9f
        | 0xa3
        | 0xa5
        | 0xab
        | 0xad..=0xb1
        | 0xb3
        | 0xb6..=0xb8
        | 0xbb..=0xc1
        | 0xc3
        | 0xc7
        | 0xd0..=0xfe => Form::ModRm(0),
        0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => Form::ModRm(1),
        0x77 | 0xc8..=0xcf => Form::None,
        0x80..=0x8f if !word => Form::Imm(4),
        0x38 | 0x3a => {
            code.get(*at)?;
            *at += 1;
            Form::ModRm(usize::from(op == 0x3a))
        }
        _ => return None,
    };
    Some((form, Flow::Plain))
}

/// VEX and EVEX: `at` is behind the first byte.
fn extended(first: u8, code: &[u8], at: &mut usize) -> Option<Form> {
    let map = match first {
        0xc5 => 1,
        0xc4 => code.get(*at)? & 0x1f,
        _ => code.get(*at)? & 7,
    };
    *at += match first {
        0xc5 => 1,
        0xc4 => 2,
        _ => 3,
    };
    let op = *code.get(*at)?;
    *at += 1;
    Some(match (map, op) {
        (1, 0x77) if first != 0x62 => Form::None,
        (1, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6) | (3, _) => Form::ModRm(1),
        (1 | 2, _) => Form::ModRm(0),
        (5 | 6, _) if first == 0x62 => Form::ModRm(0),
        _ => return None,
    })
}
