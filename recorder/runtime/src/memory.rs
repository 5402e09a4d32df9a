//! The memory that a call reads and writes, found by the system-call table.

use crate::arch::x86_64::guarded;
use crate::log::Pieces;
use crate::shm;
use crate::sys;
use crate::thread::Thread;
use orch_abi::layout::PAGE;
use orch_abi::syscalls::{Buf, Call, Len, Ty};
use xxhash_rust::xxh3::xxh3_64;

const STRING_MAX: u64 = 64 << 10;
const IOV_MAX: u64 = 1024;
/// Hash of memory that could not be read: the kernel answers EFAULT.
const UNREADABLE: u64 = 0xbad0_bad0_bad0_bad0;

const KNOWN: u8 = 1;
const READS: u8 = 2;
const WRITES: u8 = 4;
/// Of what it writes, the size or place is in memory.
const FINDS: u8 = 8;

/// Whether any of a call's arguments leads to memory; remembered, as most calls recur.
fn traits(call: &Call) -> u8 {
    static mut TRAITS: [u8; 512] = [0; 512];
    // SAFETY: only the baton's holder is here.
    let known = unsafe { &mut *(&raw mut TRAITS[usize::from(call.nr) % 512]) };
    if *known == 0 {
        let any = |f: fn(&Ty) -> bool| {
            let types = call
                .args
                .iter()
                .map(|a| &a.ty)
                .chain(call.variants.iter().map(|v| &v.ty));
            // The size of an unlisted ioctl is in its command.
            call.nr == IOCTL || types.into_iter().any(f)
        };
        let reads = any(|t| {
            matches!(
                t,
                Ty::Path | Ty::In(_) | Ty::Out(Buf::Iovec { .. }) | Ty::InOut(_)
            )
        });
        let writes = any(|t| matches!(t, Ty::Out(_) | Ty::InOut(_) | Ty::OutAlways(_)));
        let finds = any(
            |t| matches!(t, Ty::Out(b) | Ty::InOut(b) | Ty::OutAlways(b) if !matches!(b, Buf::Bytes { .. })),
        );
        let bit = |is, bit| if is { bit } else { 0 };
        *known = KNOWN | bit(reads, READS) | bit(writes, WRITES) | bit(finds, FINDS);
    }
    *known
}

const IOCTL: u16 = 16;
const FUTEX: u16 = 202;
const SIOCGIFCONF: u64 = 0x8912;
const SENDMMSG: u16 = 307;
const VMSPLICE: u16 = 278;

fn word(addr: u64) -> u64 {
    let addr = shm::copy(addr);
    // SAFETY: the callers are guarded; a fault ends the walk.
    unsafe { (addr as *const u64).read_unaligned() }
}

fn half(addr: u64) -> u64 {
    let addr = shm::copy(addr);
    // SAFETY: as for `word`.
    u64::from(unsafe { (addr as *const u32).read_unaligned() })
}

/// Length of the string at `addr`, its NUL included.
pub fn string_len(addr: u64) -> u64 {
    let addr = shm::copy(addr);
    let mut n = 0;
    // SAFETY: as for `word`.
    while n < STRING_MAX && unsafe { ((addr + n) as *const u8).read() } != 0 {
        n += 1;
    }
    n + 1
}

/// A length, with the call's arguments and result.
pub fn len(l: Len, args: &[u64; 6], result: i64, cap: u64) -> u64 {
    let result = result.max(0) as u64;
    let arg = |i: u8| args[usize::from(i)];
    match l {
        Len::Fixed(n) => u64::from(n),
        Len::Arg(i) => arg(i),
        Len::ArgTimes(i, n) => arg(i).saturating_mul(u64::from(n)),
        Len::ArgPlus(i, n) => arg(i).saturating_add(u64::from(n)),
        Len::Bits(i) => arg(i).min(1 << 20).div_ceil(64) * 8,
        Len::Pages(i) => arg(i).div_ceil(PAGE),
        Len::Semaphores(i) => semaphores(arg(i)) * 2,
        Len::Result => result.min(cap),
        Len::ResultPlus(n) => (result + u64::from(n)).min(cap),
        Len::ResultTimes(n) => (result * u64::from(n)).min(cap),
    }
}

/// `sem_nsems` of a set (semctl(2), IPC_STAT; struct semid64_ds).
fn semaphores(set: u64) -> u64 {
    const SEMCTL: u64 = 66;
    const IPC_STAT: u64 = 2;
    const NSEMS: usize = 80 / 8;
    let mut ds = [0_u64; 16];
    sys::call(SEMCTL, &[set, 0, IPC_STAT, ds.as_mut_ptr() as u64]);
    ds[NSEMS].min(32_000)
}

struct Hash(u64);

impl Hash {
    fn add(&mut self, addr: u64, len: u64) {
        if addr == 0 || len == 0 {
            return;
        }
        shm::sync_range(addr, len);
        let addr = shm::copy(addr);
        // SAFETY: the caller is guarded: unreadable memory ends the walk.
        let bytes = unsafe { core::slice::from_raw_parts(addr as *const u8, len as usize) };
        self.0 = (self.0 ^ xxh3_64(bytes))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23);
    }
}

/// Hash of all memory that the call reads; also collects the strings and
/// other pieces that people want to see. 0 where it reads none.
pub fn hash_inputs(t: &mut Thread, call: &Call, args: &[u64; 6], show: &mut Pieces) -> u64 {
    if traits(call) & READS == 0 {
        return 0;
    }
    let mut hash = Hash(0);
    let ok = guarded(t, || {
        for i in 0..call.args.len() {
            if args[i] != 0 {
                input(call.ty(i, args), args, i, &mut hash, show);
            }
        }
    });
    // 32 bits: hashes do not compress, and a difference is seen all the same.
    (if ok { hash.0 } else { UNREADABLE }) & 0xffff_ffff
}

fn input(ty: Ty, args: &[u64; 6], i: usize, hash: &mut Hash, show: &mut Pieces) {
    let addr = args[i];
    match ty {
        Ty::Path => {
            let n = string_len(addr);
            hash.add(addr, n);
            show.outgoing(addr, n);
        }
        Ty::In(buf) | Ty::InOut(buf) => read_by_kernel(buf, addr, args, hash),
        // The vectors themselves are read by the kernel also where it writes behind them.
        Ty::Out(Buf::Iovec { count }) => hash.add(addr, args[usize::from(count)].min(IOV_MAX) * 16),
        _ => {}
    }
}

fn read_by_kernel(buf: Buf, addr: u64, args: &[u64; 6], hash: &mut Hash) {
    match buf {
        // How many there are only the kernel knows, which replay cannot ask.
        Buf::Bytes {
            cap: Len::Semaphores(_),
            ..
        } => {}
        Buf::Bytes { cap, .. } => hash.add(addr, len(cap, args, 0, u64::MAX).min(1 << 30)),
        Buf::CStr => hash.add(addr, string_len(addr)),
        Buf::CStrVec => {
            let mut p = addr;
            while word(p) != 0 {
                hash.add(word(p), string_len(word(p)));
                p += 8;
            }
        }
        Buf::Iovec { count } => {
            for k in 0..args[usize::from(count)].min(IOV_MAX) {
                hash.add(word(addr + 16 * k), word(addr + 16 * k + 8));
            }
        }
        Buf::Msghdr => message_in(addr, hash),
        Buf::Mmsghdr { count } => {
            for k in 0..args[usize::from(count)].min(IOV_MAX) {
                message_in(addr + 64 * k, hash);
            }
        }
        Buf::Sized { .. } => {}
        Buf::Counted { head } => hash.add(addr, (half(addr) + u64::from(head)).min(PAGE)),
        Buf::FdSet { nfds } => hash.add(addr, fd_set_len(args[usize::from(nfds)])),
    }
}

/// Bytes of an `fd_set` for `nfds` descriptors.
pub fn fd_set_len(nfds: u64) -> u64 {
    nfds.min(1 << 20).div_ceil(64) * 8
}

/// `struct msghdr`: name, namelen, iov, iovlen, control, controllen, flags (recvmsg(2)).
fn message_in(m: u64, hash: &mut Hash) {
    hash.add(word(m), half(m + 8));
    let iov = word(m + 16);
    for k in 0..word(m + 24).min(IOV_MAX) {
        hash.add(word(iov + 16 * k), word(iov + 16 * k + 8));
    }
    hash.add(word(m + 32), word(m + 40));
}

/// Whether the call has messages written to it only how much of them was sent (sendmmsg(2)).
pub fn sends(call: &Call) -> bool {
    call.nr == SENDMMSG
}

/// Whether the kernel must write to the memory itself: what futex(2) changes is the word
/// that others wait at, and that they change meanwhile.
pub fn in_place(call: &Call) -> bool {
    call.nr == FUTEX
}

/// Whether a descriptor is open for writing: then vmsplice(2) only reads memory, of which the
/// program itself may be unable to write some.
fn is_writable(fd: u64) -> bool {
    const FCNTL: u64 = 72;
    const F_GETFL: u64 = 3;
    const O_ACCMODE: i64 = 3;
    sys::call(FCNTL, &[fd, F_GETFL]) & O_ACCMODE != 0
}

/// Collects all memory that the kernel wrote.
pub fn collect_outputs(
    t: &mut Thread,
    call: &Call,
    args: &[u64; 6],
    result: i64,
    out: &mut Pieces,
) {
    let traits = traits(call);
    if traits & WRITES == 0 || call.nr == VMSPLICE && is_writable(args[0]) {
        return;
    }
    let mut collect = || {
        for i in 0..call.args.len() {
            let buf = match call.ty(i, args) {
                Ty::Out(b) | Ty::InOut(b) if result >= 0 => b,
                Ty::OutAlways(b) => b,
                _ => continue,
            };
            if args[i] != 0 {
                written_by_kernel(sends(call), buf, args[i], args, result, out);
            }
        }
    };
    if traits & FINDS == 0 {
        collect();
    } else {
        guarded(t, collect);
    }
    if call.nr == IOCTL && args[1] & 0xffff_ffff == SIOCGIFCONF && result >= 0 {
        // `struct ifconf`: bytes, and where (netdevice(7)).
        guarded(t, || out.incoming(word(args[2] + 8), half(args[2])));
    }
}

fn written_by_kernel(
    sends: bool,
    buf: Buf,
    addr: u64,
    args: &[u64; 6],
    result: i64,
    out: &mut Pieces,
) {
    match buf {
        Buf::Bytes { cap, used } => {
            let cap = len(cap, args, result, u64::MAX);
            out.incoming(addr, len(used, args, result, cap));
        }
        Buf::Iovec { count } => scatter(addr, args[usize::from(count)], result as u64, out),
        Buf::Msghdr => {
            out.incoming(addr, 56);
            message_out(addr, result as u64, out);
        }
        Buf::Mmsghdr { .. } => {
            for k in 0..(result as u64).min(IOV_MAX) {
                if sends {
                    out.incoming(addr + 64 * k + 56, 4);
                    continue;
                }
                let m = addr + 64 * k;
                out.incoming(m, 64);
                message_out(m, half(m + 56), out);
            }
        }
        Buf::Sized { len } => {
            let p = args[usize::from(len)];
            if p != 0 {
                out.incoming(addr, half(p).min(4096));
            }
        }
        Buf::FdSet { nfds } => out.incoming(addr, fd_set_len(args[usize::from(nfds)])),
        Buf::Counted { head } => out.incoming(addr, (half(addr) + u64::from(head)).min(PAGE)),
        Buf::CStr | Buf::CStrVec => {}
    }
}

fn scatter(iov: u64, count: u64, bytes: u64, out: &mut Pieces) {
    let mut left = bytes;
    for k in 0..count.min(IOV_MAX) {
        let n = word(iov + 16 * k + 8).min(left);
        out.incoming(word(iov + 16 * k), n);
        left -= n;
        if left == 0 {
            break;
        }
    }
}

fn message_out(m: u64, bytes: u64, out: &mut Pieces) {
    out.incoming(word(m), half(m + 8).min(128));
    scatter(word(m + 16), word(m + 24), bytes, out);
    out.incoming(word(m + 32), word(m + 40).min(64 << 10));
}
