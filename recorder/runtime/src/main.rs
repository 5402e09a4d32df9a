//! The runtime: lives inside every tracee, performs and logs its system
//! calls (record), or answers them from the log (replay).
//!
//! See docs/ARCHITECTURE.md. The whole crate is `unsafe` country by nature:
//! it has no operating-system library beneath it and works on the memory of
//! the program around it. Assembly is confined to `arch`.
#![no_std]
#![no_main]
#![allow(
    clippy::deref_addrof,
    reason = "a reference to a static mut is taken through its address"
)]

mod arch;
mod boot;
mod call;
mod digest;
mod dispatch;
mod generated;
mod image;
mod insn;
mod log;
mod memory;
mod nearby;
mod patch;
mod preempt;
mod process;
mod ranges;
mod replay;
mod robust;
mod scratch;
mod shm;
mod signal;
mod stage;
mod stop;
mod stub;
mod sys;
mod table;
mod thread;
mod xstate;

use core::fmt::Write as _;
use core::sync::atomic::Ordering;
use orch_abi::shared::verdict;

/// A fixed-size text for the slot's `message`.
struct Message {
    text: [u8; 1024],
    len: usize,
}

impl core::fmt::Write for Message {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let n = s.len().min(self.text.len() - 1 - self.len);
        self.text[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Puts a text where the supervisor finds it.
fn leave_message(args: core::fmt::Arguments) {
    let mut m = Message {
        text: [0; 1024],
        len: 0,
    };
    let _ = m.write_fmt(args);
    let slot = core::ptr::from_ref(log::slot()).cast_mut();
    // SAFETY: only this process writes its slot's message, the supervisor
    // reads it after the verdict (or death).
    unsafe {
        (&raw mut (*slot).message)
            .cast::<u8>()
            .copy_from_nonoverlapping(m.text.as_ptr(), m.text.len());
    }
}

/// Ends the process because the runtime itself cannot go on.
#[cold]
fn fail(why: &str) -> ! {
    fail_fmt(format_args!("{why}"))
}

#[cold]
fn fail_fmt(args: core::fmt::Arguments) -> ! {
    process::process().failed.store(true, Ordering::Relaxed);
    leave_message(args);
    let slot = log::slot();
    let mut m = Message {
        text: [0; 1024],
        len: 0,
    };
    let _ = writeln!(
        m,
        "orch: p{}: {args}",
        slot.recording.load(Ordering::Relaxed)
    );
    sys::call(sys::nr::WRITE, &[2, m.text.as_ptr() as u64, m.len as u64]);
    log::finish_replay(verdict::BROKEN)
}

/// An invariant of the runtime's own.
#[track_caller]
fn assert_ours(holds: bool, what: &str) {
    if !holds {
        let place = core::panic::Location::caller();
        fail_fmt(format_args!(
            "runtime assertion failed: {what} ({}:{})",
            place.file(),
            place.line()
        ));
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    fail_fmt(format_args!("runtime: {info}"))
}
