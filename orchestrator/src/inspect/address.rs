//! Addresses as the user writes them: `0x7f0012345678`, `$rsp+8`, `counters-4`.

use super::registers::Registers;
use super::{Mapping, What};
use orch_blame::place::number;
use orch_blame::symbols::Symbols;
use std::fmt;
use std::str::FromStr;

/// An address: something, and bytes to add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    base: Base,
    offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Base {
    Number(u64),
    /// By its name, without `$`.
    Register(String),
    /// A variable.
    Symbol(String),
}

/// Some memory: `ADDR:LEN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where.
    pub address: Address,
    /// Bytes; none: the variable's size, or [`Range::DEFAULT`].
    pub len: Option<u64>,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address; write 0x7f0012345678:64, '$rsp+8:16' (a register) or \
     counters:8 (a variable), the bytes behind the colon"
)]
pub struct ParseAddressError(String);

/// An address that means nothing in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The register has another name, or a caller did not keep it.
    #[error("${0} is no general register, or its value is not known here; there are {all}", all = names())]
    Register(String),
    /// No such variable.
    #[error(
        "no file that is mapped defines a variable {0:?} (it may be a function, stripped, or local \
         to a function; gcc -g keeps it); a number (0x…) or a register ($rsp) works without symbols"
    )]
    Symbol(String),
    /// Several.
    #[error("there are several variables {name:?}; write the address of one:{}", .found.concat())]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// A line for each.
        found: Vec<String>,
    },
}

fn names() -> String {
    super::registers::NAMES
        .map(|name| format!("${name}"))
        .join(" ")
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        parse(text).ok_or_else(|| ParseAddressError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Address> {
    let split = text.rfind(['+', '-']).and_then(|at| {
        let offset = i64::try_from(number(&text[at + 1..])?).ok()?;
        let sign = if text[at..].starts_with('-') { -1 } else { 1 };
        (at > 0 && at + 1 < text.len()).then_some((&text[..at], sign * offset))
    });
    let (base, offset) = split.unwrap_or((text, 0));
    let base = if let Some(name) = base.strip_prefix('$').filter(|n| !n.is_empty()) {
        let name = name.to_ascii_lowercase();
        Base::Register(match &name[..] {
            "pc" => "rip".to_owned(),
            "sp" => "rsp".to_owned(),
            "fp" => "rbp".to_owned(),
            _ => name,
        })
    } else if base.starts_with(|c: char| c.is_ascii_digit()) {
        Base::Number(number(base)?)
    } else if base.is_empty() || base == "$" || base.contains(char::is_whitespace) {
        return None;
    } else {
        Base::Symbol(base.to_owned())
    };
    Some(Address { base, offset })
}

impl FromStr for Range {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        // C++ and Rust have colons in names: only a single one is ours.
        let split = text
            .rsplit_once(':')
            .filter(|(addr, _)| !addr.ends_with(':'))
            .and_then(|(addr, len)| Some((addr, number(len).filter(|&n| n > 0)?)));
        let (address, len) = match split {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let error = || ParseAddressError(text.to_owned());
        if address.ends_with(':')
            || split.is_none()
                && text.starts_with(|c: char| c.is_ascii_digit())
                && text.contains(':')
        {
            return Err(error());
        }
        Ok(Self {
            address: parse(address).ok_or_else(error)?,
            len,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            Base::Number(number) => write!(f, "{number:#x}")?,
            Base::Register(name) => write!(f, "${name}")?,
            Base::Symbol(name) => f.write_str(name)?,
        }
        match self.offset {
            0 => Ok(()),
            n => write!(f, "{n:+}"),
        }
    }
}

impl Range {
    /// Bytes where nothing says how many.
    pub const DEFAULT: u64 = 64;

    /// First address and bytes.
    pub fn resolve(
        &self,
        registers: &Registers,
        maps: &[Mapping],
        symbols: &mut Symbols,
    ) -> Result<(u64, u64), AddressError> {
        let (addr, rest) = self.address.resolve(registers, maps, symbols)?;
        Ok((addr, self.len.or(rest).unwrap_or(Self::DEFAULT)))
    }
}

impl Address {
    /// One that is known.
    pub const fn number(addr: u64) -> Self {
        Self {
            base: Base::Number(addr),
            offset: 0,
        }
    }

    /// The address, and if it is in a variable, how many bytes that has from there on.
    pub fn resolve(
        &self,
        registers: &Registers,
        maps: &[Mapping],
        symbols: &mut Symbols,
    ) -> Result<(u64, Option<u64>), AddressError> {
        let (base, size) = match &self.base {
            Base::Number(number) => (*number, None),
            Base::Register(name) => {
                let value = registers.named(name);
                let value = value.ok_or_else(|| AddressError::Register(name.clone()))?;
                (value, None)
            }
            Base::Symbol(name) => variable(name, maps, symbols)?,
        };
        let rest = size.and_then(|n| n.checked_add_signed(-self.offset));
        let addr = base.wrapping_add_signed(self.offset);
        Ok((addr, rest.filter(|&n| n > 0)))
    }
}

fn variable(
    name: &str,
    maps: &[Mapping],
    symbols: &mut Symbols,
) -> Result<(u64, Option<u64>), AddressError> {
    let files = maps.iter().filter_map(|map| match map.what {
        What::File { file, offset } => Some((map.start, file, offset)),
        What::Named(_) => None,
    });
    match &symbols.data_in(files, name)[..] {
        [] => Err(AddressError::Symbol(name.to_owned())),
        [one] => Ok((one.addr, (one.size > 0).then_some(one.size))),
        several => Err(AddressError::Ambiguous {
            name: name.to_owned(),
            found: several
                .iter()
                .map(|s| format!("\n  {:#x}:{}  in {}", s.addr, s.size, s.file))
                .collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_may_have_colons() {
        let range: Range = "ns::ring+0x10:8".parse().expect("a variable of C++");
        assert_eq!(range.address.to_string(), "ns::ring+16");
        assert_eq!(range.len, Some(8));
        let range: Range = "ns::ring".parse().expect("a variable of C++");
        assert_eq!(range.len, None);
        for text in ["", ":8", "0x10:", "12ab", "$", "ring:", "a b"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(text in "[$a-z0-9_:]{1,8}([+-](0x)?[0-9a-f]{0,4})?|.{0,12}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
            let _ = text.parse::<Range>();
        }
    }
}
