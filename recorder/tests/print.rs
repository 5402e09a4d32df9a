//! Calls printed as strace would, and no record that breaks the printer.

use orch_abi::record::Syscall;
use orch_recorder::print::{ChunkView, SyscallView, args, call, errno_name, signal_name};
use proptest::prelude::*;

fn printed(nr: i64, args: &[u64], result: i64, chunks: &[(u64, &[u8], bool)]) -> String {
    let mut syscall = Syscall {
        result,
        ..Syscall::default()
    };
    syscall.args[..args.len()].copy_from_slice(args);
    let chunks: Vec<ChunkView> = chunks
        .iter()
        .map(|&(addr, bytes, outgoing)| ChunkView {
            addr,
            bytes,
            outgoing,
        })
        .collect();
    let nr = u16::try_from(nr).expect("a call's number");
    call(&SyscallView {
        nr,
        syscall: &syscall,
        chunks: &chunks,
    })
}

#[test]
fn files() {
    const AT_FDCWD: u64 = -100_i64 as u64;
    let path: &[u8] = b"/etc/passwd\0";
    assert_eq!(
        printed(
            libc::SYS_openat,
            &[AT_FDCWD, 0x1000, 0o2000000, 0],
            3,
            &[(0x1000, path, true)]
        ),
        r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3"#
    );
    assert_eq!(
        printed(libc::SYS_openat, &[AT_FDCWD, 0x1000, 0o101, 0o644], -2, &[]),
        "openat(AT_FDCWD, 0x1000, O_WRONLY|O_CREAT, 0o644) = -1 ENOENT (No such file or directory)"
    );
    assert_eq!(
        printed(
            libc::SYS_read,
            &[3, 0x1000, 4096],
            6,
            &[(0x1000, b"root:\n", false)]
        ),
        r#"read(3, "root:\n", 4096) = 6"#
    );
    assert_eq!(
        printed(
            libc::SYS_write,
            &[1, 0x1000, 40],
            40,
            &[(0x1000, &[b'x'; 40], true)]
        ),
        format!(r#"write(1, "{}"..., 40) = 40"#, "x".repeat(32))
    );
    assert_eq!(
        printed(libc::SYS_lseek, &[3, -5_i64 as u64, 1], 10, &[]),
        "lseek(3, -5, SEEK_CUR) = 10"
    );
}

#[test]
fn memory() {
    assert_eq!(
        printed(
            libc::SYS_mmap,
            &[0, 4096, 3, 0x22, u64::MAX, 0],
            0x7000,
            &[]
        ),
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 0x7000"
    );
    assert_eq!(
        printed(libc::SYS_mprotect, &[0x1000, 4096, 0], 0, &[]),
        "mprotect(0x1000, 4096, PROT_NONE) = 0"
    );
}

#[test]
fn structures() {
    let fds: &[u8] = &[3, 0, 0, 0, 4, 0, 0, 0];
    assert_eq!(
        printed(libc::SYS_pipe2, &[0x1000, 0], 0, &[(0x1000, fds, false)]),
        "pipe2([3, 4], 0) = 0"
    );
    assert_eq!(
        printed(
            libc::SYS_wait4,
            &[u64::MAX, 0x1000, 0, 0],
            7,
            &[(0x1000, &[0; 4], false)]
        ),
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 7"
    );
    let mut time = [0; 16];
    time[0] = 1;
    time[8] = 5;
    assert_eq!(
        printed(
            libc::SYS_clock_nanosleep,
            &[1, 0, 0x1000, 0],
            0,
            &[(0x1000, &time, true)]
        ),
        "clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=1, tv_nsec=5}, NULL) = 0"
    );
    let address: &[u8] = &[2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        printed(
            libc::SYS_connect,
            &[3, 0x1000, 16],
            -111,
            &[(0x1000, address, true)]
        ),
        "connect(3, {AF_INET, 127.0.0.1:80}, 16) = -1 ECONNREFUSED (Connection refused)"
    );
    let iov: Vec<u8> = [0x2000_u64, 2]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    assert_eq!(
        printed(
            libc::SYS_writev,
            &[1, 0x1000, 1],
            2,
            &[(0x1000, &iov, true), (0x2000, b"hi", true)]
        ),
        r#"writev(1, [{"hi", 2}], 1) = 2"#
    );
    assert_eq!(
        printed(
            libc::SYS_rt_sigprocmask,
            &[0, 0x1000, 0, 8],
            0,
            &[(0x1000, &[2, 0, 0, 0, 0, 0, 0, 0], true)]
        ),
        "rt_sigprocmask(SIG_BLOCK, [INT], NULL, 8) = 0"
    );
}

#[test]
fn variants() {
    assert_eq!(
        printed(libc::SYS_ioctl, &[0, 0x5401, 0x1000], -25, &[]),
        "ioctl(0, TCGETS, 0x1000) = -1 ENOTTY (Inappropriate ioctl for device)"
    );
    assert_eq!(
        printed(libc::SYS_fcntl, &[3, 1, 0], 1, &[]),
        "fcntl(3, F_GETFD) = 1"
    );
    assert_eq!(
        printed(libc::SYS_fcntl, &[3, 4, 0o4002], 0, &[]),
        "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0"
    );
    assert_eq!(
        printed(
            libc::SYS_prctl,
            &[15, 0x1000],
            0,
            &[(0x1000, b"worker\0", true)]
        ),
        r#"prctl(PR_SET_NAME, "worker") = 0"#
    );
    assert_eq!(
        printed(libc::SYS_futex, &[0x1000, 0x81, 1, 9, 9, 9], 1, &[]),
        "futex(0x1000, FUTEX_WAKE|FUTEX_PRIVATE_FLAG, 1) = 1"
    );
    assert_eq!(
        printed(libc::SYS_exit_group, &[0], 0, &[]),
        "exit_group(0) = ?"
    );
    assert_eq!(
        printed(400, &[1], -38, &[]),
        "syscall_400(0x1, 0x0, 0x0, 0x0, 0x0, 0x0) = -1 ENOSYS (Function not implemented)"
    );
}

#[test]
fn names() {
    assert_eq!(errno_name(2), "ENOENT");
    assert_eq!(errno_name(512), "ERESTARTSYS");
    assert_eq!(errno_name(4000), "4000");
    assert_eq!(signal_name(9), "SIGKILL");
    assert_eq!(signal_name(34), "SIGRT_2");
    assert_eq!(signal_name(0), "0");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Few distinct addresses, so that arguments find chunks.
    #[test]
    fn nothing_breaks_the_printer(
        nr in 0_u16..500,
        values in prop::array::uniform6(prop_oneof![0_u64..64, 0x1000_u64..0x1040, any::<u64>()]),
        result in any::<i64>(),
        memory in prop::collection::vec(
            (prop_oneof![0x1000_u64..0x1040, any::<u64>()],
             prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..160), any::<bool>()),
            0..6),
    ) {
        let syscall = Syscall { args: values, result, ..Syscall::default() };
        let chunks: Vec<ChunkView> = memory
            .iter()
            .map(|(addr, bytes, outgoing)| ChunkView { addr: *addr, bytes, outgoing: *outgoing })
            .collect();
        let view = SyscallView { nr, syscall: &syscall, chunks: &chunks };
        prop_assert!(args(&view).len() <= 6);
        prop_assert!(call(&view).contains(") = "));
        prop_assert!(call(&view).chars().all(|c| !c.is_control()));
    }
}
