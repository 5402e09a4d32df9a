//! What a replaying process asks while it waits.

use orch_abi::shared::request;
use orch_abi::window::MAX_WINDOW;
use orch_recorder::arena::Arena;
use orch_recorder::relocate::relocate;
use std::sync::atomic::Ordering;

/// Answers a request about code, if the process in slot `index` has one.
pub fn code(arena: &Arena, index: u32) -> bool {
    match arena.slot(index).request.load(Ordering::Acquire) {
        request::STUB => crate::stubs::answer(arena, index),
        request::RELOCATE => move_code(arena, index),
        _ => return false,
    }
    true
}

/// Moves code for a search (recorder/runtime/src/stub.rs).
fn move_code(arena: &Arena, index: u32) {
    let slot = arena.slot(index);
    let [ip, to, len, _] = std::array::from_fn(|i| slot.args[i].load(Ordering::Relaxed));
    let code = arena.scratch(index, usize::try_from(len).unwrap_or(0).min(MAX_WINDOW));
    let mut reply = 0;
    if let Some(moved) = relocate(&code, ip, to)
        && moved.offsets.len() <= 8
    {
        let mut offsets = [0; 8];
        for (to, (_, new)) in offsets.iter_mut().zip(&moved.offsets) {
            *to = *new;
        }
        slot.args[3].store(u64::from_le_bytes(offsets), Ordering::Relaxed);
        arena.set_scratch(index, &moved.code);
        reply = moved.code.len() as u64;
    }
    arena.answer(index, reply);
}
