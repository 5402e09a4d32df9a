//! Names, attributes and directories of the file system.

use super::names::*;
use super::rows::*;
use Ty::*;

/// `struct stat`.
const STAT: u32 = 144;

pub(super) const CALLS: &[Call] = calls! {
    4 stat(pathname: Path, statbuf: out(STAT));
    5 fstat(fd: Fd, statbuf: out(STAT));
    6 lstat(pathname: Path, statbuf: out(STAT));
    21 access(pathname: Path, mode: Flags(ACCESS));
    78 getdents(fd: Fd, dirp: filled(2), count: Uint);
    79 getcwd(buf: filled(1), size: Uint);
    80 chdir(path: Path);
    81 fchdir(fd: Fd);
    82 rename(oldpath: Path, newpath: Path).publishes();
    83 mkdir(pathname: Path, mode: Octal).publishes();
    84 rmdir(pathname: Path).publishes();
    86 link(oldpath: Path, newpath: Path).publishes();
    87 unlink(pathname: Path).publishes();
    88 symlink(target: Path, linkpath: Path).publishes();
    89 readlink(pathname: Path, buf: filled(2), bufsiz: Uint);
    90 chmod(pathname: Path, mode: Octal).publishes();
    91 fchmod(fd: Fd, mode: Octal).publishes();
    92 chown(pathname: Path, owner: Int, group: Int).publishes();
    93 fchown(fd: Fd, owner: Int, group: Int).publishes();
    94 lchown(pathname: Path, owner: Int, group: Int).publishes();
    95 umask(mask: Octal);
    132 utime(filename: Path, times: reads(16)).publishes();
    133 mknod(pathname: Path, mode: Octal, dev: Hex).publishes();
    217 getdents64(fd: Fd, dirp: filled(2), count: Uint);
    235 utimes(filename: Path, times: reads(32)).publishes();
    258 mkdirat(dirfd: Fd, pathname: Path, mode: Octal).publishes();
    259 mknodat(dirfd: Fd, pathname: Path, mode: Octal, dev: Hex).publishes();
    260 fchownat(dirfd: Fd, pathname: Path, owner: Int, group: Int, flags: Flags(AT_FLAGS))
        .publishes();
    261 futimesat(dirfd: Fd, pathname: Path, times: reads(32)).publishes();
    262 newfstatat(dirfd: Fd, pathname: Path, statbuf: out(STAT), flags: Flags(AT_FLAGS));
    263 unlinkat(dirfd: Fd, pathname: Path, flags: Flags(AT_FLAGS)).publishes();
    264 renameat(olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path).publishes();
    265 linkat(olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path, flags: Flags(AT_FLAGS))
        .publishes();
    266 symlinkat(target: Path, newdirfd: Fd, linkpath: Path).publishes();
    267 readlinkat(dirfd: Fd, pathname: Path, buf: filled(3), bufsiz: Uint);
    268 fchmodat(dirfd: Fd, pathname: Path, mode: Octal).publishes();
    269 faccessat(dirfd: Fd, pathname: Path, mode: Flags(ACCESS));
    280 utimensat(dirfd: Fd, pathname: Path, times: reads(32), flags: Flags(AT_FLAGS)).publishes();
    316 renameat2(olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path, flags: Flags(RENAME))
        .publishes();
    332 statx(dirfd: Fd, pathname: Path, flags: Flags(AT_FLAGS), mask: Flags(STATX),
        statxbuf: out(256));
    439 faccessat2(dirfd: Fd, pathname: Path, mode: Flags(ACCESS), flags: Flags(FACCESSAT_FLAGS));
    451 cachestat(fd: Fd, range: reads(16), cachestat: out(40), flags: Hex);
    452 fchmodat2(dirfd: Fd, pathname: Path, mode: Octal, flags: Flags(AT_FLAGS)).publishes();
    468 file_getattr(dirfd: Fd, pathname: Path, attr: out_len(Len::Arg(3)), size: Uint,
        flags: Flags(AT_FLAGS));
    469 file_setattr(dirfd: Fd, pathname: Path, attr: reads_len(Len::Arg(3)), size: Uint,
        flags: Flags(AT_FLAGS)).publishes();
};
