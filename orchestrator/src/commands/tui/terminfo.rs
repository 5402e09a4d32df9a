//! Whether a terminal has colours, as its description tells (terminfo(5), term(5)).

use std::env;
use std::fs;
use std::path::PathBuf;

/// Index of `max_colors` among the numbers of a description (term.h).
const MAX_COLORS: usize = 13;

/// Whether a terminal of this name has colours. Of one that has no description they are
/// expected, but for those that have none by their name.
pub fn has_colours(term: Option<&str>) -> bool {
    let term = term.unwrap_or("dumb");
    if matches!(term, "dumb" | "unknown" | "") {
        return false;
    }
    // Such a value is set by terminals that have more colours than their description says.
    if env::var_os("COLORTERM").is_some_and(|value| !value.is_empty()) {
        return true;
    }
    let read = description(term);
    read.and_then(|bytes| colours(&bytes)).is_none_or(|n| n > 1)
}

/// The description, from where ncurses looks for it.
fn description(term: &str) -> Option<Vec<u8>> {
    let first = term.chars().next().filter(|_| !term.contains('/'))?;
    let own = env::var_os("TERMINFO").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".terminfo"));
    let listed = env::var_os("TERMINFO_DIRS");
    let listed = listed.iter().flat_map(env::split_paths);
    let usual = ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"];
    let dirs = own.into_iter().chain(home).chain(listed);
    let mut dirs = dirs.chain(usual.map(PathBuf::from));
    // Where file names have no case, the directory is a number.
    let number = format!("{:x}", u32::from(first));
    dirs.find_map(|dir| {
        let plain = fs::read(dir.join(first.to_string()).join(term));
        plain
            .or_else(|_| fs::read(dir.join(&number).join(term)))
            .ok()
    })
}

/// How many colours a compiled description has: 0 if it says nothing of them, none if it is
/// no description.
fn colours(bytes: &[u8]) -> Option<i64> {
    let short = |at: usize| {
        let word = bytes.get(at..at + 2)?;
        Some(i16::from_le_bytes(word.try_into().ok()?))
    };
    let wide = match short(0)? {
        0o432 => 2,
        0o1036 => 4,
        _ => return None,
    };
    let size = |n: usize| usize::try_from(short(2 * n)?).ok();
    let (names, flags, numbers) = (size(1)?, size(2)?, size(3)?);
    if numbers <= MAX_COLORS {
        return Some(0);
    }
    let first = (12 + names + flags).next_multiple_of(2);
    let at = first + MAX_COLORS * wide;
    let word = bytes.get(at..at + wide)?;
    let number = match word {
        [a, b] => i16::from_le_bytes([*a, *b]).into(),
        _ => i32::from_le_bytes(word.try_into().ok()?).into(),
    };
    // One that is absent is negative.
    Some(i64::max(number, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(magic: u16, numbers: &[i32]) -> Vec<u8> {
        let names = b"vt100|a terminal\0";
        let count = u16::try_from(numbers.len()).expect("few");
        let header = [magic, 17, 4, count, 0, 0];
        let mut bytes: Vec<u8> = header.iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.extend(names);
        bytes.extend([1, 0, 0, 1]);
        // To an even offset.
        bytes.push(0);
        for number in numbers {
            let number = number.to_le_bytes();
            bytes.extend(&number[..if magic == 0o432 { 2 } else { 4 }]);
        }
        bytes
    }

    #[test]
    fn descriptions_tell_of_colours() {
        let mut numbers = [80; 15];
        for (magic, colours_told, wanted) in [
            (0o432, 8, 8),
            (0o432, -1, 0),
            (0o1036, 256, 256),
            (0o1036, 1 << 24, 1 << 24),
            (0o1036, -1, 0),
        ] {
            numbers[MAX_COLORS] = colours_told;
            assert_eq!(colours(&described(magic, &numbers)), Some(wanted));
        }
        assert_eq!(colours(&described(0o432, &numbers[..5])), Some(0));
        assert_eq!(colours(b"rubbish, and more of it"), None);
        assert_eq!(colours(&described(0o432, &numbers)[..30]), None);
        assert!(!has_colours(None) && !has_colours(Some("dumb")));
    }
}
