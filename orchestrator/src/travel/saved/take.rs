//! A process is saved: what the kernel keeps of it, page by page.

use super::file::{self, Header, Mapped, machine};
use crate::travel::code::regions;
use crate::travel::process::Process;
use anyhow::{Context as _, Result, bail};
use orch_abi::layout::{ARENA_BASE, ARENA_LEN, RUNTIME_BASE, RUNTIME_LEN};
use orch_recorder::image::{Mapping, private_pages};
use std::fs::{self, File};
use std::path::Path;

/// Longer mappings are not looked through: their table of pages would be half a gigabyte.
const MOST_MAPPED: u64 = 256 << 30;

/// A process that stands where it can be saved.
pub struct Taken {
    process: Process,
    header: Header,
    /// Where pages of its own may be.
    own: Vec<Mapping>,
}

/// Stops a process that waits at an event; `None` if it has something that cannot be saved.
pub fn take(mut process: Process) -> Result<Option<Taken>> {
    process.open_up()?;
    let regions = regions(&process.tracee, &process.layout())?;
    let mut header = Header {
        machine: machine(),
        frame: process.tracee.frame()?.to_vec(),
        maps: Vec::new(),
    };
    let mut own = Vec::new();
    for (m, details) in mappings(process.pid().as_raw())? {
        let is_arena = m.start >= ARENA_BASE && m.end <= ARENA_BASE + ARENA_LEN;
        // Views of shared memory are made anew from the copy.
        let mut views = regions
            .iter()
            .flat_map(|r| [(r.start, r.len), (r.alias, r.len)]);
        let is_view =
            views.any(|(start, len)| m.shared && m.start >= start && m.end <= start + len);
        if is_arena || is_view || m.name == "[vsyscall]" {
            continue;
        }
        let is_runtime = m.start >= RUNTIME_BASE && m.end <= RUNTIME_BASE + RUNTIME_LEN;
        if !is_runtime {
            let Some(mapped) = mapped(&m, &details) else {
                return Ok(None);
            };
            header.maps.push(mapped);
        }
        if details.has_pages {
            if m.end - m.start > MOST_MAPPED {
                return Ok(None);
            }
            own.push(m);
        }
    }
    Ok(Some(Taken {
        process,
        header,
        own,
    }))
}

impl Taken {
    /// Writes it to `path`, in the directory `dir`, at once or not at all.
    pub fn write(&self, dir: &Path, path: &Path) -> Result<()> {
        let part = tempfile::NamedTempFile::new_in(dir)?;
        file::write(part.reopen()?, &self.header, |run| self.pages(run))?;
        part.persist(path)?;
        Ok(())
    }

    fn pages(&self, run: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let pid = self.process.pid();
        let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
        let mut bytes = vec![0; file::MOST_RUN];
        for m in &self.own {
            if m.shared {
                // Who else has touched the pages is not known here.
                let ranges = (m.start..m.end).step_by(file::MOST_RUN);
                for start in ranges {
                    let len = (m.end - start).min(file::MOST_RUN as u64);
                    self.run(start, len, &mut bytes, run)?;
                }
                continue;
            }
            for (start, len) in private_pages(&pagemap, m)? {
                self.run(start, len, &mut bytes, run)?;
            }
        }
        Ok(())
    }

    fn run(
        &self,
        start: u64,
        len: u64,
        buffer: &mut [u8],
        run: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let bytes = &mut buffer[..usize::try_from(len)?];
        if self.process.tracee.read(start, bytes) < bytes.len() {
            bail!("cannot read the replaying process's memory at {start:#x}");
        }
        run(start, bytes)
    }
}

/// As mmap(2) is to be asked for it; `None` if it cannot be.
fn mapped(m: &Mapping, details: &Details) -> Option<Mapped> {
    let shared = if m.shared {
        libc::MAP_SHARED
    } else {
        libc::MAP_PRIVATE
    };
    let mut flags = shared | libc::MAP_FIXED | details.flags;
    let mut file = None;
    // Shared memory without a file has an inode of its own.
    if m.inode == 0 || m.shared && m.name.starts_with("/dev/zero") {
        flags |= libc::MAP_ANONYMOUS;
    } else {
        let captured = Path::new(&m.name).file_name()?.to_str()?.parse().ok()?;
        if m.shared {
            return None;
        }
        file = Some((captured, m.offset));
    }
    Some(Mapped {
        start: m.start,
        end: m.end,
        prot: m.prot,
        flags: flags.cast_unsigned(),
        file,
    })
}

/// What /proc/PID/smaps tells besides.
#[derive(Default)]
struct Details {
    has_pages: bool,
    /// `MAP_*`.
    flags: i32,
}

fn mappings(pid: i32) -> Result<Vec<(Mapping, Details)>> {
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    let mut all: Vec<(Mapping, Details)> = Vec::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let name = line.split_ascii_whitespace().next().unwrap_or("");
        // `Name:` values, below a line as in /proc/PID/maps (proc_pid_smaps(5)).
        let Some(name) = name.strip_suffix(':') else {
            let mapping = Mapping::parse(line).with_context(|| format!("{path}: {line}"))?;
            all.push((mapping, Details::default()));
            continue;
        };
        let Some((mapping, details)) = all.last_mut() else {
            continue;
        };
        let mut values = line.split_ascii_whitespace().skip(1);
        match name {
            "Rss" | "Swap" => details.has_pages |= values.next() != Some("0"),
            "VmFlags" => {
                for flag in values {
                    details.flags |= match flag {
                        "gd" => libc::MAP_GROWSDOWN,
                        "nr" => libc::MAP_NORESERVE,
                        _ => 0,
                    };
                }
            }
            _ => {}
        }
        details.has_pages |= mapping.shared;
    }
    Ok(all)
}
