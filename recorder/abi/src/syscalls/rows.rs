//! How the tables are written: macros and builders that let a row read like
//! the synopsis of its man page.

use super::Restart;
pub(super) use super::{Arg, Buf, Call, Does, Len, Ret, Ty, Variant};

pub(super) const EPERM: u16 = 1;
pub(super) const ENODEV: u16 = 19;
pub(super) const EINVAL: u16 = 22;
pub(super) const ENOTTY: u16 = 25;
pub(super) const EINTR: u16 = 4;
pub(super) const ENOSYS: u16 = 38;
pub(super) const EOPNOTSUPP: u16 = 95;

/// Rows of calls: `number name(argument: type, …).property()…;`.
macro_rules! calls {
    ($($nr:literal $name:ident($($arg:ident: $ty:expr),* $(,)?) $(.$does:ident($($with:expr),*))*;)*) => {
        &[$(
            Call::new($nr, stringify!($name), &[$(Arg { name: stringify!($arg), ty: $ty }),*])
                $(.$does($($with),*))*
        ),*]
    };
}

/// Rows of variants of one selecting argument:
/// `variants! { selector & mask; value NAME => argument: type; … }`.
macro_rules! variants {
    ($selector:literal & $mask:literal; $($value:literal $name:ident => $arg:literal: $ty:expr $(, $does:expr)?;)*) => {
        &[$(
            Variant::new($selector, $mask, $value, stringify!($name), $arg, $ty)$(.recorded($does))?
        ),*]
    };
}

/// Named values or bits: `names! { 1 FIRST, 2 SECOND }`.
macro_rules! names {
    ($($value:literal $name:ident),* $(,)?) => { &[$(($value, stringify!($name))),*] };
}

impl Arg {
    /// Most arguments a call can have.
    pub const MAX: usize = 6;
}

impl Call {
    pub(super) const fn new(nr: u16, name: &'static str, args: &'static [Arg]) -> Self {
        assert!(args.len() <= Arg::MAX);
        Self {
            nr,
            name,
            args,
            ret: Ret::Int,
            does: Does::Input,
            blocks: false,
            restart: Restart::WithFlag,
            publishes: false,
            variants: &[],
            unlisted: None,
        }
    }

    pub(super) const fn blocks(mut self) -> Self {
        self.blocks = true;
        self
    }

    /// Blocks, and fails with EINTR whatever SA_RESTART says.
    pub(super) const fn sleeps(mut self) -> Self {
        self.blocks = true;
        self.restart = Restart::Never;
        self
    }

    pub(super) const fn publishes(mut self) -> Self {
        self.publishes = true;
        self
    }

    pub(super) const fn gives(mut self, ret: Ret) -> Self {
        self.ret = ret;
        self
    }

    pub(super) const fn does(mut self, does: Does) -> Self {
        self.does = does;
        self
    }

    pub(super) const fn variants(mut self, rows: &'static [Variant]) -> Self {
        self.variants = rows;
        self
    }

    /// Like [`Call::variants`], and any other selector value fails with this errno.
    pub(super) const fn only(mut self, rows: &'static [Variant], errno: u16) -> Self {
        self.variants = rows;
        self.unlisted = Some(errno);
        self
    }
}

impl Variant {
    pub(super) const fn new(
        selector: u8,
        mask: u64,
        value: u64,
        name: &'static str,
        arg: u8,
        ty: Ty,
    ) -> Self {
        Self {
            selector,
            mask,
            value,
            name,
            arg,
            ty,
            does: None,
        }
    }

    pub(super) const fn recorded(mut self, does: Does) -> Self {
        self.does = Some(does);
        self
    }
}

const fn bytes(len: Len) -> Buf {
    Buf::Bytes {
        cap: len,
        used: len,
    }
}

/// `size` bytes that the kernel reads.
pub(super) const fn reads(size: u32) -> Ty {
    Ty::In(bytes(Len::Fixed(size)))
}

/// `size` bytes that the kernel writes.
pub(super) const fn out(size: u32) -> Ty {
    Ty::Out(bytes(Len::Fixed(size)))
}

/// `size` bytes that the kernel reads and writes.
pub(super) const fn inout(size: u32) -> Ty {
    Ty::InOut(bytes(Len::Fixed(size)))
}

/// `size` bytes that the kernel may write although the call fails.
pub(super) const fn always(size: u32) -> Ty {
    Ty::OutAlways(bytes(Len::Fixed(size)))
}

/// `len` bytes that the kernel reads.
pub(super) const fn reads_len(len: Len) -> Ty {
    Ty::In(bytes(len))
}

/// `len` bytes that the kernel writes.
pub(super) const fn out_len(len: Len) -> Ty {
    Ty::Out(bytes(len))
}

/// Room for `args[size]` bytes, of which the result tells how many are used.
pub(super) const fn filled(size: u8) -> Ty {
    Ty::Out(Buf::Bytes {
        cap: Len::Arg(size),
        used: Len::Result,
    })
}
