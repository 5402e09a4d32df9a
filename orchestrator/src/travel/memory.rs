//! What the program has in memory, as it sees it.

use super::engine::Travel;
use super::process::Place;
use anyhow::Result;
use orch_abi::layout::{MAX_THREADS, THREAD_AREA_LEN, THREADS_BASE, is_ours};
use orch_abi::record::{Kind, Regs};
use orch_recorder::trace::Origin;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A thread of the recorded process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Index in the process, from 0.
    pub index: u32,
    /// Kernel thread id, as recorded.
    pub tid: u32,
    /// It is the one that runs.
    pub running: bool,
    /// Its registers: of one that does not run, where it waits.
    pub regs: Regs,
    /// FS base: its thread-local storage.
    pub fs_base: u64,
}

/// A mapping of the recorded process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
    /// As in `/proc/PID/maps`: `r-xp`.
    pub prot: String,
    /// Offset in the file.
    pub offset: u64,
    /// The file as it is in the session, or the kernel's name for it.
    pub path: Option<PathBuf>,
}

impl Travel {
    /// Reads memory as the program sees it; returns how many bytes could be read.
    pub fn read(&self, addr: u64, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done < to.len() {
            let at = addr.wrapping_add(done as u64);
            if is_ours(at) {
                break;
            }
            let rest = to.len() - done;
            let region = self.map.regions.iter().find(|r| r.contains(at, 1));
            let (from, len) = match region {
                Some(r) => (r.copy(at), r.len - (at - r.start)),
                None => {
                    let starts = self.map.regions.iter().map(|r| r.start);
                    let next = starts.filter(|&s| s > at).min().unwrap_or(u64::MAX);
                    (at, next - at)
                }
            };
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest);
            let n = self.process.tracee.read(from, &mut to[done..done + len]);
            done += n;
            // At the end of the address space, there is nothing left to be read.
            if n < len || len == 0 {
                break;
            }
        }
        self.map.restore(addr, &mut to[..done]);
        done
    }

    /// The threads of the process, the one that runs among them.
    pub fn threads(&self) -> Result<Vec<Thread>> {
        let l = self.process.layout();
        let tracee = &self.process.tracee;
        let current = self.current_thread()?;
        let first = self.pid_at_start()?;
        let mut mapped = vec![0; MAX_THREADS];
        tracee.read(l.mapped, &mut mapped);
        let mut threads = Vec::new();
        for index in (0..MAX_THREADS).filter(|&i| mapped[i] != 0) {
            let base = THREADS_BASE + index as u64 * THREAD_AREA_LEN + l.thread;
            let half = |at: u64| tracee.word(base + at).map(|w| w & 0xffff_ffff);
            if half(l.thread_life)? == 0 {
                continue;
            }
            let index = u32::try_from(index)?;
            let running = index == current;
            let regs = if running {
                self.regs()?
            } else {
                self.parked_regs(base + l.thread_regs)?
            };
            let fs_base = if running {
                self.fs_base()?
            } else {
                tracee.word(base + l.thread_fs_base)?
            };
            // The first thread of a program has the id here that replay gave it.
            let tid = match first {
                Some(pid) if index == 0 => pid,
                _ => u32::try_from(half(l.thread_tid)?)?,
            };
            threads.push(Thread {
                index,
                tid,
                running,
                regs,
                fs_base,
            });
        }
        Ok(threads)
    }

    /// FS base of the thread that runs.
    pub fn fs_base(&self) -> Result<u64> {
        let tracee = &self.process.tracee;
        if let Ok(regs) = tracee.regs() {
            return Ok(regs.fs_base);
        }
        // While it waits in the runtime only the processor has it.
        tracee.attach()?;
        let regs = tracee.regs();
        tracee.detach()?;
        Ok(regs?.fs_base)
    }

    fn current_thread(&self) -> Result<u32> {
        if self.process.place() != Place::Program {
            return Ok(self.process.thread());
        }
        // GS leads to the thread's structure.
        let gs = self.process.tracee.regs()?.gs_base;
        Ok(u32::try_from(
            gs.wrapping_sub(THREADS_BASE) / THREAD_AREA_LEN,
        )?)
    }

    fn parked_regs(&self, at: u64) -> Result<Regs> {
        let mut words = [0; 18];
        for (n, to) in words.iter_mut().enumerate() {
            *to = self.process.tracee.word(at + 8 * n as u64)?;
        }
        Ok(Regs::from(words))
    }

    /// The auxiliary vector, as the kernel put it on the stack (getauxval(3)).
    pub fn auxv(&self) -> Result<Vec<u8>> {
        let start = self.start_of_program()?;
        let mut at = start.rsp;
        let word = |at: u64| -> Result<u64> {
            let mut bytes = [0; 8];
            anyhow::ensure!(self.read(at, &mut bytes) == 8, "the stack is gone");
            Ok(u64::from_le_bytes(bytes))
        };
        // argc, argv, 0, environment, 0 (System V ABI, "Process Initialization").
        at += 8 * (word(at)? + 2);
        while word(at)? != 0 {
            at += 8;
        }
        at += 8;
        let mut auxv = Vec::new();
        loop {
            let (kind, value) = (word(at)?, word(at + 8)?);
            auxv.extend(kind.to_le_bytes());
            auxv.extend(value.to_le_bytes());
            at += 16;
            if kind == 0 {
                return Ok(auxv);
            }
        }
    }

    /// Registers with which the program began.
    fn start_of_program(&self) -> Result<Regs> {
        let mut records = self.session.reader(self.root())?.records();
        while let Some(record) = records.next_record()? {
            if record.kind()? == Kind::Start {
                return Ok(record.start()?.start.regs);
            }
        }
        anyhow::bail!("{} does not say how it starts", self.root())
    }

    /// Process id that the recording began with, if not as another's child.
    fn pid_at_start(&self) -> Result<Option<u32>> {
        let summary = self.session.summary(self.recording())?;
        Ok(match summary.origin {
            Some(Origin::Exec { pid, .. }) => Some(pid),
            _ => None,
        })
    }

    /// Path of the program.
    pub fn program(&self) -> Result<String> {
        match self.session.summary(self.root())?.origin {
            Some(Origin::Exec { program, .. }) => Ok(program.path),
            _ => anyhow::bail!("{} does not say what it runs", self.root()),
        }
    }

    /// The program's mappings.
    pub fn maps(&self) -> Result<Vec<Mapping>> {
        let text = std::fs::read_to_string(format!("/proc/{}/maps", self.process.pid()))?;
        let mappings = text.lines().filter_map(mapping);
        let of_program = |m: &Mapping| !is_ours(m.start) && !self.map.is_runtime_code(m.start);
        Ok(mappings.filter(of_program).collect())
    }

    /// Hashes of the program's writable mappings, by address; pages of zeros do
    /// not count, so that it does not matter which were touched.
    pub fn digest(&self) -> Result<BTreeMap<u64, u64>> {
        const PAGE: usize = 4096;
        let mut hashes = BTreeMap::new();
        let mut piece = vec![0; 64 * PAGE];
        let shared = self.map.regions.iter().map(|r| (r.start, r.start + r.len));
        let private = self.maps()?;
        let writable = private.iter().filter(|m| m.prot.starts_with("rw-p"));
        // Whether the kernel keeps neighbours as one is chance.
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (start, end) in writable.map(|m| (m.start, m.end)).chain(shared) {
            match ranges.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => ranges.push((start, end)),
            }
        }
        for (start, end) in ranges {
            let (mut at, mut hash) = (start, 0_u64);
            while at < end {
                let len = piece.len().min(usize::try_from(end - at)?);
                let n = self.read(at, &mut piece[..len]);
                for (i, page) in piece[..n].chunks(PAGE).enumerate() {
                    if page.iter().any(|&b| b != 0) {
                        let seed = at + (i * PAGE) as u64;
                        let page = xxhash_rust::xxh3::xxh3_64_with_seed(page, seed);
                        hash = hash.wrapping_add(page);
                    }
                }
                at += len as u64;
            }
            if hash != 0 {
                hashes.insert(start, hash);
            }
        }
        Ok(hashes)
    }
}

/// A line of `/proc/PID/maps` (proc_pid_maps(5)).
fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let prot = fields.next()?.to_owned();
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let offset = hex(fields.next()?)?;
    let path = fields.nth(2).map(str::trim).filter(|p| !p.is_empty());
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        prot,
        offset,
        path: path.map(PathBuf::from),
    })
}
