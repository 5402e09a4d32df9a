//! Reading a recording as it grows: each time what has come since.

use super::worker::Job;
use anyhow::Result;
use orch_recorder::session::Session;
use orch_recorder::trace::{Block, Record, RecordingId, TraceError};

/// How far a recording was read.
#[derive(Debug, Default)]
pub struct Progress {
    /// Up to this offset of its stream.
    offset: u64,
    /// It was closed, and read to its end.
    whole: bool,
}

impl Progress {
    /// Reads what has come since; the error is the last damage, behind which it went on.
    /// Where nobody waits any more, it goes on from there the next time.
    ///
    /// # Errors
    /// If it cannot be read at all, or nobody waits any more.
    pub fn go_on(
        &mut self,
        (session, id): (&Session, RecordingId),
        job: &Job,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Result<(), TraceError>> {
        if self.whole {
            return Ok(Ok(()));
        }
        let mut reader = session.reader(id)?;
        reader.seek_offset(self.offset.min(reader.end()))?;
        let mut block = Block::default();
        let mut damage = Ok(());
        loop {
            job.go_on()?;
            match reader.next_block_into(&mut block) {
                Ok(true) => {
                    block.records().flatten().for_each(|record| each(&record));
                    self.offset = block.offset + block.raw.len() as u64;
                }
                Ok(false) => break,
                Err(e) => damage = Err(e),
            }
        }
        self.offset = reader.end();
        self.whole = reader.is_finished();
        Ok(damage)
    }
}
