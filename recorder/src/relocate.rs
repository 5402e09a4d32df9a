//! Moves instructions to another address: the code that a jump into a search
//! stub displaces (docs/ARCHITECTURE.md, "Finding a place again").

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock,
};

/// Instructions at their new place.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    /// The code, and a jump behind the window where the last instruction goes on.
    pub code: Vec<u8>,
    /// Offset of each instruction in the window, and in `code`.
    pub offsets: Vec<(u8, u8)>,
}

/// Moves the `len` bytes of `window`, which are whole instructions at `ip`, to
/// `to`. `None` where that cannot be done.
#[must_use]
pub fn relocate(window: &[u8], ip: u64, to: u64) -> Option<Moved> {
    let mut decoder = Decoder::with_ip(64, window, ip, DecoderOptions::NONE);
    let mut instructions: Vec<Instruction> = Vec::new();
    if window.is_empty() {
        return None;
    }
    while decoder.can_decode() {
        let i = decoder.decode();
        let movable = matches!(
            i.flow_control(),
            FlowControl::Next
                | FlowControl::ConditionalBranch
                | FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Return
        );
        // The encoder would move what an operand in the block points to, too.
        let own = i.is_ip_rel_memory_operand()
            && i.ip_rel_memory_address().wrapping_sub(ip) < window.len() as u64;
        if i.is_invalid() || !movable || own {
            return None;
        }
        instructions.push(i);
    }
    let behind = ip + window.len() as u64;
    let count = instructions.len();
    let back = Instruction::with_branch(Code::Jmp_rel32_64, behind).ok()?;
    instructions.push(back);
    // The encoder moves the targets that lie in the block along with it. A branch
    // to the first instruction must go to the old place instead, where the jump
    // to the stub counts the pass; so that one is given no address to be found by.
    instructions[0].set_ip(0);
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let block = InstructionBlock::new(&instructions, to);
    let encoded = BlockEncoder::encode(64, block, options).ok()?;
    let mut offsets = Vec::new();
    let news = &encoded.new_instruction_offsets[..count];
    let mut old = 0_u8;
    for (i, &new) in instructions.iter().zip(news) {
        // u32::MAX, where the instruction was rewritten as several, is refused.
        offsets.push((old, u8::try_from(new).ok()?));
        old += u8::try_from(i.len()).ok()?;
    }
    Some(Moved {
        code: encoded.code_buffer,
        offsets,
    })
}
