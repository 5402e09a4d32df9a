//! Opening, duplicating, locking and closing descriptors.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    // Opening a FIFO waits for the other end (fifo(7)).
    2 open(pathname: Path, flags: OPEN, mode: Octal).blocks().publishes().gives(Ret::Fd);
    3 close(fd: Fd).blocks().publishes();
    16 ioctl(fd: Fd, cmd: Hex, arg: Hex).blocks().publishes()
        .only(super::ioctl::COMMANDS, ENOTTY);
    22 pipe(pipefd: out(8));
    32 dup(oldfd: Fd).gives(Ret::Fd);
    33 dup2(oldfd: Fd, newfd: Fd).publishes().gives(Ret::Fd);
    72 fcntl(fd: Fd, cmd: Int, arg: Hex).blocks().only(super::fcntl::COMMANDS, EINVAL);
    73 flock(fd: Fd, operation: Flags(FLOCK)).blocks();
    85 creat(pathname: Path, mode: Octal).blocks().publishes().gives(Ret::Fd);
    257 openat(dirfd: Fd, pathname: Path, flags: OPEN, mode: Octal)
        .blocks().publishes().gives(Ret::Fd);
    292 dup3(oldfd: Fd, newfd: Fd, flags: Flags(FD_FLAGS)).publishes().gives(Ret::Fd);
    293 pipe2(pipefd: out(8), flags: Flags(FD_FLAGS));
    303 name_to_handle_at(dirfd: Fd, pathname: Path, handle: OutAlways(Buf::Counted { head: 8 }),
        mount_id: out(4), flags: Flags(AT_FLAGS));
    304 open_by_handle_at(mount_fd: Fd, handle: In(Buf::Counted { head: 8 }), flags: OPEN)
        .blocks().publishes().gives(Ret::Fd);
    319 memfd_create(name: Path, flags: Flags(MFD)).gives(Ret::Fd);
    436 close_range(first: Uint, last: Uint, flags: Hex).blocks().publishes();
    437 openat2(dirfd: Fd, pathname: Path, how: reads_len(Len::Arg(3)), size: Uint)
        .blocks().publishes().gives(Ret::Fd);
};
