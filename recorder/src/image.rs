//! The initial image of a program, as records: what exec has mapped, and the
//! bytes in it that come from no file.

use crate::trace::record::build;
use orch_abi::layout::{PAGE, is_ours};
use orch_abi::record::Map;
use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// One line of /proc/PID/maps (proc_pid_maps(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// Shared, not private.
    pub shared: bool,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Device, major and minor number.
    pub device: (u32, u32),
    /// Inode, 0 if there is no file.
    pub inode: u64,
    /// Path or `[name]`.
    pub name: String,
}

impl Mapping {
    /// Parses a line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let perms = fields.next()?.as_bytes();
        let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let (major, minor) = fields.next()?.split_once(':')?;
        let number = |text| u32::from_str_radix(text, 16).ok();
        let inode = fields.next()?.parse().ok()?;
        let bit = |i: usize, c: u8, value: u32| if perms.get(i) == Some(&c) { value } else { 0 };
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            prot: bit(0, b'r', 1) | bit(1, b'w', 2) | bit(2, b'x', 4),
            shared: perms.get(3) == Some(&b's'),
            offset,
            device: (number(major)?, number(minor)?),
            inode,
            name: fields.next().unwrap_or("").trim_start().to_owned(),
        })
    }
}

/// The memory map of a process.
///
/// # Errors
/// If /proc cannot be read.
pub fn mappings(pid: i32) -> io::Result<Vec<Mapping>> {
    let file = File::open(format!("/proc/{pid}/maps"))?;
    BufReader::new(file)
        .lines()
        .map(|line| {
            let line = line?;
            Mapping::parse(&line).ok_or_else(|| {
                io::Error::other(format!("unexpected line in /proc/{pid}/maps: {line}"))
            })
        })
        .collect()
}

/// The session's copies of files.
pub trait Copies {
    /// The number of the copy of this version of a file, if there is one.
    fn known(&self, version: &Metadata) -> Option<u64>;
    /// Makes a copy of a file that was at `path`; its number.
    ///
    /// # Errors
    /// If it cannot be read, or not be kept.
    fn keep(&mut self, file: &File, path: &Path) -> io::Result<u64>;
}

/// Records that rebuild the image of `pid`, which is stopped after exec and has `maps`;
/// and those of them that map code of a file.
///
/// # Errors
/// If the process or one of its files cannot be read.
pub fn records(
    pid: i32,
    maps: &[Mapping],
    memory: &File,
    tick: u64,
    copies: &mut impl Copies,
) -> io::Result<(Vec<u8>, Vec<Map>)> {
    const MAP_PRIVATE: u32 = 2;
    const PROT_EXEC: u32 = 4;
    const MAP_GROWSDOWN: u32 = 0x100;
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let (mut out, mut code) = (Vec::new(), Vec::new());
    let mut last = ((0, 0), 0, 0);
    for m in maps {
        if is_ours(m.start)
            || matches!(
                m.name.as_str(),
                "[vdso]" | "[vvar]" | "[vvar_vclock]" | "[vsyscall]"
            )
        {
            continue;
        }
        // The segments of a program follow one another.
        if m.inode != 0 && (m.device, m.inode) != (last.0, last.1) {
            last = (m.device, m.inode, capture(pid, m, copies)? + 1);
        }
        let file = if m.inode == 0 { 0 } else { last.2 };
        let flags = if m.name == "[stack]" {
            MAP_PRIVATE | MAP_GROWSDOWN
        } else {
            MAP_PRIVATE
        };
        let map = Map {
            addr: m.start,
            len: m.end - m.start,
            prot: m.prot,
            flags,
            file,
            offset: m.offset,
        };
        out.extend(build::map(tick, &map));
        if file != 0 && m.prot & PROT_EXEC != 0 {
            code.push(map);
        }
        for (start, len) in private_pages(&pagemap, m)? {
            let mut bytes = vec![0; usize::try_from(len).expect("64 bits")];
            memory.read_exact_at(&mut bytes, start)?;
            out.extend(build::data(tick, start, &bytes));
        }
    }
    Ok((out, code))
}

fn capture(pid: i32, m: &Mapping, copies: &mut impl Copies) -> io::Result<u64> {
    let path = m.name.strip_suffix(" (deleted)").unwrap_or(&m.name);
    let candidates = [
        format!("/proc/{pid}/map_files/{:x}-{:x}", m.start, m.end),
        format!("/proc/{pid}/root{path}"),
        format!("/proc/{pid}/exe"),
    ];
    for candidate in &candidates {
        if let Ok(meta) = std::fs::metadata(candidate)
            && meta.ino() == m.inode
            && let Some(number) = copies.known(&meta)
        {
            return Ok(number);
        }
        if let Ok(file) = File::open(candidate)
            && file.metadata()?.ino() == m.inode
        {
            return copies.keep(&file, Path::new(path));
        }
    }
    Err(io::Error::other(format!(
        "{path}, which the program has mapped, cannot be opened"
    )))
}

/// Ranges of pages that belong to the process alone (not to a file), in runs
/// of at most 64 KiB. Kernel Documentation/admin-guide/mm/pagemap.rst: bit 63
/// present, 62 swapped, 61 page of a file or shared.
///
/// # Errors
/// If the process's page map cannot be read.
pub fn private_pages(pagemap: &File, m: &Mapping) -> io::Result<Vec<(u64, u64)>> {
    const RUN: u64 = 64 << 10;
    let pages = usize::try_from((m.end - m.start) / PAGE).expect("64 bits");
    let mut entries = vec![0; pages * 8];
    pagemap.read_exact_at(&mut entries, m.start / PAGE * 8)?;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (i, entry) in entries.chunks_exact(8).enumerate() {
        let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
        if entry >> 62 == 0 || entry >> 61 & 1 == 1 {
            continue;
        }
        let at = m.start + i as u64 * PAGE;
        match runs.last_mut() {
            Some((start, len)) if *start + *len == at && *len < RUN => *len += PAGE,
            _ => runs.push((at, PAGE)),
        }
    }
    Ok(runs)
}

/// Program, arguments and working directory of a process.
///
/// # Errors
/// If /proc cannot be read.
pub fn identity(pid: i32) -> io::Result<(std::path::PathBuf, Vec<Vec<u8>>, std::path::PathBuf)> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let mut raw = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))?
        .take(1 << 20)
        .read_to_end(&mut raw)?;
    if raw.last() == Some(&0) {
        raw.pop();
    }
    let args = raw.split(|&b| b == 0).map(<[u8]>::to_vec).collect();
    Ok((path, args, cwd))
}
