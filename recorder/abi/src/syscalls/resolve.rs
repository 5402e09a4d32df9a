//! What a call with given arguments is: rows of variants applied, `ioctl`
//! commands decoded.

use super::{Arg, Buf, Call, Does, Len, Ty, Variant};

/// Which way the memory of an `ioctl` goes, as seen by the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The kernel reads it (`_IOW`).
    In,
    /// The kernel writes it (`_IOR`).
    Out,
    /// Both (`_IOWR`).
    InOut,
}

/// Direction and size that an `ioctl` command tells about itself
/// (include/uapi/asm-generic/ioctl.h); `None` for commands that do not.
#[must_use]
pub const fn encoded_ioctl(cmd: u64) -> Option<(Direction, u32)> {
    let size = (cmd >> 16) as u32 & 0x3fff;
    let direction = match (cmd >> 30) & 3 {
        1 => Direction::In,
        2 => Direction::Out,
        3 => Direction::InOut,
        _ => return None,
    };
    if size == 0 {
        None
    } else {
        Some((direction, size))
    }
}

const IOCTL: u16 = 16;
const FLOCK: u16 = 73;
const FUTEX: u16 = 202;

impl Variant {
    fn selects(&self, args: &[u64; Arg::MAX]) -> bool {
        args[usize::from(self.selector)] & self.mask == self.value
    }
}

impl Call {
    /// The first row of variants that these arguments select, whatever
    /// argument it describes. Its name is the name of the selecting value.
    #[must_use]
    pub fn variant(&self, args: &[u64; Arg::MAX]) -> Option<&'static Variant> {
        self.variants.iter().find(|row| row.selects(args))
    }

    /// Type of argument `index` when the call has these arguments.
    ///
    /// # Panics
    /// If the call has no such argument.
    #[must_use]
    pub fn ty(&self, index: usize, args: &[u64; Arg::MAX]) -> Ty {
        let of_this = |row: &&Variant| usize::from(row.arg) == index && row.selects(args);
        if let Some(row) = self.variants.iter().find(of_this) {
            return row.ty;
        }
        match (self.nr, index) {
            (IOCTL, 2) => encoded_ty(args[1]).unwrap_or(Ty::Hex),
            _ => self.args[index].ty,
        }
    }

    /// How the call is recorded when it has these arguments.
    #[must_use]
    pub fn does_with(&self, args: &[u64; Arg::MAX]) -> Does {
        match (self.variant(args), self.unlisted) {
            (Some(row), _) => row.does.unwrap_or(self.does),
            (None, Some(_)) if self.nr == IOCTL && encoded_ioctl(args[1]).is_some() => self.does,
            (None, Some(errno)) => Does::Refused(errno),
            (None, None) => self.does,
        }
    }

    /// Whether the call may wait when it has these arguments.
    #[must_use]
    pub fn blocks_with(&self, args: &[u64; Arg::MAX]) -> bool {
        match self.nr {
            // WAKE_OP, UNLOCK_PI, TRYLOCK_PI and CMP_REQUEUE_PI change a word, at once.
            FUTEX => !matches!(args[1] & 0x7f, 5 | 7 | 8 | 12),
            _ => self.blocks,
        }
    }

    /// Whether others can see the effect of the call when it has these
    /// arguments (the field `publishes` is about the call in general).
    #[must_use]
    pub fn publishes_with(&self, args: &[u64; Arg::MAX]) -> bool {
        const LOCK_UN: u64 = 8;
        match self.nr {
            FLOCK => args[1] & LOCK_UN != 0,
            // FUTEX_WAIT, LOCK_PI, TRYLOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2
            FUTEX => !matches!(args[1] & 0x7f, 0 | 6 | 8 | 9 | 11 | 13),
            _ => self.publishes,
        }
    }
}

fn encoded_ty(cmd: u64) -> Option<Ty> {
    let (direction, size) = encoded_ioctl(cmd)?;
    let len = Len::Fixed(size);
    let buf = Buf::Bytes {
        cap: len,
        used: len,
    };
    Some(match direction {
        Direction::In => Ty::In(buf),
        Direction::Out => Ty::Out(buf),
        Direction::InOut => Ty::InOut(buf),
    })
}
