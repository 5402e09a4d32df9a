//! Memory of a recording as the user writes it: `p3:0x7f0012345678`, `p3:$rsp+8`, `p3:counters`.

use crate::inspect::address::Address;
use orch_recorder::trace::RecordingId;
use std::str::FromStr;

/// Where the memory begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Whose.
    pub recording: RecordingId,
    /// Where.
    pub address: Address,
}

/// Text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no memory of a recording; write p3:0x7f0012345678, p3:counters+8 (a variable) \
     or 'p3:$rsp+8' (a register)"
)]
pub struct ParseSpotError(String);

impl FromStr for Spot {
    type Err = ParseSpotError;

    fn from_str(text: &str) -> Result<Self, ParseSpotError> {
        let parse = || {
            let (recording, address) = text.split_once(':')?;
            Some(Self {
                recording: recording.parse().ok()?,
                address: address.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseSpotError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_recordings() {
        let spot: Spot = "p3:ns::ring+8".parse().expect("a variable of C++");
        assert_eq!(spot.recording, RecordingId(3));
        assert_eq!(spot.address.to_string(), "ns::ring+8");
        for good in ["p1:0x10", "p1:$rsp-8", "p1:$sp", "p12:counters"] {
            assert!(good.parse::<Spot>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "p3",
            "p3:",
            "p0:0x10",
            "counters",
            "/dev/shm/q+8",
            "p3:12ab",
        ] {
            assert!(bad.parse::<Spot>().is_err(), "{bad}");
        }
    }
}
