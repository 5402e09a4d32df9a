//! Moving bytes: reading, writing, copying between descriptors, flushing.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    0 read(fd: Fd, buf: filled(2), count: Uint).blocks();
    1 write(fd: Fd, buf: reads_len(Len::Arg(2)), count: Uint).blocks().publishes();
    8 lseek(fd: Fd, offset: Long, whence: Enum(WHENCE)).gives(Ret::Int);
    17 pread64(fd: Fd, buf: filled(2), count: Uint, offset: Long).blocks();
    18 pwrite64(fd: Fd, buf: reads_len(Len::Arg(2)), count: Uint, offset: Long)
        .blocks().publishes();
    19 readv(fd: Fd, iov: Out(Buf::Iovec { count: 2 }), iovcnt: Uint).blocks();
    20 writev(fd: Fd, iov: In(Buf::Iovec { count: 2 }), iovcnt: Uint).blocks().publishes();
    40 sendfile(out_fd: Fd, in_fd: Fd, offset: inout(8), count: Uint).blocks().publishes();
    74 fsync(fd: Fd).blocks();
    75 fdatasync(fd: Fd).blocks();
    76 truncate(path: Path, length: Long).publishes();
    77 ftruncate(fd: Fd, length: Long).publishes();
    162 sync().blocks();
    187 readahead(fd: Fd, offset: Long, count: Uint).blocks();
    221 fadvise64(fd: Fd, offset: Long, len: Uint, advice: Enum(FADVICE));
    275 splice(fd_in: Fd, off_in: inout(8), fd_out: Fd, off_out: inout(8), len: Uint,
        flags: Flags(SPLICE)).blocks().publishes();
    276 tee(fd_in: Fd, fd_out: Fd, len: Uint, flags: Flags(SPLICE)).blocks().publishes();
    277 sync_file_range(fd: Fd, offset: Long, nbytes: Long, flags: Hex).blocks();
    // On the read end of a pipe it fills the memory instead (vmsplice(2), NOTES).
    278 vmsplice(fd: Fd, iov: InOut(Buf::Iovec { count: 2 }), nr_segs: Uint,
        flags: Flags(SPLICE)).blocks().publishes();
    285 fallocate(fd: Fd, mode: Flags(FALLOC), offset: Long, len: Long).blocks().publishes();
    // The offset comes as two halves of which x86-64 needs only the first.
    295 preadv(fd: Fd, iov: Out(Buf::Iovec { count: 2 }), iovcnt: Uint, pos_l: Long,
        pos_h: Uint).blocks();
    296 pwritev(fd: Fd, iov: In(Buf::Iovec { count: 2 }), iovcnt: Uint, pos_l: Long,
        pos_h: Uint).blocks().publishes();
    306 syncfs(fd: Fd).blocks();
    326 copy_file_range(fd_in: Fd, off_in: inout(8), fd_out: Fd, off_out: inout(8), len: Uint,
        flags: Hex).blocks().publishes();
    327 preadv2(fd: Fd, iov: Out(Buf::Iovec { count: 2 }), iovcnt: Uint, pos_l: Long,
        pos_h: Uint, flags: Flags(RWF)).blocks();
    328 pwritev2(fd: Fd, iov: In(Buf::Iovec { count: 2 }), iovcnt: Uint, pos_l: Long,
        pos_h: Uint, flags: Flags(RWF)).blocks().publishes();
};
