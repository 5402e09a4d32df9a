//! The program's code as the user knows it. The runtime puts jumps into it and
//! executes what they displace elsewhere (`recorder/runtime/src/{patch,stub}.rs`,
//! `shm/site.rs`); here addresses are translated between the two, and the
//! displaced bytes are shown where they belong.

use super::tracee::Tracee;
use anyhow::{Result, bail};
use orch_abi::access::Moved;
use orch_abi::layout::{PAGE, is_ours};
use orch_abi::stop::{Layout, PatchedSite, Region, SearchStub, Window};

/// [`PatchedSite::number`]s that are not a call's.
const NO_NUMBER: u32 = u32::MAX;
/// See above.
const CPUID: u32 = u32::MAX - 1;
/// See above.
const SAVE: u32 = u32::MAX - 2;

/// Whether it is a call that was patched in the form `mov $number,%eax; syscall`.
fn loads_number(s: &PatchedSite) -> bool {
    ![NO_NUMBER, CPUID, SAVE].contains(&s.number)
}

/// Bytes of the jump that a site or window becomes.
const JUMP: u64 = 5;
/// More of anything than the runtime has room for.
const TOO_MANY: u64 = 1 << 16;

/// What of the program's code is displaced, at one instant.
#[derive(Debug, Default)]
pub struct CodeMap {
    sites: Vec<PatchedSite>,
    windows: Vec<Window>,
    moved: Vec<Moved>,
    pads: Vec<u64>,
    search: SearchStub,
    /// A search's breakpoint: its address, and what belongs there.
    search_breakpoint: Option<(u64, u8)>,
    /// Shared mappings, which the program has no other view of.
    pub regions: Vec<Region>,
}

/// What an address that the processor is at means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The program is about to execute its instruction at this address.
    Program(u64),
    /// It is about to execute this `mov $number,%eax`, and then a system call, as one.
    Mov {
        /// Where the `mov` is.
        ip: u64,
        /// What it loads.
        number: u32,
    },
    /// The same, and the jump was taken: the `mov` is done.
    Syscall {
        /// Where the `syscall` is.
        ip: u64,
        /// What is in eax.
        number: u32,
    },
    /// It is within what stands for an instruction.
    Between,
    /// It is in the runtime.
    Runtime,
}

/// Plain structures of the runtime, read from its memory.
trait Plain: Clone {
    const SIZE: usize;
    fn parse(bytes: &[u8]) -> Self;
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().expect("eight bytes"))
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

macro_rules! offset {
    ($t:ty, $f:ident) => {
        std::mem::offset_of!($t, $f)
    };
}

impl Plain for PatchedSite {
    const SIZE: usize = size_of::<Self>();
    fn parse(b: &[u8]) -> Self {
        let from = offset!(Self, original);
        Self {
            after: u64_at(b, offset!(Self, after)),
            resume: u64_at(b, offset!(Self, resume)),
            start: u64_at(b, offset!(Self, start)),
            trampoline: u64_at(b, offset!(Self, trampoline)),
            number: u32_at(b, offset!(Self, number)),
            follower: u32_at(b, offset!(Self, follower)),
            live: u32_at(b, offset!(Self, live)),
            len: u32_at(b, offset!(Self, len)),
            original: b[from..from + 16].try_into().expect("sixteen bytes"),
        }
    }
}

impl Plain for Window {
    const SIZE: usize = size_of::<Self>();
    fn parse(b: &[u8]) -> Self {
        let from = offset!(Self, code);
        Self {
            ip: u64_at(b, offset!(Self, ip)),
            stub: u64_at(b, offset!(Self, stub)),
            len: u32_at(b, offset!(Self, len)),
            moved: u32_at(b, offset!(Self, moved)),
            count: u32_at(b, offset!(Self, count)),
            patched: u32_at(b, offset!(Self, patched)),
            stub_len: u32_at(b, offset!(Self, stub_len)),
            sites: u32_at(b, offset!(Self, sites)),
            site_count: u32_at(b, offset!(Self, site_count)),
            code: b[from..from + 40].try_into().expect("40 bytes"),
        }
    }
}

impl Plain for Moved {
    const SIZE: usize = size_of::<Self>();
    fn parse(b: &[u8]) -> Self {
        Self {
            at: u32_at(b, offset!(Self, at)),
            entry: u32_at(b, offset!(Self, entry)),
        }
    }
}

impl Plain for Region {
    const SIZE: usize = size_of::<Self>();
    fn parse(b: &[u8]) -> Self {
        Self {
            start: u64_at(b, offset!(Self, start)),
            len: u64_at(b, offset!(Self, len)),
            prot: u64_at(b, offset!(Self, prot)),
            alias: u64_at(b, offset!(Self, alias)),
            copy: u64_at(b, offset!(Self, copy)),
            object: u32_at(b, offset!(Self, object)),
            reserved: 0,
            offset: u64_at(b, offset!(Self, offset)),
        }
    }
}

impl Plain for SearchStub {
    const SIZE: usize = size_of::<Self>();
    fn parse(b: &[u8]) -> Self {
        let (o, p) = (offset!(Self, offsets), offset!(Self, pages));
        let original = offset!(Self, original);
        Self {
            on: u32_at(b, offset!(Self, on)),
            len: u32_at(b, offset!(Self, len)),
            starts: u32_at(b, offset!(Self, starts)),
            reserved: 0,
            pages: [u64_at(b, p), u64_at(b, p + 8)],
            ip: u64_at(b, offset!(Self, ip)),
            moved: u64_at(b, offset!(Self, moved)),
            offsets: b[o..o + 8].try_into().expect("eight bytes"),
            original: b[original..original + 24].try_into().expect("24 bytes"),
        }
    }
}

impl Plain for u64 {
    const SIZE: usize = 8;
    fn parse(b: &[u8]) -> Self {
        u64_at(b, 0)
    }
}

/// Appends rows that `to` does not have yet; those only grow in number.
fn rows<T: Plain>(tracee: &Tracee, at: u64, count: u64) -> Result<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if count > TOO_MANY {
        bail!("the runtime's tables are damaged");
    }
    let mut bytes = vec![0; usize::try_from(count)? * T::SIZE];
    if tracee.read(at, &mut bytes) < bytes.len() {
        bail!("the runtime's tables cannot be read");
    }
    Ok(bytes.chunks_exact(T::SIZE).map(T::parse).collect())
}

/// How many rows there are: none where there is no table yet.
fn count(tracee: &Tracee, at: u64) -> u64 {
    tracee.word(at).unwrap_or(0)
}

/// What the process maps of shared memory.
pub fn regions(tracee: &Tracee, layout: &Layout) -> Result<Vec<Region>> {
    rows(tracee, layout.regions, count(tracee, layout.region_count))
}

impl CodeMap {
    /// Reads it from a process that stands still.
    pub fn read(tracee: &Tracee, layout: &Layout) -> Result<Self> {
        let windows: Vec<Window> =
            rows(tracee, layout.windows, count(tracee, layout.window_count))?;
        let moved = windows.iter().map(|w| u64::from(w.moved + w.count)).max();
        let search: Vec<SearchStub> = rows(tracee, layout.search, 1)?;
        let inserted = tracee.word(layout.search_inserted)? & 0xff != 0;
        let breakpoint = || -> Result<(u64, u8)> {
            let byte = tracee.word(layout.search_original)? as u8;
            Ok((tracee.word(layout.search_address)?, byte))
        };
        Ok(Self {
            sites: rows(tracee, layout.sites, count(tracee, layout.site_count))?,
            moved: rows(tracee, layout.moved, moved.unwrap_or(0))?,
            windows,
            pads: rows(tracee, layout.pads, count(tracee, layout.pad_count))?,
            search: search.into_iter().next().unwrap_or_default(),
            search_breakpoint: inserted.then(breakpoint).transpose()?,
            regions: regions(tracee, layout)?,
        })
    }

    fn moved_of(&self, w: &Window) -> &[Moved] {
        let (from, n) = (w.moved as usize, w.count as usize);
        self.moved.get(from..from + n).unwrap_or_default()
    }

    fn live_sites(&self) -> impl Iterator<Item = &PatchedSite> {
        self.sites.iter().filter(|s| s.live != 0)
    }

    /// What it means that the processor is at `ip`.
    pub fn meaning(&self, ip: u64) -> Meaning {
        if is_ours(ip) {
            return Meaning::Runtime;
        }
        if let Some(s) = self.live_sites().find(|s| s.start == ip)
            && loads_number(s)
        {
            let number = s.number;
            return Meaning::Mov { ip, number };
        }
        for w in &self.windows {
            if ip.wrapping_sub(w.stub) < w.stub_len.into() {
                let at = ip - w.stub;
                let begins = |m: &&Moved| u64::from(m.entry) == at;
                return match self.moved_of(w).iter().find(begins) {
                    Some(m) => Meaning::Program(w.ip + u64::from(m.at)),
                    None => Meaning::Between,
                };
            }
        }
        if self.search.on != 0 && ip.wrapping_sub(self.search.pages[0]) < self.search.pages[1] {
            return self.in_search(ip);
        }
        for s in self.live_sites() {
            if ip.wrapping_sub(s.trampoline) >= s.len.into() {
                continue;
            }
            let d = ip.wrapping_sub(s.resume);
            if s.follower > 0 && d < s.follower.into() {
                return Meaning::Program(s.after + d);
            }
            if ip == s.trampoline && loads_number(s) {
                let (ip, number) = (s.after - 2, s.number);
                return Meaning::Syscall { ip, number };
            }
            return Meaning::Between;
        }
        if self.pads.contains(&(ip & !(PAGE - 1))) {
            return Meaning::Between;
        }
        Meaning::Program(ip)
    }

    fn in_search(&self, ip: u64) -> Meaning {
        let s = &self.search;
        let starts = (0..s.len).filter(|n| s.starts >> n & 1 == 1);
        for (n, offset) in starts.zip(s.offsets) {
            if s.moved + u64::from(offset) == ip {
                return Meaning::Program(s.ip + u64::from(n));
            }
        }
        Meaning::Between
    }

    /// Where the processor is when the program is about to execute its
    /// instruction at `ip`: a breakpoint there goes to all of these.
    pub fn places(&self, ip: u64) -> Vec<u64> {
        let mut places = Vec::new();
        let mut here = true;
        for w in &self.windows {
            let Some(at) = ip.checked_sub(w.ip).filter(|&at| at < w.len.into()) else {
                continue;
            };
            if let Some(m) = self.moved_of(w).iter().find(|m| u64::from(m.at) == at) {
                places.push(w.stub + u64::from(m.entry));
            }
            // The jump leads to the stub; what it covers cannot be executed.
            if w.patched != 0 && at < JUMP {
                here = false;
            }
        }
        let s = &self.search;
        if s.on != 0 && ip >= s.ip && ip < s.ip + u64::from(s.len) {
            let starts = (0..s.len).filter(|n| s.starts >> n & 1 == 1);
            for (n, offset) in starts.zip(s.offsets) {
                if s.ip + u64::from(n) == ip {
                    places.push(s.moved + u64::from(offset));
                }
            }
            here &= ip >= s.ip + JUMP;
        }
        for s in self.live_sites() {
            let follower = ip.wrapping_sub(s.after) < s.follower.into();
            if follower {
                places.push(s.resume + (ip - s.after));
                here &= ip >= s.start + JUMP;
            } else if loads_number(s) && ip == s.after - 2 {
                places.push(s.trampoline);
            }
        }
        if here {
            places.push(ip);
        }
        places
    }

    /// Puts what belongs to the program into memory that was read at `addr`.
    pub fn restore(&self, addr: u64, bytes: &mut [u8]) {
        let mut put = |at: u64, original: &[u8]| {
            for (at, &byte) in (at..).zip(original) {
                let here = usize::try_from(at.wrapping_sub(addr)).unwrap_or(usize::MAX);
                if let Some(to) = bytes.get_mut(here) {
                    *to = byte;
                }
            }
        };
        for s in self.live_sites() {
            put(s.start, &s.original[..JUMP as usize]);
        }
        for w in self.windows.iter().filter(|w| w.patched != 0) {
            put(w.ip, &w.code[..JUMP as usize]);
        }
        // The search came last.
        if self.search.on != 0 {
            let original = &self.search.original[..JUMP as usize];
            put(self.search.ip, original);
        }
        if let Some((at, byte)) = self.search_breakpoint {
            put(at, &[byte]);
        }
    }

    /// Takes what leads to the runtime out of the process, for good, and shared memory out of
    /// the map. What stands for `cpuid` and `xsave` stays: a recording is not asked for that.
    pub fn take_out(&mut self, tracee: &Tracee) -> Result<()> {
        let stays = |s: &PatchedSite| s.live != 0 && matches!(s.number, CPUID | SAVE);
        let (stay, go): (Vec<_>, Vec<_>) = self.sites.drain(..).partition(stays);
        self.sites = go;
        let jumps = self.live_sites().map(|s| s.start);
        let windows = self.windows.iter().filter(|w| w.patched != 0).map(|w| w.ip);
        let search = (self.search.on != 0).then_some(self.search.ip);
        for at in jumps.chain(windows).chain(search) {
            let mut code = [0; JUMP as usize];
            let n = tracee.read(at, &mut code);
            self.restore(at, &mut code[..n]);
            tracee.write(at, &code[..n])?;
        }
        if let Some((at, byte)) = self.search_breakpoint {
            tracee.write(at, &[byte])?;
        }
        *self = Self {
            sites: stay,
            ..Self::default()
        };
        Ok(())
    }

    /// Whether a mapping is one that the runtime made for code.
    pub fn is_runtime_code(&self, start: u64) -> bool {
        let within = |at: u64| at & !(PAGE - 1) == start;
        self.pads.contains(&start)
            || self.windows.iter().any(|w| within(w.stub))
            || self.sites.iter().any(|s| within(s.trampoline))
            || self.search.on != 0 && self.search.pages[0] == start
    }
}
