//! Opening the index of a session, and asking it.

use super::file::{self, HEAD_LEN, TAIL_LEN};
use super::frame::{self, MAX_RAW, Wanted};
use super::join::{Joiner, belongs};
use super::{FrameEntry, INDEX_FILE, Progress, Segment, build};
use crate::access::Access;
use crate::catalog::Catalog;
use crate::error::BlameError;
use crate::timeline::WINDOW;
use orch_recorder::regular;
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Decompressor;

/// An index that was read or made.
pub struct Index {
    path: PathBuf,
    session: Session,
    /// Of the recordings that it was made from.
    fingerprint: u64,
    file: RefCell<File>,
    /// It was made again, as part of it was damaged.
    repaired: Cell<bool>,
    catalog: Catalog,
    /// By object and window; those of one window in the order of time.
    segments: Vec<Segment>,
    decompressor: RefCell<Decompressor<'static>>,
    interrupt: Arc<AtomicBool>,
}

/// Which accesses are asked for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Number of the object.
    pub object: u64,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Those later than this.
    pub after: Option<Tick>,
    /// Those earlier than this.
    pub before: Option<Tick>,
    /// Those of these recordings; of all, if there are none.
    pub recordings: Vec<RecordingId>,
    /// Not what only looks.
    pub stores: bool,
    /// The last so many.
    pub last: Option<usize>,
}

impl Index {
    /// The index of `session`: the one in its directory, if there is one for
    /// its recordings as they are; otherwise it is made, and kept there if the
    /// session has ended.
    ///
    /// # Errors
    /// If the session cannot be read, there is no place to write, or `progress` says not to go
    /// on ([`BlameError::Interrupted`]).
    pub fn open(session: &Session, progress: &mut Progress<'_>) -> Result<Self, BlameError> {
        let path = session.dir().join(INDEX_FILE);
        let fingerprint = file::fingerprint(session)?;
        if let Ok(file) = regular::open(&path)
            && let Ok(index) = Self::read(session, file, &path, fingerprint)
        {
            return Ok(index);
        }
        Self::make(session, progress)
    }

    /// Whether there is one in the session's directory, for its recordings as they are.
    #[must_use]
    pub fn is_kept(session: &Session) -> bool {
        let path = session.dir().join(INDEX_FILE);
        let mut head = [0; HEAD_LEN];
        let read = regular::open(&path).and_then(|file| file.read_exact_at(&mut head, 0));
        let fingerprint = file::fingerprint(session);
        read.is_ok() && fingerprint.is_ok_and(|print| file::is_head(&head, print))
    }

    fn make(session: &Session, progress: &mut Progress<'_>) -> Result<Self, BlameError> {
        let path = session.dir().join(INDEX_FILE);
        let fingerprint = file::fingerprint(session)?;
        let kept = session.meta().running().is_none();
        let new = session
            .dir()
            .join(format!(".{INDEX_FILE}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        match options.mode(0o600).open(&new) {
            Ok(file) => {
                // The name goes away whatever happens; what is open stays.
                let made = build::build(session, fingerprint, file, session.dir(), progress);
                if kept && made.is_ok() {
                    fs::rename(&new, &path).map_err(BlameError::io("write", &path))?;
                } else {
                    fs::remove_file(&new).map_err(BlameError::io("remove", &new))?;
                }
                Self::read(session, made?, &path, fingerprint)
            }
            // A session that cannot be written to can still be asked.
            Err(_) => {
                let dir = std::env::temp_dir();
                let file = tempfile::tempfile_in(&dir).map_err(BlameError::io("write to", &dir))?;
                let file = build::build(session, fingerprint, file, &dir, progress)?;
                Self::read(session, file, &path, fingerprint)
            }
        }
    }

    fn read(
        session: &Session,
        file: File,
        path: &Path,
        fingerprint: u64,
    ) -> Result<Self, BlameError> {
        let io = || BlameError::io("read", path);
        let damaged = |what| BlameError::Damaged {
            path: path.to_owned(),
            what,
        };
        let len = file.metadata().map_err(io())?.len();
        if len < (HEAD_LEN + TAIL_LEN) as u64 {
            return Err(damaged("it is cut off"));
        }
        let mut head = [0; HEAD_LEN];
        file.read_exact_at(&mut head, 0).map_err(io())?;
        if !file::is_head(&head, fingerprint) {
            return Err(damaged("it was made from other recordings"));
        }
        let mut tail = [0; TAIL_LEN];
        file.read_exact_at(&mut tail, len - TAIL_LEN as u64)
            .map_err(io())?;
        let (catalog, segments) = file::parse_tail(&tail).ok_or_else(|| damaged("its tail"))?;
        let catalog = file::read_part(&file, len, catalog);
        let catalog = catalog.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let segments = file::read_part(&file, len, segments);
        let segments = segments.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let mut segments: Vec<Segment> = segments.ok_or_else(|| damaged("its directory"))?;
        segments.sort_by_key(|s| (s.object, s.window, s.first_tick));
        Ok(Self {
            path: path.to_owned(),
            session: session.clone(),
            fingerprint,
            file: RefCell::new(file),
            repaired: Cell::new(false),
            catalog: catalog.ok_or_else(|| damaged("its catalog"))?,
            segments,
            decompressor: RefCell::new(Decompressor::new().map_err(io())?),
            interrupt: Arc::default(),
        })
    }

    /// Set, it makes what is searched in the index fail with [`BlameError::Interrupted`].
    pub fn interrupter(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupt)
    }

    /// Fails if somebody wants to interrupt what is searched.
    pub(crate) fn check_interrupt(&self) -> Result<(), BlameError> {
        match self.interrupt.load(Ordering::Relaxed) {
            true => Err(BlameError::Interrupted),
            false => Ok(()),
        }
    }

    /// Whether it was made from the recordings of `session` as they are now.
    #[must_use]
    pub fn is_of(&self, session: &Session) -> bool {
        file::fingerprint(session).is_ok_and(|now| now == self.fingerprint)
    }

    /// What it knows beside the accesses.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// First offsets of the windows of an object that were accessed, in order.
    pub fn windows_of(&self, object: u64) -> Vec<u64> {
        let mine = self.segments.iter().filter(|s| s.object == object);
        let mut windows: Vec<u64> = mine.map(|s| s.window.saturating_mul(WINDOW)).collect();
        windows.dedup();
        windows
    }

    /// Gives the accesses that `query` asks for to `visit`, earliest first. Of
    /// long accesses, the parts within the range.
    ///
    /// # Errors
    /// If the index is damaged, and those of `visit`.
    pub fn query<E: From<BlameError>>(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(Access) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut joined = Joiner::new(query);
        match query.last {
            Some(last) => {
                for access in self.last(query, last)? {
                    joined.push(access, visit)?;
                }
            }
            None => self.all(query, &mut |access| joined.push(access, visit))?,
        }
        joined.end(visit)
    }

    /// The segments of each window that `query` looks at, earliest first.
    fn windows(&self, query: &Query) -> impl Iterator<Item = &[Segment]> {
        let end = query.offset.saturating_add(query.len.max(1)) - 1;
        let first = (query.object, query.offset / WINDOW);
        let last = (query.object, end / WINDOW);
        let from = self
            .segments
            .partition_point(|s| (s.object, s.window) < first);
        let to = self
            .segments
            .partition_point(|s| (s.object, s.window) <= last);
        self.segments[from..to].chunk_by(|a, b| a.window == b.window)
    }

    fn all<E: From<BlameError>>(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(Access) -> Result<(), E>,
    ) -> Result<(), E> {
        let sites = self.sites(query);
        let mut streams: Vec<Stream<'_>> = self.windows(query).map(Stream::new).collect();
        if streams.len() == 1 {
            while let Some(access) = streams[0].next(self, query, &sites)? {
                visit(access)?;
            }
            return Ok(());
        }
        let mut heads = Vec::new();
        for stream in &mut streams {
            heads.push(stream.next(self, query, &sites)?);
        }
        loop {
            let first = heads.iter().enumerate();
            let first = first
                .filter_map(|(n, head)| Some((order(self, head.as_ref()?), n)))
                .min();
            let Some((_, n)) = first else { return Ok(()) };
            let next = streams[n].next(self, query, &sites)?;
            if let Some(access) = std::mem::replace(&mut heads[n], next) {
                visit(access)?;
            }
        }
    }

    /// The last `n`, earliest first; of each window the segments are read
    /// from the last one on.
    fn last(&self, query: &Query, n: usize) -> Result<Vec<Access>, BlameError> {
        let sites = self.sites(query);
        let mut all = Vec::new();
        for segments in self.windows(query) {
            let mut found: Vec<Access> = Vec::new();
            let mut count = 0;
            for segment in segments.iter().rev() {
                // Of the one before these, there may be other pieces in what is not read.
                if count > n {
                    break;
                }
                let enough = n.saturating_mul(PIECES).saturating_add(1);
                let mut part = self.read_segment(segment, query, &sites, enough)?;
                let ends = part.last().zip(found.first());
                let joins = ends.is_some_and(|(a, b)| belongs(a, b));
                count += whole(&part) - usize::from(joins);
                part.append(&mut found);
                found = part;
            }
            all.append(&mut found);
        }
        all.sort_by_key(|access| order(self, access));
        // Pieces of one access count once.
        let mut kept = 0;
        let mut from = all.len();
        while from > 0 && kept < n {
            from -= 1;
            let joins = from > 0 && belongs(&all[from - 1], &all[from]);
            kept += usize::from(!joins);
        }
        Ok(all.split_off(from))
    }

    fn sites(&self, query: &Query) -> Vec<bool> {
        let wants = |site: &crate::access::Site| {
            let mine = site.kind.is_recorded() && query.recordings.contains(&site.recording);
            (query.recordings.is_empty() || mine) && (!query.stores || site.kind.changes())
        };
        self.catalog.sites.iter().map(wants).collect()
    }

    /// What `query` wants of a segment, in the order of time; of more than
    /// `enough`, perhaps only the last.
    fn read_segment(
        &self,
        segment: &Segment,
        query: &Query,
        sites: &[bool],
        enough: usize,
    ) -> Result<Vec<Access>, BlameError> {
        let base = segment.window.saturating_mul(WINDOW);
        let end = query.offset.saturating_add(query.len.max(1)) - 1;
        let wanted = Wanted {
            from: query.offset.saturating_sub(base).min(WINDOW - 1) as u32,
            to: end.saturating_sub(base).min(WINDOW - 1) as u32,
            ticks: (
                query.after.map_or(0, |t| t.0.saturating_add(1)),
                query.before.map_or(u64::MAX, |t| t.0.saturating_sub(1)),
            ),
            sites,
            base,
        };
        let mut out = Vec::new();
        if query.before == Some(Tick(0)) {
            return Ok(out);
        }
        let (from, to) = wanted.ticks;
        let of_time = |first: u64, last: u64| first <= to && last >= from;
        if !of_time(segment.first_tick, segment.last_tick) {
            return Ok(out);
        }
        let mut frames: Vec<&FrameEntry> = segment
            .frames
            .iter()
            .filter(|f| of_time(f.first_tick, f.last_tick) && wanted.may_be_in(f))
            .collect();
        frames.sort_by_key(|f| std::cmp::Reverse(f.last_tick));
        for frame in frames {
            // Earlier than all of those that are enough.
            if out.len() >= enough && out.iter().all(|a: &Access| a.tick.0 > frame.last_tick) {
                break;
            }
            self.check_interrupt()?;
            self.read_frame(frame, &wanted, &mut out)?;
        }
        // Mostly it is in order already.
        out.sort_by_key(|access| order(self, access));
        Ok(out)
    }

    /// Reads a frame; if it is damaged, the index is made again, once.
    fn read_frame(
        &self,
        frame: &FrameEntry,
        wanted: &Wanted<'_>,
        out: &mut Vec<Access>,
    ) -> Result<(), BlameError> {
        let before = out.len();
        match self.try_frame(frame, wanted, out) {
            Err(e @ BlameError::Damaged { .. }) if !self.repaired.replace(true) => {
                out.truncate(before);
                let new = Self::make(&self.session, &mut |_| {
                    !self.interrupt.load(Ordering::Relaxed)
                })?;
                if new.segments != self.segments {
                    return Err(e);
                }
                // The same recordings give the same frames in the same places.
                self.file.replace(new.file.into_inner());
                self.try_frame(frame, wanted, out)
            }
            result => result,
        }
    }

    fn try_frame(
        &self,
        frame: &FrameEntry,
        wanted: &Wanted<'_>,
        out: &mut Vec<Access>,
    ) -> Result<(), BlameError> {
        let damaged = || BlameError::Damaged {
            path: self.path.clone(),
            what: "a frame of accesses",
        };
        if frame.raw as usize > MAX_RAW || frame.len as usize > MAX_RAW {
            return Err(damaged());
        }
        let mut body = vec![0; frame.len as usize];
        let file = self.file.borrow();
        file.read_exact_at(&mut body, frame.at)
            .map_err(BlameError::io("read", &self.path))?;
        if xxh3_64(&body) != frame.checksum {
            return Err(damaged());
        }
        let raw = self
            .decompressor
            .borrow_mut()
            .decompress(&body, frame.raw as usize)
            .map_err(|_| damaged())?;
        frame::read(&raw, wanted, out).ok_or_else(damaged)
    }
}

/// Pieces that a record of the longest can be cut into, and some.
const PIECES: usize = 34;

/// How many accesses these are, of which some may be in pieces.
fn whole(pieces: &[Access]) -> usize {
    let joins = pieces.windows(2).filter(|pair| belongs(&pair[0], &pair[1]));
    pieces.len() - joins.count()
}

/// What was there before an access counts as earlier, although it was noticed at its tick.
fn order(index: &Index, access: &Access) -> (Tick, bool, RecordingId, u64) {
    let site = index.catalog.sites.get(access.site as usize);
    let recorded = site.is_none_or(|site| site.kind.is_recorded());
    let recording = site.map_or(RecordingId(0), |site| site.recording);
    (access.tick, recorded, recording, access.offset)
}

/// The accesses to one window that a query finds.
struct Stream<'i> {
    segments: &'i [Segment],
    /// What was read and not yet given, last first.
    ready: Vec<Access>,
}

impl<'i> Stream<'i> {
    const fn new(segments: &'i [Segment]) -> Self {
        Self {
            segments,
            ready: Vec::new(),
        }
    }

    fn next(
        &mut self,
        index: &Index,
        query: &Query,
        sites: &[bool],
    ) -> Result<Option<Access>, BlameError> {
        while self.ready.is_empty() {
            let Some((first, rest)) = self.segments.split_first() else {
                return Ok(None);
            };
            self.segments = rest;
            self.ready = index.read_segment(first, query, sites, usize::MAX)?;
            self.ready.reverse();
        }
        Ok(self.ready.pop())
    }
}
