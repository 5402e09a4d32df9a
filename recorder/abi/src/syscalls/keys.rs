//! Keys of the kernel's key service.

use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    248 add_key(type: Path, description: Path, payload: reads_len(Len::Arg(3)), plen: Uint,
        keyring: Int).publishes();
    249 request_key(type: Path, description: Path, callout_info: Path, dest_keyring: Int).blocks();
    250 keyctl(operation: Int, arg2: Hex, arg3: Hex, arg4: Hex, arg5: Hex)
        .publishes().only(KEYCTL, EOPNOTSUPP);
};

// keyctl(2)
const KEYCTL: &[Variant] = variants! { 0 & 0xffff_ffff;
    0 KEYCTL_GET_KEYRING_ID => 1: Int;
    1 KEYCTL_JOIN_SESSION_KEYRING => 1: Path;
    2 KEYCTL_UPDATE => 2: reads_len(Len::Arg(3));
    3 KEYCTL_REVOKE => 1: Int;
    4 KEYCTL_CHOWN => 1: Int;
    5 KEYCTL_SETPERM => 1: Int;
    6 KEYCTL_DESCRIBE => 2: filled(3);
    7 KEYCTL_CLEAR => 1: Int;
    8 KEYCTL_LINK => 1: Int;
    9 KEYCTL_UNLINK => 1: Int;
    10 KEYCTL_SEARCH => 2: Path;
    10 KEYCTL_SEARCH => 3: Path;
    11 KEYCTL_READ => 2: filled(3);
    12 KEYCTL_INSTANTIATE => 2: reads_len(Len::Arg(3));
    13 KEYCTL_NEGATE => 1: Int;
    14 KEYCTL_SET_REQKEY_KEYRING => 1: Int;
    15 KEYCTL_SET_TIMEOUT => 1: Int;
    16 KEYCTL_ASSUME_AUTHORITY => 1: Int;
    17 KEYCTL_GET_SECURITY => 2: filled(3);
    18 KEYCTL_SESSION_TO_PARENT => 1: Hex;
    19 KEYCTL_REJECT => 1: Int;
    20 KEYCTL_INSTANTIATE_IOV => 2: In(Buf::Iovec { count: 3 });
    21 KEYCTL_INVALIDATE => 1: Int;
    22 KEYCTL_GET_PERSISTENT => 1: Int;
    29 KEYCTL_RESTRICT_KEYRING => 2: Path;
    29 KEYCTL_RESTRICT_KEYRING => 3: Path;
    30 KEYCTL_MOVE => 1: Int;
    31 KEYCTL_CAPABILITIES => 1: filled(2);
};
