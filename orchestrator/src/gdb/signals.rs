//! Signals: gdb's numbers for them, and which of them it wants to hear of.
//!
//! That is told by `QPassSignals` (gdb manual, "General Query Packets"), which `gdbstub` does
//! not know. On the wire it becomes `monitor pass …`, which has the same answer, and the list
//! of what is supported names it.

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

/// How the packet begins.
const PASS: &[u8] = b"$QPassSignals:";
/// No list of signals is as long.
const MOST: usize = 2048;
/// How the answer about what is supported begins.
const SUPPORTED: &[u8] = b"$PacketSize=";

/// Looks for the packet in what the debugger sends.
#[derive(Debug, Default)]
pub struct Incoming {
    /// What may be the packet, as far as it has come.
    held: Vec<u8>,
}

impl Incoming {
    /// Takes a byte; `put` gets those that are to be handed on.
    pub fn take(&mut self, byte: u8, put: &mut impl FnMut(u8)) {
        self.held.push(byte);
        let known = self.held.len().min(PASS.len());
        let packet = self.held[..known] == PASS[..known] && self.held.len() < MOST;
        // Behind the sum's two digits it is whole.
        let whole = self.held.iter().rev().nth(2) == Some(&b'#');
        if packet && !whole {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        if packet && let Some(command) = monitor(&held) {
            held = command;
        }
        held.into_iter().for_each(put);
    }
}

/// `monitor pass …` for the packet, unless that is damaged: then it is to be sent again.
fn monitor(packet: &[u8]) -> Option<Vec<u8>> {
    let (content, sum) = packet.get(1..)?.split_at(packet.len().checked_sub(4)?);
    if sum != tail(content) {
        return None;
    }
    let list = content.get(PASS.len() - 1..)?;
    let words = [b"pass ", list].concat();
    let hex: String = words.iter().map(|b| format!("{b:02x}")).collect();
    let content = format!("qRcmd,{hex}").into_bytes();
    Some([&b"$"[..], &content, &tail(&content)].concat())
}

/// What ends a packet (gdb manual, "Overview").
fn tail(content: &[u8]) -> Vec<u8> {
    let sum = content.iter().fold(0_u8, |sum, &b| sum.wrapping_add(b));
    format!("#{sum:02x}").into_bytes()
}

/// Adds the packet to the answer about what is supported, if that is among what is sent.
pub fn announce(sent: &mut Vec<u8>) {
    let found = sent.windows(SUPPORTED.len()).position(|w| w == SUPPORTED);
    let Some(start) = found else { return };
    let Some(len) = sent[start..].iter().position(|&b| b == b'#') else {
        return;
    };
    let end = start + len;
    let mut content = sent[start + 1..end].to_vec();
    content.extend(b";QPassSignals+");
    let tail = tail(&content);
    let behind = (end + 3).min(sent.len());
    sent.splice(start + 1..behind, [content, tail].concat());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(bytes: &[u8]) -> Vec<u8> {
        let (mut incoming, mut out) = (Incoming::default(), Vec::new());
        for &byte in bytes {
            incoming.take(byte, &mut |b| out.push(b));
        }
        out
    }

    fn packet(content: &str) -> Vec<u8> {
        [b"$", content.as_bytes(), &tail(content.as_bytes())].concat()
    }

    #[test]
    fn the_packet_becomes_a_monitor_command() {
        let around = |inner: &[u8]| [b"+$g#67", inner, b"+$?#3f"].concat();
        let list = around(&packet("QPassSignals:e;10"));
        // pass e;10
        let command = around(&packet("qRcmd,7061737320653b3130"));
        assert_eq!(through(&list), command);
    }

    #[test]
    fn damaged_packets_stay() {
        let long = packet(&format!("QPassSignals:{}", "e;".repeat(MOST)));
        for other in [&b"$QPassSignals:e#00"[..], b"$QPassSignals:e#zz", &long] {
            assert_eq!(through(other), other);
        }
    }

    #[test]
    fn what_is_supported_names_it() {
        let mut sent = [b"+".to_vec(), packet("PacketSize=1000;swbreak+")].concat();
        announce(&mut sent);
        let expected = packet("PacketSize=1000;swbreak+;QPassSignals+");
        assert_eq!(sent, [b"+", &expected[..]].concat());
        for cut in [&b"$PacketSize=1000"[..], b"$PacketSize=1#", b"$m12#00", b""] {
            let mut sent = cut.to_vec();
            announce(&mut sent);
        }
    }

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

    proptest! {
        #[test]
        fn anything_else_comes_through(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            // What begins like the packet waits for its end.
            let out = through(&bytes);
            prop_assert!(bytes.starts_with(&out) || bytes.windows(PASS.len()).any(|w| w == PASS));
            prop_assert!(bytes.len() - out.len().min(bytes.len()) < PASS.len());
        }
    }
}
