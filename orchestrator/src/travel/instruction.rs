//! Instructions of the program where the process stands.

use super::Travel;
use iced_x86::{Decoder, DecoderOptions, Instruction};

/// Bytes of the longest instruction (Intel SDM volume 2, 2.3.11).
pub(super) const LONGEST: usize = 15;
/// Bytes that a call may have, the likeliest first.
const CALLS: [u64; 6] = [5, 2, 3, 6, 7, 4];

/// Whether a function is called by it.
pub fn is_call(instruction: &Instruction) -> bool {
    instruction.is_call_near() || instruction.is_call_near_indirect()
}

impl Travel {
    /// The instruction at an address; an invalid one if there is none.
    pub fn instruction(&self, at: u64) -> Instruction {
        let mut code = [0; LONGEST];
        let n = self.read(at, &mut code);
        Decoder::with_ip(64, &code[..n], at, DecoderOptions::NONE).decode()
    }

    /// Addresses of the calls that return to `back`: what ends there and decodes to one.
    pub fn calls_to(&self, back: u64) -> impl Iterator<Item = u64> {
        CALLS.into_iter().filter_map(move |len| {
            let call = self.instruction(back.wrapping_sub(len));
            (is_call(&call) && call.next_ip() == back).then_some(call.ip())
        })
    }
}
