//! The system as a whole: its names, its statistics, its modules.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    63 uname(buf: out(390));
    99 sysinfo(info: out(112));
    103 syslog(type: Int, bufp: Hex, len: Int).only(SYSLOG, EINVAL);
    153 vhangup().publishes();
    169 reboot(magic: Hex, magic2: Hex, op: Hex, arg: Hex).does(Does::Refused(EPERM));
    170 sethostname(name: reads_len(Len::Arg(1)), len: Uint).publishes();
    171 setdomainname(name: reads_len(Len::Arg(1)), len: Uint).publishes();
    175 init_module(module_image: reads_len(Len::Arg(1)), len: Uint, param_values: Path)
        .publishes();
    176 delete_module(name: Path, flags: Hex).publishes();
    313 finit_module(fd: Fd, param_values: Path, flags: Hex).publishes();
    318 getrandom(buf: filled(1), buflen: Uint, flags: Flags(GRND)).blocks();
};

// syslog(2); the kernel gives the numbers no names in its uapi headers.
const SYSLOG: &[Variant] = variants! { 0 & 0xffff_ffff;
    0 SYSLOG_ACTION_CLOSE => 1: Hex;
    1 SYSLOG_ACTION_OPEN => 1: Hex;
    2 SYSLOG_ACTION_READ => 1: filled(2);
    3 SYSLOG_ACTION_READ_ALL => 1: filled(2);
    4 SYSLOG_ACTION_READ_CLEAR => 1: filled(2);
    5 SYSLOG_ACTION_CLEAR => 1: Hex;
    6 SYSLOG_ACTION_CONSOLE_OFF => 1: Hex;
    7 SYSLOG_ACTION_CONSOLE_ON => 1: Hex;
    8 SYSLOG_ACTION_CONSOLE_LEVEL => 1: Hex;
    9 SYSLOG_ACTION_SIZE_UNREAD => 1: Hex;
    10 SYSLOG_ACTION_SIZE_BUFFER => 1: Hex;
};
