//! What an ELF file says about itself, read as far as needed.

use object::read::elf::{ElfFile64, FileHeader, ProgramHeader as _};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, ObjectSymbolTable as _,
    ReadCache, ReadRef, RelocationTarget, SymbolKind, elf,
};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A variable of a recorded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSymbol {
    /// Its address in the recording.
    pub addr: u64,
    /// Bytes; 0 if the file does not say.
    pub size: u64,
    /// Name of the file that defines it.
    pub file: String,
}

/// A part of the file that is loaded.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    len: u64,
    vaddr: u64,
}

/// What is needed of an ELF file.
#[derive(Debug)]
pub struct Elf {
    segments: Vec<Segment>,
    /// Where its separate debugging information may be, best first.
    pub links: Vec<Link>,
}

/// A name under which debugging information may be found.
#[derive(Debug)]
pub struct Link {
    /// The file.
    pub path: PathBuf,
    /// The CRC-32 that it must have.
    pub crc: Option<u32>,
}

/// Where distributions put debugging information (GDB manual, "Separate Debug Files").
const DEBUG_DIR: &str = "/usr/lib/debug";

impl Elf {
    /// Reads the file at `copy`, which was at `original`.
    pub fn open(copy: &Path, original: &Path) -> Option<Self> {
        let cache = ReadCache::new(File::open(copy).ok()?);
        let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
        let endian = file.endian();
        let loaded = file
            .elf_program_headers()
            .iter()
            .filter(|h| h.p_type(endian) == elf::PT_LOAD);
        let segments = loaded.map(|h| Segment {
            offset: h.p_offset(endian),
            len: h.p_memsz(endian),
            vaddr: h.p_vaddr(endian),
        });
        Some(Self {
            segments: segments.collect(),
            links: links(&file, original),
        })
    }

    /// The address in the file's own terms of a byte of the file.
    pub fn vaddr(&self, offset: u64) -> Option<u64> {
        let inside = |s: &&Segment| offset.wrapping_sub(s.offset) < s.len;
        // Segments are mapped in whole pages: one may begin before its first byte.
        let near =
            |s: &&Segment| (offset | 0xfff).wrapping_sub(s.offset) < s.len.saturating_add(0xfff);
        let segments = || self.segments.iter();
        let segment = segments().find(inside).or_else(|| segments().find(near))?;
        Some(
            segment
                .vaddr
                .wrapping_add(offset.wrapping_sub(segment.offset)),
        )
    }
}

fn links<'d, H: FileHeader, R: ReadRef<'d>>(
    file: &object::read::elf::ElfFile<'d, H, R>,
    original: &Path,
) -> Vec<Link> {
    let mut links = Vec::new();
    if let Ok(Some([first, rest @ ..])) = file.build_id() {
        let rest: String = rest.iter().map(|b| format!("{b:02x}")).collect();
        links.push(Link {
            path: format!("{DEBUG_DIR}/.build-id/{first:02x}/{rest}.debug").into(),
            crc: None,
        });
    }
    if let Ok(Some((name, crc))) = file.gnu_debuglink()
        && let (Ok(name), Some(dir)) = (std::str::from_utf8(name), original.parent())
    {
        let below = dir.strip_prefix("/").unwrap_or(dir);
        for dir in [
            dir.to_owned(),
            dir.join(".debug"),
            Path::new(DEBUG_DIR).join(below),
        ] {
            links.push(Link {
                path: dir.join(name),
                crc: Some(crc),
            });
        }
    }
    links
}

/// The file of shared debugging information (dwz) that `path` refers to.
pub fn supplement(path: &Path) -> Option<PathBuf> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
    let (name, _) = file.gnu_debugaltlink().ok()??;
    let name = Path::new(std::str::from_utf8(name).ok()?);
    let found = path.canonicalize().ok()?.parent()?.join(name);
    found.exists().then_some(found)
}

/// Sizes of what the file has symbols of, by address. What has no size was written in
/// assembly: it may reach to its section's end.
pub fn sizes(path: &Path) -> HashMap<u64, u64> {
    let read = || {
        let cache = ReadCache::new(File::open(path).ok()?);
        let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
        let mut found = HashMap::new();
        for symbol in file.symbols().chain(file.dynamic_symbols()) {
            if !symbol.is_definition() || symbol.kind() == SymbolKind::Tls {
                continue;
            }
            let section = symbol.section_index();
            let end = section
                .and_then(|n| file.section_by_index(n).ok())
                .map_or(0, |section| section.address() + section.size());
            let size = match symbol.size() {
                0 => end.saturating_sub(symbol.address()),
                size => size,
            };
            let known = found.entry(symbol.address()).or_insert(size);
            *known = size.max(*known);
        }
        Some(found)
    };
    read().unwrap_or_default()
}

/// Names of what the dynamic linker puts the addresses of into words of the file, by the
/// addresses of those: of functions that are called through a procedure linkage table.
pub fn slots(path: &Path) -> HashMap<u64, String> {
    let read = || {
        let cache = ReadCache::new(File::open(path).ok()?);
        let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
        let symbols = file.dynamic_symbol_table()?;
        let name = |relocation: &object::Relocation| match relocation.target() {
            RelocationTarget::Symbol(index) => {
                let symbol = symbols.symbol_by_index(index).ok()?;
                Some(symbol.name().ok()?.to_owned())
            }
            _ => None,
        };
        let relocations = file.dynamic_relocations()?;
        let named = relocations.filter_map(|(at, relocation)| Some((at, name(&relocation)?)));
        Some(named.collect())
    };
    read().unwrap_or_default()
}

/// Addresses in the file's own terms and sizes of the variables called `name`.
pub fn variables(path: &Path, name: &str) -> Vec<(u64, u64)> {
    let read = || {
        let cache = ReadCache::new(File::open(path).ok()?);
        let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
        let mut found: Vec<(u64, u64)> = file
            .symbols()
            .chain(file.dynamic_symbols())
            .filter(|s| s.is_definition() && s.kind() == SymbolKind::Data)
            .filter(|s| s.name().is_ok_and(|n| is_called(n, name)))
            .map(|s| (s.address(), s.size()))
            .collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    };
    read().unwrap_or_default()
}

fn is_called(symbol: &str, name: &str) -> bool {
    // Versions (`environ@@GLIBC_2.2.5`) are not part of the name.
    symbol == name
        || symbol.split('@').next() == Some(name)
        || (symbol.starts_with("_Z") || symbol.starts_with("_R"))
            && addr2line::demangle_auto(symbol.into(), None) == name
}
