//! The runtime's own system calls.

use crate::arch::x86_64::syscall6;

/// Numbers, from arch/x86/entry/syscalls/syscall_64.tbl.
#[allow(missing_docs)]
pub mod nr {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const CLOSE: u64 = 3;
    pub const FSTAT: u64 = 5;
    pub const LSEEK: u64 = 8;
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const MUNMAP: u64 = 11;
    pub const BRK: u64 = 12;
    pub const RT_SIGACTION: u64 = 13;
    pub const RT_SIGPROCMASK: u64 = 14;
    pub const RT_SIGRETURN: u64 = 15;
    pub const PREAD64: u64 = 17;
    pub const PWRITE64: u64 = 18;
    pub const WRITEV: u64 = 20;
    pub const ACCESS: u64 = 21;
    pub const MREMAP: u64 = 25;
    pub const MADVISE: u64 = 28;
    pub const SHMAT: u64 = 30;
    pub const DUP2: u64 = 33;
    pub const GETPID: u64 = 39;
    pub const SENDFILE: u64 = 40;
    pub const CLONE: u64 = 56;
    pub const FORK: u64 = 57;
    pub const VFORK: u64 = 58;
    pub const EXECVE: u64 = 59;
    pub const EXIT: u64 = 60;
    pub const WAIT4: u64 = 61;
    pub const KILL: u64 = 62;
    pub const SHMDT: u64 = 67;
    pub const FCNTL: u64 = 72;
    pub const FTRUNCATE: u64 = 77;
    pub const GETPPID: u64 = 110;
    pub const RT_SIGPENDING: u64 = 127;
    pub const RT_SIGQUEUEINFO: u64 = 129;
    pub const RT_SIGSUSPEND: u64 = 130;
    pub const SIGALTSTACK: u64 = 131;
    pub const PRCTL: u64 = 157;
    pub const GETRLIMIT: u64 = 97;
    pub const ARCH_PRCTL: u64 = 158;
    pub const SETRLIMIT: u64 = 160;
    pub const UNSHARE: u64 = 272;
    pub const PRLIMIT64: u64 = 302;
    pub const SETNS: u64 = 308;
    pub const GETTID: u64 = 186;
    pub const TKILL: u64 = 200;
    pub const FUTEX: u64 = 202;
    pub const SET_TID_ADDRESS: u64 = 218;
    pub const EXIT_GROUP: u64 = 231;
    pub const TGKILL: u64 = 234;
    pub const OPENAT: u64 = 257;
    pub const SET_ROBUST_LIST: u64 = 273;
    pub const GET_ROBUST_LIST: u64 = 274;
    pub const SPLICE: u64 = 275;
    pub const FALLOCATE: u64 = 285;
    pub const DUP3: u64 = 292;
    pub const PWRITEV: u64 = 296;
    pub const RT_TGSIGQUEUEINFO: u64 = 297;
    pub const SECCOMP: u64 = 317;
    pub const EXECVEAT: u64 = 322;
    pub const COPY_FILE_RANGE: u64 = 326;
    pub const PWRITEV2: u64 = 328;
    pub const PKEY_MPROTECT: u64 = 329;
    pub const PIDFD_SEND_SIGNAL: u64 = 424;
    pub const CLONE3: u64 = 435;
    pub const CLOSE_RANGE: u64 = 436;
    pub const MSEAL: u64 = 462;
}

/// errno values the runtime gives itself.
#[allow(missing_docs)]
pub mod errno {
    pub const EPERM: i64 = 1;
    pub const ESRCH: i64 = 3;
    pub const EACCES: i64 = 13;
    pub const EINTR: i64 = 4;
    pub const EAGAIN: i64 = 11;
    pub const ENOMEM: i64 = 12;
    pub const EFAULT: i64 = 14;
    pub const EDEADLK: i64 = 35;
    pub const ENODEV: i64 = 19;
    pub const EINVAL: i64 = 22;
    pub const ENOSYS: i64 = 38;
}

/// `PROT_*` and `MAP_*`, from mman-common.h.
#[allow(missing_docs)]
pub mod mm {
    pub const READ: u64 = 1;
    pub const WRITE: u64 = 2;
    pub const EXEC: u64 = 4;
    pub const SHARED: u64 = 1;
    pub const PRIVATE: u64 = 2;
    pub const SHARED_VALIDATE: u64 = 3;
    pub const TYPE: u64 = 0xf;
    pub const FIXED: u64 = 0x10;
    pub const ANONYMOUS: u64 = 0x20;
    pub const GROWSDOWN: u64 = 0x100;
    pub const NORESERVE: u64 = 0x4000;
    pub const FIXED_NOREPLACE: u64 = 0x10_0000;
    pub const MREMAP_MAYMOVE: u64 = 1;
    pub const MREMAP_FIXED: u64 = 2;
    pub const MREMAP_DONTUNMAP: u64 = 4;
    pub const MADV_DONTNEED: u64 = 4;
    pub const MADV_FREE: u64 = 8;
    pub const MADV_DONTFORK: u64 = 10;
    pub const MADV_DOFORK: u64 = 11;
    pub const MADV_WIPEONFORK: u64 = 18;
    pub const MADV_KEEPONFORK: u64 = 19;
}

/// A call whose arguments the runtime made itself.
#[inline]
pub fn call(nr: u64, args: &[u64]) -> i64 {
    let mut a = [0; 6];
    a[..args.len()].copy_from_slice(args);
    // SAFETY: every caller in this crate passes addresses of its own memory,
    // or addresses of the program that it was asked to act on.
    unsafe { syscall6(nr, a) }
}

/// Opens a file of /proc/thread-self: /proc/self is empty once the first thread has ended.
/// Who has changed the user may not, as the files are then root's, until the process may be
/// dumped again (proc(5), PR_SET_DUMPABLE(2const)).
pub fn open_own(path: &core::ffi::CStr, flags: u64) -> i64 {
    const AT_FDCWD: u64 = -100_i64 as u64;
    const PR_GET_DUMPABLE: u64 = 3;
    const PR_SET_DUMPABLE: u64 = 4;
    let open = || call(nr::OPENAT, &[AT_FDCWD, path.as_ptr() as u64, flags]);
    let fd = open();
    if fd != -errno::EACCES {
        return fd;
    }
    let before = call(nr::PRCTL, &[PR_GET_DUMPABLE]);
    call(nr::PRCTL, &[PR_SET_DUMPABLE, 1]);
    let fd = open();
    if before != 1 {
        // What root has set for such processes (2) nobody can set.
        call(nr::PRCTL, &[PR_SET_DUMPABLE, 0]);
    }
    fd
}

/// mmap at exactly `addr`, private and anonymous.
pub fn map_anonymous(addr: u64, len: u64, prot: u64) -> i64 {
    call(
        nr::MMAP,
        &[
            addr,
            len,
            prot,
            mm::PRIVATE | mm::ANONYMOUS | mm::FIXED | mm::NORESERVE,
            u64::MAX,
            0,
        ],
    )
}

/// Waits while `*word == value`, at most `millis`.
pub fn futex_wait(word: &core::sync::atomic::AtomicU32, value: u32, millis: u64) {
    let time = [millis / 1000, millis % 1000 * 1_000_000];
    call(
        nr::FUTEX,
        &[
            word.as_ptr() as u64,
            0,
            u64::from(value),
            time.as_ptr() as u64,
        ],
    );
}

/// Wakes up to `count` waiters of `word`.
pub fn futex_wake(word: &core::sync::atomic::AtomicU32, count: u32) {
    call(nr::FUTEX, &[word.as_ptr() as u64, 1, u64::from(count)]);
}

/// Replay: the process ends when the one does that made it, or took it on by `CLONE_PARENT`
/// (PR_SET_PDEATHSIG(2const)); it may compute for long without looking for it.
pub fn end_with_parent() {
    const PR_SET_PDEATHSIG: u64 = 1;
    const SIGKILL: u64 = 9;
    call(nr::PRCTL, &[PR_SET_PDEATHSIG, SIGKILL]);
}

/// Writes to the process's memory, whatever its protection (proc_pid_mem(5)); false if nothing
/// is there.
pub fn overwrite(at: u64, bytes: &[u8]) -> bool {
    const O_RDWR: u64 = 2;
    let fd = open_own(c"/proc/thread-self/mem", O_RDWR);
    let (from, len) = (bytes.as_ptr() as u64, bytes.len() as u64);
    let done = call(nr::PWRITE64, &[fd as u64, from, len, at]) == bytes.len() as i64;
    call(nr::CLOSE, &[fd as u64]);
    done
}

/// Ends the process.
pub fn exit_group(status: i32) -> ! {
    loop {
        call(nr::EXIT_GROUP, &[status as u64]);
    }
}

/// Writes a number's digits; returns how many.
pub fn decimal(mut n: u64, to: &mut [u8]) -> usize {
    let mut digits = [0; 20];
    let mut count = 0;
    loop {
        digits[count] = b'0' + (n % 10) as u8;
        n /= 10;
        count += 1;
        if n == 0 {
            break;
        }
    }
    for (to, d) in to.iter_mut().zip(digits[..count].iter().rev()) {
        *to = *d;
    }
    count
}
