//! The code around an access: where instructions before it begin, and where
//! branches lead, as far as can be seen. A guess that is wrong costs time only:
//! a branch into a window faults, and is sent on.

use crate::window::Window;
use iced_x86::{Decoder, DecoderOptions};

/// How many instructions before the access a window may begin.
const MOST_BEFORE: usize = 2;
/// From how many places the code before is tried to be read. Wherever one
/// begins, after some instructions one mostly reads those that are meant.
const TRIES: usize = 16;

/// Code, read.
pub struct Around<'a> {
    code: &'a [u8],
    /// Address of `code`.
    base: u64,
    ip: u64,
    /// Addresses of the last instructions before `ip`, nearest first.
    before: Vec<u64>,
    /// Where branches lead.
    targets: Vec<u64>,
}

impl<'a> Around<'a> {
    /// Reads `code`, of which `before` bytes precede `ip`.
    pub fn new(code: &'a [u8], before: usize, ip: u64) -> Self {
        let before = before.min(code.len());
        let mut around = Self {
            code,
            base: ip.wrapping_sub(before as u64),
            ip,
            before: Vec::new(),
            targets: Vec::new(),
        };
        let tries = (0..before.min(TRIES)).map(|skip| around.base + skip as u64);
        match tries.clone().find(|&from| around.reaches(from)) {
            Some(from) => around.read(from),
            None => around.read(ip),
        }
        around
    }

    fn from(&self, address: u64) -> &'a [u8] {
        let at = usize::try_from(address.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        self.code.get(at..).unwrap_or(&[])
    }

    fn decoder(&self, from: u64) -> Decoder<'a> {
        Decoder::with_ip(64, self.from(from), from, DecoderOptions::NONE)
    }

    /// Whether reading from `from` one comes to `ip`.
    fn reaches(&self, from: u64) -> bool {
        let mut decoder = self.decoder(from);
        while decoder.can_decode() && decoder.ip() < self.ip {
            if decoder.decode().is_invalid() {
                return false;
            }
        }
        decoder.ip() == self.ip
    }

    fn read(&mut self, from: u64) {
        let mut decoder = self.decoder(from);
        while decoder.can_decode() {
            let i = decoder.decode();
            if i.is_jcc_short_or_near() || i.is_jmp_short_or_near() || i.is_loop() {
                self.targets.push(i.near_branch_target());
            }
            if i.ip() < self.ip {
                self.before.insert(0, i.ip());
                self.before.truncate(MOST_BEFORE);
            }
        }
    }

    /// Windows that the access can be done in, the best first.
    pub fn windows(&self) -> Vec<Window> {
        let find = |start: u64| Window::find(self.from(start), start, self.ip);
        let entered = |w: &Window| self.targets.iter().any(|&t| w.has_inside(t));
        let forward = find(self.ip);
        let (mut windows, mut worse) = (Vec::new(), Vec::new());
        for window in forward
            .into_iter()
            .chain(self.before.iter().filter_map(|&s| find(s)))
        {
            if entered(&window) {
                worse.push(window);
            } else {
                windows.push(window);
            }
        }
        windows.append(&mut worse);
        windows.extend(Window::alone(self.from(self.ip), self.ip));
        windows
    }
}
