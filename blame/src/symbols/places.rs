//! Where lines and functions have code, from the line tables (DWARF 5, 6.2) and symbols.

use gimli::{
    AttributeValue, Dwarf, DwarfSections, EndianSlice, LineRow, LittleEndian, Unit, constants as dw,
};
use object::read::elf::ElfFile64;
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache, SectionFlags,
    SymbolFlags, elf,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type ElfFile<'d> = ElfFile64<'d, Endianness, &'d ReadCache<File>>;

/// Code of a line or function; addresses are in the file's own terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Where it begins, each copy of it.
    pub addresses: BTreeSet<u64>,
    /// Lines of the same source that have code.
    pub lines: BTreeSet<u32>,
    /// Whether there is a function of that name that only chooses another one (GNU
    /// indirect functions).
    pub chooses: bool,
}

/// What is read of a file to find them.
struct Program {
    sections: DwarfSections<Vec<u8>>,
    code: Vec<Range<u64>>,
    /// Whether the name is anywhere in them: mostly, it is not.
    has_name: bool,
}

impl Program {
    fn read(file: &ElfFile<'_>, name: &str) -> Option<Self> {
        let mut has_name = false;
        let sections = DwarfSections::load(|id| {
            let section = file.section_by_name(id.name());
            let data = section.and_then(|s| s.uncompressed_data().ok());
            let data = data.unwrap_or_default();
            has_name |= !name.is_empty() && data.windows(name.len()).any(|w| w == name.as_bytes());
            Ok::<_, gimli::Error>(data.into_owned())
        });
        Some(Self {
            sections: sections.ok()?,
            code: code(file),
            has_name,
        })
    }

    /// Whether an address is one of code: that of what the linker left out is not.
    fn has(&self, addr: u64) -> bool {
        self.code.iter().any(|range| range.contains(&addr))
    }

    fn each_unit(&self, mut see: impl FnMut(&Dwarf<Slice<'_>>, &Unit<Slice<'_>>)) {
        let section = |section| EndianSlice::new(section, LittleEndian);
        let dwarf = self.sections.borrow(|data: &Vec<u8>| section(data));
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            if let Ok(unit) = dwarf.unit(header) {
                see(&dwarf, &unit);
            }
        }
    }
}

fn code(file: &ElfFile<'_>) -> Vec<Range<u64>> {
    let executable = |section: &object::read::elf::ElfSection64<'_, '_, Endianness, _>| {
        matches!(section.flags(), SectionFlags::Elf { sh_flags }
            if sh_flags & u64::from(elf::SHF_EXECINSTR) != 0)
    };
    let sections = file.sections().filter(executable);
    let range = |s: object::read::elf::ElfSection64<'_, '_, Endianness, _>| {
        s.address()..s.address().saturating_add(s.size())
    };
    sections.map(range).collect()
}

/// Calls `see` with what a file tells.
fn with<T>(path: &Path, see: impl FnOnce(&ElfFile<'_>) -> Option<T>) -> Option<T> {
    let cache = ReadCache::new(File::open(path).ok()?);
    see(&ElfFile64::<Endianness, _>::parse(&cache).ok()?)
}

/// Whether `path` ends in the whole parts of `wanted`.
fn is_source(path: &str, wanted: &str) -> bool {
    let rest = path.strip_suffix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/') && !wanted.starts_with('/'))
}

/// The path of a file of a line table, as `addr2line` has it too.
fn source(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    header: &gimli::LineProgramHeader<Slice<'_>>,
    file: &gimli::FileEntry<Slice<'_>>,
) -> Option<String> {
    let text = |value| Some(dwarf.attr_string(unit, value).ok()?.to_string_lossy());
    let mut path = unit
        .comp_dir
        .map_or_else(String::new, |dir| dir.to_string_lossy().into_owned());
    let mut push = |part: &str| {
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(part);
    };
    // Directory 0 is that of the unit.
    if file.directory_index() != 0
        && let Some(directory) = file.directory(header)
    {
        push(&text(directory)?);
    }
    push(&text(file.path_name())?);
    Some(path)
}

/// Where statements of a line begin, and which lines of its source have any.
pub fn of_line(path: &Path, file: &str, line: u32) -> Places {
    let mut found = Places::default();
    let name = file.rsplit('/').next().unwrap_or(file);
    with(path, |elf| {
        let program = Program::read(elf, name).filter(|p| p.has_name)?;
        program.each_unit(|dwarf, unit| {
            // What cannot be read has no lines.
            let _ = statements(&program, (dwarf, unit), file, line, &mut found);
        });
        Some(())
    });
    found
}

fn statements(
    program: &Program,
    (dwarf, unit): (&Dwarf<Slice<'_>>, &Unit<Slice<'_>>),
    file: &str,
    line: u32,
    found: &mut Places,
) -> gimli::Result<()> {
    let Some(lines) = unit.line_program.clone() else {
        return Ok(());
    };
    let header = lines.header();
    // Numbers of files begin with 1 before DWARF 5 (DWARF 5, 6.2.4).
    let first = u64::from(header.version() < 5);
    let is_it = |entry: &gimli::FileEntry<Slice<'_>>| {
        source(dwarf, unit, header, entry).is_some_and(|path| is_source(&path, file))
    };
    let files = (first..).zip(header.file_names());
    let wanted: BTreeSet<u64> = files.filter(|(_, e)| is_it(e)).map(|(n, _)| n).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut rows = lines.rows();
    // A line's rows one behind the other are one statement.
    let mut inside = false;
    while let Some((_, row)) = rows.next_row()? {
        let here = wanted.contains(&row.file_index()) && !row.end_sequence();
        let number = number(row).filter(|_| here);
        if let Some(number) = number.filter(|_| row.is_stmt() && program.has(row.address())) {
            found.lines.insert(number);
            if number == line && !inside {
                found.addresses.insert(row.address());
            }
        }
        inside = number == Some(line) && (inside || row.is_stmt());
    }
    Ok(())
}

fn number(row: &LineRow) -> Option<u32> {
    u32::try_from(row.line()?.get()).ok()
}

/// Where functions of a name begin, behind what sets up their frames, and the copies of
/// them that are inlined elsewhere.
pub fn of_function(path: &Path, name: &str) -> Places {
    let mut found = Places::default();
    let last = name.rsplit("::").next().unwrap_or(name);
    with(path, |elf| {
        let mut entries = Vec::new();
        for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
            let is_it = symbol.is_definition()
                && symbol.kind() == object::SymbolKind::Text
                && symbol
                    .name()
                    .is_ok_and(|n| n.contains(last) && is_called(n, name));
            if !is_it {
                continue;
            }
            match symbol.flags() {
                SymbolFlags::Elf { st_info, .. } if st_info & 0xf == elf::STT_GNU_IFUNC => {
                    found.chooses = true;
                }
                _ => entries.push((symbol.address(), symbol.size())),
            }
        }
        entries.sort_unstable();
        entries.dedup_by_key(|e| e.0);
        let program = Program::read(elf, last)?;
        let mut behind: Vec<(u64, u64)> = Vec::new();
        if program.has_name || !entries.is_empty() {
            program.each_unit(|dwarf, unit| {
                let _ = prologues(elf, (dwarf, unit), &entries, &mut behind);
                if program.has_name {
                    let _ = inlined(&program, (dwarf, unit), name, &mut found.addresses);
                }
            });
        }
        for (entry, _) in entries {
            let body = behind.iter().find(|b| b.0 == entry).map_or(entry, |b| b.1);
            found.addresses.insert(body);
        }
        Some(())
    });
    found
}

/// Whether a symbol is that of a function of this name, in any namespace.
fn is_called(symbol: &str, name: &str) -> bool {
    let symbol = symbol.split('@').next().unwrap_or(symbol);
    if symbol == name {
        return true;
    }
    let mangled = symbol.starts_with("_Z") || symbol.starts_with("_R");
    mangled && is_named(&addr2line::demangle_auto(symbol.into(), None), name)
}

/// Whether a name with its parameters and namespaces is `name`, whatever these are.
fn is_named(full: &str, name: &str) -> bool {
    let full = without_parameters(full);
    let rest = full.strip_suffix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
}

fn without_parameters(full: &str) -> &str {
    /// It is a namespace.
    const UNNAMED: &str = "(anonymous namespace)";
    let mut depth = 0;
    for (n, c) in full.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            '(' if depth == 0 && !full[n..].starts_with(UNNAMED) => return &full[..n],
            _ => {}
        }
    }
    full
}

/// Where the bodies of functions begin that are in this unit.
fn prologues(
    elf: &ElfFile<'_>,
    (_, unit): (&Dwarf<Slice<'_>>, &Unit<Slice<'_>>),
    entries: &[(u64, u64)],
    behind: &mut Vec<(u64, u64)>,
) -> gimli::Result<()> {
    let Some(lines) = unit.line_program.clone() else {
        return Ok(());
    };
    let mut rows = lines.rows();
    let mut known: Vec<(u64, Option<u64>)> = Vec::new();
    while let Some((_, row)) = rows.next_row()? {
        let (addr, end) = (row.address(), row.end_sequence());
        let of = entries
            .iter()
            .find(|(at, size)| *at <= addr && addr - at < (*size).max(1));
        let Some(&(entry, _)) = of.filter(|_| !end) else {
            continue;
        };
        if row.prologue_end() && !behind.iter().any(|b| b.0 == entry) {
            behind.push((entry, addr));
        }
        match known.iter_mut().find(|k| k.0 == entry) {
            None => known.push((entry, None)),
            Some((_, second)) if second.is_none() && addr > entry => *second = Some(addr),
            Some(_) => {}
        }
    }
    for (entry, second) in known {
        // Without a word from the compiler, the second row is behind the frame's setup where
        // there is one (as gdb has it, amd64_analyze_prologue in amd64-tdep.c).
        if let Some(second) = second
            && sets_up_frame(elf, entry)
            && !behind.iter().any(|b| b.0 == entry)
        {
            behind.push((entry, second));
        }
    }
    Ok(())
}

/// Whether a function begins with `push %rbp; mov %rsp,%rbp`, maybe behind `endbr64`.
fn sets_up_frame(elf: &ElfFile<'_>, entry: u64) -> bool {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    const PUSH_MOV: [[u8; 4]; 2] = [[0x55, 0x48, 0x89, 0xe5], [0x55, 0x48, 0x8b, 0xec]];
    let bytes = elf.sections().find_map(|s| s.data_range(entry, 8).ok()?);
    let Some(bytes) = bytes else {
        return false;
    };
    let bytes = bytes.strip_prefix(&ENDBR64[..]).unwrap_or(bytes);
    PUSH_MOV.iter().any(|code| bytes.starts_with(code))
}

/// Where copies of a function of this name were inlined.
fn inlined(
    program: &Program,
    (dwarf, unit): (&Dwarf<Slice<'_>>, &Unit<Slice<'_>>),
    name: &str,
    found: &mut BTreeSet<u64>,
) -> gimli::Result<()> {
    let is_it = |at| {
        let origin = unit.entry(at).ok()?;
        let direct = |name| origin.attr_value(name).ok()?;
        let described = |name| match direct(dw::DW_AT_specification)? {
            AttributeValue::UnitRef(at) => unit.entry(at).ok()?.attr_value(name).ok()?,
            _ => None,
        };
        let text = |value| Some(dwarf.attr_string(unit, value).ok()?.to_string_lossy());
        let linked = dw::DW_AT_linkage_name;
        let full = direct(linked).or_else(|| described(linked)).and_then(text);
        let own = || {
            let value = direct(dw::DW_AT_name).or_else(|| described(dw::DW_AT_name))?;
            text(value)
        };
        Some(match full {
            Some(full) => is_called(&full, name),
            None => is_named(&own()?, name),
        })
    };
    let mut entries = unit.entries();
    while let Some((_, entry)) = entries.next_dfs()? {
        if entry.tag() != dw::DW_TAG_inlined_subroutine {
            continue;
        }
        let Some(AttributeValue::UnitRef(origin)) = entry.attr_value(dw::DW_AT_abstract_origin)?
        else {
            continue;
        };
        if is_it(origin) != Some(true) {
            continue;
        }
        let mut ranges = dwarf.die_ranges(unit, entry)?;
        let mut first: Option<u64> = None;
        while let Some(range) = ranges.next()? {
            let begin = range.begin;
            first = Some(first.map_or(begin, |first| first.min(begin)));
        }
        let said = match entry.attr_value(dw::DW_AT_entry_pc)? {
            Some(AttributeValue::Addr(at)) => Some(at),
            Some(other) => other.udata_value().zip(first).map(|(n, base)| base + n),
            None => None,
        };
        found.extend(said.or(first).filter(|&at| program.has(at)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_what_they_are_in() {
        for (full, name) in [
            ("main", "main"),
            ("set_title(Job&, std::string const&)", "set_title"),
            ("ns::a::f(int)", "a::f"),
            ("(anonymous namespace)::f(int)", "f"),
            ("v<std::function<void (int)> >::push(int)", "push"),
        ] {
            assert!(is_named(full, name), "{full}");
        }
        assert!(!is_named("set_title(Job&)", "title"));
        assert!(!is_named("f(main)", "main"));
    }

    #[test]
    fn sources_by_the_end_of_their_path() {
        assert!(is_source("/a/b/c.cpp", "c.cpp"));
        assert!(is_source("/a/b/c.cpp", "b/c.cpp"));
        assert!(is_source("/a/b/c.cpp", "/a/b/c.cpp"));
        assert!(!is_source("/a/b/c.cpp", "/b/c.cpp"));
        assert!(!is_source("/a/b/cc.cpp", "c.cpp"));
    }

    /// This very program: where its lines and functions are, `addr2line` says the same.
    #[test]
    fn own_lines_and_functions() {
        let own = Path::new("/proc/self/exe");
        let loader = addr2line::Loader::new(own).expect("it is ELF");
        let line = line!() - 3;
        let found = of_line(own, "symbols/places.rs", line);
        assert!(!found.addresses.is_empty(), "{:?}", found.lines);
        for &at in &found.addresses {
            let location = loader.find_location(at).expect("lines").expect("a row");
            assert_eq!(location.line, Some(line));
        }
        assert!(of_line(own, "symbols/places.rs", 1).addresses.is_empty());
        let found = of_function(own, "own_lines_and_functions");
        assert!(!found.addresses.is_empty());
        assert_eq!(of_function(own, "no_such_function"), Places::default());
    }
}
