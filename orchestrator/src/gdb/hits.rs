//! `monitor hit`: from one pass of the wanted instructions to the next, for `orch log`.
//! gdb itself never runs the program: it would stop, step and look around for each of them.

use super::connection::Interrupts;
use crate::travel::{Hits, Travel, Wanted};
use anyhow::Result;

/// A search whose first pass is where the debugger finds the process.
pub struct Search {
    hits: Hits,
    /// What was found before anybody asked.
    first: Option<String>,
}

impl Search {
    /// Goes to the first pass.
    pub fn begin(travel: &mut Travel, wanted: Wanted, interrupts: &Interrupts) -> Result<Self> {
        let hits = Hits::begin(travel, wanted)?;
        let mut search = Self { hits, first: None };
        search.first = Some(search.find(travel, interrupts)?);
        Ok(search)
    }

    /// The next pass: its position, tick, thread, and how many files were mapped; or `end`.
    pub fn next(&mut self, travel: &mut Travel, interrupts: &Interrupts) -> Result<String> {
        match self.first.take() {
            Some(found) => Ok(found),
            None => self.find(travel, interrupts),
        }
    }

    fn find(&mut self, travel: &mut Travel, interrupts: &Interrupts) -> Result<String> {
        interrupts.forward(Some(travel.interrupter()));
        let hit = self.hits.next(travel);
        interrupts.forward(None);
        let Some(hit) = hit? else {
            return Ok("end".to_owned());
        };
        let threads = travel.threads()?;
        let tid = threads.iter().find(|t| t.running).map_or(0, |t| t.tid);
        let (position, tick, mapped) = (hit.position, hit.tick, hit.mapped);
        Ok(format!("{position} {tick} {tid} {mapped}"))
    }
}
