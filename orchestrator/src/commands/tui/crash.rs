//! A crash of orch's own, or a signal that looks like one: it gets the terminal as it was
//! before that ends it. (Panics and other signals: `orch_tui::terminal`.)
#![expect(
    unsafe_code,
    reason = "sigaction(2), and what a signal handler may call"
)]

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

/// What a fault of the process's own is told by.
const SIGNALS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
];

/// No bracketed paste, no mouse, the screen of before, and the cursor (xterm's control
/// sequences).
const LEAVE: &[u8] =
    b"\x1b[?2004l\x1b[?1006l\x1b[?1015l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1049l\x1b[?25h";

/// The terminal as it was.
static BEFORE: OnceLock<libc::termios> = OnceLock::new();

/// From here on, a crash gives the terminal back as it is now.
pub fn prepare() -> io::Result<()> {
    let mut now = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: `now` has room for what tcgetattr(3) writes.
    if unsafe { libc::tcgetattr(libc::STDIN_FILENO, now.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it has succeeded, so that all of it is written.
    let _ = BEFORE.set(unsafe { now.assume_init() });
    for signal in SIGNALS {
        // SAFETY: all zeros is an action (the default one, no flags, an empty mask).
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = give_back as *const () as usize;
        // On std's stack for signals: this one may have overflowed. The next one is not caught.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
        // SAFETY: the handler calls nothing that signal-safety(7) does not list.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn give_back(signal: c_int) {
    // SAFETY: LEAVE is that long; a terminal that is gone is an error, no more. What was set
    // before the handler was is there, and is read only.
    unsafe {
        libc::write(libc::STDOUT_FILENO, LEAVE.as_ptr().cast(), LEAVE.len());
        if let Some(before) = BEFORE.get() {
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before);
        }
        libc::raise(signal);
    }
}
