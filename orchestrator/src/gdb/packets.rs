//! Packets that `gdbstub` does not know (gdb manual, "General Query Packets"). On the wire they
//! become others, which have the same answers: `QPassSignals` is `monitor pass …`, and what is
//! read by `qXfer:threads` and `qXfer:siginfo` is the program's path of a process that no kernel
//! has. The list of what is supported names them.

/// Of these processes, the "program" is what `qXfer:threads` reads, and `qXfer:siginfo`. Linux has
/// at most 2^22 (PID_MAX_LIMIT).
pub const THREADS: usize = 0x7fff_fff1;
pub const SIGINFO: usize = 0x7fff_fff2;

/// How packets begin that become others, and what makes them that.
type Other = fn(&[u8]) -> Vec<u8>;
const OTHERS: [(&[u8], Other); 3] = [
    (b"$QPassSignals:", |list| {
        let words = [b"pass ", list].concat();
        let hex: String = words.iter().map(|b| format!("{b:02x}")).collect();
        format!("qRcmd,{hex}").into_bytes()
    }),
    (b"$qXfer:threads:read::", |range| object(THREADS, range)),
    (b"$qXfer:siginfo:read::", |range| object(SIGINFO, range)),
];
/// No list of signals is as long.
const MOST: usize = 2048;
/// How the answer about what is supported begins.
const SUPPORTED: &[u8] = b"$PacketSize=";
/// What is added to it.
const MORE: &[u8] = b";QPassSignals+;qXfer:threads:read+;qXfer:siginfo:read+";

/// The packet that reads a range of what such a process has for a program.
fn object(process: usize, range: &[u8]) -> Vec<u8> {
    let head = format!("qXfer:exec-file:read:{process:x}:");
    [head.as_bytes(), range].concat()
}

/// Looks for such packets in what the debugger sends.
#[derive(Debug, Default)]
pub struct Incoming {
    /// What may be one, as far as it has come.
    held: Vec<u8>,
}

impl Incoming {
    /// Takes a byte; `put` gets those that are to be handed on.
    pub fn take(&mut self, byte: u8, put: &mut impl FnMut(u8)) {
        self.held.push(byte);
        let like = |begin: &&(&[u8], Other)| {
            let known = self.held.len().min(begin.0.len());
            self.held[..known] == begin.0[..known]
        };
        let other = OTHERS.iter().find(like).filter(|_| self.held.len() < MOST);
        // Behind the sum's two digits it is whole.
        let whole = self.held.iter().rev().nth(2) == Some(&b'#');
        if other.is_some() && !whole {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        if let Some(other) = other
            && let Some(packet) = translated(&held, other)
        {
            held = packet;
        }
        held.into_iter().for_each(put);
    }
}

/// The other packet, unless this one is damaged: then it is to be sent again.
fn translated(packet: &[u8], (begin, other): &(&[u8], Other)) -> Option<Vec<u8>> {
    let (content, sum) = packet.get(1..)?.split_at(packet.len().checked_sub(4)?);
    if sum != tail(content) {
        return None;
    }
    let content = other(content.get(begin.len() - 1..)?);
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
    content.extend(MORE);
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
    fn packets_become_others() {
        let around = |inner: &[u8]| [b"+$g#67", inner, b"+$?#3f"].concat();
        let list = around(&packet("QPassSignals:e;10"));
        // pass e;10
        let command = around(&packet("qRcmd,7061737320653b3130"));
        assert_eq!(through(&list), command);
        let threads = around(&packet("qXfer:threads:read::0,1000"));
        let other = around(&packet("qXfer:exec-file:read:7ffffff1:0,1000"));
        assert_eq!(through(&threads), other);
        let features = around(&packet("qXfer:features:read:target.xml:0,ffb"));
        assert_eq!(through(&features), features);
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
        let more = String::from_utf8_lossy(MORE);
        let expected = packet(&format!("PacketSize=1000;swbreak+{more}"));
        assert_eq!(sent, [b"+", &expected[..]].concat());
        for cut in [&b"$PacketSize=1000"[..], b"$PacketSize=1#", b"$m12#00", b""] {
            let mut sent = cut.to_vec();
            announce(&mut sent);
        }
    }

    proptest! {
        #[test]
        fn anything_else_comes_through(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            // What begins like the packet waits for its end.
            let out = through(&bytes);
            let known = |begin: &[u8]| bytes.windows(begin.len()).any(|w| w == begin);
            prop_assert!(bytes.starts_with(&out) || OTHERS.iter().any(|(begin, _)| known(begin)));
            let longest = OTHERS.iter().map(|(begin, _)| begin.len()).max().unwrap_or(0);
            prop_assert!(bytes.len() - out.len().min(bytes.len()) < longest);
        }
    }
}
