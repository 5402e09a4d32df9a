//! Live recordings: a slot, the process that logs to it, the file it goes to.

use super::{Supervisor, ending, watch};
use anyhow::{Context as _, Result};
use orch_abi::layout::RING_LEN;
use orch_abi::record::{Ended, Kind, ended, flag};
use orch_abi::shared::{request, state};
use orch_recorder::trace::record::build;
use orch_recorder::trace::{RecordingId, RecordingWriter, TraceError};
use orch_recorder::{cpuid, print};
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A recording being made.
pub struct Live {
    pub recording: u32,
    pub pid: i32,
    /// `None` before the first drain.
    writer: Option<RecordingWriter>,
    /// Offset up to which the ring was read.
    taken: u64,
    /// `None` once the process is known to be gone.
    pub(super) pidfd: Option<OwnedFd>,
    /// It went on as another recording (execve): nothing more comes.
    pub(super) left: Option<Ended>,
    /// How it ended, as far as its own log or the kernel tells.
    pub(super) end: Option<Ended>,
    /// When the process was found to be gone.
    pub(super) gone: Option<Instant>,
    /// It was asked to end, as the root has ended.
    pub(super) asked: bool,
    /// Safe points passed when last looked at, and when that was.
    progress: (u64, Instant),
}

/// Less than so many bytes can wait in the ring until there is nothing else to do.
const LITTLE: u64 = 64 << 10;
/// From so many bytes on, a recording's data is not compressed while the programs
/// keep all processors busy.
const MUCH: u64 = 256 << 10;
/// So many recordings may have ended and still wait to be completed.
const BACKLOG: usize = 16;
/// So many kinds of refused calls are told apart by what was wanted of them.
const MOST_REFUSED: usize = 200;
/// How often what was recorded is written out for those who watch.
const SHOWN: Duration = Duration::from_millis(500);
/// How long a caught signal may wait for a safe point of its thread.
const SIGNAL_PATIENCE: Duration = Duration::from_millis(3);
/// How long a thread may compute while others of its process wait.
const TIME_SLICE: Duration = Duration::from_millis(15);

/// What identifies a file's version.
pub(super) fn version(meta: &Metadata) -> [u64; 5] {
    let nanos = |s: i64, n: i64| {
        s.wrapping_mul(1_000_000_000)
            .wrapping_add(n)
            .cast_unsigned()
    };
    let modified = nanos(meta.mtime(), meta.mtime_nsec());
    let changed = nanos(meta.ctime(), meta.ctime_nsec());
    [meta.dev(), meta.ino(), meta.size(), modified, changed]
}

/// What was wanted of a call, as its record says.
fn wanted(nr: u16, payload: &[u8]) -> String {
    let mut args = [0; 6];
    // Behind where it was made and its result.
    let words = payload.get(16..).unwrap_or_default().chunks_exact(8);
    for (arg, word) in args.iter_mut().zip(words) {
        *arg = u64::from_le_bytes(word.try_into().expect("eight bytes"));
    }
    print::request(nr, args)
}

impl Supervisor<'_> {
    /// Starts keeping the recording in slot `index`. Its file is made with the
    /// first drain, when the process no longer waits for this one.
    pub(super) fn begin(&mut self, index: u32, recording: u32, pid: i32) {
        let live = Live {
            recording,
            pid,
            writer: None,
            taken: 0,
            pidfd: watch::pidfd(pid),
            left: None,
            end: None,
            gone: None,
            asked: false,
            progress: (0, Instant::now()),
        };
        self.live.insert(index, live);
    }

    /// Logs the first records of a process that does not run yet.
    pub(super) fn put_first(&mut self, index: u32, first: &[u8]) -> Result<()> {
        if first.len() as u64 <= RING_LEN / 2 {
            self.arena.feed(index, first);
            return Ok(());
        }
        let live = self.live.get_mut(&index).expect("a live recording");
        let writer = self.session.writer(RecordingId(live.recording));
        let writer = live
            .writer
            .insert(writer.context("cannot write the session")?);
        writer.append(first).context("cannot write the session")?;
        // They are in no ring: only the file keeps them.
        writer.flush().context("cannot write the session")?;
        live.taken = writer.kept();
        self.arena.start_at(index, live.taken);
        Ok(())
    }

    pub(super) fn slot_in_use(&self) -> bool {
        let used = self.arena.control().slots_used.load(Ordering::Acquire);
        (0..used).any(|i| {
            matches!(
                self.arena.slot(i).state.load(Ordering::Acquire),
                state::ACTIVE | state::DONE
            )
        })
    }

    /// Slots that are in use, and whether their processes have closed them.
    fn slots(&self) -> impl Iterator<Item = (u32, bool)> + use<> {
        let arena = Arc::clone(&self.arena);
        let used = arena.control().slots_used.load(Ordering::Acquire);
        (0..used).filter_map(move |index| {
            let life = arena.slot(index).state.load(Ordering::Acquire);
            matches!(life, state::ACTIVE | state::DONE).then_some((index, life == state::DONE))
        })
    }

    /// Answers the processes that wait for it; true if there was any.
    pub(super) fn answer_requests(&mut self) -> bool {
        let mut busy = false;
        for (index, _) in self.slots() {
            let slot = self.arena.slot(index);
            if !self.live.contains_key(&index) {
                let recording = slot.recording.load(Ordering::Relaxed);
                let pid = slot.pid.load(Ordering::Relaxed).cast_signed();
                self.begin(index, recording, pid);
                busy = true;
            }
            match self.arena.slot(index).request.load(Ordering::Acquire) {
                request::NONE => {}
                request::EXEC => busy |= self.exec_requested(index),
                request::EXEC_FAILED => {
                    self.exec_failed(index);
                    busy = true;
                }
                request::STUB => {
                    let start = || crate::stubs::Maker::start(&self.arena);
                    self.stubs.get_or_insert_with(start);
                }
                request::CAPTURE => {
                    let reply = self.capture(index);
                    self.arena.answer(index, reply);
                    busy = true;
                }
                _ => self.arena.answer(index, 0),
            }
        }
        busy
    }

    /// Drains and ends, one slot after the other, as long as nobody waits: until
    /// the doorbell differs from `seen`, unless many have ended already. What is little can wait, unless `all` is
    /// wanted. True if there was anything to do.
    pub(super) fn tidy_slots(&mut self, seen: u32, all: bool) -> Result<bool> {
        let mut busy = false;
        let mut slots: Vec<(u32, bool)> = self.slots().collect();
        // Where it was interrupted: each has its turn.
        let first = slots.partition_point(|&(index, _)| index < self.next_slot);
        slots.rotate_left(first);
        let ended =
            |s: &Self, index, done| done || s.live.get(&index).is_some_and(|l| l.left.is_some());
        let mut backlog = slots
            .iter()
            .filter(|&&(i, done)| ended(self, i, done))
            .count();
        for (index, done) in slots {
            let Some(live) = self.live.get(&index) else {
                continue;
            };
            let over = ended(self, index, done);
            let head = self.arena.slot(index).head.load(Ordering::Acquire);
            let much = head.saturating_sub(live.taken) >= LITTLE;
            self.hurry(index);
            self.tell_of_stubs(index);
            if over {
                self.finish(index)?;
                backlog -= 1;
            } else if !(much || all) || !self.drain(index)? {
                continue;
            }
            busy = true;
            self.next_slot = index + 1;
            let rung = self.arena.control().doorbell.rung() != seen;
            if rung && backlog <= BACKLOG {
                return Ok(true);
            }
        }
        self.next_slot = 0;
        Ok(busy)
    }

    /// Interrupts a thread that computes while a signal or another thread waits.
    fn hurry(&mut self, index: u32) {
        let slot = self.arena.slot(index);
        let signal = slot.signal_waits.load(Ordering::Relaxed) != 0;
        let thread = slot.baton_waiters.load(Ordering::Relaxed) != 0;
        let Some(live) = self.live.get_mut(&index) else {
            return;
        };
        let now = Instant::now();
        if signal || thread {
            self.hurried = Some(now);
        }
        let at = slot.progress.load(Ordering::Relaxed);
        if at != live.progress.0 || !signal && !thread {
            live.progress = (at, now);
            return;
        }
        let running = slot.running.load(Ordering::Relaxed).cast_signed();
        if running != 0
            && now - live.progress.1 >= if signal { SIGNAL_PATIENCE } else { TIME_SLICE }
        {
            live.progress.1 = now;
            watch::interrupt(live.pid, running);
        }
    }

    /// Tells, once, why a program that reaches shared memory from very many places is slow.
    fn tell_of_stubs(&self, index: u32) {
        const TOLD: u32 = 2;
        let slot = self.arena.slot(index);
        if slot.stubs_full.load(Ordering::Relaxed) != 1 {
            return;
        }
        slot.stubs_full.store(TOLD, Ordering::Relaxed);
        super::warn(&format!(
            "p{} (pid {}) reaches shared memory from more places in its code than can be \
             made fast; all is recorded, but what it does from further places takes \
             microseconds each time",
            slot.recording.load(Ordering::Relaxed),
            slot.pid.load(Ordering::Relaxed)
        ));
    }

    /// Takes what is in the ring.
    pub(super) fn drain(&mut self, index: u32) -> Result<bool> {
        self.buffer.clear();
        let Some(live) = self.live.get_mut(&index) else {
            return Ok(false);
        };
        let taken = self.arena.read(index, live.taken, &mut self.buffer);
        if taken == 0 {
            return Ok(false);
        }
        live.taken += taken;
        // Only what the supervisor must know at once; the rest is the reader's.
        let mut at = 0;
        while let Some(head) = self.buffer.get(at..at + 16) {
            let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            if head[0] == Kind::Syscall as u8 && head[1] & flag::REFUSED != 0 {
                let nr = u16::from_le_bytes([head[2], head[3]]);
                let payload = self.buffer.get(at + 16..at + 16 + len);
                let few = self.refused.len() < MOST_REFUSED;
                let wanted = payload.filter(|_| few).map(|payload| wanted(nr, payload));
                let wanted = wanted.unwrap_or_default();
                *self.refused.entry((nr, wanted)).or_default() += 1;
            } else if head[0] == Kind::Syscall as u8
                && let Some(payload) = self.buffer.get(at + 16..at + 16 + len)
                && let Some((pid, end)) = ending::seen_by_parent(head[2], payload)
            {
                self.waited_for.insert(pid, end);
            } else if head[0] == Kind::Exit as u8
                && let Some(body) = self.buffer.get(at + 16..at + 24)
                && body[4] == 1
            {
                live.end = Some(Ended {
                    how: ended::EXITED,
                    value: u32::from(body[0]),
                });
            }
            at += 16 + len;
        }
        let writer = match &mut live.writer {
            Some(writer) => writer,
            none => none.insert(
                self.session
                    .writer(RecordingId(live.recording))
                    .context("cannot write the session")?,
            ),
        };
        let bulk = writer.offset() + self.buffer.len() as u64 >= MUCH;
        writer.set_plain(bulk && self.load.is_full());
        writer
            .append(&self.buffer)
            .context("cannot write the session; what was recorded so far is readable")?;
        // Only now: whenever this process is killed, what the file lacks is in the ring.
        self.arena.free(index, writer.kept());
        Ok(true)
    }

    pub(super) fn drain_all(&mut self) -> Result<()> {
        let all: Vec<u32> = self.live.keys().copied().collect();
        all.into_iter()
            .try_for_each(|index| self.drain(index).map(drop))
    }

    /// While somebody watches, what was recorded does not wait for a block to be full.
    pub(super) fn show(&mut self) -> Result<()> {
        if self.shown.elapsed() < SHOWN {
            return Ok(());
        }
        self.shown = Instant::now();
        if !self.session.is_watched() {
            return Ok(());
        }
        self.drain_all()?;
        for (&index, live) in &mut self.live {
            if let Some(writer) = &mut live.writer {
                writer.flush().context("cannot write the session")?;
                self.arena.free(index, writer.kept());
            }
        }
        Ok(())
    }

    /// Ends a recording and frees its slot.
    pub(super) fn finish(&mut self, index: u32) -> Result<()> {
        self.drain(index)?;
        let Some(mut live) = self.live.remove(&index) else {
            return Ok(());
        };
        if self.arena.slot(index).state.load(Ordering::Acquire) == state::CLAIMED {
            let (pid, number) = (live.pid, live.recording);
            self.warn_of_process(&format!(
                "p{number}: pid {pid} ended before it could be recorded"
            ));
        }
        let how = live.left.or(live.end).unwrap_or(Ended {
            how: ended::UNKNOWN,
            value: 0,
        });
        let tick = self.arena.tick_after(index);
        let mut writer = match live.writer.take() {
            Some(writer) => writer,
            None => self.session.writer(RecordingId(live.recording))?,
        };
        // A program that was killed, and wrote into its own log: what precedes is good.
        match writer.append(&self.arena.staged(index)) {
            Ok(()) | Err(TraceError::Input { .. }) => {}
            Err(e) => return Err(e).context("cannot write the session"),
        }
        writer.append(&build::ended(tick, &how))?;
        writer.finish().context("cannot write the session")?;
        let _held = self.stubs.as_ref().map(crate::stubs::Maker::hold);
        self.arena.release(index);
        Ok(())
    }

    /// Copies the file that a process is about to map; number + 1, or 0.
    fn capture(&mut self, index: u32) -> u64 {
        let arena = Arc::clone(&self.arena);
        let slot = arena.slot(index);
        let fd = slot.args[0].load(Ordering::Relaxed);
        let tid = slot.args[1].load(Ordering::Relaxed);
        let link = format!("/proc/{tid}/fd/{fd}");
        let path = std::fs::read_link(&link).unwrap_or_default();
        match File::open(&link)
            .map_err(anyhow::Error::from)
            .and_then(|file| self.keep_file(&file, &path))
        {
            Ok(number) => number + 1,
            Err(e) => {
                let recording = slot.recording.load(Ordering::Relaxed);
                self.warn_of_process(&format!(
                    "p{recording}: cannot keep a copy of {}, which it maps: {e:#}",
                    path.display()
                ));
                0
            }
        }
    }

    /// Captures a file and tells the runtimes.
    pub(super) fn keep_file(&mut self, file: &File, path: &Path) -> Result<u64> {
        let key = version(&file.metadata()?);
        if let Some(&number) = self.kept.get(&key) {
            return Ok(number);
        }
        let id = self.files.capture(file, path)?;
        if let Some(file) = self.files.get(id) {
            cpuid::tell(file, &self.arena);
        }
        let number = id.0;
        self.kept.insert(key, number);
        let control = self.arena.control();
        let row = control.file_rows.load(Ordering::Relaxed) as usize;
        if let Some(to) = control.files.get(row) {
            for (to, from) in [&to.dev, &to.ino, &to.size, &to.mtime, &to.ctime]
                .into_iter()
                .zip(key)
            {
                to.store(from, Ordering::Relaxed);
            }
            to.file.store(number, Ordering::Relaxed);
            control.file_rows.fetch_add(1, Ordering::Release);
        }
        Ok(number)
    }
}
