//! Signals: gdb's numbers for them, and which of them it wants to hear of (`QPassSignals`, gdb
//! manual, "General Query Packets").

use anyhow::{Context as _, Result};
use gdbstub::common::Signal;
use std::collections::BTreeSet;

/// gdb's signal for Linux's number (gdb, `include/gdb/signals.def`; signal(7)).
pub fn of_linux(number: u16) -> Signal {
    /// By number, from 1 on; 143 is one that gdb does not know.
    const USUAL: [u8; 31] = [
        1, 2, 3, 4, 5, 6, 10, 8, 9, 30, 11, 31, 13, 14, 15, 143, 20, 19, 17, 18, 21, 22, 16, 24,
        25, 26, 27, 28, 23, 32, 12,
    ];
    const UNKNOWN: u8 = 143;
    Signal(match number {
        1..=31 => USUAL[usize::from(number) - 1],
        32 => 77,
        33..=63 => (number + 12) as u8,
        64 => 78,
        _ => UNKNOWN,
    })
}

/// Signals that do not stop, by gdb's numbers.
#[derive(Debug, Default)]
pub struct Passed(Option<BTreeSet<u8>>);

impl Passed {
    /// Whether that one of Linux's does not.
    pub fn contains(&self, number: u16) -> bool {
        let signal = of_linux(number);
        match &self.0 {
            Some(passed) => passed.contains(&signal.0),
            // A debugger that did not say: as gdb has it at first ("Signals").
            None => matches!(
                signal,
                Signal::SIGALRM
                    | Signal::SIGCHLD
                    | Signal::SIGIO
                    | Signal::SIGPROF
                    | Signal::SIGURG
                    | Signal::SIGVTALRM
                    | Signal::SIGWINCH
                    | Signal::SIG32
                    | Signal::SIG33
            ),
        }
    }

    /// Takes the list of `QPassSignals`: hexadecimal numbers, with semicolons between them.
    pub fn set(&mut self, list: &str) -> Result<()> {
        let numbers = list.split(';').filter(|word| !word.is_empty());
        let passed = numbers.map(|word| {
            u8::from_str_radix(word, 16).with_context(|| format!("{word:?} is no signal"))
        });
        self.0 = Some(passed.collect::<Result<_>>()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let pairs = [
            (10, Signal::SIGUSR1),
            (12, Signal::SIGUSR2),
            (7, Signal::SIGBUS),
            (17, Signal::SIGCHLD),
            (20, Signal::SIGTSTP),
            (31, Signal::SIGSYS),
            (32, Signal::SIG32),
            (34, Signal::SIG34),
            (63, Signal::SIG63),
            (64, Signal::SIG64),
        ];
        for (linux, gdb) in pairs {
            assert_eq!(of_linux(linux), gdb, "{linux}");
        }
        for other in [0, 65, u16::MAX] {
            assert_eq!(of_linux(other), Signal(143));
        }
    }

    #[test]
    fn lists() {
        let mut passed = Passed::default();
        assert!(passed.contains(17) && !passed.contains(10));
        passed.set("1e;e;").expect("two signals");
        assert!(passed.contains(10) && passed.contains(14) && !passed.contains(17));
        passed.set("").expect("none");
        assert!(!passed.contains(10));
        for bad in ["x", "100", "-1"] {
            assert!(passed.set(bad).is_err(), "{bad}");
        }
    }
}
