//! What the kernel and its settings allow.

use super::{Finding, field, read};
use crate::supervisor::watch;

pub(super) fn findings() -> Vec<Finding> {
    vec![
        kernel(),
        seccomp(),
        ptrace(),
        privileges(),
        userfaultfd(),
        counters(),
        surroundings(),
    ]
}

/// `(6, 18)` of `6.18.44-generic`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn kernel() -> Finding {
    const WHAT: &str = "kernel";
    let release = read("/proc/sys/kernel/osrelease");
    match version(&release) {
        Some(v) if v >= (6, 7) => {
            Finding::ok(WHAT, release, "All that orch can use of a kernel is there.")
        }
        Some(v) if v >= (5, 9) => Finding::limited(
            WHAT,
            release,
            "Dirty pages cannot be asked for (PAGEMAP_SCAN, 6.7), so threads that compute without end are interrupted at a higher price.",
            "A kernel of 6.7 or later is better.",
        ),
        _ => Finding::missing(
            WHAT,
            release,
            "The runtime sets GS without a system call, which kernels allow since 5.9.",
            "Use a kernel of 5.9 or later.",
        )
        .needed(),
    }
}

fn seccomp() -> Finding {
    const WHAT: &str = "seccomp filters";
    let actions = read("/proc/sys/kernel/seccomp/actions_avail");
    let status = read("/proc/self/status");
    let mode = field(&status, "Seccomp");
    if actions.is_empty() && mode.is_some() {
        return Finding::limited(
            WHAT,
            "in the kernel, but /proc/sys/kernel/seccomp cannot be read".into(),
            "Whether system calls can be intercepted is only known by trying.",
            "Run `orch doctor --self-test`.",
        );
    }
    let trap = actions.split_whitespace().any(|a| a == "trap");
    let inside = mode == Some("2");
    match (trap, inside) {
        (true, false) => Finding::ok(
            WHAT,
            "trap is available".into(),
            "System calls can be intercepted within the process.",
        ),
        (true, true) => Finding::limited(
            WHAT,
            "trap is available, a filter is active already".into(),
            "Programs keep the restrictions that orch itself runs under (a container's); calls that it forbids fail when recorded too.",
            "Nothing to do, unless calls fail: then run the container with `--security-opt seccomp=unconfined`.",
        ),
        (false, _) => Finding::missing(
            WHAT,
            "no trap action".into(),
            "System calls cannot be intercepted.",
            "Use a kernel with CONFIG_SECCOMP_FILTER.",
        )
        .needed(),
    }
}

fn ptrace() -> Finding {
    const WHAT: &str = "ptrace";
    let scope = read("/proc/sys/kernel/yama/ptrace_scope");
    let found = if scope.is_empty() {
        "no Yama".to_owned()
    } else {
        format!("Yama ptrace_scope is {scope}")
    };
    let capable = capability(19);
    match &*scope {
        "" | "0" | "1" => Finding::ok(
            WHAT,
            found,
            "orch can put its runtime into the processes that it starts.",
        ),
        "2" if capable => Finding::ok(
            WHAT,
            found,
            "orch has CAP_SYS_PTRACE, so it can put its runtime into processes.",
        ),
        "2" => Finding::missing(
            WHAT,
            found,
            "Only who has CAP_SYS_PTRACE may attach to processes, even to children.",
            "As root: `sysctl kernel.yama.ptrace_scope=1`, or run orch as root.",
        )
        .needed(),
        _ => Finding::missing(
            WHAT,
            found,
            "Nobody may attach to processes until the next boot.",
            "Boot with kernel.yama.ptrace_scope=1 (in /etc/sysctl.d).",
        )
        .needed(),
    }
}

/// Whether this process has the capability (capabilities(7)) now.
fn capability(number: u32) -> bool {
    let status = read("/proc/self/status");
    let set = field(&status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    set.is_some_and(|set| set >> number & 1 == 1)
}

fn privileges() -> Finding {
    const WHAT: &str = "setuid programs";
    if watch::may_filter() {
        return Finding::ok(
            WHAT,
            "CAP_SYS_ADMIN".into(),
            "Recorded programs gain privileges as usual.",
        );
    }
    Finding::limited(
        WHAT,
        "no CAP_SYS_ADMIN".into(),
        "Without it a filter needs no_new_privs: recorded setuid programs (sudo, su, ping) run with the privileges of their caller.",
        "Record as root what needs them: `sudo orch record -- COMMAND`.",
    )
}

fn userfaultfd() -> Finding {
    const WHAT: &str = "userfaultfd";
    let unprivileged = read("/proc/sys/vm/unprivileged_userfaultfd");
    let device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/userfaultfd")
        .is_ok();
    if unprivileged == "1" || device || capability(19) {
        let found = if device {
            "/dev/userfaultfd can be opened"
        } else if unprivileged == "1" {
            "allowed to all"
        } else {
            "CAP_SYS_PTRACE"
        };
        return Finding::ok(
            WHAT,
            found.into(),
            "Shared pages that one process uses alone can run at full speed, dirty pages are found cheaply.",
        );
    }
    let found = if unprivileged.is_empty() {
        "not in this kernel"
    } else {
        "for faults of user code only"
    };
    Finding::limited(
        WHAT,
        found.into(),
        "Large data in shared memory is recorded access by access, which is slower; nothing is lost.",
        "As root: `sysctl vm.unprivileged_userfaultfd=1`, or give yourself access to /dev/userfaultfd.",
    )
}

fn counters() -> Finding {
    const WHAT: &str = "hardware counters";
    let present = ["cpu", "cpu_core"].iter().any(|name| {
        std::path::Path::new("/sys/bus/event_source/devices")
            .join(name)
            .exists()
    });
    let paranoid = read("/proc/sys/kernel/perf_event_paranoid");
    let level: i32 = paranoid.parse().unwrap_or(4);
    let allowed = level <= 2 || capability(38) || capability(21);
    match (present, allowed) {
        (true, true) => Finding::ok(
            WHAT,
            format!("present, perf_event_paranoid is {paranoid}"),
            "Interruptions of computing threads can be located by counted branches.",
        ),
        (true, false) => Finding::limited(
            WHAT,
            format!("present, perf_event_paranoid is {paranoid}"),
            "They are not used; interruptions of computing threads are located by comparing states, which takes longer in replay.",
            "As root: `sysctl kernel.perf_event_paranoid=2`.",
        ),
        (false, _) => Finding::limited(
            WHAT,
            "none (usual in virtual machines)".into(),
            "orch does not need them; interruptions of computing threads are located by comparing states, which takes longer in replay.",
            "",
        ),
    }
}

fn surroundings() -> Finding {
    const WHAT: &str = "surroundings";
    let mut words = Vec::new();
    let container = [
        "/.dockerenv",
        "/run/.containerenv",
        "/run/systemd/container",
    ];
    if container
        .iter()
        .any(|path| std::path::Path::new(path).exists())
    {
        words.push("a container");
    }
    if read("/proc/cpuinfo")
        .split_whitespace()
        .any(|word| word == "hypervisor")
    {
        words.push("a virtual machine");
    }
    match &*words {
        [] => Finding::ok(WHAT, "bare metal".into(), "Traps cost least here."),
        _ => Finding::ok(
            WHAT,
            words.join(" in "),
            "Traps cost 2 to 4 times as much as on bare metal; the results are the same.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions() {
        assert_eq!(version("6.18.44-fc-v595"), Some((6, 18)));
        assert_eq!(version("5.15.0-91-generic"), Some((5, 15)));
        assert_eq!(version("garbage"), None);
    }
}
