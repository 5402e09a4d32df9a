//! What searches what all processes have done: in the index of shared memory, in the graph of
//! what happened before what, in programs.

use super::live::Live;
use super::worker::{Job, failed, in_words};
use super::{arrows, bookmarks, breakpoint, history, message, writers};
use anyhow::{Context as _, Result};
use orch_blame::graph::Graph;
use orch_blame::index::Index;
use orch_blame::symbols::Symbols;
use orch_recorder::session::Session;
use orch_recorder::trace::Tick;
use orch_tui::Around;
use orch_tui::data::{Arrow, Message, Ordered, Stop};
use orch_tui::event::{Loaded, Request, To};

/// Whether all of it is searched in a moment: that may be done without being asked for. (Of
/// one that is being recorded, it would be done again and again.)
fn is_small(session: &Session) -> bool {
    const SMALL: u64 = 32 << 20;
    let Ok(ids) = session.recordings() else {
        return false;
    };
    let bytes = ids.iter().filter_map(|&id| session.summary(id).ok());
    session.meta().running().is_none() && bytes.map(|s| s.bytes).sum::<u64>() <= SMALL
}

/// What it has found so far.
pub struct Searcher {
    session: Live,
    index: Option<Index>,
    symbols: Symbols,
    graph: Option<Graph>,
}

impl Searcher {
    /// Nothing yet.
    pub fn new(session: Session) -> Self {
        Self {
            symbols: Symbols::of(session.files().ok()),
            session: Live::new(session),
            index: None,
            graph: None,
        }
    }

    /// Searches.
    pub fn answer(&mut self, job: &Job, request: &Request) -> Loaded {
        let session = self.now();
        match request {
            Request::Arrows(around, asked) => {
                Loaded::Arrows(in_words(self.arrows(&session, job, *around, *asked)))
            }
            Request::Blame(place, from) => {
                Loaded::History(in_words(self.index(job).and_then(|index| {
                    history::history(&session, index, job, place, from.as_deref())
                })))
            }
            Request::Order(place, asked) => {
                Loaded::Order(in_words(self.order(&session, job, place, *asked)))
            }
            Request::Near(recording, tick) => Loaded::Near(in_words(
                self.index(job)
                    .and_then(|index| history::near(&session, index, *recording, *tick)),
            )),
            Request::Message(position, to) => {
                Loaded::Messages(in_words(self.message(&session, job, (position, *to))))
            }
            Request::Writers(position, addr, bytes) => {
                let wanted = (&position[..], *addr, &bytes[..]);
                Loaded::Writers(in_words(self.writers(&session, job, wanted)))
            }
            Request::Bookmarks(changes) => {
                Loaded::Bookmarks(in_words(bookmarks::change(&session, changes)))
            }
            Request::Break(text, recording) => {
                Loaded::Stop(in_words(self.breakpoint(&session, job, (text, *recording))))
            }
            other => failed(other, "this is for another thread".to_owned()),
        }
    }

    fn message(
        &mut self,
        session: &Session,
        job: &Job,
        wanted: (&str, To),
    ) -> Result<Vec<Message>> {
        self.graph(session, job)?;
        let index = self.index.as_ref().context("there is no index")?;
        let graph = self.graph.as_ref().context("there is no graph")?;
        message::find(session, index.catalog(), graph, wanted)
    }

    fn arrows(
        &mut self,
        session: &Session,
        job: &Job,
        around: Around,
        asked: bool,
    ) -> Result<Option<Vec<Arrow>>> {
        if self.graph.is_none() && !asked && !is_small(session) {
            return Ok(None);
        }
        Ok(Some(arrows::find(self.graph(session, job)?, around)))
    }

    fn order(
        &mut self,
        session: &Session,
        job: &Job,
        (place, from): &(String, Option<String>),
        asked: bool,
    ) -> Result<Option<Vec<Option<Ordered>>>> {
        if self.graph.is_none() && !asked && !is_small(session) {
            return Ok(None);
        }
        // Of a large session, what orders these accesses is much less than the whole graph.
        if is_small(session) {
            self.graph(session, job)?;
        } else {
            self.index(job)?;
        }
        let index = self.index.as_ref().context("there is no index")?;
        let graph = self.graph.as_ref();
        let place = (&place[..], from.as_deref());
        match history::order(session, index, graph, job, place) {
            // Who asks is told why.
            Err(_) if !asked => Ok(None),
            found => found.map(Some),
        }
    }

    /// Where the index is there, or made in a moment.
    fn writers(
        &mut self,
        session: &Session,
        job: &Job,
        wanted: (&str, u64, &[u8]),
    ) -> Result<Vec<Option<u32>>> {
        if self.index.is_none() && !is_small(session) && !Index::is_kept(session) {
            return Ok(Vec::new());
        }
        writers::find(session, self.index(job)?, job, wanted)
    }

    fn graph(&mut self, session: &Session, job: &Job) -> Result<&Graph> {
        self.index(job)?;
        let index = self.index.as_ref().context("there is no index")?;
        if self.graph.is_none() {
            let graph = Graph::read(session, index, Tick(0)..=Tick(u64::MAX))?;
            self.graph = Some(graph);
        }
        self.graph.as_ref().context("there is no graph")
    }

    fn breakpoint(
        &mut self,
        session: &Session,
        job: &Job,
        wanted: (&str, Option<u32>),
    ) -> Result<Stop> {
        self.index(job)?;
        let index = self.index.as_ref().context("there is no index")?;
        let (catalog, symbols) = (index.catalog(), &mut self.symbols);
        breakpoint::find(session, catalog, symbols, job, wanted)
    }

    /// The session as it is now. What was made of it when it was shorter is made again.
    fn now(&mut self) -> Session {
        let session = self.session.now().clone();
        if self.index.as_ref().is_some_and(|i| !i.is_of(&session)) {
            (self.index, self.graph) = (None, None);
            self.symbols = Symbols::of(session.files().ok());
        }
        session
    }

    fn index(&mut self, job: &Job) -> Result<&Index> {
        if self.index.is_none() {
            let mut told = 0;
            let index = Index::open(self.session.now(), &mut |part| {
                let percent = (part * 100.0) as u32;
                if percent > told {
                    told = percent;
                    job.tell(format!("indexing accesses (once), {percent} %"));
                }
            })?;
            self.index = Some(index);
        }
        self.index.as_ref().context("there is no index")
    }
}
