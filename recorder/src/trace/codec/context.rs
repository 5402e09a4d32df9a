//! What encoder and decoder both remember about the records they have seen.

/// How many words of a record a context remembers.
const WINDOW: usize = 32;
/// Most contexts at a time; then the oldest is given up for a new one.
pub(super) const MAX_CONTEXTS: usize = 1024;

/// What makes records alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub kind: u8,
    pub flags: u8,
    pub aux: u16,
    /// Instruction pointer, for kinds that have one.
    pub site: u64,
}

/// The last record of its key.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub key: Key,
    /// Payload bytes.
    pub len: u32,
    /// Context of the record that came after it.
    pub next: u32,
    words: [u64; WINDOW],
}

impl Context {
    /// The word that word `i` of the next record is compared with. Beyond the
    /// window it is the one two before, for tables of pairs.
    #[inline]
    pub fn word(&mut self, i: usize) -> &mut u64 {
        let slot = if i < WINDOW { i } else { WINDOW - 2 + (i & 1) };
        &mut self.words[slot]
    }
}

/// All contexts of a block.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    list: Vec<Context>,
    /// How many were ever made in this block.
    made: usize,
    /// The one of the record before.
    last: u32,
}

impl Contexts {
    pub fn clear(&mut self) {
        self.list.clear();
        self.made = 0;
        self.last = 0;
    }

    /// The context that followed the last one the last time.
    #[inline]
    pub fn predicted(&self) -> Option<u32> {
        self.list
            .get(self.last as usize)
            .map(|context| context.next)
    }

    #[inline]
    pub fn get(&self, id: u32) -> Option<&Context> {
        self.list.get(id as usize)
    }

    /// Makes a context; returns its number and the key that lost its place.
    pub fn make(&mut self, key: Key) -> (u32, Option<Key>) {
        let id = (self.made % MAX_CONTEXTS) as u32;
        self.made += 1;
        let fresh = Context {
            key,
            len: 0,
            next: id,
            words: [0; WINDOW],
        };
        match self.list.get_mut(id as usize) {
            Some(old) => (id, Some(std::mem::replace(old, fresh).key)),
            None => {
                self.list.push(fresh);
                (id, None)
            }
        }
    }

    /// Notes that the current record is of context `id`, and returns it.
    #[inline]
    pub fn follow(&mut self, id: u32) -> Option<&mut Context> {
        if let Some(last) = self.list.get_mut(self.last as usize) {
            last.next = id;
        }
        self.last = id;
        self.list.get_mut(id as usize)
    }
}
