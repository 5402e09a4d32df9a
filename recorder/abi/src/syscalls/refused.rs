//! Calls that are not recorded: what the kernel itself no longer has, and
//! what works on memory or other processes behind the recorder's back.

use super::rows::*;
use Ty::*;

const GONE: Does = Does::Absent(ENOSYS);

pub(super) const CALLS: &[Call] = calls! {
    134 uselib().does(GONE);
    139 sysfs().does(GONE);
    156 _sysctl().does(GONE);
    174 create_module().does(GONE);
    177 get_kernel_syms().does(GONE);
    178 query_module().does(GONE);
    180 nfsservctl().does(GONE);
    181 getpmsg().does(GONE);
    182 putpmsg().does(GONE);
    183 afs_syscall().does(GONE);
    184 tuxcall().does(GONE);
    185 security().does(GONE);
    205 set_thread_area().does(GONE);
    211 get_thread_area().does(GONE);
    212 lookup_dcookie().does(GONE);
    214 epoll_ctl_old().does(GONE);
    215 epoll_wait_old().does(GONE);
    // The kernel's own, where it is not ours: what it would start again is the runtime's.
    219 restart_syscall().does(Does::Absent(EINTR));
    236 vserver().does(GONE);

    // Segments and ports: state of the processor that replay does not have.
    154 modify_ldt(func: Int, ptr: Addr, bytecount: Uint).does(Does::Refused(ENOSYS));
    172 iopl(level: Int).does(Does::Refused(EPERM));
    173 ioperm(from: Uint, num: Uint, turn_on: Int).does(Does::Refused(EPERM));

    // Completions are written by the kernel at any time.
    206 io_setup(nr_events: Uint, ctx_idp: Addr).does(Does::Refused(ENOSYS));
    207 io_destroy(ctx_id: Hex).does(Does::Refused(ENOSYS));
    208 io_getevents(ctx_id: Hex, min_nr: Long, nr: Long, events: Addr, timeout: Addr)
        .does(Does::Refused(ENOSYS));
    209 io_submit(ctx_id: Hex, nr: Long, iocbpp: Addr).does(Does::Refused(ENOSYS));
    210 io_cancel(ctx_id: Hex, iocb: Addr, result: Addr).does(Does::Refused(ENOSYS));
    333 io_pgetevents(ctx_id: Hex, min_nr: Long, nr: Long, events: Addr, timeout: Addr, sig: Addr)
        .does(Does::Refused(ENOSYS));
    425 io_uring_setup(entries: Uint, params: Addr).does(Does::Refused(ENOSYS));
    426 io_uring_enter(fd: Fd, to_submit: Uint, min_complete: Uint, flags: Hex, argp: Addr,
        argsz: Uint).does(Does::Refused(ENOSYS));
    427 io_uring_register(fd: Fd, opcode: Uint, arg: Addr, nr_args: Uint)
        .does(Does::Refused(ENOSYS));
    298 perf_event_open(attr: Addr, pid: Pid, cpu: Int, group_fd: Fd, flags: Hex)
        .does(Does::Refused(ENOSYS));
    323 userfaultfd(flags: Hex).does(Does::Refused(ENOSYS));

    // Filters and programs that would see the runtime's calls too.
    317 seccomp(operation: Int, flags: Hex, args: Addr).does(Does::Refused(EINVAL));
    321 bpf(cmd: Int, attr: Addr, size: Uint).does(Does::Refused(EPERM));

    246 kexec_load(entry: Addr, nr_segments: Uint, segments: Addr, flags: Hex)
        .does(Does::Refused(EPERM));
    320 kexec_file_load(kernel_fd: Fd, initrd_fd: Fd, cmdline_len: Uint, cmdline: Path, flags: Hex)
        .does(Does::Refused(EPERM));

    // Memory that not even the kernel can read, and stacks that replay cannot rebuild.
    447 memfd_secret(flags: Hex).does(Does::Refused(ENOSYS));
    453 map_shadow_stack(addr: Addr, size: Uint, flags: Hex).does(Does::Refused(EOPNOTSUPP));

    // The value's address and size are in a structure of their own.
    463 setxattrat(dirfd: Fd, path: Path, at_flags: Hex, name: Path, args: Addr, size: Uint)
        .does(Does::Refused(ENOSYS));
    464 getxattrat(dirfd: Fd, path: Path, at_flags: Hex, name: Path, args: Addr, size: Uint)
        .does(Does::Refused(ENOSYS));
};
