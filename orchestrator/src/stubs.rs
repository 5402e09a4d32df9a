//! Answers processes that ask for a stub (`orch_shm_tracker`).

use orch_recorder::arena::Arena;
use orch_shm_tracker::stub;
use std::sync::atomic::Ordering;

/// Most bytes of code that come with a request, before and from the instruction.
const CODE: usize = 2048;

/// Makes the stub that the process in slot `index` waits for, recording or replaying.
pub fn answer(arena: &Arena, index: u32) {
    let slot = arena.slot(index);
    let [ip, at, lens, first] = std::array::from_fn(|i| slot.args[i].load(Ordering::Relaxed));
    let len = |n: u64| usize::try_from(n & 0xffff_ffff).unwrap_or(0).min(CODE);
    let (before, after) = (len(lens >> 32), len(lens));
    let code = arena.scratch(index, before + after);
    let made = u32::try_from(first)
        .ok()
        .and_then(|first| stub(&code, before, ip, at, first));
    let reply = made.map_or(0, |stub| {
        let bytes = stub.encode();
        arena.set_scratch(index, &bytes);
        bytes.len() as u64
    });
    arena.answer(index, reply);
}
