//! Making the index of a session.

use super::Progress;
use super::file::{self, Part};
use super::frame::Entry;

use super::segment::SegmentWriter;
use crate::access::{Kind, Site};
use crate::catalog::{Catalog, MapChange, Moment, ObjectInfo, RecordingInfo, Traffic, ViewChange};
use crate::error::BlameError;
use crate::scan::{Seen, Sink, scan};
use crate::sort::{Item, Sorter};
use crate::timeline::{Event, Origin, Told, WINDOW, What, Window};
use orch_abi::record::Object;
use orch_recorder::session::Session;
use orch_recorder::trace::{Origin as Began, RecordingId};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Longer accesses are cut at the bounds of pages, and in answers at the range asked for.
const LONG: usize = 256;
const PAGE: u64 = 4096;
/// So many places of damage are told.
const MOST_DAMAGE: usize = 100;

/// Writes the index of `session`, whose recordings had this fingerprint (they may grow
/// meanwhile), to `out`, and what does not fit in memory to a
/// temporary file in `dir`.
pub fn build(
    session: &Session,
    fingerprint: u64,
    out: File,
    dir: &Path,
    progress: &mut Progress<'_>,
) -> Result<File, BlameError> {
    let io = || BlameError::io("write an index in", dir);
    let stopped = |stop| match stop {
        Stop::Io(e) => io()(e),
        Stop::Interrupted => BlameError::Interrupted,
    };
    let ids = session.recordings()?;
    let mut builder = Builder::new(dir.to_owned(), progress);
    builder.recordings(session, &ids);
    builder.each = 0.5 / ids.len() as f64;
    for (n, &id) in ids.iter().enumerate() {
        builder.done = builder.each * n as f64;
        scan(session, id, &mut builder).map_err(stopped)?;
    }
    let mut out = out;
    let head = file::head(fingerprint);
    out.write_all(&head).map_err(io())?;
    let mut writer = SegmentWriter::new(out, head.len() as u64).map_err(io())?;
    let catalog = builder.histories(&mut writer).map_err(stopped)?;
    let (mut out, at, segments) = writer.finish().map_err(io())?;
    let catalog = put_part(&mut out, at, &catalog).map_err(io())?;
    let at = catalog.at + catalog.len;
    let segments = put_part(&mut out, at, &segments).map_err(io())?;
    out.write_all(&file::tail(catalog, segments))
        .map_err(io())?;
    Ok(out)
}

fn put_part(out: &mut File, at: u64, value: &impl Serialize) -> io::Result<Part> {
    let raw = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let body = zstd::bulk::compress(&raw, 1)?;
    out.write_all(&body)?;
    Ok(Part {
        at,
        len: body.len() as u64,
        checksum: xxh3_64(&body),
    })
}

/// Why no index is made.
enum Stop {
    Io(io::Error),
    /// Somebody wants that.
    Interrupted,
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// After so many accesses the progress is told.
const NOW_AND_THEN: u64 = 1 << 16;

/// What the scans found so far.
struct Builder<'a> {
    dir: PathBuf,
    progress: &'a mut Progress<'a>,
    /// Which part of the work is done, and which a recording's is, between 0 and 1.
    done: f64,
    each: f64,
    catalog: Catalog,
    objects: BTreeMap<u64, ObjectInfo>,
    traffic: HashMap<(u64, RecordingId), Traffic>,
    sites: HashMap<Site, u32>,
    /// The last site: mostly the next access is of the same.
    last: Option<(Site, u32)>,
    /// Numbers of windows.
    windows: HashMap<(u64, u64), u32>,
    /// Object and window of each number.
    places: Vec<(u64, u64)>,
    sorter: Sorter,
    items: u64,
}

impl<'a> Builder<'a> {
    fn new(dir: PathBuf, progress: &'a mut Progress<'a>) -> Self {
        Self {
            dir,
            progress,
            done: 0.0,
            each: 0.0,
            catalog: Catalog::default(),
            objects: BTreeMap::new(),
            traffic: HashMap::new(),
            sites: HashMap::new(),
            last: None,
            windows: HashMap::new(),
            places: Vec::new(),
            sorter: Sorter::new(),
            items: 0,
        }
    }

    /// Notes who the recordings are.
    fn recordings(&mut self, session: &Session, ids: &[RecordingId]) {
        let mut programs: HashMap<RecordingId, [String; 2]> = HashMap::new();
        for &id in ids {
            let Ok(summary) = session.summary(id) else {
                continue;
            };
            let (forked, pid, named) = match summary.origin {
                Some(Began::Exec { pid, program, .. }) => {
                    let name = program.name().to_owned();
                    (None, pid, [program.path, name])
                }
                Some(Began::Fork { parent, pid, tick }) => {
                    let named = programs.get(&parent).cloned().unwrap_or_default();
                    (Some((parent, tick)), pid, named)
                }
                None => (None, 0, Default::default()),
            };
            programs.insert(id, named.clone());
            let [program, name] = named;
            self.catalog.recordings.push(RecordingInfo {
                id,
                forked,
                pid,
                program,
                name,
                first: summary.first_tick,
                last: summary.last_tick,
            });
        }
        let meta = session.meta();
        let first = self.catalog.recordings.iter().map(|r| r.first).min();
        self.catalog.times.push(Moment {
            tick: first.unwrap_or_default(),
            time: meta.started,
        });
        let last = self.catalog.recordings.iter().map(|r| r.last).max();
        if let (Some(time), Some(tick)) = (meta.ended, last) {
            self.catalog.times.push(Moment { tick, time });
        }
    }

    fn go_on(&mut self, done: f64) -> Result<(), Stop> {
        if (self.progress)(done) {
            Ok(())
        } else {
            Err(Stop::Interrupted)
        }
    }

    fn site(&mut self, site: Site) -> u32 {
        if let Some((last, n)) = self.last
            && last == site
        {
            return n;
        }
        let sites = &mut self.catalog.sites;
        let n = *self.sites.entry(site).or_insert_with(|| {
            sites.push(site);
            (sites.len() - 1) as u32
        });
        self.last = Some((site, n));
        n
    }

    fn info(&mut self, id: u64) -> &mut ObjectInfo {
        let new = || ObjectInfo::new(id);
        self.objects.entry(id).or_insert_with(new)
    }

    fn count(&mut self, seen: &Seen<'_>) {
        let end = seen.offset.saturating_add(seen.new.len() as u64);
        let info = self.info(seen.object);
        info.size = info.size.max(end);
        let key = (seen.object, seen.recording);
        let traffic = self.traffic.entry(key).or_insert(Traffic {
            recording: seen.recording,
            stores: 0,
            stored: 0,
            loads: 0,
        });
        if seen.kind.changes() {
            traffic.stores += 1;
            traffic.stored += seen.new.len() as u64;
        } else {
            traffic.loads += 1;
        }
    }

    /// Sorts the accesses and writes their histories; what is left is the catalog.
    fn histories(mut self, out: &mut SegmentWriter) -> Result<Catalog, Stop> {
        let sorter = std::mem::replace(&mut self.sorter, Sorter::new());
        let dir = self.dir.clone();
        let mut current: Option<(u32, Window)> = None;
        let mut done = 0_u64;
        sorter.finish(&dir, |item| {
            done += 1;
            if done.is_multiple_of(NOW_AND_THEN) {
                self.go_on(0.5 + 0.5 * done as f64 / self.items as f64)?;
            }
            match &mut current {
                Some((n, window)) if *n == item.window => self.history(item, window, out)?,
                _ => {
                    if let Some((n, _)) = current.take() {
                        let (object, window) = self.places[n as usize];
                        out.end(object, window)?;
                    }
                    let (_, window) = current.insert((item.window, Window::default()));
                    self.history(item, window, out)?;
                }
            }
            Ok::<_, Stop>(())
        })?;
        if let Some((n, _)) = current {
            let (object, window) = self.places[n as usize];
            out.end(object, window)?;
        }
        for ((object, _), traffic) in self.traffic {
            if let Some(info) = self.objects.get_mut(&object) {
                info.traffic.push(traffic);
            }
        }
        for info in self.objects.values_mut() {
            info.traffic.sort_by_key(|t| t.recording);
        }
        self.catalog.objects = self.objects.into_values().collect();
        self.catalog.times.sort_unstable();
        Ok(self.catalog)
    }

    /// Writes an access, and what it shows to have happened before it.
    fn history(
        &mut self,
        item: &Item<'_>,
        window: &mut Window,
        out: &mut SegmentWriter,
    ) -> io::Result<()> {
        let site = self.catalog.sites[item.site as usize];
        let what = if site.kind.changes() {
            What::Store { old: item.old }
        } else {
            What::Load
        };
        let event = Event {
            tick: item.tick,
            offset: item.offset,
            new: item.new,
            what,
        };
        let (object, number) = self.places[item.window as usize];
        let mut known = Vec::new();
        window.apply(&event, |told| {
            let site = self.site_of(told, item.site, site.recording);
            known.clear();
            known.extend(told.known.iter().map(|&k| u8::from(k)));
            let entry = Entry {
                tick: item.tick,
                offset: told.offset,
                site,
                piece: item.piece,
                new: told.new,
                old: told.old,
                known: &known,
            };
            out.push(object, number, &entry)
        })
    }

    fn site_of(&mut self, told: &Told<'_>, recorded: u32, recording: RecordingId) -> u32 {
        let kind = match told.what {
            Origin::Recorded => return recorded,
            Origin::Outside => Kind::Outside,
            Origin::Initial => Kind::Initial,
        };
        self.site(Site {
            recording,
            tid: 0,
            ip: 0,
            caller: 0,
            kind,
            by_page: false,
        })
    }
}

impl Sink for Builder<'_> {
    type Error = Stop;

    fn object(&mut self, object: &Object, name: &[u8]) {
        self.info(object.id).describe(object, name);
    }

    fn view(&mut self, view: ViewChange) {
        if view.object != 0 {
            let info = self.info(view.object);
            info.size = info.size.max(view.offset.saturating_add(view.len));
        }
        self.catalog.views.push(view);
    }

    fn map(&mut self, map: MapChange) {
        self.catalog.maps.push(map);
    }

    fn moment(&mut self, moment: Moment) {
        // Closer ones say no more.
        const APART: u64 = 1_000_000;
        let last = self.catalog.times.last();
        if last.is_none_or(|last| last.time.abs_diff(moment.time) >= APART) {
            self.catalog.times.push(moment);
        }
    }

    fn access(&mut self, seen: &Seen<'_>) -> Result<(), Stop> {
        self.count(seen);
        let site = self.site(Site {
            recording: seen.recording,
            tid: seen.tid,
            ip: seen.ip,
            caller: seen.caller,
            kind: seen.kind,
            by_page: seen.by_page,
        });
        let unit = if seen.new.len() > LONG { PAGE } else { WINDOW };
        let mut from = 0;
        while from < seen.new.len() {
            let Some(offset) = seen.offset.checked_add(from as u64) else {
                break;
            };
            let room = (unit - offset % unit) as usize;
            let to = seen.new.len().min(from + room);
            let place = (seen.object, offset / WINDOW);
            let places = &mut self.places;
            let window = *self.windows.entry(place).or_insert_with(|| {
                places.push(place);
                (places.len() - 1) as u32
            });
            let item = Item {
                window,
                tick: seen.tick,
                recording: seen.recording.0,
                nth: seen.nth,
                offset: (offset % WINDOW) as u32,
                site,
                piece: seen.new.len() > LONG || to - from < seen.new.len(),
                new: &seen.new[from..to],
                old: seen.old.map(|old| &old[from..to]),
            };
            self.sorter.push(&item, &self.dir)?;
            self.items += 1;
            from = to;
        }
        Ok(())
    }

    fn progress(&mut self, part: f64) -> Result<(), Stop> {
        self.go_on(self.done + self.each * part)
    }

    fn damage(&mut self, what: String) {
        if self.catalog.damage.len() < MOST_DAMAGE {
            self.catalog.damage.push(what);
        }
    }
}
