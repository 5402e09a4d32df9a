//! Bytes as values.

use super::row::{hex, hex_old};
use orch_blame::access::Old;
use std::fmt::Write as _;

/// How to show bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// As they seem to be meant.
    #[default]
    Auto,
    /// Hexadecimal, in the order of memory.
    Hex,
    /// Integers, little-endian.
    Int,
    /// Floating-point numbers.
    Float,
    /// Text.
    Text,
}

/// Bytes beyond this are left out.
const MOST: usize = 64;

/// `new` in a format.
pub fn show(format: Format, new: &[u8]) -> String {
    let some = &new[..new.len().min(MOST)];
    let text = match resolve(format, new) {
        Format::Hex | Format::Auto => hex(some),
        Format::Int => words(some, int),
        Format::Float => words(some, float),
        Format::Text => {
            let end = some.iter().rposition(|&b| b != 0).map_or(0, |n| n + 1);
            format!("\"{}\"", quoted(&some[..end]))
        }
    };
    if some.len() < new.len() {
        text + "…"
    } else {
        text
    }
}

/// What was there before `new`, in the same format.
pub fn show_old(format: Format, new: &[u8], old: &Old) -> String {
    if old.known.iter().any(|&known| !known) {
        if !old.known.contains(&true) {
            return "?".to_owned();
        }
        return match format {
            Format::Int => known_words(old, int),
            Format::Float => known_words(old, float),
            _ => hex_old(old),
        };
    }
    // Zeros are no text that somebody wrote.
    let format = match resolve(format, new) {
        Format::Text if format == Format::Auto && resolve(format, &old.bytes) != Format::Text => {
            resolve(format, &old.bytes)
        }
        format => format,
    };
    show(format, &old.bytes)
}

/// The format to use for these bytes.
fn resolve(format: Format, bytes: &[u8]) -> Format {
    if format != Format::Auto {
        return format;
    }
    if is_text(bytes) {
        return Format::Text;
    }
    match bytes.len() {
        1 | 2 => Format::Int,
        4 => {
            let n = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            let float = f64::from(f32::from_bits(n));
            guess(u64::from(n), n.cast_signed().into(), float, 1 << 24)
        }
        8 => {
            let n = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            guess(n, n.cast_signed(), f64::from_bits(n), 1 << 40)
        }
        _ => Format::Hex,
    }
}

/// Small numbers are integers, others that are floats of an ordinary size are
/// floats, and what is neither may be an address.
fn guess(n: u64, signed: i64, float: f64, small: u64) -> Format {
    let ordinary = float.is_finite() && (1e-9..1e15).contains(&float.abs());
    if n < small || signed.unsigned_abs() < small {
        Format::Int
    } else if ordinary {
        Format::Float
    } else if (1 << 40..1 << 47).contains(&n) {
        Format::Hex
    } else {
        Format::Int
    }
}

/// At least four printable characters, then nothing but zeros.
fn is_text(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let printable = |b: &u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\n');
    end >= 4 && bytes[..end].iter().all(printable) && bytes[end..].iter().all(|&b| b == 0)
}

/// The size of the largest words that so many bytes are made of.
fn word(len: usize) -> usize {
    let sizes = [8, 4, 2].into_iter();
    let mut fits = sizes.filter(|&n| len.is_multiple_of(n));
    fits.next().unwrap_or(1)
}

/// Text as a C program would have it: each byte is to be seen.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => text.push_str("\\t"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                c if c.is_control() => {
                    let mut bytes = [0; 4];
                    c.encode_utf8(&mut bytes);
                    escape(&mut text, &bytes[..c.len_utf8()]);
                }
                c => text.push(c),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

/// The bytes cut into words.
fn words(bytes: &[u8], one: fn(&[u8]) -> String) -> String {
    let words = bytes.chunks(word(bytes.len())).map(one);
    words.collect::<Vec<_>>().join(" ")
}

/// The same; `?` for words of which a byte is not known.
fn known_words(old: &Old, one: fn(&[u8]) -> String) -> String {
    let len = old.bytes.len().min(MOST);
    let size = word(len);
    let words = (0..len).step_by(size).map(|at| {
        let word: Option<Vec<u8>> = (at..at + size).map(|n| old.get(n)).collect();
        word.map_or_else(|| "?".to_owned(), |word| one(&word))
    });
    let mut text = words.collect::<Vec<_>>().join(" ");
    if len < old.bytes.len() {
        text.push('…');
    }
    text
}

fn int(word: &[u8]) -> String {
    let mut bytes = [0; 8];
    bytes[..word.len()].copy_from_slice(word);
    let n = u64::from_le_bytes(bytes);
    let bits = 64 - 8 * word.len() as u32;
    let signed = n.wrapping_shl(bits).cast_signed() >> bits;
    // Negative numbers are small ones: -1 rather than 18446744073709551615.
    if signed < 0 && signed > -(1 << 24) && word.len() > 1 {
        signed.to_string()
    } else {
        n.to_string()
    }
}

fn float(word: &[u8]) -> String {
    match word.len() {
        8 => format!(
            "{:?}",
            f64::from_bits(u64::from_le_bytes(word.try_into().expect("eight bytes")))
        ),
        4 => format!(
            "{:?}",
            f32::from_bits(u32::from_le_bytes(word.try_into().expect("four bytes")))
        ),
        _ => hex(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_they_are_meant() {
        let auto = |bytes: &[u8]| show(Format::Auto, bytes);
        assert_eq!(auto(&17_u64.to_le_bytes()), "17");
        assert_eq!(auto(&(-1_i32).to_le_bytes()), "-1");
        assert_eq!(auto(&0.5_f64.to_le_bytes()), "0.5");
        assert_eq!(auto(&1.5_f32.to_le_bytes()), "1.5");
        assert_eq!(auto(b"hello\0\0\0"), "\"hello\"");
        assert_eq!(
            auto(&0x7f00_1234_5678_u64.to_le_bytes()),
            "78563412007f0000"
        );
        assert_eq!(auto(&[1, 2, 3]), "010203");
        assert_eq!(auto(&[255]), "255");
        assert_eq!(
            show(Format::Int, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]),
            "1 2 3"
        );
        // All that is there is to be seen, in one way.
        assert_eq!(
            show(Format::Text, b"a\x1b[31m\tb\x08\x92\n\0\xc3\xbc\xc2\x9b"),
            r#""a\x1b[31m\tb\x08\x92\n\x00ü\xc2\x9b""#
        );
        let old = Old {
            bytes: vec![0; 8],
            known: Vec::new(),
        };
        assert_eq!(show_old(Format::Auto, b"hello\0\0\0", &old), "0");
        // Of what is known in part, those words.
        let mut known = vec![true; 8];
        known[5] = false;
        let old = Old {
            bytes: 7_u64.to_le_bytes().to_vec(),
            known,
        };
        assert_eq!(show_old(Format::Int, &[0; 8], &old), "?");
        assert_eq!(show_old(Format::Hex, &[0; 8], &old), "0700000000??0000");
        let old = Old {
            bytes: vec![1; 12],
            known: [[true; 4], [false; 4], [true; 4]].concat(),
        };
        assert_eq!(show_old(Format::Int, &[0; 12], &old), "16843009 ? 16843009");
    }
}
