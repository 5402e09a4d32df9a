//! The process's memory map.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    9 mmap(addr: Addr, length: Uint, prot: Flags(PROT), flags: MAP, fd: Fd, offset: Hex)
        .does(Does::Memory).gives(Ret::Addr);
    10 mprotect(addr: Addr, len: Uint, prot: Flags(PROT)).does(Does::Memory);
    11 munmap(addr: Addr, length: Uint).does(Does::Memory);
    12 brk(addr: Addr).does(Does::Memory).gives(Ret::Addr);
    25 mremap(old_address: Addr, old_size: Uint, new_size: Uint, flags: Flags(MREMAP),
        new_address: Addr).does(Does::Memory).gives(Ret::Addr);
    // Closed views of shared memory have these pages, too; the kernel need not be sent elsewhere.
    26 msync(addr: Hex, length: Uint, flags: Flags(MSYNC)).blocks().publishes();
    27 mincore(addr: Hex, length: Uint, vec: out_len(Len::Pages(1)));
    28 madvise(addr: Addr, length: Uint, advice: Enum(MADVICE)).does(Does::Memory);
    149 mlock(addr: Addr, len: Uint);
    150 munlock(addr: Addr, len: Uint);
    151 mlockall(flags: Flags(MCL));
    152 munlockall();
    // Obsolete, and the pages of a mapping in another order cannot be told in a record.
    216 remap_file_pages(addr: Addr, size: Uint, prot: Flags(PROT), pgoff: Uint, flags: MAP)
        .does(Does::Refused(ENOSYS));
    237 mbind(addr: Addr, len: Uint, mode: Hex, nodemask: reads_len(Len::Bits(4)), maxnode: Uint,
        flags: Hex);
    238 set_mempolicy(mode: Hex, nodemask: reads_len(Len::Bits(2)), maxnode: Uint);
    239 get_mempolicy(mode: out(4), nodemask: out_len(Len::Bits(2)), maxnode: Uint, addr: Addr,
        flags: Hex);
    256 migrate_pages(pid: Pid, maxnode: Uint, old_nodes: reads_len(Len::Bits(1)),
        new_nodes: reads_len(Len::Bits(1)));
    279 move_pages(pid: Pid, count: Uint, pages: reads_len(Len::ArgTimes(1, 8)),
        nodes: reads_len(Len::ArgTimes(1, 4)), status: out_len(Len::ArgTimes(1, 4)), flags: Hex);
    325 mlock2(addr: Addr, len: Uint, flags: Hex);
    329 pkey_mprotect(addr: Addr, len: Uint, prot: Flags(PROT), pkey: Int).does(Does::Memory);
    330 pkey_alloc(flags: Hex, access_rights: Hex);
    331 pkey_free(pkey: Int);
    440 process_madvise(pidfd: Fd, iovec: reads_len(Len::ArgTimes(2, 16)), vlen: Uint,
        advice: Enum(MADVICE), flags: Hex).does(Does::Refused(EPERM));
    450 set_mempolicy_home_node(start: Addr, len: Uint, home_node: Uint, flags: Hex);
    462 mseal(addr: Addr, len: Uint, flags: Hex).does(Does::Memory);
};
