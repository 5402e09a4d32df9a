//! Instructions whose results replay cannot recompute: rdtsc, rdtscp, cpuid.

use crate::arch::x86_64 as arch;
use crate::log;
use crate::signal::Context;
use crate::sys::call;
use crate::thread::Thread;
use crate::{generated, patch, preempt, replay, signal, stop};
use core::sync::atomic::Ordering;
use orch_abi::record::{Insn, Kind, Regs};

/// If the instruction at the fault is one of ours: emulates it.
pub fn emulate(t: &mut Thread, c: &mut Context) -> bool {
    let ip = c.regs.rip;
    let mut code = [0_u8; 3];
    if !arch::guarded(t, || {
        // SAFETY: guarded; at most three bytes are read, one at a time.
        unsafe {
            code[0] = (ip as *const u8).read();
            code[1] = ((ip + 1) as *const u8).read();
            if code[..2] == [0x0f, 0x01] {
                code[2] = ((ip + 2) as *const u8).read();
            }
        }
    }) {
        return false;
    }
    match code {
        [0x0f, 0xa2, _] => {
            cpuid(&mut c.regs);
            patch::consider_cpuid(ip + 2);
            c.regs.rip = patch::resume_address(ip + 2);
            return true;
        }
        [a, b, _] if [a, b] == patch::CLTS && generated::is_on() => {
            cpuid(&mut c.regs);
            c.regs.rip = patch::resume_address(ip + 2);
            return true;
        }
        [0x0f, 0x31, _] => tsc(t, c, false),
        [0x0f, 0x01, 0xf9] => tsc(t, c, true),
        _ => return false,
    }
    c.regs.rip += if code[1] == 0x01 { 3 } else { 2 };
    if !log::recording() {
        replay::after_event(t, c);
    }
    true
}

fn tsc(t: &mut Thread, c: &mut Context, with_aux: bool) {
    let mut i = Insn {
        ip: c.regs.rip,
        ..Insn::default()
    };
    if log::recording() {
        i.tsc = log::control().tsc.at(monotonic_raw());
        if with_aux {
            i.aux = tsc_aux();
        }
        log::write(
            Kind::Insn,
            u16::from(with_aux),
            0,
            log::tick(),
            &[log::bytes_of(&i)],
        );
    } else {
        t.regs.rip = c.regs.rip;
        if !preempt::searching() {
            stop::before(t, &c.regs);
        }
        replay::expect_kind(t, Kind::Insn);
        let recorded = log::read::<Insn>();
        if recorded.ip != i.ip {
            replay::diverge_at(
                t,
                Kind::Insn,
                format_args!("rdtsc at another place: {:#x} was recorded", recorded.ip),
            );
        }
        i = recorded;
    }
    c.regs.rax = i.tsc & 0xffff_ffff;
    c.regs.rdx = i.tsc >> 32;
    if with_aux {
        c.regs.rcx = i.aux;
    }
}

/// `CLOCK_MONOTONIC_RAW` in nanoseconds (clock_gettime(2)).
fn monotonic_raw() -> u64 {
    const CLOCK_GETTIME: u64 = 228;
    const CLOCK_MONOTONIC_RAW: u64 = 4;
    let mut time = [0_u64; 2];
    call(
        CLOCK_GETTIME,
        &[CLOCK_MONOTONIC_RAW, time.as_mut_ptr() as u64],
    );
    time[0] * 1_000_000_000 + time[1]
}

/// `IA32_TSC_AUX`, as Linux sets it: node and processor (getcpu(2)).
fn tsc_aux() -> u64 {
    const GETCPU: u64 = 309;
    let (mut cpu, mut node) = (0_u32, 0_u32);
    call(GETCPU, &[&raw mut cpu as u64, &raw mut node as u64]);
    u64::from(node) << 12 | u64::from(cpu)
}

/// Answers from the session's table, the same in every process and replay.
pub fn cpuid(regs: &mut Regs) {
    let control = log::control();
    let (leaf, subleaf) = (regs.rax as u32, regs.rcx as u32);
    let rows = control.cpuid_rows.load(Ordering::Relaxed) as usize;
    let mut out = [0; 4];
    let mut best = None;
    for row in &control.cpuid[..rows] {
        if row.leaf.load(Ordering::Relaxed) == leaf {
            if row.subleaf.load(Ordering::Relaxed) == subleaf {
                best = Some(row);
                break;
            }
            // Leaves without subleaves are kept once, as subleaf u32::MAX.
            if row.subleaf.load(Ordering::Relaxed) == u32::MAX {
                best = Some(row);
            }
        }
    }
    if let Some(row) = best {
        for (to, from) in out.iter_mut().zip(&row.out) {
            *to = u64::from(from.load(Ordering::Relaxed));
        }
    }
    [regs.rax, regs.rbx, regs.rcx, regs.rdx] = out;
}

/// The thread was stopped between two instructions: by a fault of its own, or
/// by the supervisor.
pub fn interrupted(t: &mut Thread) {
    if t.preempted == 0 {
        signal::deliver_fault(t);
    } else if log::recording() {
        preempt::stopped(t);
    } else {
        preempt::found(t);
    }
}
