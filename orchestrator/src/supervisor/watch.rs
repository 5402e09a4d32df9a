//! What the supervisor learns from the kernel: signals to pass on, children
//! that ended, descriptors that lead to the console.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use orch_abi::shared::Control;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

static DOORBELL: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
/// Bit n: signal n is to be passed on to the root process.
static TO_FORWARD: AtomicU64 = AtomicU64::new(0);
/// Whether the user wants an end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Tells the runtimes which files are the console: what this process has as
/// standard output and error.
pub fn console(control: &Control) {
    for (fd, row) in [
        std::io::stdout().as_fd_stat(),
        std::io::stderr().as_fd_stat(),
    ]
    .into_iter()
    .zip(&control.console)
    {
        if let Some((dev, ino)) = fd {
            row[0].store(dev, Ordering::Relaxed);
            row[1].store(ino, Ordering::Relaxed);
        }
    }
}

trait FdStat {
    fn as_fd_stat(&self) -> Option<(u64, u64)>;
}

impl<T: std::os::fd::AsFd> FdStat for T {
    fn as_fd_stat(&self) -> Option<(u64, u64)> {
        nix::sys::stat::fstat(self)
            .ok()
            .map(|s| (s.st_dev, s.st_ino))
    }
}

/// Orphans become children of this process, so that their end is seen
/// (prctl(2), PR_SET_CHILD_SUBREAPER).
pub fn adopt_orphans() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Whether a seccomp filter may be installed without no_new_privs
/// (which would take the effect from setuid programs).
pub fn may_filter() -> bool {
    const CAP_SYS_ADMIN: u64 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|caps| caps >> CAP_SYS_ADMIN & 1 == 1)
}

extern "C" fn on_child(_: i32) {
    ring();
}

extern "C" fn on_terminate(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    const SI_KERNEL: i32 = 0x80;
    // SAFETY: the kernel hands a valid siginfo_t to SA_SIGINFO handlers.
    #[expect(unsafe_code, reason = "reading siginfo_t")]
    let from_terminal = unsafe { (*info).si_code } == SI_KERNEL;
    // The terminal sends to the whole foreground group: the program has it already.
    if !from_terminal {
        TO_FORWARD.fetch_or(1 << signal, Ordering::Relaxed);
    }
    ring();
}

fn ring() {
    let bell = DOORBELL.load(Ordering::Relaxed);
    if !bell.is_null() {
        // SAFETY: points into the arena, which lives as long as handlers are installed.
        #[expect(unsafe_code, reason = "a static pointer is all a handler can use")]
        unsafe { &*bell }.fetch_add(1, Ordering::Release);
    }
}

/// Children's news ring the doorbell.
#[expect(unsafe_code, reason = "sigaction")]
pub fn children(control: &Control) {
    DOORBELL.store(
        std::ptr::from_ref(&control.doorbell.0).cast_mut(),
        Ordering::Relaxed,
    );
    let child = SigAction::new(
        SigHandler::Handler(on_child),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler only touches atomics.
    let _ = unsafe { sigaction(Signal::SIGCHLD, &child) };
}

/// The doorbell is about to go.
pub fn no_children() {
    DOORBELL.store(std::ptr::null_mut(), Ordering::Relaxed);
}

/// Terminating signals are kept for [`take_signals`].
#[expect(unsafe_code, reason = "sigaction")]
pub fn signals() {
    let end = SigAction::new(
        SigHandler::SigAction(on_terminate),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handlers only touch atomics.
    unsafe {
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
        ] {
            let _ = sigaction(signal, &end);
        }
    }
}

extern "C" fn on_interrupt(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on, what would end this process is told by [`interrupted`].
#[expect(unsafe_code, reason = "sigaction")]
pub fn interrupts() {
    let end = SigAction::new(
        SigHandler::Handler(on_interrupt),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only touches an atomic.
        let _ = unsafe { sigaction(signal, &end) };
    }
}

/// Whether such a signal has come.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Signals that came for the root process since the last call.
pub fn take_signals() -> impl Iterator<Item = Signal> {
    let bits = TO_FORWARD.swap(0, Ordering::Relaxed);
    (1..32)
        .filter(move |n| bits >> n & 1 == 1)
        .filter_map(|n| Signal::try_from(n).ok())
}

/// What proc_pid_stat(5) says of a process from its state (field 3) on, in words; `None` if
/// there is no such process.
pub fn stat(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command before, in parentheses, may hold anything.
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

/// State of a process, a letter of proc_pid_stat(5); `None` if there is no such process.
pub fn state(pid: i32) -> Option<char> {
    stat(pid)?.chars().next()
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2));
/// `None` if it has ended already.
#[expect(unsafe_code, reason = "pidfd_open has no wrapper in nix")]
pub fn pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: the descriptor is new and nobody else's.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Asks the runtime in a thread to come to a safe point. By SIGBUS: of each signal the
/// kernel keeps one only (signal(7)), so that the thread loses a fault of its own that
/// comes meanwhile. That one happens again; a system call's SIGSYS would not.
#[expect(unsafe_code, reason = "tgkill has no wrapper in nix")]
pub fn interrupt(process: i32, thread: i32) {
    // SAFETY: sends a signal; a wrong id is an error.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGBUS) };
}

/// The wait status of a process that has been reaped: pidfs keeps it for who
/// has the process's descriptor open (PIDFD_GET_INFO with PIDFD_INFO_EXIT,
/// Linux 6.15, include/uapi/linux/pidfd.h). `None` if it is not reaped yet.
#[expect(unsafe_code, reason = "an ioctl that nix does not know")]
pub fn exit_status(pidfd: &OwnedFd) -> Option<i32> {
    const INFO_EXIT: u64 = 1 << 3;
    /// `struct pidfd_info`, as of its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    nix::ioctl_readwrite!(get_info, 0xff, 11, Info);
    let mut info = Info {
        mask: INFO_EXIT,
        ..Info::default()
    };
    // SAFETY: the request's number gives the kernel the size of the structure.
    let done = unsafe { get_info(pidfd.as_raw_fd(), &raw mut info) };
    (done.is_ok() && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}
