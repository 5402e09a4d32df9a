//! The time-stamp counter that recorded programs see: computed from the clock, since they may
//! not read it themselves.

use nix::time::{ClockId, clock_gettime};
use orch_abi::shared::Tsc;
use std::sync::atomic::Ordering;

/// Counter and clock at one time.
#[derive(Clone, Copy)]
pub struct Sample {
    ticks: u64,
    nanos: u64,
}

impl Sample {
    /// The best of some: that between whose two looks at the counter the least time passed.
    pub fn take() -> Self {
        let one = || {
            let before = counter();
            let nanos = monotonic_raw();
            let after = counter();
            // Processors whose counters differ may be changed between.
            let took = after.saturating_sub(before);
            let ticks = before + took / 2;
            (took, Self { ticks, nanos })
        };
        let best = (0..8).map(|_| one()).min_by_key(|&(took, _)| took);
        best.expect("there are eight").1
    }

    /// Tells processes what the counter is; this sample was taken some time ago, and the rate
    /// is exact to some 100 ns in that.
    pub fn install(self, tsc: &Tsc) {
        let now = Self::take();
        let ticks = now.ticks.saturating_sub(self.ticks);
        let nanos = now.nanos.saturating_sub(self.nanos);
        let rate = (u128::from(ticks) << 32) / u128::from(nanos.max(1));
        tsc.ticks.store(self.ticks, Ordering::Relaxed);
        tsc.nanos.store(self.nanos, Ordering::Relaxed);
        let rate = u64::try_from(rate).unwrap_or(1 << 32);
        tsc.rate.store(rate, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an instruction")]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// `CLOCK_MONOTONIC_RAW`, in nanoseconds.
fn monotonic_raw() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).expect("the kernel has this clock");
    (time.tv_sec() * 1_000_000_000 + time.tv_nsec()).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::{Sample, counter, monotonic_raw};
    use orch_abi::shared::Tsc;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    /// It is near the processor's for a while.
    #[test]
    fn is_the_processors() {
        let tsc = Tsc {
            ticks: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            rate: AtomicU64::new(0),
        };
        let first = Sample::take();
        std::thread::sleep(Duration::from_millis(10));
        first.install(&tsc);
        let start = monotonic_raw();
        std::thread::sleep(Duration::from_millis(50));
        let differs = |_| tsc.at(monotonic_raw()).abs_diff(counter());
        let least = (0..100).map(differs).min().unwrap_or(u64::MAX);
        let passed = monotonic_raw() - start;
        assert!(least < passed / 100, "{least} in {passed} ns");
    }
}
