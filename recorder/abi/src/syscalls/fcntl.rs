//! Commands of fcntl(2).

use super::names::{OPEN, SEALS};
use super::rows::*;
use Ty::*;

pub(super) const COMMANDS: &[Variant] = variants! { 1 & 0xffff_ffff;
    0 F_DUPFD => 2: Int;
    1 F_GETFD => 2: Hex;
    2 F_SETFD => 2: Flags(names! { 1 FD_CLOEXEC });
    3 F_GETFL => 2: Hex;
    4 F_SETFL => 2: OPEN;
    5 F_GETLK => 2: inout(FLOCK_SIZE);
    6 F_SETLK => 2: reads(FLOCK_SIZE);
    7 F_SETLKW => 2: reads(FLOCK_SIZE);
    8 F_SETOWN => 2: Pid;
    9 F_GETOWN => 2: Hex;
    10 F_SETSIG => 2: Signal;
    11 F_GETSIG => 2: Hex;
    15 F_SETOWN_EX => 2: reads(8);
    16 F_GETOWN_EX => 2: out(8);
    17 F_GETOWNER_UIDS => 2: out(8);
    36 F_OFD_GETLK => 2: inout(FLOCK_SIZE);
    37 F_OFD_SETLK => 2: reads(FLOCK_SIZE);
    38 F_OFD_SETLKW => 2: reads(FLOCK_SIZE);
    1024 F_SETLEASE => 2: Int;
    1025 F_GETLEASE => 2: Hex;
    1026 F_NOTIFY => 2: Hex;
    1027 F_DUPFD_QUERY => 2: Fd;
    1028 F_CREATED_QUERY => 2: Hex;
    1029 F_CANCELLK => 2: Hex;
    1030 F_DUPFD_CLOEXEC => 2: Int;
    1031 F_SETPIPE_SZ => 2: Uint;
    1032 F_GETPIPE_SZ => 2: Hex;
    1033 F_ADD_SEALS => 2: Flags(SEALS);
    1034 F_GET_SEALS => 2: Hex;
    1035 F_GET_RW_HINT => 2: out(8);
    1036 F_SET_RW_HINT => 2: reads(8);
    1037 F_GET_FILE_RW_HINT => 2: out(8);
    1038 F_SET_FILE_RW_HINT => 2: reads(8);
};

/// `struct flock`.
const FLOCK_SIZE: u32 = 32;
