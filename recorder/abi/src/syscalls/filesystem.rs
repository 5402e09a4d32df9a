//! File systems as a whole: mounts, quotas, statistics, watches for access.

use super::names::*;
use super::rows::*;
use Ty::*;

/// `struct statfs`.
const STATFS: u32 = 120;

pub(super) const CALLS: &[Call] = calls! {
    136 ustat(dev: Hex, ubuf: out(32));
    137 statfs(path: Path, buf: out(STATFS));
    138 fstatfs(fd: Fd, buf: out(STATFS));
    155 pivot_root(new_root: Path, put_old: Path).publishes();
    161 chroot(path: Path);
    163 acct(filename: Path).publishes();
    165 mount(source: Path, target: Path, filesystemtype: Path, mountflags: Flags(MS), data: Path)
        .publishes();
    166 umount2(target: Path, flags: Flags(UMOUNT)).publishes();
    167 swapon(path: Path, swapflags: Hex).publishes();
    168 swapoff(path: Path).publishes();
    179 quotactl(cmd: Hex, special: Path, id: Int, addr: Hex).publishes().only(QUOTA_0, EINVAL);
    300 fanotify_init(flags: Hex, event_f_flags: OPEN).gives(Ret::Fd);
    301 fanotify_mark(fanotify_fd: Fd, flags: Hex, mask: Hex, dirfd: Fd, pathname: Path);
    428 open_tree(dirfd: Fd, pathname: Path, flags: Hex).gives(Ret::Fd);
    429 move_mount(from_dirfd: Fd, from_pathname: Path, to_dirfd: Fd, to_pathname: Path,
        flags: Hex).publishes();
    430 fsopen(fsname: Path, flags: Hex).gives(Ret::Fd);
    431 fsconfig(fd: Fd, cmd: Int, key: Path, value: Hex, aux: Int)
        .publishes().only(FSCONFIG, EINVAL);
    432 fsmount(fsfd: Fd, flags: Hex, mount_attrs: Hex).gives(Ret::Fd);
    433 fspick(dirfd: Fd, pathname: Path, flags: Hex).gives(Ret::Fd);
    442 mount_setattr(dirfd: Fd, pathname: Path, flags: Flags(AT_FLAGS),
        uattr: reads_len(Len::Arg(4)), size: Uint).publishes();
    443 quotactl_fd(fd: Fd, cmd: Hex, id: Int, addr: Hex).publishes().only(QUOTA_1, EINVAL);
    457 statmount(req: In(Buf::Counted { head: 0 }), buf: out_len(Len::Arg(2)), bufsize: Uint,
        flags: Hex);
    458 listmount(req: In(Buf::Counted { head: 0 }),
        mnt_ids: Out(Buf::Bytes { cap: Len::ArgTimes(2, 8), used: Len::ResultTimes(8) }),
        nr_mnt_ids: Uint, flags: Hex);
    467 open_tree_attr(dirfd: Fd, pathname: Path, flags: Hex, uattr: reads_len(Len::Arg(4)),
        size: Uint).gives(Ret::Fd);
};

// quotactl(2): the operation sits above the quota type, in bits 8 and up.
const QUOTA_0: &[Variant] = variants! { 0 & 0xffff_ff00;
    0x8000_0100 Q_SYNC => 3: Hex;
    0x8000_0200 Q_QUOTAON => 3: Path;
    0x8000_0300 Q_QUOTAOFF => 3: Hex;
    0x8000_0400 Q_GETFMT => 3: out(4);
    0x8000_0500 Q_GETINFO => 3: out(24);
    0x8000_0600 Q_SETINFO => 3: reads(24);
    0x8000_0700 Q_GETQUOTA => 3: out(72);
    0x8000_0800 Q_SETQUOTA => 3: reads(72);
    0x8000_0900 Q_GETNEXTQUOTA => 3: out(80);
};

const QUOTA_1: &[Variant] = variants! { 1 & 0xffff_ff00;
    0x8000_0100 Q_SYNC => 3: Hex;
    0x8000_0300 Q_QUOTAOFF => 3: Hex;
    0x8000_0400 Q_GETFMT => 3: out(4);
    0x8000_0500 Q_GETINFO => 3: out(24);
    0x8000_0600 Q_SETINFO => 3: reads(24);
    0x8000_0700 Q_GETQUOTA => 3: out(72);
    0x8000_0800 Q_SETQUOTA => 3: reads(72);
    0x8000_0900 Q_GETNEXTQUOTA => 3: out(80);
};

// include/uapi/linux/mount.h, enum fsconfig_command
const FSCONFIG: &[Variant] = variants! { 1 & 0xffff_ffff;
    0 FSCONFIG_SET_FLAG => 3: Hex;
    1 FSCONFIG_SET_STRING => 3: Path;
    2 FSCONFIG_SET_BINARY => 3: reads_len(Len::Arg(4));
    3 FSCONFIG_SET_PATH => 3: Path;
    4 FSCONFIG_SET_PATH_EMPTY => 3: Path;
    5 FSCONFIG_SET_FD => 4: Fd;
    6 FSCONFIG_CMD_CREATE => 3: Hex;
    7 FSCONFIG_CMD_RECONFIGURE => 3: Hex;
    8 FSCONFIG_CMD_CREATE_EXCL => 3: Hex;
};
