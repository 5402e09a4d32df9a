//! Extended attributes.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    188 setxattr(path: Path, name: Path, value: reads_len(Len::Arg(3)), size: Uint,
        flags: Flags(XATTR)).publishes();
    189 lsetxattr(path: Path, name: Path, value: reads_len(Len::Arg(3)), size: Uint,
        flags: Flags(XATTR)).publishes();
    190 fsetxattr(fd: Fd, name: Path, value: reads_len(Len::Arg(3)), size: Uint,
        flags: Flags(XATTR)).publishes();
    191 getxattr(path: Path, name: Path, value: filled(3), size: Uint);
    192 lgetxattr(path: Path, name: Path, value: filled(3), size: Uint);
    193 fgetxattr(fd: Fd, name: Path, value: filled(3), size: Uint);
    194 listxattr(path: Path, list: filled(2), size: Uint);
    195 llistxattr(path: Path, list: filled(2), size: Uint);
    196 flistxattr(fd: Fd, list: filled(2), size: Uint);
    197 removexattr(path: Path, name: Path).publishes();
    198 lremovexattr(path: Path, name: Path).publishes();
    199 fremovexattr(fd: Fd, name: Path).publishes();
    465 listxattrat(dirfd: Fd, path: Path, at_flags: Flags(AT_FLAGS), list: filled(4), size: Uint);
    466 removexattrat(dirfd: Fd, path: Path, at_flags: Flags(AT_FLAGS), name: Path).publishes();
};
