//! A session that may still be being recorded.

use orch_recorder::recover::recover;
use orch_recorder::session::Session;

/// It, as it was when it was last looked at.
pub struct Live {
    session: Session,
    runs: bool,
}

impl Live {
    pub fn new(session: Session) -> Self {
        let runs = session.meta().running().is_some();
        Self { session, runs }
    }

    /// Whether it was still being recorded.
    pub const fn runs(&self) -> bool {
        self.runs
    }

    /// As it is now; what was recorded is asked for. Where the recorder was killed,
    /// what it left is saved.
    pub fn now(&mut self) -> &Session {
        if !self.runs {
            return &self.session;
        }
        self.open_again();
        self.runs = self.session.meta().running().is_some();
        if self.runs {
            // One that cannot be written to is seen to grow block by block.
            let _ = self.session.watch();
        } else {
            // Its end may have been noted behind what was read.
            self.open_again();
            self.session.unwatch();
            // Where that fails, what is on disk is there.
            let _ = recover(&mut self.session);
        }
        &self.session
    }

    fn open_again(&mut self) {
        // One that is gone is said to be so where it is read.
        if let Ok(session) = Session::open(self.session.dir()) {
            self.session = session;
        }
    }
}
