//! Windows of several instructions: random ones, and loops through the jump
//! that stands in their place.

use crate::machine::{ALIAS, CODE, Machine, OTHER, PAGE, STACK, State, VIEW};
use crate::random::Random;
use crate::scenario::{Pages, Setup, compare, with_end};
use orch_abi::window::JUMP;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;

/// Short instructions at the view (rdi), at other memory (rsi), in the frame
/// (rsp, rbp), and on registers.
const SHORT: [&[u8]; 41] = [
    &[0x8b, 0x07],             // mov (%rdi),%eax
    &[0x89, 0x0f],             // mov %ecx,(%rdi)
    &[0x01, 0x17],             // add %edx,(%rdi)
    &[0x3b, 0x07],             // cmp (%rdi),%eax
    &[0x13, 0x07],             // adc (%rdi),%eax
    &[0x0f, 0xb6, 0x0f],       // movzbl (%rdi),%ecx
    &[0x88, 0x27],             // mov %ah,(%rdi)
    &[0x86, 0x37],             // xchg %dh,(%rdi)
    &[0xd3, 0x2f],             // shrl %cl,(%rdi)
    &[0xff, 0x07],             // incl (%rdi)
    &[0x66, 0x89, 0x07],       // mov %ax,(%rdi)
    &[0xc6, 0x07, 0x80],       // movb $-128,(%rdi)
    &[0xff, 0x37],             // push (%rdi)
    &[0x8f, 0x07],             // pop (%rdi)
    &[0x0f, 0x94, 0x07],       // sete (%rdi)
    &[0x0f, 0x44, 0x07],       // cmove (%rdi),%eax
    &[0xd8, 0x07],             // fadds (%rdi)
    &[0x48, 0x0f, 0xb1, 0x0f], // cmpxchg %rcx,(%rdi)
    &[0x0f, 0x6f, 0x07],       // movq (%rdi),%mm0
    &[0x8b, 0x47, 0x08],       // mov 8(%rdi),%eax
    &[0x48, 0x89, 0x47, 0x08], // mov %rax,8(%rdi)
    &[0x8b, 0x16],             // mov (%rsi),%edx
    &[0x31, 0x0e],             // xor %ecx,(%rsi)
    &[0x89, 0x45, 0xf8],       // mov %eax,-8(%rbp)
    &[0x8b, 0x14, 0x24],       // mov (%rsp),%edx
    &[0x50],                   // push %rax
    &[0x59],                   // pop %rcx
    &[0x85, 0xc0],             // test %eax,%eax
    &[0x01, 0xc8],             // add %ecx,%eax
    &[0xff, 0xc1],             // inc %ecx
    &[0xf7, 0xd9],             // neg %ecx
    &[0xd3, 0xe2],             // shl %cl,%edx
    &[0x11, 0xca],             // adc %ecx,%edx
    &[0x0f, 0x94, 0xc1],       // sete %cl
    &[0x9f],                   // lahf
    &[0x9e],                   // sahf
    &[0xf5],                   // cmc
    &[0x99],                   // cltd
    &[0x90],                   // nop
    &[0x8d, 0x04, 0x0f],       // lea (%rdi,%rcx),%eax
    &[0x74],                   // je, to a later instruction
];
/// Those of them that access the view.
const FIRST: usize = 21;

/// As many of the instructions as a jump needs, since others would meet the
/// view, and four more for branches to go to.
fn assemble(chosen: &[(usize, usize)]) -> Vec<u8> {
    const INC_R15: &[u8] = &[0x49, 0xff, 0xc7];
    let len = |part: &&[u8]| part.len() + usize::from(part == &[0x74]);
    let mut room = 0;
    let mut parts = Vec::new();
    for &(n, _) in chosen {
        if room < JUMP {
            parts.push(SHORT[n]);
            room += len(&SHORT[n]);
        }
    }
    let mut code = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        code.extend(*part);
        if *part == [0x74] {
            let rest = &parts[n + 1..];
            let over = chosen[n].1 % (rest.len() + 4);
            let within: usize = rest.iter().take(over).map(len).sum();
            let beyond = over.saturating_sub(rest.len()) * INC_R15.len();
            code.push((within + beyond) as u8);
        }
    }
    for _ in 0..4 {
        code.extend(INC_R15);
    }
    with_end(&code)
}

/// Somewhere in view, other memory and stack.
fn state(m: &Machine, rng: &mut Random) -> (State, usize) {
    let mut s = rng.state();
    let offset = rng.below(2 * PAGE - 16);
    s.gpr[7] = m.base + VIEW + offset as u64;
    s.gpr[6] = m.base + OTHER + rng.below(2 * PAGE - 16) as u64;
    s.gpr[5] = m.base + STACK + 256;
    (s, offset)
}

#[test]
fn random_windows_do_what_the_program_does() {
    let machine = RefCell::new(Machine::new());
    let later = proptest::collection::vec((0..SHORT.len(), 0..8_usize), 0..5);
    let input = (0..FIRST, later, any::<u64>());
    let mut runner = TestRunner::new(Config {
        cases: 4000,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&input, |(first, later, seed)| {
        let mut rng = Random(seed | 1);
        let mut m = machine.borrow_mut();
        let mut chosen = vec![(first, 0)];
        chosen.extend(later);
        let code = assemble(&chosen);
        let (state, offset) = state(&m, &mut rng);
        let mut contents = vec![0; 2 * PAGE];
        rng.fill(&mut contents);
        let setup = Setup {
            pages: rng.pick(&[Pages::Shared, Pages::Shared, Pages::Private, Pages::Unknown]),
            changed: if rng.one_in(3) {
                vec![offset]
            } else {
                Vec::new()
            },
            countdown: rng.below(3) as i64,
            stores: rng.one_in(2),
        };
        let outcome = compare(&mut m, &code, &state, &contents, &setup, &mut rng);
        let outcome = outcome.map_err(TestCaseError::fail)?;
        prop_assert!(outcome.is_some_and(|o| o.stub.patch));
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_loop_goes_through_the_jump() {
    // again: add (%rdi),%eax; inc %ecx; jne again
    let code = with_end(&[0x03, 0x07, 0xff, 0xc1, 0x75, 0xfa]);
    let mut m = Machine::new();
    let mut rng = Random(5);
    let (mut state, _) = state(&m, &mut rng);
    state.gpr[1] = 1_u64.wrapping_neg() - 6;
    let mut contents = vec![0; 2 * PAGE];
    rng.fill(&mut contents);
    let setup = Setup {
        pages: Pages::Shared,
        changed: Vec::new(),
        countdown: 100,
        stores: false,
    };
    state.gpr[7] = m.base + VIEW + 64;
    let outcome = compare(&mut m, &code, &state, &contents, &setup, &mut rng)
        .expect("the same")
        .expect("a stub");
    assert!(outcome.stub.patch);
    assert_eq!(outcome.stub.window, 6);
    assert_eq!(outcome.countdown, 93);
}

#[test]
fn a_moved_entry_is_where_its_instruction_is_done() {
    // mov %ecx,(%rdi); incl (%rdi); nop
    let code = with_end(&[0x89, 0x0f, 0xff, 0x07, 0x90]);
    let mut m = Machine::new();
    let (at, ip) = (m.base + crate::machine::STUB, m.base + CODE);
    let stub = orch_shm_tracker::stub(&code, 0, ip, at, 7000).expect("a stub");
    assert_eq!(
        stub.moved.iter().map(|m| m.at).collect::<Vec<_>>(),
        [0, 2, 4]
    );
    let mut rng = Random(9);
    let (mut state, _) = state(&m, &mut rng);
    state.gpr[4] = m.base + STACK + 256;
    state.gpr[7] = m.base + ALIAS;
    let address = state.gpr[7];
    m.page(address).private = address / PAGE as u64;
    m.memory(CODE, code.len()).copy_from_slice(&code);
    m.memory(crate::machine::STUB, stub.code.len())
        .copy_from_slice(&stub.code);
    m.memory(ALIAS, 4).copy_from_slice(&41_u32.to_le_bytes());
    let entry = at + u64::from(stub.moved[1].entry);
    m.run(entry, &mut state, &mut crate::machine::Runtime::default());
    assert_eq!(m.memory(ALIAS, 4), 42_u32.to_le_bytes());
}
