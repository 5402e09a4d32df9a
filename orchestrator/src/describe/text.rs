//! Bytes of programs as text that does no harm to a terminal.

use std::fmt::Write as _;

/// A line of output without anything that a terminal would obey: escape
/// sequences are left out, other control characters and bytes that are not
/// UTF-8 are shown as `\x07`.
pub fn safe(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(len) = escape_sequence(rest) {
            rest = &rest[len..];
            continue;
        }
        // A character has at most 4 bytes.
        let piece = &rest[..rest.len().min(4)];
        let valid = match std::str::from_utf8(piece) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&piece[..e.valid_up_to()]).unwrap_or_default(),
        };
        if let Some(c) = valid.chars().next() {
            match c {
                '\t' => out.push(c),
                '\r' => out.push_str("\\r"),
                c if c.is_control() => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
            rest = &rest[c.len_utf8()..];
        } else {
            let _ = write!(out, "\\x{:02x}", rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

/// Length of the control sequence (ECMA-48, 5.4) or operating system command
/// (xterm's titles) at the start of `bytes`.
fn escape_sequence(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0x1b, b'[', rest @ ..] => {
            let len = rest.iter().position(|b| (0x40..=0x7e).contains(b))?;
            let inside = rest[..len].iter().all(|b| (0x20..=0x3f).contains(b));
            inside.then_some(len + 3)
        }
        [0x1b, b']', rest @ ..] => {
            let end = rest.iter().position(|&b| b == 7 || b == 0x1b)?;
            let string_terminator = rest[end] == 0x1b && rest.get(end + 1) == Some(&b'\\');
            Some(end + 3 + usize::from(string_terminator))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_gone() {
        assert_eq!(safe(b"\x1b[1;31mred\x1b[0m"), "red");
        assert_eq!(safe(b"\x1b]0;title\x07text"), "text");
        assert_eq!(safe(b"\x1b]0;title\x1b\\text"), "text");
        assert_eq!(safe("a\tb\u{7}ü\u{9b}1".as_bytes()), "a\tb\\u{7}ü\\u{9b}1");
        assert_eq!(safe(b"50%\r100%"), "50%\\r100%");
        assert_eq!(safe(b"\xff\xc3"), "\\xff\\xc3");
    }

    proptest! {
        #[test]
        fn nothing_harmful_comes_through(bytes: Vec<u8>) {
            prop_assert!(safe(&bytes).chars().all(|c| c == '\t' || !c.is_control()));
        }

        #[test]
        fn harmless_text_stays(text in "[a-zA-Z0-9äöü€😀 .,]*") {
            prop_assert_eq!(safe(text.as_bytes()), text);
        }
    }
}
