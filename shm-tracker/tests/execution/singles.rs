//! Each form of instruction, alone.

use crate::forms::{Form, aligned, codes, instance};
use crate::machine::{ALIAS, CODE, Machine, PAGE, State, VIEW};
use crate::random::Random;
use crate::scenario::{Outcome, Pages, Setup, compare, with_end};
use iced_x86::Mnemonic;
use orch_abi::access::kind;
use std::collections::BTreeSet;

/// How often each form is run, each time in another case.
const ROUNDS: usize = 8;

/// Makes an instance whose operand is at the given address.
type Make<'a> = &'a dyn Fn(u64) -> Option<Form>;

#[test]
fn every_form_does_what_the_instruction_does() {
    let mut machine = Machine::new();
    let mut rng = Random(0x0123_4567_89ab_cdef);
    let (mut forms, mut failures) = (0, Vec::new());
    let ip = machine.base + CODE;
    for code in codes() {
        let mut done = false;
        for _ in 0..ROUNDS {
            // The same choices give the same form, wherever its operand is.
            let choices = Random(rng.next());
            let make = |target| instance(code, ip, target, &mut choices.clone());
            match one(&mut machine, &make, &mut rng) {
                Ok(ran) => done |= ran,
                Err(e) => failures.push(format!("{code:?}: {e}")),
            }
        }
        forms += usize::from(done);
    }
    let n = failures.len();
    assert!(n == 0, "{n} in {forms} forms:\n{}", failures.join("\n"));
    assert!(forms > 500, "only {forms} forms were executed");
}

/// Registers that meet, and prefixes that say nothing.
const SPECIAL: [&[u8]; 27] = [
    &[0x48, 0x8b, 0x3f],                         // mov (%rdi),%rdi
    &[0x48, 0x8b, 0x00],                         // mov (%rax),%rax
    &[0x0f, 0xb6, 0x00],                         // movzbl (%rax),%eax
    &[0x8a, 0x00],                               // mov (%rax),%al
    &[0x8a, 0x20],                               // mov (%rax),%ah
    &[0x88, 0x38],                               // mov %bh,(%rax)
    &[0x88, 0x20],                               // mov %ah,(%rax)
    &[0x88, 0x00],                               // mov %al,(%rax)
    &[0x48, 0x89, 0x00],                         // mov %rax,(%rax)
    &[0x48, 0x89, 0x3f],                         // mov %rdi,(%rdi)
    &[0x48, 0x87, 0x3f],                         // xchg %rdi,(%rdi)
    &[0x48, 0x87, 0x00],                         // xchg %rax,(%rax)
    &[0xf0, 0x48, 0x0f, 0xc1, 0x3f],             // lock xadd %rdi,(%rdi)
    &[0xf0, 0x48, 0x0f, 0xb1, 0x3f],             // lock cmpxchg %rdi,(%rdi)
    &[0x48, 0x01, 0x3f],                         // add %rdi,(%rdi)
    &[0x48, 0x89, 0x27],                         // mov %rsp,(%rdi)
    &[0x48, 0x8b, 0x27],                         // mov (%rdi),%rsp
    &[0x48, 0x87, 0x27],                         // xchg %rsp,(%rdi)
    &[0x66, 0x48, 0x8b, 0x07],                   // data16 mov (%rdi),%rax
    &[0x3e, 0x8b, 0x07],                         // ds mov (%rdi),%eax
    &[0x26, 0x89, 0x07],                         // es mov %eax,(%rdi)
    &[0xf3, 0x89, 0x07],                         // xrelease mov %eax,(%rdi)
    &[0xf2, 0xf0, 0x01, 0x07],                   // xacquire lock add %eax,(%rdi)
    &[0x48, 0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff], // movq $-2,(%rdi)
    &[0x66, 0xc7, 0x07, 0x34, 0x12],             // movw $0x1234,(%rdi)
    &[0x8b, 0x45, 0x00],                         // mov (%rbp),%eax
    &[0x49, 0x89, 0x45, 0x00],                   // mov %rax,(%r13)
];

#[test]
fn special_forms_do_what_the_instruction_does() {
    let mut machine = Machine::new();
    let mut rng = Random(77);
    for bytes in SPECIAL {
        let form = Form::of(bytes, machine.base + CODE);
        let make = |_| Some(form.clone());
        let ran = (0..10 * ROUNDS).filter(|_| one(&mut machine, &make, &mut rng).unwrap());
        assert!(ran.count() > ROUNDS, "{bytes:x?} has no stub");
    }
}

/// What is not plain memory, has another way to say where it is, or more than one.
const WITHOUT: [&str; 30] = [
    "Bt",
    "Btc",
    "Btr",
    "Bts",
    "Call",
    "Fldenv",
    "Fnsave",
    "Fnstenv",
    "Frstor",
    "Fsave",
    "Fstcw",
    "Fstenv",
    "Fstsw",
    "Jmp",
    "Lea",
    "Lfs",
    "Lgs",
    "Lss",
    "Mov",
    "Prefetchnta",
    "Prefetcht0",
    "Prefetcht1",
    "Prefetcht2",
    "Sgdt",
    "Sidt",
    "Sldt",
    "Smsw",
    "Str",
    "Ud0",
    "Ud1",
];

#[test]
fn forms_without_a_stub_are_those_listed() {
    let mut without = BTreeSet::new();
    for code in codes() {
        let form = (1..9).find_map(|n| instance(code, 0x1000, 0x4000, &mut Random(n)));
        let form = form.unwrap_or_else(|| panic!("{code:?} is not built"));
        if orch_shm_tracker::stub(&form.bytes, 0, 0x1000, 0x8000, 0).is_none() {
            without.insert(format!("{:?}", code.mnemonic()));
        }
    }
    assert_eq!(without, WITHOUT.map(String::from).into());
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

/// How often each is chosen.
const CASES: [Case; 8] = [
    Case::Shared,
    Case::Shared,
    Case::Elsewhere,
    Case::Changed,
    Case::Exhausted,
    Case::Crossing,
    Case::Private,
    Case::Unknown,
];

/// A form, a place for its operand, and a case.
struct Trial {
    form: Form,
    case: Case,
    /// Offset in the view.
    offset: usize,
    size: usize,
    setup: Setup,
}

/// Runs a form in a random case; false if there is nothing to run.
fn one(m: &mut Machine, make: Make, rng: &mut Random) -> Result<bool, String> {
    let Some(t) = Trial::choose(m.base + VIEW, make, rng) else {
        return Ok(false);
    };
    let mut contents = vec![0; 2 * PAGE];
    rng.fill(&mut contents);
    let mut state = rng.state();
    tame(&t.form, &mut state, &mut contents[t.offset..], rng);
    point_at(&t.form, &mut state, m.base + VIEW + t.offset as u64);
    let program = with_end(&t.form.bytes);
    let failed = |e| format!("{:x?} {:?}: {e}", t.form.bytes, t.case);
    // The same stack twice.
    let again = &mut rng.clone();
    let outcome = compare(m, &program, &state, &contents, &t.setup, rng).map_err(failed)?;
    let Some(outcome) = outcome else {
        return Ok(false);
    };
    t.check_path(&outcome).map_err(failed)?;
    t.check_asked(m, &state, &outcome).map_err(failed)?;
    if outcome.stub.sites[0].kind == kind::STORE {
        let stored = t.operand(m);
        for b in &mut contents[t.offset..t.offset + t.size] {
            *b = !*b;
        }
        compare(m, &program, &state, &contents, &t.setup, again).map_err(failed)?;
        if t.operand(m) != stored {
            return Err(failed("the store leaves something".into()));
        }
    }
    Ok(true)
}

impl Trial {
    fn choose(view: u64, make: Make, rng: &mut Random) -> Option<Self> {
        let case = rng.pick(&CASES);
        let sample = make(view)?.instruction;
        let size = sample.memory_size().size();
        let atomic = sample.has_lock_prefix() || sample.mnemonic() == Mnemonic::Xchg;
        let fixed = aligned(&sample) || atomic;
        if size == 0 || case == Case::Crossing && (size < 2 || fixed) {
            return None;
        }
        let offset = match case {
            Case::Crossing => PAGE - 1 - rng.below(size - 1),
            _ if fixed => rng.below(2 * PAGE / 64) * 64,
            _ => rng.below(2) * PAGE + rng.below(PAGE - size),
        };
        Some(Self {
            form: make(view + offset as u64)?,
            case,
            offset,
            size,
            setup: setup(case, offset, size, rng),
        })
    }

    /// The operand's bytes after a run.
    fn operand(&self, m: &mut Machine) -> Vec<u8> {
        let shared = self.setup.pages == Pages::Shared;
        let place = if shared { ALIAS } else { VIEW };
        m.memory(place + self.offset as u64, self.size).to_vec()
    }

    /// Whether the stub went alone where it should, and only there.
    fn check_path(&self, o: &Outcome) -> Result<(), String> {
        let site = o.stub.sites[0];
        let load = site.kind == kind::LOAD;
        let shared = self.setup.pages == Pages::Shared;
        let asked = match self.case {
            Case::Private => false,
            Case::Shared | Case::Elsewhere => !load,
            _ => true,
        };
        let counted = !asked && self.case != Case::Private;
        let done_for_it = self.setup.stores && site.value != 0 && shared;
        let told = asked && !load && !done_for_it;
        let countdown = self.setup.countdown - i64::from(counted);
        let is = (
            site.size as usize,
            o.runtime.asked.len(),
            o.runtime.told,
            o.countdown,
        );
        let should = (self.size, asked.into(), told.into(), countdown);
        if is == should {
            Ok(())
        } else {
            Err(format!(
                "size, asked, told, countdown: {is:?}, not {should:?}"
            ))
        }
    }

    /// Whether the runtime was asked with the right address, value, and registers.
    fn check_asked(&self, m: &mut Machine, state: &State, o: &Outcome) -> Result<(), String> {
        let r = &o.runtime;
        let Some(&asked) = r.asked.first() else {
            return Ok(());
        };
        let mut seen = r.seen[0];
        seen[4] = state.gpr[4];
        if asked != (0, m.base + VIEW + self.offset as u64) || seen != state.gpr {
            return Err(format!("asked for {asked:x?} with {seen:x?}"));
        }
        // As lahf and seto have them.
        let saved = r.flags[0] >> 8 & 0xd5 | (r.flags[0] & 1) << 11;
        if o.stub.sites[0].flags == 1 && saved != state.flags & 0x8d5 {
            return Err(format!("flags {saved:#x} saved, not {:#x}", state.flags));
        }
        let value: Vec<u8> = r.values[0].iter().flat_map(|w| w.to_le_bytes()).collect();
        if o.stub.sites[0].value != 0 && value[..self.size] != self.operand(m) {
            return Err(format!("another value: {value:x?}"));
        }
        Ok(())
    }
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
