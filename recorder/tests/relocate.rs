//! The two halves of displacing code: the lengths that the runtime computes
//! (`orch_abi::window`) against iced's, and moved instructions against their
//! originals, on windows of real code.

use iced_x86::{Decoder, DecoderOptions, Instruction};
use object::{Object as _, ObjectSection as _};
use orch_abi::window::{Flow, asked_for, decode, executed, repeated, window};
use orch_recorder::relocate::relocate;
use proptest::prelude::*;
use std::sync::OnceLock;

/// Address and bytes of the .text of /bin/bash.
fn text() -> &'static (u64, Vec<u8>) {
    static TEXT: OnceLock<(u64, Vec<u8>)> = OnceLock::new();
    TEXT.get_or_init(|| {
        let file = std::fs::read("/bin/bash").expect("there is a /bin/bash");
        let elf = object::File::parse(&*file).expect("an ELF file");
        let text = elf.section_by_name(".text").expect("code");
        (text.address(), text.data().expect("bytes").to_vec())
    })
}

fn instructions(code: &[u8], ip: u64) -> Vec<Instruction> {
    Decoder::with_ip(64, code, ip, DecoderOptions::NONE)
        .into_iter()
        .collect()
}

/// Every instruction that we know has the length that iced finds, and nearly
/// all of them are known.
#[test]
fn lengths_agree_in_a_whole_program() {
    let (base, code) = text();
    let (mut known, mut all) = (0, 0);
    for i in instructions(code, *base) {
        if i.is_invalid() {
            continue;
        }
        let at = usize::try_from(i.ip() - base).expect("small");
        let rest = &code[at..];
        let repeats = i.is_string_instruction() && (i.has_rep_prefix() || i.has_repne_prefix());
        assert_eq!(repeated(rest), repeats.then_some(i.len()), "{i}");
        all += 1;
        if let Some(ours) = decode(rest) {
            known += 1;
            assert_eq!(
                ours.len,
                i.len(),
                "{i} at {:#x}: {:02x?}",
                i.ip(),
                &rest[..15.min(rest.len())]
            );
        }
    }
    assert!(known * 100 > all * 99, "{known} of {all}");
}

/// A program is nearly everywhere within a few instructions of a window.
#[test]
fn windows_are_frequent() {
    let (base, code) = text();
    let list = instructions(code, *base);
    let has: Vec<bool> = list
        .iter()
        .map(|i| window(&code[usize::try_from(i.ip() - base).expect("small")..]).is_some())
        .collect();
    let near = has.windows(8).filter(|w| w.contains(&true)).count();
    let share = near as f64 / (has.len() - 7) as f64;
    assert!(share > 0.98, "{share}");
}

/// Where the instructions of [`text`] begin.
fn places() -> &'static [u64] {
    static PLACES: OnceLock<Vec<u64>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let (base, code) = text();
        instructions(code, *base)
            .iter()
            .map(Instruction::ip)
            .collect()
    })
}

/// What an instruction does, wherever it stands.
fn meaning(mut i: Instruction) -> String {
    if i.is_ip_rel_memory_operand() {
        // The address is in the text.
        assert!(i.ip_rel_memory_address() != 0);
    }
    i.set_ip(0);
    let mut text = String::new();
    use iced_x86::{Formatter as _, NasmFormatter};
    NasmFormatter::new().format(&i, &mut text);
    text.replace("short ", "").replace("near ", "")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Our lengths agree with iced's on arbitrary bytes, too.
    #[test]
    fn lengths_agree_on_noise(bytes in proptest::array::uniform20(any::<u8>())) {
        if let Some(ours) = decode(&bytes) {
            let i = instructions(&bytes, 0x1000)[0];
            // What does not exist (#UD) faults before and after it was moved alike.
            if !i.is_invalid() {
                prop_assert_eq!(ours.len, i.len(), "{} {:02x?}", i, bytes);
                if ours.flow == Flow::Plain {
                    use iced_x86::FlowControl::{ConditionalBranch, Next};
                    prop_assert!(matches!(i.flow_control(), Next | ConditionalBranch), "{}", i);
                }
            }
        }
    }

    /// Moved instructions mean what they meant, in the same order, and then go
    /// on behind the window.
    #[test]
    fn moved_windows_mean_the_same(start in any::<proptest::sample::Index>(), far in -0x6000_0000_i64..0x6000_0000) {
        let (base, code) = text();
        let ip = *start.get(places());
        let rest = &code[usize::try_from(ip - base).expect("small")..];
        let base_address = 0x5555_5555_4000;
        let (ip, to) = (base_address + ip, (base_address + ip).wrapping_add_signed(far));
        let Some(w) = window(rest) else { return Ok(()) };
        let Some(moved) = relocate(&rest[..w.len], ip, to) else { return Ok(()) };
        let old = instructions(&rest[..w.len], ip);
        let new = instructions(&moved.code, to);
        prop_assert_eq!(new.len(), old.len() + 1);
        for ((o, n), (at, offset)) in old.iter().zip(&new).zip(&moved.offsets) {
            prop_assert_eq!(o.ip(), ip + u64::from(*at));
            prop_assert!(w.starts >> at & 1 == 1);
            prop_assert_eq!(n.ip(), to + u64::from(*offset));
            let inside = o.near_branch_target() > ip && o.near_branch_target() < ip + w.len as u64;
            if !inside {
                prop_assert_eq!(meaning(*o), meaning(*n));
            }
        }
        let back = new[old.len()];
        prop_assert_eq!(back.near_branch_target(), ip + w.len as u64);
    }
}

#[test]
fn what_is_executed_on_a_page() {
    let mut page = [0x90; 4096];
    // test %edi,%edi; jne +4; cpuid; jmp *%rax; jmp over two bytes of data
    page[..9].copy_from_slice(&[0x85, 0xff, 0x75, 0x04, 0x0f, 0xa2, 0xff, 0xe0, 0xeb]);
    page[9..12].copy_from_slice(&[0x02, 0x0f, 0xa2]);
    // call *%rax, which need not return
    page[12..16].copy_from_slice(&[0xff, 0xd0, 0x0f, 0xa2]);
    let places = executed(&page, 0);
    let found: Vec<usize> = (0..4096).filter(|&at| places.has(at)).collect();
    assert_eq!(found, [0, 2, 4, 6, 8, 12]);
    assert!(!executed(&page, 4096).has(0));
    assert!(executed(&page, 100).has(4095));
}

#[test]
fn what_cpuid_is_asked_for() {
    assert!(asked_for(&[0x31, 0xc0]));
    assert!(asked_for(&[0x90, 0xb8, 4, 0, 0, 0x80]));
    assert!(asked_for(&[0xb8, 7, 0, 0, 0, 0x31, 0xc9]));
    assert!(asked_for(&[0xb8, 4, 0, 0, 0, 0xb9, 1, 0, 0, 0]));
    assert!(!asked_for(&[0x90, 0x90, 0x31, 0xc9]));
    assert!(!asked_for(&[0xb8, 4, 0x20, 0xfa, 0xcf]));
    assert!(!asked_for(&[0x20]) && !asked_for(&[]));
}
