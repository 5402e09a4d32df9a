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
                !job.is_over()
            })?;
            self.index = Some(index);
        }
        let index = self.index.as_ref().context("there is no index")?;
        job.interrupt_by(&index.interrupter());
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::worker::Workers;
    use orch_abi::record::{Forked, Object, Shared, Start, View, object};
    use orch_recorder::session::{Meta, Session};
    use orch_recorder::trace::RecordingId;
    use orch_recorder::trace::record::build;
    use orch_tui::Backend as _;
    use orch_tui::event::{Event, Loaded, Request};
    use std::ffi::OsStr;
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, Instant};

    const BASE: u64 = 0x7f00_0000_0000;
    /// Messages from p2 to p3.
    const MESSAGES: u64 = 8_000;
    /// Bytes that both have stored before, one by one: each message is looked at for each.
    const BYTES: u64 = 256;

    /// Two processes with much to be looked at for races.
    fn session(dir: &Path) -> Session {
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        let start = Start::default();
        let (program, root) = (OsStr::new("/bin/test"), OsStr::new("/"));
        all[0].push(build::start(1, &start, program, &["test"], root));
        for (n, records) in (2..).zip(&mut all[1..]) {
            let (parent, pid, tick) = (1, 100 + n, 1);
            records.push(build::forked(2, &Forked { parent, pid, tick }));
            let (id, what, dev, ino) = (1, object::FILE, 1, 1);
            let file = Object { id, what, dev, ino };
            records.push(build::object(2, &file, OsStr::new("/dev/shm/much")));
            let (addr, len, object, offset, prot) = (BASE, 1 << 20, 1, 0, 3);
            let view = View {
                addr,
                len,
                object,
                offset,
                prot,
            };
            records.push(build::view(2, &view));
            for byte in 0..BYTES {
                let tick = 10 + 2 * byte + u64::from(n);
                records.push(build::store(tick, 0, 0x1000, BASE + byte, &[1], None));
            }
        }
        for n in 0..MESSAGES {
            let (tick, at, text) = (10_000 + 2 * n, BASE + 4096, n.to_le_bytes());
            all[1].push(build::store(tick, 0, 0x1000, at, &text, None));
            let shared = Shared {
                ip: 0x2000,
                ordinal: n,
                ..Shared::default()
            };
            all[2].push(build::shared(tick + 1, 0, &shared, &[(at, &text)]));
        }
        let last = 20_000 + 2 * MESSAGES;
        all[2].push(build::store(last, 0, 0x1000, BASE, &[2], None));
        let meta = Meta::now(vec!["test".into()], dir.into(), Vec::new());
        let mut session = Session::create(&dir.join("s"), meta).expect("a new directory");
        for (n, records) in (1..).zip(&all) {
            let mut writer = session.writer(RecordingId(n)).expect("a new recording");
            for record in records {
                writer.append(record).expect("it is a record");
            }
            writer.finish().expect("there is room");
        }
        session
            .update(|meta| meta.end(0, Vec::new()))
            .expect("it can be written");
        session
    }

    /// The answers to a ticket, and to those before it.
    fn answers(workers: &Workers, ticket: u64) -> Vec<Loaded> {
        const LIMIT: Duration = Duration::from_secs(120);
        let mut all = Vec::new();
        loop {
            let event = workers.answers().recv_timeout(LIMIT);
            if let Event::Loaded(n, loaded) = event.expect("it is answered") {
                all.push(*loaded);
                if n == ticket {
                    return all;
                }
            }
        }
    }

    /// Whenever nobody waits for it any more, a search for races ends: while edges are read, and
    /// while accesses are ordered by them. Whoever asks next does not wait long.
    #[test]
    fn a_search_that_is_given_up_ends_soon() {
        const SOON: Duration = Duration::from_millis(100);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut workers = Workers::start(&session(dir.path()), &[]);
        let place = format!("/dev/shm/much+0x0 {BYTES}");
        workers.ask(0, Request::Blame(place.clone(), None));
        answers(&workers, 0);
        let order = Request::Order((place, None), true);
        let mut tickets = (1..).step_by(2);
        let mut interrupted = false;
        for after in [0, 5, 20, 50, 100, 200].map(Duration::from_millis) {
            let tries = tickets.by_ref().take(5).map(|ticket| {
                workers.ask(ticket, order.clone());
                thread::sleep(after);
                let start = Instant::now();
                workers.cancel(&[ticket]);
                workers.ask(ticket + 1, Request::Bookmarks(Vec::new()));
                let all = answers(&workers, ticket + 1);
                let why = Loaded::Order(Err("interrupted".to_owned()));
                interrupted |= all.contains(&why);
                start.elapsed()
            });
            // Of several tries, as others may have had the processor.
            let late = tries.take_while(|&late| late >= SOON).count();
            assert!(
                late < 5,
                "after {after:?} it goes on for more than {SOON:?}"
            );
        }
        assert!(interrupted, "it takes longer than that by itself");
        workers.ask(0, order);
        let last = answers(&workers, 0).pop();
        let Some(Loaded::Order(Ok(Some(rows)))) = last else {
            panic!("the next search is not interrupted: {last:?}");
        };
        assert_eq!(rows.len() as u64, 2 * BYTES + 1);
        let last = rows.last().and_then(Option::as_ref);
        assert!(
            last.is_some_and(|last| !last.race),
            "by a message: {last:?}"
        );
    }
}
