//! Where to print: `job.cpp:57`, `memcpy`, `0x401136`.

use std::fmt;
use std::str::FromStr;

/// A place in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A line.
    Line {
        /// The file, as much of its path as is told.
        file: String,
        /// From 1.
        line: u32,
    },
    /// A function, behind what sets up its frame.
    Function(String),
    /// An address, in the terms of a recording.
    Address(u64),
}

/// Text that is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place in code; write FILE:LINE (job.cpp:57), FUNCTION (memcpy) or 0xADDRESS")]
pub struct ParseLocationError(String);

impl Location {
    /// Whether it is one of a recording alone.
    pub const fn is_address(&self) -> bool {
        matches!(self, Self::Address(_))
    }

    /// For gdb: the name of the file or function, and the line (0, if it is none).
    pub fn parts(&self) -> (&str, u32) {
        match self {
            Self::Line { file, line } => (file, *line),
            Self::Function(name) => (name, 0),
            Self::Address(_) => ("", 0),
        }
    }
}

impl FromStr for Location {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, ParseLocationError> {
        let error = || ParseLocationError(text.to_owned());
        if let Some(digits) = text.strip_prefix("0x") {
            let address = u64::from_str_radix(digits, 16).map_err(|_| error())?;
            return Ok(Self::Address(address));
        }
        // Of C++ and Rust, names have two colons.
        if let Some((file, line)) = text.rsplit_once(':')
            && !file.ends_with(':')
        {
            let line = line.parse().ok().filter(|&line| line > 0);
            return match line {
                Some(line) if !file.is_empty() => Ok(Self::Line {
                    file: file.to_owned(),
                    line,
                }),
                _ => Err(error()),
            };
        }
        // What gdb has other meanings for: lines of the present file, options, addresses.
        let name = text.starts_with(|c: char| c.is_alphabetic() || "_~$".contains(c));
        if !name || text.ends_with(':') || text.contains(['"', '\'', '\n']) {
            return Err(error());
        }
        Ok(Self::Function(text.to_owned()))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Function(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for text in [
            "job.cpp:57",
            "memcpy",
            "0x401136",
            "ns::f",
            "src/a b.c:1",
            "operator new",
        ] {
            let place: Location = text.parse().expect("it is one");
            assert_eq!(place.to_string(), text);
        }
        for text in [
            "",
            "57",
            "*0x1",
            "-line 3",
            "job.cpp:",
            "job.cpp:0",
            ":3",
            "0xg",
            "ns::",
            "a:b",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }
}
