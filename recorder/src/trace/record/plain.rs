//! The fixed parts of payloads: bytes to structures and back, without `unsafe`.

use crate::trace::bytes::Input;
use orch_abi::digest::{Digest, PARTS};
use orch_abi::record::{
    Boot, Chunk, Data, Ended, Exit, Forked, Head, Insn, Map, Object, Point, Regs, Shared, Signal,
    Spawn, Start, Store, Switch, Syscall, View,
};

/// A structure whose bytes in a record are those it has in memory, little-endian.
pub trait Plain: Sized {
    /// How many bytes.
    const LEN: usize;

    /// Takes it from the start of `input`.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "implemented here only")]
    fn read(input: &mut Input<'_>) -> Option<Self>;

    /// Appends it to `out`.
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! number {
    ($($t:ty),*) => { $(
        #[expect(private_interfaces, reason = "implemented here only")]
        impl Plain for $t {
            const LEN: usize = size_of::<$t>();

            #[inline]
            fn read(input: &mut Input<'_>) -> Option<Self> {
                let bytes = input.take(Self::LEN)?;
                Some(Self::from_le_bytes(bytes.try_into().expect("as many as taken")))
            }

            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

number!(u8, u16, u32, i32, u64, i64);

#[expect(private_interfaces, reason = "implemented here only")]
impl<const N: usize> Plain for [u64; N] {
    const LEN: usize = 8 * N;

    #[inline]
    fn read(input: &mut Input<'_>) -> Option<Self> {
        let mut words = [0; N];
        for word in &mut words {
            *word = input.u64()?;
        }
        Some(words)
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        for word in self {
            word.write(out);
        }
    }
}

/// Implements [`Plain`] field by field, and proves that the fields are in
/// the order of memory and leave no gaps.
macro_rules! plain {
    ($($name:ident { $($field:ident: $t:ty),* })*) => { $(
        #[expect(private_interfaces, reason = "implemented here only")]
        impl Plain for $name {
            const LEN: usize = 0 $(+ <$t as Plain>::LEN)*;

            #[inline]
            fn read(input: &mut Input<'_>) -> Option<Self> {
                Some(Self { $($field: <$t as Plain>::read(input)?),* })
            }

            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }
        }

        const _: () = {
            let end = 0;
            $(
                assert!(std::mem::offset_of!($name, $field) == end);
                let end = end + <$t as Plain>::LEN;
            )*
            assert!(size_of::<$name>() == end);
        };
    )* };
}

plain! {
    Head { kind: u8, flags: u8, aux: u16, len: u32, tick: u64 }
    Regs {
        r8: u64, r9: u64, r10: u64, r11: u64, r12: u64, r13: u64, r14: u64, r15: u64,
        rdi: u64, rsi: u64, rbp: u64, rbx: u64, rdx: u64, rax: u64, rcx: u64, rsp: u64,
        rip: u64, rflags: u64
    }
    Start { regs: Regs, pid: u32, parent: u32, time: u64, argc: u32, same_process: u32 }
    Map { addr: u64, len: u64, prot: u32, flags: u32, file: u64, offset: u64 }
    Data { addr: u64, len: u64 }
    Syscall { ip: u64, result: i64, args: [u64; 6], in_hash: u64 }
    Chunk { addr: u64, len: u32, outgoing: u32 }
    Switch { thread: u32, tid: u32 }
    Signal { ip: u64, sp: u64, fault: u32, fatal: u32, error: u64 }
    Insn { ip: u64, tsc: u64, aux: u64 }
    Spawn { what: u32, child: u32 }
    Exit { status: i32, whole: u32, memory: Digest }
    Point { regs: Regs, accesses: u64, near: u64, digest: Digest }
    Forked { parent: u32, pid: u32, tick: u64 }
    Digest { pages: u64, hashes: [u64; PARTS], weighted: [u64; PARTS] }
    Ended { how: u32, value: u32 }
    Shared { ip: u64, ordinal: u64, caller: u64 }
    Object { id: u64, what: u64, dev: u64, ino: u64 }
    View { addr: u64, len: u64, object: u64, offset: u64, prot: u64 }
    Store { ip: u64, addr: u64, len: u64, caller: u64 }
    Boot { mask: u64, ignored: u64, brk: u64 }
}
