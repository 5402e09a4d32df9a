//! Waiting for several descriptors, and descriptors to wait with.

use super::names::*;
use super::rows::*;
use Ty::*;

/// `struct pollfd[args[1]]`.
const POLLFDS: Ty = InOut(Buf::Bytes {
    cap: Len::ArgTimes(1, 8),
    used: Len::ArgTimes(1, 8),
});
/// `fd_set` for `args[0]` descriptors.
const FD_SET: Ty = InOut(Buf::FdSet { nfds: 0 });
/// `struct epoll_event[args[2]]`, packed on x86-64.
const EVENTS: Ty = Out(Buf::Bytes {
    cap: Len::ArgTimes(2, 12),
    used: Len::ResultTimes(12),
});

pub(super) const CALLS: &[Call] = calls! {
    7 poll(fds: POLLFDS, nfds: Uint, timeout: Int).sleeps();
    23 select(nfds: Int, readfds: FD_SET, writefds: FD_SET, exceptfds: FD_SET,
        timeout: always(16)).sleeps();
    213 epoll_create(size: Int).gives(Ret::Fd);
    232 epoll_wait(epfd: Fd, events: EVENTS, maxevents: Int, timeout: Int).sleeps();
    233 epoll_ctl(epfd: Fd, op: Enum(EPOLL_OPS), fd: Fd, event: reads(12))
        .publishes().variants(EPOLL_CTL);
    253 inotify_init().gives(Ret::Fd);
    254 inotify_add_watch(fd: Fd, pathname: Path, mask: Flags(INOTIFY));
    255 inotify_rm_watch(fd: Fd, wd: Int).publishes();
    // The sixth argument points to a pointer to the signal mask and its size;
    // the mask itself is hashed by the runtime, which must apply it anyway.
    270 pselect6(nfds: Int, readfds: FD_SET, writefds: FD_SET, exceptfds: FD_SET,
        timeout: always(16), sigmask: reads(16)).sleeps();
    271 ppoll(fds: POLLFDS, nfds: Uint, tmo_p: always(16), sigmask: reads_len(Len::Arg(4)),
        sigsetsize: Uint).sleeps();
    281 epoll_pwait(epfd: Fd, events: EVENTS, maxevents: Int, timeout: Int,
        sigmask: reads_len(Len::Arg(5)), sigsetsize: Uint).sleeps();
    284 eventfd(initval: Uint).gives(Ret::Fd);
    290 eventfd2(initval: Uint, flags: Flags(FD_FLAGS)).gives(Ret::Fd);
    291 epoll_create1(flags: Flags(FD_FLAGS)).gives(Ret::Fd);
    294 inotify_init1(flags: Flags(FD_FLAGS)).gives(Ret::Fd);
    441 epoll_pwait2(epfd: Fd, events: EVENTS, maxevents: Int, timeout: reads(16),
        sigmask: reads_len(Len::Arg(5)), sigsetsize: Uint).sleeps();
};

// Deleting does not look at the event (epoll_ctl(2), BUGS).
const EPOLL_CTL: &[Variant] = variants! { 1 & 0xffff_ffff;
    2 EPOLL_CTL_DEL => 3: Addr;
};
