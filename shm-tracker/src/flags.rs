//! Which instructions of a window need the arithmetic flags as they find them.
//!
//! Flags need not be kept across what comes before an instruction that sets
//! them all whatever they were; nor if one after it does before any is read.

use iced_x86::{FlowControl, Instruction, Mnemonic, RflagsBits};

/// Flags that a stub changes.
pub const ARITHMETIC: u32 = RflagsBits::OF
    | RflagsBits::SF
    | RflagsBits::ZF
    | RflagsBits::AF
    | RflagsBits::CF
    | RflagsBits::PF;

/// For each instruction, whether a flag that is set before it can be seen.
pub fn live(instructions: &[Instruction]) -> Vec<bool> {
    let mut live = ARITHMETIC;
    let mut result = vec![true; instructions.len()];
    for (i, needed) in instructions.iter().zip(&mut result).rev() {
        if i.flow_control() != FlowControl::Next {
            live = ARITHMETIC;
        }
        live = i.rflags_read() & ARITHMETIC | live & !overwritten(i);
        *needed = live != 0;
    }
    result
}

/// Flags that are after `i` what only its operands say. Of instructions not
/// listed nothing is assumed: shifts by 0 keep all flags, and a flag that the
/// SDM calls undefined may be kept, but for AF after logic, which is cleared.
fn overwritten(i: &Instruction) -> u32 {
    use Mnemonic as M;
    let defined = i.rflags_written() | i.rflags_cleared() | i.rflags_set();
    match i.mnemonic() {
        M::And | M::Or | M::Xor | M::Test => defined | RflagsBits::AF,
        M::Add | M::Adc | M::Sub | M::Sbb | M::Cmp | M::Neg | M::Inc | M::Dec => defined,
        M::Xadd | M::Cmpxchg | M::Popcnt => defined,
        M::Comiss | M::Comisd | M::Ucomiss | M::Ucomisd | M::Ptest => defined,
        M::Vcomiss | M::Vcomisd | M::Vucomiss | M::Vucomisd | M::Vptest => defined,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn live_of(code: &[u8]) -> Vec<bool> {
        let all: Vec<_> = Decoder::new(64, code, DecoderOptions::NONE)
            .into_iter()
            .collect();
        live(&all)
    }

    #[test]
    fn what_overwrites_all_flags_frees_them() {
        // mov (%rdi),%eax; test %eax,%eax; je
        assert_eq!(
            live_of(&[0x8b, 7, 0x85, 0xc0, 0x74, 0]),
            [false, false, true]
        );
        // cmp (%rdi),%eax
        assert_eq!(live_of(&[0x3b, 7]), [false]);
    }

    #[test]
    fn what_overwrites_some_keeps_the_others() {
        // incl (%rdi) keeps CF
        assert_eq!(live_of(&[0xff, 7]), [true]);
        // adc (%rdi),%eax reads CF
        assert_eq!(live_of(&[0x13, 7]), [true]);
        // shll %cl,(%rdi) by 0 keeps all
        assert_eq!(live_of(&[0xd3, 0x27]), [true]);
        // mov (%rdi),%eax; inc %eax; add %eax,%eax: CF is overwritten in the end
        assert_eq!(
            live_of(&[0x8b, 7, 0xff, 0xc0, 1, 0xc0]),
            [false, false, false]
        );
    }

    #[test]
    fn a_branch_shows_the_flags() {
        // mov (%rdi),%eax; jmp; test %eax,%eax
        assert_eq!(
            live_of(&[0x8b, 7, 0xeb, 0, 0x85, 0xc0]),
            [true, true, false]
        );
    }
}
