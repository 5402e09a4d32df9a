//! Functions and lines of one captured file.

use super::Frame;
use super::elf::{self, DataSymbol, Elf, Link};
use super::places::{self, Places};
use addr2line::Loader;
use orch_recorder::regular;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A captured file, and what tells about its code.
pub struct Debug {
    elf: Elf,
    /// The file's own information, and that of its separate debugging file.
    loaders: Vec<Loader>,
    paths: Vec<PathBuf>,
    /// Sizes of what has symbols, by address, once they are needed.
    sizes: OnceCell<HashMap<u64, u64>>,
    /// Names of what words hold the addresses of, by theirs, once they are needed.
    slots: OnceCell<HashMap<u64, String>>,
    file: File,
}

/// A function's name, and how far into it a place is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Demangled, without version.
    pub name: String,
    /// Bytes behind its start.
    pub offset: u64,
}

impl Debug {
    /// Reads `copy`, which was at `original`; `None` if it is no program.
    pub fn open(copy: &Path, original: &Path) -> Option<Self> {
        let elf = Elf::open(copy, original)?;
        let mut loaders = Vec::new();
        let mut paths = vec![copy.to_owned()];
        let own = Loader::new(copy).ok();
        if !own.as_ref().is_some_and(has_lines)
            && let Some(path) = elf.links.iter().find(|link| fits(link)).map(|l| &l.path)
        {
            loaders.extend(Loader::new_with_sup(path, elf::supplement(path)).ok());
            paths.push(path.clone());
        }
        loaders.extend(own);
        Some(Self {
            elf,
            loaders,
            paths,
            sizes: OnceCell::new(),
            slots: OnceCell::new(),
            file: File::open(copy).ok()?,
        })
    }

    /// The functions at an offset of the file, innermost first; none where
    /// nothing tells what they are.
    pub fn frames(&self, offset: u64) -> Vec<Frame> {
        let vaddr = self.elf.vaddr(offset);
        vaddr.map_or_else(Vec::new, |vaddr| self.frames_at(vaddr))
    }

    /// The same at an address in the file's own terms.
    pub fn frames_at(&self, vaddr: u64) -> Vec<Frame> {
        let lines = self.loaders.iter().map(|loader| lines(loader, vaddr));
        if let Some(mut frames) = lines.flatten().find(|frames| !frames.is_empty()) {
            for frame in frames.iter_mut().filter(|f| f.function.is_none()) {
                frame.function = self.symbol(vaddr).map(|symbol| symbol.name);
            }
            return frames;
        }
        let symbol = self.symbol(vaddr).map(|symbol| Frame {
            function: Some(symbol.name),
            ..Frame::default()
        });
        symbol.into_iter().collect()
    }

    /// The address in the file's own terms of a byte of the file.
    pub fn vaddr(&self, offset: u64) -> Option<u64> {
        self.elf.vaddr(offset)
    }

    /// The files that tell about it: its copy, and its separate debugging file.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Where code of a source line begins.
    pub fn line(&self, source: &str, line: u32) -> Places {
        let found = self
            .paths
            .iter()
            .map(|path| places::of_line(path, source, line));
        let mut found = merge(found);
        let mut known = HashMap::new();
        // Of a loop's line, what comes first is meant, and not each part of it.
        for at in std::mem::take(&mut found.addresses) {
            let frames = self.frames_at(at);
            let symbol = self.symbol(at).map(|symbol| at - symbol.offset);
            let function = frames.first().and_then(|f| f.function.clone());
            let around = frames.get(1..).unwrap_or_default().to_vec();
            let first = known.entry((symbol, function, around)).or_insert(at);
            *first = at.min(*first);
        }
        found.addresses = known.into_values().collect();
        found
    }

    /// Where functions of a name begin.
    pub fn function(&self, name: &str) -> Places {
        merge(
            self.paths
                .iter()
                .map(|path| places::of_function(path, name)),
        )
    }

    /// Whether anything tells of source lines.
    pub fn has_lines(&self) -> bool {
        self.loaders.iter().any(has_lines)
    }

    /// Where separate debugging information was looked for, best first.
    pub fn looked_for(&self) -> impl Iterator<Item = &Path> {
        self.elf.links.iter().map(|link| link.path.as_path())
    }

    /// Whether a call instruction ends at an offset of the file (Intel SDM volume 2,
    /// CALL: `e8` and 4 bytes, or `ff /2` of 2 to 7 bytes with a prefix).
    pub fn is_call(&self, end: u64) -> bool {
        let mut bytes = [0; 7];
        let mut read = || {
            let start = end.checked_sub(7)?;
            self.file.read_exact_at(&mut bytes, start).ok()
        };
        if read().is_none() {
            return false;
        }
        let indirect = |n: usize| bytes[n] == 0xff && bytes[n + 1] >> 3 & 7 == 2;
        bytes[2] == 0xe8 || (0..6).any(indirect)
    }

    /// The function that an address is in, by its symbol.
    pub fn symbol(&self, vaddr: u64) -> Option<Symbol> {
        let mut found = self
            .loaders
            .iter()
            .filter_map(|l| l.find_symbol_info(vaddr));
        let symbol = found.find(|symbol| {
            let size = self.sizes().get(&symbol.address()).copied();
            size.is_none_or(|size| vaddr - symbol.address() < size)
        })?;
        let name = symbol.name().split('@').next()?;
        Some(Symbol {
            name: addr2line::demangle_auto(name.into(), None).into_owned(),
            offset: vaddr - symbol.address(),
        })
    }

    fn sizes(&self) -> &HashMap<u64, u64> {
        self.sizes.get_or_init(|| {
            let all = self.paths.iter().rev().map(|path| elf::sizes(path));
            all.flatten().collect()
        })
    }

    /// The name of what the dynamic linker puts the address of into the word at `vaddr`.
    pub fn slot(&self, vaddr: u64) -> Option<&str> {
        let slots = self.slots.get_or_init(|| {
            self.paths
                .first()
                .map(|p| elf::slots(p))
                .unwrap_or_default()
        });
        slots.get(&vaddr).map(String::as_str)
    }

    /// Variables called `name`, if the file's byte `offset` is at `addr`.
    pub fn data(&self, name: &str, addr: u64, offset: u64, file: &str) -> Vec<DataSymbol> {
        let Some(bias) = self.elf.vaddr(offset).map(|v| addr.wrapping_sub(v)) else {
            return Vec::new();
        };
        let found = self.paths.iter().map(|path| elf::variables(path, name));
        let found = found.into_iter().find(|found| !found.is_empty());
        let found = found.unwrap_or_default().into_iter();
        let symbol = |(vaddr, size): (u64, u64)| DataSymbol {
            addr: vaddr.wrapping_add(bias),
            size,
            file: file.to_owned(),
        };
        found.map(symbol).collect()
    }
}

/// What the files that tell about a program say, taken together.
fn merge(all: impl Iterator<Item = Places>) -> Places {
    all.fold(Places::default(), |mut found, more| {
        found.addresses.extend(more.addresses);
        found.lines.extend(more.lines);
        found.chooses |= more.chooses;
        found
    })
}

fn has_lines(loader: &Loader) -> bool {
    let section = loader.get_section_range(b".debug_info");
    section.is_some_and(|range| range.end > range.begin)
}

fn lines(loader: &Loader, vaddr: u64) -> Option<Vec<Frame>> {
    let mut found = loader.find_frames(vaddr).ok()?;
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = found.next() {
        let function = frame.function.as_ref().and_then(|f| f.demangle().ok());
        let location = frame.location.as_ref();
        frames.push(Frame {
            function: function.map(std::borrow::Cow::into_owned),
            file: location.and_then(|l| l.file).map(str::to_owned),
            line: location.and_then(|l| l.line),
        });
    }
    Some(frames)
}

/// Whether the file of a link is there, and is the one that is meant.
fn fits(link: &Link) -> bool {
    let Some(crc) = link.crc else {
        return link.path.is_file();
    };
    let checksum = || {
        let mut file = regular::open(&link.path).ok()?;
        let mut hasher = crc32fast::Hasher::new();
        let mut piece = vec![0; 256 << 10];
        loop {
            match file.read(&mut piece).ok()? {
                0 => return Some(hasher.finalize()),
                n => hasher.update(&piece[..n]),
            }
        }
    };
    checksum() == Some(crc)
}
