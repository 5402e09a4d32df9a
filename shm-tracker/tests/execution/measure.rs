//! What a pass costs: `cargo test --release -p orch-shm-tracker --test execution measure -- --ignored --nocapture`

use crate::machine::{ALIAS, CODE, COPY, Machine, PAGE, Runtime, STACK, STUB, VIEW};
use crate::random::Random;
use orch_shm_tracker::stub;
use std::time::Instant;

const PASSES: u64 = 2_000_000;

/// `instruction` in a loop; with a stub in its place if `patch`. Nanoseconds a pass.
fn pass(m: &mut Machine, instruction: &[u8], shared: bool, patch: bool) -> f64 {
    let mut code = instruction.to_vec();
    // sub $1,%r15, which ends what depends on flags; jne
    code.extend([0x49, 0x83, 0xef, 0x01, 0x0f, 0x85]);
    let back = -(code.len() as i32) - 4;
    code.extend(back.to_le_bytes());
    let code = crate::scenario::with_end(&code);
    m.memory(CODE, code.len()).copy_from_slice(&code);
    m.reset();
    m.open_view(true);
    let view = m.base + VIEW;
    let page = m.page(view);
    if shared {
        page.shared = view / PAGE as u64;
        (page.alias, page.copy) = (ALIAS - VIEW, COPY - VIEW);
    } else {
        page.private = view / PAGE as u64;
    }
    for at in [VIEW, ALIAS, COPY] {
        m.memory(at, PAGE).fill(0);
    }
    if patch {
        let s = stub(
            &code[..code.len().min(40)],
            0,
            m.base + CODE,
            m.base + STUB,
            0,
        )
        .expect("a stub");
        assert!(s.patch);
        m.memory(STUB, s.code.len()).copy_from_slice(&s.code);
        let jump = (STUB as i32 - CODE as i32 - 5).to_le_bytes();
        let place = m.memory(CODE, 5);
        place[0] = 0xe9;
        place[1..].copy_from_slice(&jump);
    }
    let mut best = f64::MAX;
    for _ in 0..40 {
        let mut state = Random(3).state();
        state.gpr[15] = PASSES;
        state.gpr[7] = view;
        state.gpr[4] = m.base + STACK + 512;
        let start = Instant::now();
        m.run(m.base + CODE, &mut state, &mut Runtime::default());
        best = best.min(start.elapsed().as_nanos() as f64 / PASSES as f64);
    }
    best
}

#[test]
#[ignore = "takes time, proves nothing"]
fn measure() {
    let mut m = Machine::new();
    let forms: [(&str, bool, &[u8]); 7] = [
        (
            "mov 16(%rdi),%rax  ",
            true,
            &[0x48, 0x8b, 0x87, 16, 0, 0, 0],
        ),
        (
            "mov 16(%rdi),%rdx  ",
            true,
            &[0x48, 0x8b, 0x97, 16, 0, 0, 0],
        ),
        (
            "cmp 16(%rdi),%rdx  ",
            true,
            &[0x48, 0x3b, 0x97, 16, 0, 0, 0],
        ),
        (
            "movdqu 16(%rdi),%xmm0",
            true,
            &[0xf3, 0x0f, 0x6f, 0x87, 16, 0, 0, 0],
        ),
        (
            "vmovdqu64 (%rdi),%zmm0",
            true,
            &[0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x07],
        ),
        (
            "mov %rdx,16(%rdi)  ",
            false,
            &[0x48, 0x89, 0x97, 16, 0, 0, 0],
        ),
        (
            "add %rdx,16(%rdi)  ",
            false,
            &[0x48, 0x01, 0x97, 16, 0, 0, 0],
        ),
    ];
    for (name, load, bytes) in forms {
        let alone = pass(&mut m, bytes, false, false);
        let private = pass(&mut m, bytes, false, true);
        println!("{name:24} alone {alone:5.2} ns, private {private:5.2} ns");
        if load {
            let shared = pass(&mut m, bytes, true, true);
            println!("{:24} shared and unchanged {shared:5.2} ns", "");
        }
    }
}
