//! Each form of instruction, alone.

use crate::forms::{Form, aligned, codes, instance};
use crate::machine::{CODE, Machine, PAGE, State, VIEW};
use crate::random::Random;
use crate::scenario::{Pages, Setup, compare, with_end};
use iced_x86::{Code, Mnemonic};
use orch_abi::access::kind;

const ROUNDS: usize = 8;

#[test]
fn every_form_does_what_the_instruction_does() {
    let mut machine = Machine::new();
    let mut rng = Random(0x0123_4567_89ab_cdef);
    let (mut forms, mut failures) = (0, Vec::new());
    for code in codes() {
        let mut done = false;
        for _ in 0..ROUNDS {
            let before = rng.clone();
            match one(&mut machine, code, &mut rng) {
                Ok(ran) => done |= ran,
                Err(e) => {
                    failures.push(format!("{code:?}: {e} ({before:?})"));
                    break;
                }
            }
        }
        forms += usize::from(done);
    }
    assert!(
        failures.is_empty(),
        "{} of {forms}:\n{}",
        failures.len(),
        failures.join("\n")
    );
    println!("{forms} forms");
    assert!(forms > 500, "only {forms} forms were executed");
}

/// Where the operand is, for each of which a stub may do something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Shared,
    Elsewhere,
    Changed,
    Exhausted,
    Crossing,
    Private,
    Unknown,
}

fn one(m: &mut Machine, code: Code, rng: &mut Random) -> Result<bool, String> {
    let case = rng.pick(&[
        Case::Shared,
        Case::Shared,
        Case::Elsewhere,
        Case::Changed,
        Case::Exhausted,
        Case::Crossing,
        Case::Private,
        Case::Unknown,
    ]);
    let ip = m.base + CODE;
    // The same choices give the same form, wherever its operand is.
    let choices = Random(rng.next());
    let Some(sample) = instance(code, ip, m.base + VIEW, &mut choices.clone()) else {
        return Ok(false);
    };
    let size = sample.instruction.memory_size().size();
    let atomic =
        sample.instruction.has_lock_prefix() || sample.instruction.mnemonic() == Mnemonic::Xchg;
    let fixed = aligned(&sample.instruction) || atomic;
    if size == 0 || case == Case::Crossing && (size < 2 || fixed) {
        return Ok(false);
    }
    let offset = match case {
        Case::Crossing => PAGE - 1 - rng.below(size - 1),
        _ if fixed => rng.below(2 * PAGE / 64) * 64,
        _ => rng.below(2) * PAGE + rng.below(PAGE - size),
    };
    let target = m.base + VIEW + offset as u64;
    let Some(form) = instance(code, ip, target, &mut choices.clone()) else {
        return Ok(false);
    };
    let mut contents = vec![0; 2 * PAGE];
    rng.fill(&mut contents);
    let mut state = rng.state();
    tame(&form, &mut state, &mut contents[offset..], rng);
    point_at(&form, &mut state, target);
    let setup = setup(case, offset, size, rng);
    let program = with_end(&form.bytes);
    let before = state.clone();
    let outcome = compare(m, &program, &state, &contents, &setup, rng).map_err(|e| {
        format!(
            "{:x?} {} {case:?}: {e}",
            form.bytes,
            form.instruction.code() as usize
        )
    })?;
    let Some(o) = outcome else { return Ok(false) };
    let site = o.stub.sites[0];
    let asks = match case {
        Case::Private => 0,
        Case::Shared | Case::Elsewhere => usize::from(site.kind != kind::LOAD),
        _ => 1,
    };
    let alone = usize::from(asks == 0 && case != Case::Private);
    let told = usize::from(
        asks == 1
            && site.kind != kind::LOAD
            && !(setup.stores && site.value == 1 && setup.pages == Pages::Shared),
    );
    let expect = [
        ("size", site.size as usize, size),
        ("asked", o.runtime.asked.len(), asks),
        ("told", o.runtime.told, told),
        ("counted", (setup.countdown - o.countdown) as usize, alone),
    ];
    for (what, is, should) in expect {
        if is != should {
            return Err(format!(
                "{case:?}, kind {}: {what} {is}, not {should}",
                site.kind
            ));
        }
    }
    if asks == 1 {
        let mut seen = o.runtime.seen[0];
        seen[4] = before.gpr[4];
        if o.runtime.asked[0] != (0, target) || seen != before.gpr {
            return Err(format!("{case:?}: asked for {:x?}", o.runtime.asked));
        }
        if site.value == 1 {
            let stored = o.runtime.values[0].to_le_bytes();
            let at = offset..offset + size;
            let place = if setup.pages == Pages::Shared {
                crate::machine::ALIAS
            } else {
                VIEW
            };
            if stored[..size] != m.memory(place, 2 * PAGE)[at] {
                return Err("another value".into());
            }
        }
    }
    Ok(true)
}

fn setup(case: Case, offset: usize, size: usize, rng: &mut Random) -> Setup {
    Setup {
        pages: match case {
            Case::Private => Pages::Private,
            Case::Unknown => Pages::Unknown,
            _ => Pages::Shared,
        },
        changed: match case {
            Case::Changed => vec![offset + rng.below(size)],
            Case::Elsewhere => [offset.checked_sub(1), Some(offset + size)]
                .into_iter()
                .flatten()
                .filter(|&n| n < 2 * PAGE)
                .collect(),
            _ => Vec::new(),
        },
        countdown: if case == Case::Exhausted {
            0
        } else {
            1 + rng.below(2) as i64
        },
        stores: rng.one_in(2),
    }
}

/// Base and index for the target.
fn point_at(form: &Form, state: &mut State, target: u64) {
    let i = &form.instruction;
    if let Some(base) = form.base {
        let mut rest = target.wrapping_sub(i.memory_displacement64());
        if let Some(index) = form.index {
            rest = rest.wrapping_sub(state.gpr[index].wrapping_mul(i.memory_index_scale().into()));
        }
        state.gpr[base] = rest;
    }
}

/// Values with which the instruction does not fault, and does all it can do.
fn tame(form: &Form, state: &mut State, operand: &mut [u8], rng: &mut Random) {
    match form.instruction.mnemonic() {
        Mnemonic::Div | Mnemonic::Idiv => {
            state.gpr[0] &= 0x7f;
            state.gpr[2] = 0;
            operand[0] |= 1;
        }
        Mnemonic::Ldmxcsr | Mnemonic::Vldmxcsr => {
            operand[..4].copy_from_slice(&0x1f85_u32.to_le_bytes());
        }
        Mnemonic::Cmpxchg | Mnemonic::Cmpxchg16b if rng.one_in(2) => {
            operand[..8].copy_from_slice(&state.gpr[0].to_le_bytes());
            operand[8..16].copy_from_slice(&state.gpr[2].to_le_bytes());
        }
        Mnemonic::Cmpxchg8b if rng.one_in(2) => {
            operand[..4].copy_from_slice(&(state.gpr[0] as u32).to_le_bytes());
            operand[4..8].copy_from_slice(&(state.gpr[2] as u32).to_le_bytes());
        }
        _ => {}
    }
}
