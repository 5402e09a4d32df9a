//! Who wrote the memory that is shown.

use crate::data::Process;
use crate::event::{Effect, Request};
use crate::state::State;

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writers {
    /// At which position.
    position: String,
    /// The first byte.
    addr: u64,
    /// The recordings, byte by byte.
    of: Vec<Option<u32>>,
}

impl State {
    /// The bytes that are shown, to be asked about.
    pub(crate) fn ask_for_writers(&mut self) -> Vec<Effect> {
        let Some(picture) = self.picture.as_ref() else {
            return Vec::new();
        };
        let memory = &picture.memory;
        if memory.bytes.is_empty() {
            return Vec::new();
        }
        let position = picture.position.clone();
        self.ask_quietly(Request::Writers(
            position,
            memory.addr,
            memory.bytes.clone(),
        ))
    }

    pub(crate) fn set_writers(&mut self, asked: Request, of: Vec<Option<u32>>) {
        if let Request::Writers(position, addr, _) = asked {
            self.writers = Writers { position, addr, of };
        }
    }

    /// The recordings that wrote the bytes of memory, as far as that is known.
    fn known_writers(&self) -> &[Option<u32>] {
        let writers = &self.writers;
        let here = self.picture.as_ref().filter(|picture| {
            (&picture.position, picture.memory.addr) == (&writers.position, writers.addr)
        });
        here.map_or(&[], |_| &writers.of)
    }

    /// Which recording wrote a byte of memory.
    #[must_use]
    pub fn writer(&self, at: usize) -> Option<u32> {
        self.known_writers().get(at).copied().flatten()
    }

    /// All that wrote some of it, in order.
    #[must_use]
    pub fn all_writers(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.known_writers().iter().copied().flatten().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// A recording and its program: `p4 submit`.
    #[must_use]
    pub fn name(&self, id: u32) -> String {
        let mut all = self.overview.iter().flat_map(|o| &o.processes);
        let program = all.find(|p: &&Process| p.id == id).map(|p| &p.program);
        program.map_or_else(|| format!("p{id}"), |program| format!("p{id} {program}"))
    }
}
