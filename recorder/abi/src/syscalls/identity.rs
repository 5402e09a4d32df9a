//! User and group ids, capabilities and security modules.

use super::rows::*;
use Ty::*;

/// `gid_t[args[0]]` coming back.
const GROUPS: Ty = Out(Buf::Bytes {
    cap: Len::ArgTimes(0, 4),
    used: Len::ResultTimes(4),
});

pub(super) const CALLS: &[Call] = calls! {
    102 getuid();
    104 getgid();
    105 setuid(uid: Int);
    106 setgid(gid: Int);
    107 geteuid();
    108 getegid();
    113 setreuid(ruid: Int, euid: Int);
    114 setregid(rgid: Int, egid: Int);
    115 getgroups(size: Int, list: GROUPS);
    116 setgroups(size: Uint, list: reads_len(Len::ArgTimes(0, 4)));
    117 setresuid(ruid: Int, euid: Int, suid: Int);
    118 getresuid(ruid: out(4), euid: out(4), suid: out(4));
    119 setresgid(rgid: Int, egid: Int, sgid: Int);
    120 getresgid(rgid: out(4), egid: out(4), sgid: out(4));
    122 setfsuid(fsuid: Int);
    123 setfsgid(fsgid: Int);
    // The kernel writes the version that it prefers into the header when it fails.
    125 capget(hdrp: always(8), datap: out(24));
    126 capset(hdrp: always(8), datap: reads(24));
    135 personality(persona: Hex);
    157 prctl(option: Int, arg2: Hex, arg3: Hex, arg4: Hex, arg5: Hex)
        .only(super::prctl::OPTIONS, EINVAL);
    444 landlock_create_ruleset(attr: reads_len(Len::Arg(1)), size: Uint, flags: Hex)
        .gives(Ret::Fd);
    445 landlock_add_rule(ruleset_fd: Fd, rule_type: Int, rule_attr: reads(16), flags: Hex)
        .variants(LANDLOCK_RULES);
    446 landlock_restrict_self(ruleset_fd: Fd, flags: Hex);
    459 lsm_get_self_attr(attr: Uint, ctx: Hex, size: always(4), flags: Hex)
        .does(Does::Refused(ENOSYS));
    460 lsm_set_self_attr(attr: Uint, ctx: reads_len(Len::Arg(2)), size: Uint, flags: Hex);
    461 lsm_list_modules(ids: Hex, size: always(4), flags: Hex).does(Does::Refused(ENOSYS));
};

// Packed structures (include/uapi/linux/landlock.h).
const LANDLOCK_RULES: &[Variant] = variants! { 1 & 0xffff_ffff;
    1 LANDLOCK_RULE_PATH_BENEATH => 2: reads(12);
    2 LANDLOCK_RULE_NET_PORT => 2: reads(16);
};
