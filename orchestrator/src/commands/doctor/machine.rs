//! What the processor offers.

use super::{Finding, field, read};

pub(super) fn findings() -> Vec<Finding> {
    let cpuinfo = read("/proc/cpuinfo");
    let flags: Vec<&str> = field(&cpuinfo, "flags")
        .unwrap_or_default()
        .split(' ')
        .collect();
    let has = |flag: &str| flags.contains(&flag);
    vec![
        cpuid(has("cpuid_fault")),
        rdtsc(),
        keys(has("pku"), has("ospke")),
        fsgsbase(),
    ]
}

fn cpuid(faults: bool) -> Finding {
    const WHAT: &str = "cpuid faulting";
    if faults {
        return Finding::ok(
            WHAT,
            "available".into(),
            "Programs see the same processor in every replay.",
        );
    }
    Finding::limited(
        WHAT,
        "not available".into(),
        "Where programs ask the processor, orch replaces the instruction: a little slower, and code that is made at run time may get around it.",
        "In a virtual machine, ask for a host that passes it on (Intel processors have it since Ivy Bridge).",
    )
}

fn rdtsc() -> Finding {
    const WHAT: &str = "rdtsc faulting";
    match rustix::process::time_stamp_counter_readability() {
        Ok(_) => Finding::ok(
            WHAT,
            "available".into(),
            "The time-stamp counter is recorded like any other input.",
        ),
        Err(e) => Finding::missing(
            WHAT,
            format!("not available ({e})"),
            "Programs would read the time-stamp counter unseen, so that replays differ.",
            "Use a kernel, or a sandbox, that has prctl(PR_SET_TSC).",
        )
        .needed(),
    }
}

fn keys(processor: bool, enabled: bool) -> Finding {
    const WHAT: &str = "protection keys";
    match (processor, enabled) {
        (true, true) => Finding::ok(
            WHAT,
            "available".into(),
            "Wild writes of a program cannot damage its recording.",
        ),
        (true, false) => Finding::limited(
            WHAT,
            "not enabled by the kernel".into(),
            "A program that writes anywhere may damage its own recording.",
            "Boot without `nopku`, with a kernel that has CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS.",
        ),
        (false, _) => Finding::limited(
            WHAT,
            "the processor has none".into(),
            "A program that writes anywhere may damage its own recording.",
            "",
        ),
    }
}

fn fsgsbase() -> Finding {
    const WHAT: &str = "FSGSBASE";
    // Bit 1 of AT_HWCAP2: arch/x86/include/uapi/asm/hwcap2.h.
    if auxiliary(26).is_some_and(|bits| bits & 2 != 0) {
        return Finding::ok(
            WHAT,
            "available".into(),
            "The runtime finds its data in a few nanoseconds.",
        );
    }
    Finding::missing(
        WHAT,
        "not available".into(),
        "The runtime cannot set GS without a system call.",
        "Boot without `nofsgsbase`, with a kernel of 5.9 or later, on a processor since Ivy Bridge or Zen.",
    )
    .needed()
}

/// A value of the auxiliary vector (getauxval(3)).
fn auxiliary(wanted: u64) -> Option<u64> {
    let bytes = std::fs::read("/proc/self/auxv").ok()?;
    let word = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    let mut pairs = bytes.chunks_exact(16);
    pairs.find_map(|pair| (word(&pair[..8])? == wanted).then(|| word(&pair[8..]))?)
}
