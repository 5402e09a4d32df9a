//! Commands of ioctl(2).
//!
//! Commands older than the encoding of direction and size in the number, those
//! whose encoding lies, and those with further pointers in their structure,
//! which cannot be recorded. All others speak for themselves: [`encoded_ioctl`].
//!
//! [`encoded_ioctl`]: super::encoded_ioctl

use super::names::OPEN;
use super::rows::*;
use Ty::*;

pub(super) const COMMANDS: &[Variant] = variants! { 1 & 0xffff_ffff;
    // Terminals: ioctl_tty(2)
    0x5401 TCGETS => 2: out(TERMIOS);
    0x5402 TCSETS => 2: reads(TERMIOS);
    0x5403 TCSETSW => 2: reads(TERMIOS);
    0x5404 TCSETSF => 2: reads(TERMIOS);
    0x5405 TCGETA => 2: out(TERMIO);
    0x5406 TCSETA => 2: reads(TERMIO);
    0x5407 TCSETAW => 2: reads(TERMIO);
    0x5408 TCSETAF => 2: reads(TERMIO);
    0x5409 TCSBRK => 2: Int;
    0x540a TCXONC => 2: Int;
    0x540b TCFLSH => 2: Int;
    0x540c TIOCEXCL => 2: Hex;
    0x540d TIOCNXCL => 2: Hex;
    0x540e TIOCSCTTY => 2: Int;
    0x540f TIOCGPGRP => 2: out(4);
    0x5410 TIOCSPGRP => 2: reads(4);
    0x5411 TIOCOUTQ => 2: out(4);
    0x5412 TIOCSTI => 2: reads(1);
    0x5413 TIOCGWINSZ => 2: out(8);
    0x5414 TIOCSWINSZ => 2: reads(8);
    0x5415 TIOCMGET => 2: out(4);
    0x5416 TIOCMBIS => 2: reads(4);
    0x5417 TIOCMBIC => 2: reads(4);
    0x5418 TIOCMSET => 2: reads(4);
    0x5419 TIOCGSOFTCAR => 2: out(4);
    0x541a TIOCSSOFTCAR => 2: reads(4);
    0x541b FIONREAD => 2: out(4);
    0x541d TIOCCONS => 2: Hex;
    0x541e TIOCGSERIAL => 2: out(72);
    0x541f TIOCSSERIAL => 2: reads(72);
    0x5420 TIOCPKT => 2: reads(4);
    0x5421 FIONBIO => 2: reads(4);
    0x5422 TIOCNOTTY => 2: Hex;
    0x5423 TIOCSETD => 2: reads(4);
    0x5424 TIOCGETD => 2: out(4);
    0x5425 TCSBRKP => 2: Int;
    0x5427 TIOCSBRK => 2: Hex;
    0x5428 TIOCCBRK => 2: Hex;
    0x5429 TIOCGSID => 2: out(4);
    0x5437 TIOCVHANGUP => 2: Hex;
    0x5441 TIOCGPTPEER => 2: OPEN;
    0x5450 FIONCLEX => 2: Hex;
    0x5451 FIOCLEX => 2: Hex;
    0x5452 FIOASYNC => 2: reads(4);
    0x545c TIOCMIWAIT => 2: Hex;
    0x545d TIOCGICOUNT => 2: out(80);
    0x5460 FIOQSIZE => 2: out(8);
    0x4004_5431 TIOCSPTLCK => 2: reads(4);
    0x8004_5430 TIOCGPTN => 2: out(4);
    0x8004_5438 TIOCGPKT => 2: out(4);
    0x8004_5439 TIOCGPTLCK => 2: out(4);
    0x8004_5440 TIOCGEXCL => 2: out(4);

    // Consoles: ioctl_console(2)
    0x4b33 KDGKBTYPE => 2: out(1);
    0x4b3a KDSETMODE => 2: Int;
    0x4b3b KDGETMODE => 2: out(4);
    0x4b44 KDGKBMODE => 2: out(4);
    0x4b45 KDSKBMODE => 2: Int;
    0x5600 VT_OPENQRY => 2: out(4);
    0x5603 VT_GETSTATE => 2: out(6);

    // Sockets: netdevice(7), socket(7)
    0x8901 FIOSETOWN => 2: reads(4);
    0x8902 SIOCSPGRP => 2: reads(4);
    0x8903 FIOGETOWN => 2: out(4);
    0x8904 SIOCGPGRP => 2: out(4);
    0x8905 SIOCATMARK => 2: out(4);
    0x8906 SIOCGSTAMP => 2: out(16);
    0x8907 SIOCGSTAMPNS => 2: out(16);
    0x8910 SIOCGIFNAME => 2: inout(IFREQ);
    // The runtime also takes what it leads to.
    0x8912 SIOCGIFCONF => 2: inout(16);
    0x8913 SIOCGIFFLAGS => 2: inout(IFREQ);
    0x8914 SIOCSIFFLAGS => 2: reads(IFREQ);
    0x8915 SIOCGIFADDR => 2: inout(IFREQ);
    0x8916 SIOCSIFADDR => 2: reads(IFREQ);
    0x8917 SIOCGIFDSTADDR => 2: inout(IFREQ);
    0x8918 SIOCSIFDSTADDR => 2: reads(IFREQ);
    0x8919 SIOCGIFBRDADDR => 2: inout(IFREQ);
    0x891a SIOCSIFBRDADDR => 2: reads(IFREQ);
    0x891b SIOCGIFNETMASK => 2: inout(IFREQ);
    0x891c SIOCSIFNETMASK => 2: reads(IFREQ);
    0x891d SIOCGIFMETRIC => 2: inout(IFREQ);
    0x8921 SIOCGIFMTU => 2: inout(IFREQ);
    0x8922 SIOCSIFMTU => 2: reads(IFREQ);
    0x8927 SIOCGIFHWADDR => 2: inout(IFREQ);
    0x8933 SIOCGIFINDEX => 2: inout(IFREQ);
    0x8935 SIOCGIFPFLAGS => 2: inout(IFREQ);
    0x8942 SIOCGIFTXQLEN => 2: inout(IFREQ);
    0x8946 SIOCETHTOOL => 2: Hex, Does::Refused(ENOTTY);
    0x894b SIOCOUTQNSD => 2: out(4);
    0x894c SIOCGSKNS => 2: Hex;
    0x8954 SIOCGARP => 2: inout(68);
    0x8970 SIOCGIFMAP => 2: inout(IFREQ);
    // Its number tells of an int, its argument is an ifreq.
    0x4004_54ca TUNSETIFF => 2: inout(IFREQ);
    0x8004_54d2 TUNGETIFF => 2: out(IFREQ);

    // Files and block devices
    1 FIBMAP => 2: inout(4);
    2 FIGETBSZ => 2: out(4);
    0x125d BLKROSET => 2: reads(4);
    0x125e BLKROGET => 2: out(4);
    0x125f BLKRRPART => 2: Hex;
    0x1260 BLKGETSIZE => 2: out(8);
    0x1261 BLKFLSBUF => 2: Hex;
    0x1262 BLKRASET => 2: Uint;
    0x1263 BLKRAGET => 2: out(8);
    0x1268 BLKSSZGET => 2: out(4);
    0x1277 BLKDISCARD => 2: reads(16);
    0x1278 BLKIOMIN => 2: out(4);
    0x1279 BLKIOOPT => 2: out(4);
    0x127a BLKALIGNOFF => 2: out(4);
    0x127b BLKPBSZGET => 2: out(4);
    0x127e BLKROTATIONAL => 2: out(2);
    0x127f BLKZEROOUT => 2: reads(16);
    0x8008_1270 BLKBSZGET => 2: out(4);
    0x8008_1272 BLKGETSIZE64 => 2: out(8);
    0x4004_9409 FICLONE => 2: Fd;
    0x4020_940d FICLONERANGE => 2: reads(32);
    // The kernel moves an int, whatever the number says.
    0x8008_6601 FS_IOC_GETFLAGS => 2: out(4);
    0x4008_6602 FS_IOC_SETFLAGS => 2: reads(4);
    0x8008_7601 FS_IOC_GETVERSION => 2: out(4);
    0x801c_581f FS_IOC_FSGETXATTR => 2: out(28);
    0x401c_5820 FS_IOC_FSSETXATTR => 2: reads(28);
    0xc020_660b FS_IOC_FIEMAP => 2: Hex, Does::Refused(EOPNOTSUPP);
    0xc018_9436 FIDEDUPERANGE => 2: Hex, Does::Refused(EOPNOTSUPP);

    // Name spaces: ioctl_ns(2)
    0xb701 NS_GET_USERNS => 2: Hex;
    0xb702 NS_GET_PARENT => 2: Hex;
    0xb703 NS_GET_NSTYPE => 2: Hex;
    0xb704 NS_GET_OWNER_UID => 2: out(4);
};

/// The kernel's `struct termios`, smaller than libc's.
const TERMIOS: u32 = 36;
/// `struct termio`.
const TERMIO: u32 = 18;
/// `struct ifreq`.
const IFREQ: u32 = 40;
