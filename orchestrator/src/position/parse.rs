//! From text to positions.

use super::{At, Pass, Position, When};
use orch_recorder::trace::Tick;
use std::str::FromStr;

/// Text that is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a position; write {examples}")]
pub struct ParsePositionError {
    text: String,
    examples: &'static str,
}

/// What a position in a recording looks like.
const IN_A_RECORDING: &str = "\
p3@18402 (an event), p3@18402+57 (57 instructions behind it), p3@18402:0x401136#3 (the third time \
that this address is reached behind it), p3@start, p3@end, p3@exit, p3@~12.5s (wall time since \
the session began) or p3@50% (of its events)";

/// What else is understood where every recording may be meant.
const ANYWHERE: &str = "\
a tick (18402), @18402, @start, @end, @~12.5s or @50% for all recordings; \
p3@18402, p3@18402+57 (57 instructions behind it), p3@18402:0x401136#3 (the third time that this \
address is reached behind it), p3@start, p3@end, p3@exit, p3@~12.5s or p3@50% for one";

/// Digits only: `u64::from_str` would also take a sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn address(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// A decimal number as a whole number of units of 10^-`places`.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, digits) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let rest = number(&format!("{digits:0<places$}")).filter(|_| digits.len() <= places)?;
    let unit = 10_u64.checked_pow(u32::try_from(places).ok()?)?;
    number(whole)?.checked_mul(unit)?.checked_add(rest)
}

fn at(text: &str) -> Option<At> {
    match text {
        "start" => return Some(At::Start),
        "end" => return Some(At::End),
        "exit" => return Some(At::Exit),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('~').and_then(|t| t.strip_suffix('s')) {
        let nanos = decimal(seconds, 9)?;
        return Some(At::Time { nanos });
    }
    if let Some(percent) = text.strip_suffix('%') {
        let thousandths = u32::try_from(decimal(percent, 3)?).ok()?;
        return (thousandths <= At::WHOLE).then_some(At::Part { thousandths });
    }
    let (text, instructions) = match text.split_once('+') {
        Some((text, instructions)) => (text, number(instructions)?),
        None => (text, 0),
    };
    let (tick, pass) = match text.split_once(':') {
        Some((tick, pass)) => (tick, Some(self::pass(pass)?)),
        None => (text, None),
    };
    Some(At::Tick {
        tick: Tick(number(tick)?),
        pass,
        instructions,
    })
}

/// `0x401136#3`, or the address alone for the first time.
fn pass(text: &str) -> Option<Pass> {
    let (addr, nth) = match text.split_once('#') {
        Some((addr, nth)) => (addr, number(nth).filter(|&n| n > 0)?),
        None => (text, 1),
    };
    let addr = address(addr)?;
    Some(Pass { addr, nth })
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        match when(text) {
            Some(When::At(position)) => Ok(position),
            _ => Err(ParsePositionError {
                text: text.to_owned(),
                examples: IN_A_RECORDING,
            }),
        }
    }
}

impl FromStr for When {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        when(text).ok_or_else(|| ParsePositionError {
            text: text.to_owned(),
            examples: ANYWHERE,
        })
    }
}

fn when(text: &str) -> Option<When> {
    // A number alone has always been a tick.
    let (recording, place) = text.split_once('@').unwrap_or(("", text));
    if !recording.is_empty() {
        return Some(When::At(Position {
            recording: recording.parse().ok()?,
            at: at(place)?,
        }));
    }
    let at = at(place)?;
    let of_all = match at {
        At::Start | At::End | At::Time { .. } | At::Part { .. } => text.starts_with('@'),
        At::Exit => false,
        At::Tick {
            pass, instructions, ..
        } => pass.is_none() && instructions == 0,
    };
    of_all.then_some(When::Everywhere(at))
}
