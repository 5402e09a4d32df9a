//! The events of several recordings in the order of their ticks.
//!
//! A recording is opened when the merge comes to its first event and closed
//! behind its last, and of each open one a single block is in memory: so
//! memory is bounded by how many processes ran at a time.

use anyhow::Result;
use orch_recorder::session::Session;
use orch_recorder::trace::{Block, Record, RecordingId, RecordingReader, Tick};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Reads recordings side by side.
pub struct Merge<'s> {
    session: &'s Session,
    from: Tick,
    to: Tick,
    /// Where each recording goes on, earliest first; those not yet open too.
    queue: BinaryHeap<Reverse<(Tick, RecordingId)>>,
    open: HashMap<RecordingId, Cursor>,
    /// The recording that the last record came from; not in the queue.
    last: Option<RecordingId>,
}

/// A place in an open recording.
struct Cursor {
    reader: RecordingReader,
    block: Block,
    at: usize,
    index: u64,
    /// Highest tick up to here: a call's own tick may be that of its begin.
    tick: Tick,
}

impl Cursor {
    fn open(session: &Session, id: RecordingId, from: Tick) -> Result<Self> {
        let mut reader = session.reader(id)?;
        reader.seek_tick(from);
        Ok(Self {
            reader,
            block: Block::default(),
            at: 0,
            index: 0,
            tick: Tick(0),
        })
    }

    /// The tick that orders the record here; `None` at the end. After an
    /// error, goes on with the block behind.
    fn peek(&mut self) -> Result<Option<Tick>> {
        while self.at >= self.block.raw.len() {
            self.block.raw.clear();
            self.at = 0;
            if !self.reader.next_block_into(&mut self.block)? {
                return Ok(None);
            }
            self.index = self.block.first_index;
            self.tick = self.tick.max(self.block.first_tick);
        }
        match Record::parse(&self.block.raw[self.at..], 0, 0) {
            Ok((record, _)) => Ok(Some(self.tick.max(Tick(record.head.tick)))),
            Err(e) => {
                self.at = self.block.raw.len();
                Err(e.into())
            }
        }
    }

    /// The record that was peeked at, which is then behind.
    fn take(&mut self) -> Result<Record<'_>> {
        let offset = self.block.offset + self.at as u64;
        let (record, len) = Record::parse(&self.block.raw[self.at..], offset, self.index)?;
        self.at += len;
        self.index += 1;
        self.tick = self.tick.max(Tick(record.head.tick));
        Ok(record)
    }
}

impl<'s> Merge<'s> {
    /// The events of `recordings` with ticks in `from..=to`.
    pub fn new(session: &'s Session, recordings: &[RecordingId], from: Tick, to: Tick) -> Self {
        let mut queue = BinaryHeap::new();
        for &id in recordings {
            // One that cannot be read is opened at once, and says why.
            let span = session.summary(id).map(|s| (s.first_tick, s.last_tick));
            let (first, last) = span.unwrap_or((Tick(0), Tick(u64::MAX)));
            if last >= from && first <= to {
                queue.push(Reverse((first.max(from), id)));
            }
        }
        Self {
            session,
            from,
            to,
            queue,
            open: HashMap::new(),
            last: None,
        }
    }

    /// The next event; `None` at the end. After an error (a damaged block),
    /// goes on behind it.
    pub fn next(&mut self) -> Result<Option<(RecordingId, Record<'_>)>> {
        let Some(id) = self.choose()? else {
            return Ok(None);
        };
        self.last = Some(id);
        let cursor = self.open.get_mut(&id).expect("chosen among the open");
        Ok(Some((id, cursor.take()?)))
    }

    /// The recording that has the next event.
    fn choose(&mut self) -> Result<Option<RecordingId>> {
        if let Some(id) = self.last.take() {
            // Mostly the same process goes on: no need to touch the queue.
            if let Some(tick) = self.advance(id)? {
                let other = self.queue.peek();
                if other.is_none_or(|&Reverse(first)| (tick, id) <= first) {
                    return Ok(Some(id));
                }
                self.queue.push(Reverse((tick, id)));
            }
        }
        while let Some(Reverse((expected, id))) = self.queue.pop() {
            match self.advance(id)? {
                None => {}
                Some(tick) if tick <= expected => return Ok(Some(id)),
                Some(tick) => self.queue.push(Reverse((tick, id))),
            }
        }
        Ok(None)
    }

    /// Goes to the next record of `id` that is in the range, and tells its
    /// tick; `None`, and the recording is closed, if there is none.
    fn advance(&mut self, id: RecordingId) -> Result<Option<Tick>> {
        if !self.open.contains_key(&id) {
            let cursor = Cursor::open(self.session, id, self.from)?;
            self.open.insert(id, cursor);
        }
        let cursor = self.open.get_mut(&id).expect("it was just opened");
        loop {
            match cursor.peek() {
                Ok(Some(tick)) if tick < self.from => {
                    cursor.take()?;
                }
                Ok(Some(tick)) if tick <= self.to => return Ok(Some(tick)),
                Ok(_) => {
                    self.open.remove(&id);
                    return Ok(None);
                }
                Err(e) => {
                    self.queue.push(Reverse((cursor.tick, id)));
                    return Err(e);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orch_abi::record::Insn;
    use orch_recorder::session::Meta;
    use orch_recorder::trace::record::build;
    use proptest::prelude::*;

    fn session(dir: &std::path::Path, recordings: &[Vec<u64>]) -> Session {
        let meta = Meta::now(vec!["test".into()], dir.into(), Vec::new());
        let session = Session::create(dir, meta).expect("a new directory");
        for (n, ticks) in (1..).zip(recordings) {
            let mut writer = session.writer(RecordingId(n)).expect("a new recording");
            for &tick in ticks {
                let record = build::insn(tick, &Insn::default());
                writer.append(&record).expect("it is a record");
                if tick % 7 == 0 {
                    writer.flush().expect("there is room");
                }
            }
            writer.finish().expect("there is room");
        }
        session
    }

    fn merged(session: &Session, from: u64, to: u64) -> Vec<(u32, u64)> {
        let ids = session.recordings().expect("it is readable");
        let mut merge = Merge::new(session, &ids, Tick(from), Tick(to));
        let mut out = Vec::new();
        while let Some((id, record)) = merge.next().expect("nothing is damaged") {
            out.push((id.0, record.head.tick));
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn order_is_that_of_the_clock(
            owners in proptest::collection::vec(0..4_usize, 0..200),
            from in 0..200_u64,
            len in 0..200_u64,
        ) {
            let mut recordings = vec![Vec::new(); 4];
            for (tick, &owner) in (1..).zip(&owners) {
                recordings[owner].push(tick);
            }
            let dir = tempfile::tempdir().expect("a temporary directory");
            let session = session(&dir.path().join("s"), &recordings);
            let expected: Vec<(u32, u64)> = (1..)
                .zip(&owners)
                .filter(|(tick, _)| (from..=from + len).contains(tick))
                .map(|(tick, &owner)| (owner as u32 + 1, tick))
                .collect();
            prop_assert_eq!(merged(&session, from, from + len), expected);
        }
    }

    #[test]
    fn a_process_keeps_its_own_order() {
        // The third record tells of a call that began before the second.
        let dir = tempfile::tempdir().expect("a temporary directory");
        let session = session(&dir.path().join("s"), &[vec![1, 10, 5, 11], vec![7, 12]]);
        let all = merged(&session, 0, u64::MAX);
        assert_eq!(all, [(1, 1), (2, 7), (1, 10), (1, 5), (1, 11), (2, 12)]);
    }
}
