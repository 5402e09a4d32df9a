//! Making, replacing, awaiting and ending processes.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    39 getpid();
    56 clone(flags: CLONE, stack: Addr, parent_tid: Addr, child_tid: Addr, tls: Addr)
        .does(Does::Process).publishes();
    57 fork().does(Does::Process).publishes();
    58 vfork().does(Does::Process).publishes();
    59 execve(pathname: Path, argv: In(Buf::CStrVec), envp: In(Buf::CStrVec))
        .does(Does::Process).publishes();
    60 exit(status: Int).does(Does::Process).publishes().gives(Ret::None);
    61 wait4(pid: Pid, wstatus: out(4), options: Flags(WAIT), rusage: out(RUSAGE_SIZE)).blocks();
    101 ptrace(request: Int, pid: Pid, addr: Addr, data: Addr).does(Does::Refused(EPERM));
    109 setpgid(pid: Pid, pgid: Pid).publishes();
    110 getppid();
    111 getpgrp();
    112 setsid().publishes();
    121 getpgid(pid: Pid);
    124 getsid(pid: Pid);
    231 exit_group(status: Int).does(Does::Process).publishes().gives(Ret::None);
    247 waitid(idtype: Enum(ID_TYPES), id: Int, infop: out(128), options: Flags(WAIT),
        rusage: out(RUSAGE_SIZE)).blocks();
    272 unshare(flags: Flags(CLONE_FLAGS)).does(Does::Process);
    308 setns(fd: Fd, nstype: Flags(CLONE_FLAGS)).does(Does::Process);
    310 process_vm_readv(pid: Pid, local_iov: Out(Buf::Iovec { count: 2 }), liovcnt: Uint,
        remote_iov: reads_len(Len::ArgTimes(4, 16)), riovcnt: Uint, flags: Hex);
    // Writes into a process that does not know of it.
    311 process_vm_writev(pid: Pid, local_iov: In(Buf::Iovec { count: 2 }), liovcnt: Uint,
        remote_iov: reads_len(Len::ArgTimes(4, 16)), riovcnt: Uint, flags: Hex)
        .does(Does::Refused(EPERM));
    312 kcmp(pid1: Pid, pid2: Pid, cmp_type: Int, idx1: Hex, idx2: Hex);
    322 execveat(dirfd: Fd, pathname: Path, argv: In(Buf::CStrVec), envp: In(Buf::CStrVec),
        flags: Flags(AT_FLAGS)).does(Does::Process).publishes();
    424 pidfd_send_signal(pidfd: Fd, sig: Signal, info: reads(128), flags: Hex).publishes();
    434 pidfd_open(pid: Pid, flags: Hex).gives(Ret::Fd);
    435 clone3(cl_args: reads_len(Len::Arg(1)), size: Uint).does(Does::Process).publishes();
    438 pidfd_getfd(pidfd: Fd, targetfd: Fd, flags: Hex).gives(Ret::Fd);
    448 process_mrelease(pidfd: Fd, flags: Hex).publishes();
};

/// `struct rusage`.
const RUSAGE_SIZE: u32 = 144;
