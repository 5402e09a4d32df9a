//! What this process got from who started it, and passes on to the program: signals that are
//! ignored or blocked (execve(2)). Rust's start-up changes one, the supervisor others, so
//! they are looked at before `main`.

use orch_recorder::launch::Signals;
use std::sync::OnceLock;

static FOUND: OnceLock<Signals> = OnceLock::new();

/// The linker's list of functions to call first (System V ABI, 5.2.3).
#[expect(unsafe_code, reason = "a named section")]
// SAFETY: the section holds pointers to functions of this kind.
#[unsafe(link_section = ".init_array")]
#[used]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let _ = FOUND.set(Signals::of_this_process());
}

/// As they were when this process was started.
pub fn signals() -> Signals {
    FOUND.get().copied().unwrap_or_default()
}
