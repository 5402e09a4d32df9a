//! Code addresses as people know them: functions, files and lines, from the
//! debugging information of the captured files.

mod debug;
mod elf;
mod instruction;
mod places;

pub use debug::Symbol;
pub use elf::DataSymbol;
pub use places::Places;

use crate::access::{Kind, Site};
use crate::catalog::{Catalog, MapChange};
use debug::Debug;
use orch_recorder::files::{FileId, FileStore};
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A function that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Frame {
    /// Its name, demangled.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it, from 1.
    pub line: Option<u32>,
}

/// Code at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The functions, innermost first: what is inlined, what that is in, and
    /// where it is in a library, the same of who called it, if that is known.
    pub frames: Vec<Frame>,
    /// How many of them are the library's.
    library: usize,
}

impl Code {
    /// Code that nothing is known of.
    fn unnamed(function: String) -> Self {
        let function = Some(function);
        let frame = Frame {
            function,
            ..Frame::default()
        };
        Self {
            frames: vec![frame],
            library: 0,
        }
    }

    /// The function that the access is put down to: of a library's, who called it;
    /// of one that a header of the system brought, where that is used.
    #[must_use]
    pub fn main(&self) -> Option<&Frame> {
        let own = self.frames.get(self.library..)?;
        let written_here = |frame: &&Frame| !frame.file.as_deref().is_some_and(is_of_the_system);
        own.iter().find(written_here).or(own.first())
    }

    /// The library's function that [`main`](Self::main) called.
    #[must_use]
    pub fn called(&self) -> Option<&Frame> {
        self.frames.get(self.library.checked_sub(1)?)
    }
}

/// Whether a source file belongs to the system: headers of libraries and compilers
/// (GCC manual, "Search Path"), and Rust's own library (`rustc --remap-path-prefix`).
#[must_use]
pub fn is_of_the_system(file: &str) -> bool {
    let places = [
        "/usr/include/",
        "/usr/lib/",
        "/usr/local/include/",
        "/rustc/",
    ];
    places.iter().any(|place| file.starts_with(place))
}

/// Names the code of a session. Keeps what it has read of files.
pub struct Symbols {
    store: Option<FileStore>,
    files: HashMap<u64, Option<Rc<Debug>>>,
    /// By file and offset in it.
    code: HashMap<(u64, u64), Rc<Code>>,
    /// Whether an instruction reads what it writes; by file and offset in it.
    reads: HashMap<(u64, u64), Option<bool>>,
    /// Of each recording the indices of its changes in the catalog.
    maps: HashMap<RecordingId, Vec<usize>>,
}

impl Symbols {
    /// For the captured files of `session`, mapped as `catalog` says.
    #[must_use]
    pub fn new(session: &Session, catalog: &Catalog) -> Self {
        let mut maps: HashMap<RecordingId, Vec<usize>> = HashMap::new();
        for (n, map) in catalog.maps.iter().enumerate() {
            maps.entry(map.recording).or_default().push(n);
        }
        Self {
            maps,
            ..Self::of(session.files().ok())
        }
    }

    /// For captured files alone, whoever maps them.
    #[must_use]
    pub fn of(store: Option<FileStore>) -> Self {
        Self {
            store,
            files: HashMap::new(),
            code: HashMap::new(),
            reads: HashMap::new(),
            maps: HashMap::new(),
        }
    }

    /// Whether the instruction that made a store reads what it writes over, as an atomic
    /// operation does; `None` if the code is in no captured file.
    pub fn reads(&mut self, catalog: &Catalog, site: &Site, tick: Tick) -> Option<bool> {
        let (file, offset) = self.file_at(catalog, site.recording, tick, site.ip)?;
        let store = self.store.as_ref()?;
        let known = self.reads.entry((file, offset));
        *known
            .or_insert_with(|| instruction::reads_what_it_writes(&store.path(FileId(file)), offset))
    }

    /// The code that made an access.
    pub fn site(&mut self, catalog: &Catalog, site: &Site, tick: Tick) -> Rc<Code> {
        if !site.kind.is_recorded() {
            return Rc::default();
        }
        // The call is before the address that it returns to.
        let by_call = matches!(site.kind, Kind::CallStore | Kind::CallLoad);
        let ip = site.ip.saturating_sub(by_call.into());
        let code = self.at(catalog, site.recording, tick, ip);
        match self.caller(catalog, site, tick) {
            None => code,
            Some(caller) => Rc::new(Code {
                frames: [&code.frames[..], &caller.frames[..]].concat(),
                library: code.frames.len(),
            }),
        }
    }

    /// The code that called the function of a library which made an access. The
    /// recorder does not know whether it is really a return address: it must be
    /// behind a call.
    fn caller(&mut self, catalog: &Catalog, site: &Site, tick: Tick) -> Option<Rc<Code>> {
        let at = site.caller.checked_sub(1)?;
        let program = &catalog.recording(site.recording)?.program;
        let (own, _) = self.file_at(catalog, site.recording, tick, site.ip)?;
        if self.path(own) == Path::new(program) {
            return None;
        }
        let (file, offset) = self.file_at(catalog, site.recording, tick, at)?;
        if !self.debug(file)?.is_call(offset + 1) {
            return None;
        }
        Some(self.at(catalog, site.recording, tick, at))
    }

    /// The code at an address of a recording.
    pub fn at(&mut self, catalog: &Catalog, id: RecordingId, tick: Tick, ip: u64) -> Rc<Code> {
        let Some((file, offset)) = self.file_at(catalog, id, tick, ip) else {
            return Rc::new(Code::unnamed(format!("{ip:#x}")));
        };
        let code = self.code(FileId(file), offset);
        if !code.frames.is_empty() {
            return code;
        }
        let vaddr = self.vaddr(FileId(file), offset).unwrap_or(offset);
        Rc::new(Code::unnamed(format!("{}+{vaddr:#x}", self.name(file))))
    }

    /// The code at an offset of a captured file; without frames, if nothing is known of it.
    pub fn code(&mut self, file: FileId, offset: u64) -> Rc<Code> {
        if let Some(code) = self.code.get(&(file.0, offset)) {
            return Rc::clone(code);
        }
        let debug = self.debug(file.0);
        let frames = debug.map_or_else(Vec::new, |debug| debug.frames(offset));
        let code = Rc::new(Code { frames, library: 0 });
        self.code.insert((file.0, offset), Rc::clone(&code));
        code
    }

    /// The function that a captured file has at an offset, by its symbol.
    pub fn symbol(&mut self, file: FileId, offset: u64) -> Option<Symbol> {
        let debug = self.debug(file.0)?;
        debug.symbol(debug.vaddr(offset)?)
    }

    /// The name of what the dynamic linker puts the address of into a word of a captured
    /// file's global offset table.
    pub fn slot(&mut self, file: FileId, offset: u64) -> Option<String> {
        let debug = self.debug(file.0)?;
        Some(debug.slot(debug.vaddr(offset)?)?.to_owned())
    }

    /// The address in a captured file's own terms of one of its bytes; `None` if it
    /// is no program.
    pub fn vaddr(&mut self, file: FileId, offset: u64) -> Option<u64> {
        self.debug(file.0)?.vaddr(offset)
    }

    /// The files that tell about a captured program: its copy, and its separate
    /// debugging file.
    pub fn sources(&mut self, file: FileId) -> Vec<PathBuf> {
        let debug = self.debug(file.0);
        debug.map_or_else(Vec::new, |debug| debug.paths().to_vec())
    }

    /// Where a captured program has code of a source line: once in each function (or inlined
    /// copy) that has some of it, as debuggers stop there.
    pub fn line(&mut self, file: FileId, source: &str, line: u32) -> Places {
        let debug = self.debug(file.0);
        debug.map_or_else(Places::default, |debug| debug.line(source, line))
    }

    /// Where the functions of a captured program with this name begin, inlined copies too.
    pub fn function(&mut self, file: FileId, name: &str) -> Places {
        let debug = self.debug(file.0);
        debug.map_or_else(Places::default, |debug| debug.function(name))
    }

    /// The functions at an address that is in a captured file's own terms, innermost first.
    pub fn frames(&mut self, file: FileId, vaddr: u64) -> Vec<Frame> {
        let debug = self.debug(file.0);
        debug.map_or_else(Vec::new, |debug| debug.frames_at(vaddr))
    }

    /// If nothing tells of a captured program's source lines: where separate
    /// debugging information was looked for, best first.
    pub fn missing(&mut self, file: FileId) -> Option<Vec<PathBuf>> {
        let debug = self.debug(file.0)?;
        (!debug.has_lines()).then(|| debug.looked_for().map(Path::to_owned).collect())
    }

    /// The captured file that an address shows, and the offset in it.
    fn file_at(
        &self,
        catalog: &Catalog,
        id: RecordingId,
        tick: Tick,
        ip: u64,
    ) -> Option<(u64, u64)> {
        let (mut id, mut tick) = (id, tick);
        loop {
            let changes = self.maps.get(&id).map_or(&[][..], Vec::as_slice);
            let mut changes = changes.iter().rev().map(|&n| &catalog.maps[n]);
            let covers = |m: &&MapChange| m.tick <= tick && m.addr <= ip && ip - m.addr < m.len;
            if let Some(map) = changes.find(covers) {
                return Some((map.file?, map.offset.checked_add(ip - map.addr)?));
            }
            // What was mapped before the fork. A parent has a lower number.
            let (parent, at) = catalog.recording(id)?.forked?;
            if parent >= id {
                return None;
            }
            (id, tick) = (parent, at);
        }
    }

    /// The files that a recording has mapped at a tick: first address of each
    /// piece, file, and offset in it.
    fn mapped(&self, catalog: &Catalog, id: RecordingId, tick: Tick) -> Vec<(u64, FileId, u64)> {
        let mut chain = vec![(id, tick)];
        while let Some((parent, at)) = chain
            .last()
            .and_then(|(id, _)| catalog.recording(*id)?.forked.filter(|f| f.0 < *id))
        {
            chain.push((parent, at));
        }
        let mut ranges = crate::scan::Ranges::default();
        for (id, tick) in chain.into_iter().rev() {
            for &n in self.maps.get(&id).map_or(&[][..], Vec::as_slice) {
                let map = &catalog.maps[n];
                if map.tick <= tick {
                    ranges.set(map.addr, map.len, map.file, map.offset);
                }
            }
        }
        let pieces = ranges.iter();
        pieces.map(|p| (p.addr, FileId(p.what), p.offset)).collect()
    }

    /// The data of this name that a recording has in memory at a tick.
    pub fn data(
        &mut self,
        catalog: &Catalog,
        id: RecordingId,
        tick: Tick,
        name: &str,
    ) -> Vec<DataSymbol> {
        let mapped = self.mapped(catalog, id, tick);
        self.data_in(mapped, name)
    }

    /// The data of this name in captured files that are mapped: first address of each
    /// piece, file, and offset in it.
    pub fn data_in(
        &mut self,
        mapped: impl IntoIterator<Item = (u64, FileId, u64)>,
        name: &str,
    ) -> Vec<DataSymbol> {
        let mut found: Vec<DataSymbol> = Vec::new();
        let mut seen = Vec::new();
        for (addr, FileId(file), offset) in mapped {
            if seen.contains(&file) {
                continue;
            }
            seen.push(file);
            let path = self.name(file);
            if let Some(debug) = self.debug(file) {
                found.extend(debug.data(name, addr, offset, &path));
            }
        }
        found
    }

    fn debug(&mut self, file: u64) -> Option<Rc<Debug>> {
        if let Some(debug) = self.files.get(&file) {
            return debug.clone();
        }
        let store = self.store.as_ref();
        let original = self.path(file);
        let debug = store.and_then(|store| Debug::open(&store.path(FileId(file)), &original));
        let debug = debug.map(Rc::new);
        self.files.insert(file, debug.clone());
        debug
    }

    /// Where a captured file was.
    #[must_use]
    pub fn path(&self, file: u64) -> PathBuf {
        let captured = self.store.as_ref().and_then(|s| s.get(FileId(file)));
        captured.map_or_else(|| format!("file {file}").into(), |c| c.path.clone())
    }

    fn name(&self, file: u64) -> String {
        let path = self.path(file);
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    }
}
