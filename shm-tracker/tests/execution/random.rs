//! Random contents, the same in each run of the test.

use crate::machine::{State, XSAVE, component, components};

/// xorshift64*
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }

    /// A state in which no instruction raises a floating-point exception.
    pub fn state(&mut self) -> State {
        let mut s = State {
            xsave: [0; XSAVE],
            gpr: [0; 16],
            flags: 0x202 | self.next() & 0x8d5,
        };
        for r in &mut s.gpr {
            *r = self.next();
        }
        let tags = self.pick(&[0, 0xff, 0x0f]);
        s.xsave[0..5].copy_from_slice(&[0x7f, 3, 0, 0, tags]);
        s.xsave[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        for n in 0..8 {
            self.fill(&mut s.xsave[32 + 16 * n..42 + 16 * n]);
        }
        self.fill(&mut s.xsave[160..416]);
        let has = components();
        for n in (2..8).filter(|n| has >> n & 1 == 1) {
            let (offset, len) = component(n);
            self.fill(&mut s.xsave[offset..offset + len]);
        }
        s.xsave[512..520].copy_from_slice(&has.to_le_bytes());
        s
    }
}

/// What must be equal: all but where the x87 instruction and its operand were,
/// and which components the CPU says are in use.
pub fn visible(s: &State) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("x87 control", s.xsave[0..6].to_vec()),
        ("mxcsr", s.xsave[24..28].to_vec()),
        ("x87", s.xsave[32..160].to_vec()),
        ("xmm", s.xsave[160..416].to_vec()),
    ];
    let has = components();
    for n in (2..8).filter(|n| has >> n & 1 == 1) {
        let (offset, len) = component(n);
        all.push(("extended", s.xsave[offset..offset + len].to_vec()));
    }
    all
}
