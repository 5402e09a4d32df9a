//! What reads recordings: the processes, how much they did when, what they printed, events.

use super::counts::Counts;
use super::live::Live;
use super::printed::Printed;
use super::read;
use super::worker::{Job, failed, in_words};
use orch_recorder::session::Session;
use orch_tui::event::{Loaded, Request};

/// What it has read so far.
pub struct Reader {
    session: Live,
    counts: Counts,
    printed: Printed,
}

impl Reader {
    /// Nothing yet.
    pub fn new(session: Session) -> Self {
        Self {
            session: Live::new(session),
            counts: Counts::default(),
            printed: Printed::default(),
        }
    }

    /// Reads.
    pub fn answer(&mut self, job: &Job, request: &Request) -> Loaded {
        let session = self.session.now();
        match request {
            Request::Overview => Loaded::Overview(in_words(read::overview(session))),
            Request::Lanes => Loaded::Lanes(in_words(self.counts.lanes(session, job))),
            Request::Console => Loaded::Console(in_words(self.printed.lines(session, job))),
            Request::Events(only, tick) => {
                Loaded::Events(in_words(read::events(session, job, *only, *tick)))
            }
            Request::Seek(only, tick, filter) => {
                let wanted = (*only, *tick, &filter[..]);
                Loaded::Sought(in_words(read::seek(session, job, wanted)))
            }
            other => failed(other, "this is for another thread".to_owned()),
        }
    }
}
