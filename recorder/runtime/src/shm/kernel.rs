//! The kernel must not touch the program's closed views: pointers into shared
//! memory, also those in vectors and message headers, lead it to the alias.

use super::{alias, any};
use crate::arch::x86_64 as arch;
use crate::thread::Thread;
use core::mem::MaybeUninit;
use orch_abi::syscalls::{Buf, Call, Ty};

/// Longest vector that is translated; longer ones go to the kernel as they are.
const VECTORS: usize = 64;

/// A call's arguments for the kernel, and what they lead to. Not to be moved
/// once translated.
pub struct Arguments {
    /// What to call with.
    pub args: [u64; 6],
    vectors: MaybeUninit<[[u64; 2]; VECTORS]>,
    message: MaybeUninit<[u64; 7]>,
    /// The argument that was replaced by `message`.
    header: usize,
}

impl Arguments {
    /// The program's own.
    #[inline(always)]
    pub fn new(args: &[u64; 6]) -> Self {
        Self {
            args: *args,
            vectors: MaybeUninit::uninit(),
            message: MaybeUninit::uninit(),
            header: usize::MAX,
        }
    }

    /// Makes them the kernel's.
    #[inline(always)]
    pub fn translate(&mut self, t: &mut Thread, call: &Call) {
        if any() {
            self.translate_all(t, call);
        }
    }

    #[cold]
    fn translate_all(&mut self, t: &mut Thread, call: &Call) {
        let args = self.args;
        for i in 0..call.args.len() {
            let (pointer, buf) = match call.ty(i, &args) {
                Ty::Addr | Ty::Path => (true, None),
                Ty::In(b) | Ty::Out(b) | Ty::InOut(b) | Ty::OutAlways(b) => (true, Some(b)),
                _ => (false, None),
            };
            if !pointer {
                continue;
            }
            self.args[i] = alias(args[i]);
            match buf {
                Some(Buf::Iovec { count }) => {
                    let n = args[usize::from(count)];
                    if let Some(at) = self.vector(t, self.args[i], n) {
                        self.args[i] = at;
                    }
                }
                Some(Buf::Msghdr) => {
                    if let Some(at) = self.header(t, self.args[i]) {
                        self.args[i] = at;
                        self.header = i;
                    }
                }
                _ => {}
            }
        }
    }

    /// The vector at `from` with its parts translated, if any had to be.
    fn vector(&mut self, t: &mut Thread, from: u64, n: u64) -> Option<u64> {
        if n as usize > VECTORS {
            return None;
        }
        let list = self.vectors.write([[0; 2]; VECTORS]);
        let to = list.as_mut_ptr().cast::<u8>();
        // SAFETY: guarded; the list has room for `n` entries.
        let read = arch::guarded(t, || unsafe {
            (from as *const u8).copy_to(to, n as usize * 16);
        });
        let mut any = false;
        for v in &mut list[..n as usize] {
            let at = alias(v[0]);
            any |= at != v[0];
            v[0] = at;
        }
        (read && any).then_some(list.as_ptr() as u64)
    }

    /// The message header at `from` (`struct msghdr`, recvmsg(2)) with its
    /// pointers translated. Only one that is not written back.
    fn header(&mut self, t: &mut Thread, from: u64) -> Option<u64> {
        let mut message = [0_u64; 7];
        let to = message.as_mut_ptr().cast::<u8>();
        // SAFETY: guarded; the header has 56 bytes.
        if !arch::guarded(t, || unsafe { (from as *const u8).copy_to(to, 56) }) {
            return None;
        }
        let [name, _, vectors, count, control, ..] = message;
        let moved = self.vector(t, alias(vectors), count);
        if moved.is_none() && alias(name) == name && alias(control) == control {
            return None;
        }
        message[0] = alias(name);
        message[2] = moved.unwrap_or(alias(vectors));
        message[4] = alias(control);
        Some(self.message.write(message).as_ptr() as u64)
    }

    /// After the call: what the kernel wrote to a header of ours belongs in the program's.
    pub fn finish(&self, t: &mut Thread, args: &[u64; 6]) {
        let ours = self.message.as_ptr() as u64;
        if self.header >= args.len() || self.args[self.header] != ours {
            return;
        }
        let to = alias(args[self.header]);
        // SAFETY: `header` is set only with `message`.
        let message = unsafe { self.message.assume_init_ref() };
        // Name length, control length and flags: results of recvmsg(2).
        for at in [8_u64, 40, 48] {
            let value = message[at as usize / 8];
            // SAFETY: guarded; within the program's own header.
            arch::guarded(t, || unsafe {
                ((to + at) as *mut u64).write_unaligned(value)
            });
        }
    }
}
