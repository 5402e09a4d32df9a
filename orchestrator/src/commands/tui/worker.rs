//! Three threads that work at what the screens ask for: one replays, one reads, one searches.

use super::picture::Traveller;
use super::reader::Reader;
use super::searcher::Searcher;
use anyhow::Result;
use orch_recorder::session::Session;
use orch_tui::Backend;
use orch_tui::event::{Event, Loaded, Request, Worker};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Which tickets somebody still waits for, and how to interrupt what is being replayed.
#[derive(Clone, Default)]
struct Waited(Arc<Mutex<Tickets>>);

#[derive(Default)]
struct Tickets {
    waited: HashSet<u64>,
    replaying: Vec<(u64, Arc<AtomicBool>)>,
}

impl Waited {
    fn with<T>(&self, what: impl FnOnce(&mut Tickets) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A ticket that is worked at.
pub struct Job {
    ticket: u64,
    waited: Waited,
    answers: Sender<Event>,
}

impl Job {
    /// Whether nobody waits for it any more.
    pub fn is_over(&self) -> bool {
        self.waited.with(|t| !t.waited.contains(&self.ticket))
    }

    /// An error, if nobody does.
    pub fn go_on(&self) -> Result<()> {
        anyhow::ensure!(!self.is_over(), "cancelled");
        Ok(())
    }

    /// Tells how far it has come.
    pub fn tell(&self, text: String) {
        let _ = self.answers.send(Event::Progress(self.ticket, text));
    }

    /// What tells the same from another thread.
    pub fn teller(&self) -> impl Fn(String) + Send + 'static {
        let (answers, ticket) = (self.answers.clone(), self.ticket);
        move |text| drop(answers.send(Event::Progress(ticket, text)))
    }

    /// From here on this is set when nobody waits any more.
    pub fn interrupt_by(&self, flag: &Arc<AtomicBool>) {
        flag.store(false, Ordering::Relaxed);
        self.waited.with(|t| {
            t.replaying.push((self.ticket, Arc::clone(flag)));
            if !t.waited.contains(&self.ticket) {
                flag.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Tells each second how long it has taken, until what is returned is dropped.
    pub fn clock(&self) -> Sender<()> {
        let (running, over) = mpsc::channel();
        let (answers, ticket) = (self.answers.clone(), self.ticket);
        thread::spawn(move || {
            let second = Duration::from_secs(1);
            for n in 1_u64.. {
                if over.recv_timeout(second) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let _ = answers.send(Event::Progress(ticket, format!("{n} s")));
            }
        });
        running
    }

    fn answer(&self, loaded: Loaded) {
        self.waited.with(|t| {
            t.waited.remove(&self.ticket);
            t.replaying.retain(|r| r.0 != self.ticket);
        });
        let _ = self
            .answers
            .send(Event::Loaded(self.ticket, Box::new(loaded)));
    }
}

/// So long the end waits for replayed processes to be taken down. (Those that are left
/// then end with this process.)
const PATIENCE: Duration = Duration::from_secs(2);

/// The threads.
pub struct Workers {
    waited: Waited,
    send: Sender<Event>,
    answers: Receiver<Event>,
    travel: Option<Sender<(Job, Request)>>,
    read: Option<Sender<(Job, Request)>>,
    search: Option<Sender<(Job, Request)>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them.
    pub fn start(session: &Session, sources: &[PathBuf]) -> Self {
        let (send, answers) = mpsc::channel();
        let (travel, jobs) = mpsc::channel::<(Job, Request)>();
        let (replayed, sources) = (session.clone(), sources.to_vec());
        let new = move || Traveller::new(replayed.clone(), sources.clone());
        let travels = work(jobs, new, |traveller, job, request| {
            Loaded::Picture(in_words(traveller.answer(job, request).map(Box::new)))
        });
        let (read, jobs) = mpsc::channel::<(Job, Request)>();
        let of = session.clone();
        let reads = work(jobs, move || Reader::new(of.clone()), Reader::answer);
        let (search, jobs) = mpsc::channel::<(Job, Request)>();
        let of = session.clone();
        let searches = work(jobs, move || Searcher::new(of.clone()), Searcher::answer);
        Self {
            waited: Waited::default(),
            send,
            answers,
            travel: Some(travel),
            read: Some(read),
            search: Some(search),
            threads: vec![travels, reads, searches],
        }
    }
}

impl Backend for Workers {
    fn ask(&mut self, ticket: u64, request: Request) {
        self.waited.with(|t| t.waited.insert(ticket));
        let job = Job {
            ticket,
            waited: self.waited.clone(),
            answers: self.send.clone(),
        };
        let to = match request.worker() {
            Worker::Travel => self.travel.as_ref(),
            Worker::Read => self.read.as_ref(),
            Worker::Search => self.search.as_ref(),
        };
        // A thread that is gone has said why.
        if let Some(to) = to {
            let _ = to.send((job, request));
        }
    }

    fn cancel(&mut self, tickets: &[u64]) {
        self.waited.with(|t| {
            t.waited.retain(|ticket| !tickets.contains(ticket));
            for (_, flag) in t.replaying.iter().filter(|r| tickets.contains(&r.0)) {
                flag.store(true, Ordering::Relaxed);
            }
        });
    }

    fn answers(&self) -> &Receiver<Event> {
        &self.answers
    }
}

impl Drop for Workers {
    /// Replayed processes are not to stay behind: their threads end first.
    fn drop(&mut self) {
        self.waited.with(|t| {
            t.waited.clear();
            for (_, flag) in &t.replaying {
                flag.store(true, Ordering::Relaxed);
            }
        });
        (self.travel, self.read, self.search) = (None, None, None);
        let end = Instant::now() + PATIENCE;
        while self.threads.iter().any(|t| !t.is_finished()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A thread that answers jobs, one after the other. An error of ours in one of them is
/// told as its answer; what was kept for the next ones is made anew.
fn work<W>(
    jobs: Receiver<(Job, Request)>,
    new: impl Fn() -> W + Send + 'static,
    answer: impl Fn(&mut W, &Job, &Request) -> Loaded + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut worker = new();
        for (job, request) in jobs {
            if job.is_over() {
                continue;
            }
            let done = catch_unwind(AssertUnwindSafe(|| answer(&mut worker, &job, &request)));
            job.answer(done.unwrap_or_else(|panic| {
                worker = new();
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let text = text.unwrap_or("no message");
                failed(&request, format!("a bug in orch: {text}; please report it"))
            }));
        }
    })
}

/// The answer that says why there is none.
pub fn failed(request: &Request, why: String) -> Loaded {
    match request {
        Request::Overview => Loaded::Overview(Err(why)),
        Request::Lanes => Loaded::Lanes(Err(why)),
        Request::Arrows(..) => Loaded::Arrows(Err(why)),
        Request::Blame(..) => Loaded::History(Err(why)),
        Request::Order(..) => Loaded::Order(Err(why)),
        Request::Near(..) => Loaded::Near(Err(why)),
        Request::Visit(..) | Request::Move(..) | Request::Run(..) => Loaded::Picture(Err(why)),
        Request::Message(..) => Loaded::Messages(Err(why)),
        Request::Bookmarks(..) => Loaded::Bookmarks(Err(why)),
        Request::Writers(..) => Loaded::Writers(Err(why)),
        Request::Break(..) => Loaded::Stop(Err(why)),
        Request::Console => Loaded::Console(Err(why)),
        Request::Events(..) => Loaded::Events(Err(why)),
        Request::Seek(..) => Loaded::Sought(Err(why)),
    }
}

/// An answer as the screens want it.
pub fn in_words<T>(result: Result<T>) -> Result<T, String> {
    result.map_err(|e| crate::in_words(&e))
}
