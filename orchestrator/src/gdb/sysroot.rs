//! The files of a recording where a debugger looks for them: a directory with
//! links to the captured ones, so that what was replaced or removed since does
//! not matter.

use anyhow::{Context as _, Result};
use object::Endianness;
use object::elf::{DT_SONAME, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use orch_abi::record::Kind;
use orch_recorder::files::FileId;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Such a directory.
#[derive(Debug)]
pub struct Sysroot {
    dir: PathBuf,
    program: PathBuf,
}

impl Sysroot {
    /// Makes one below `dir`, for a recording.
    pub fn make(dir: &Path, session: &Session, id: RecordingId) -> Result<Self> {
        let dir = dir.join(id.to_string());
        let store = session.files()?;
        let program = program(session, id)?;
        let mut interpreter = None;
        for file in files(session, id)? {
            let Some(captured) = store.get(FileId(file)) else {
                continue;
            };
            let copy = fs::canonicalize(store.path(FileId(file)))
                .with_context(|| format!("a captured file is gone: {}", captured.path.display()))?;
            link(&dir, &captured.path, &copy)?;
            let names = names(&copy).unwrap_or_default();
            // The dynamic linker knows a library by its own name for itself.
            if let Some(soname) = &names.soname {
                link(&dir, &captured.path.with_file_name(soname), &copy)?;
            }
            if captured.path == program {
                interpreter = names.interpreter;
            } else if let (Some(path), Some(soname)) = (&interpreter, &names.soname)
                && path.file_name() == Some(soname.as_ref())
            {
                link(&dir, path, &copy)?;
            }
        }
        Ok(Self {
            program: inside(&dir, &program),
            dir,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The program, in it.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// Names that an ELF file gives.
#[derive(Default)]
struct Names {
    /// Its own (DT_SONAME).
    soname: Option<String>,
    /// That of the dynamic linker (PT_INTERP).
    interpreter: Option<PathBuf>,
}

fn names(file: &Path) -> Option<Names> {
    let bytes = fs::read(file).ok()?;
    let header = FileHeader64::<Endianness>::parse(&*bytes).ok()?;
    let endian = header.endian().ok()?;
    let mut names = Names::default();
    for segment in header.program_headers(endian, &*bytes).ok()? {
        if let Ok(Some(path)) = segment.interpreter(endian, &*bytes) {
            names.interpreter = Some(PathBuf::from(String::from_utf8_lossy(path).into_owned()));
        }
    }
    let sections = header.sections(endian, &*bytes).ok()?;
    if let Ok(Some((dynamic, link))) = sections.dynamic(endian, &*bytes) {
        let strings = sections.strings(endian, &*bytes, link).ok()?;
        let soname = dynamic
            .iter()
            .find(|d| d.d_tag(endian) == u64::from(DT_SONAME));
        let name = soname.and_then(|d| d.string(endian, strings).ok());
        names.soname = name.map(|n| String::from_utf8_lossy(n).into_owned());
    }
    Some(names)
}

fn inside(dir: &Path, path: &Path) -> PathBuf {
    dir.join(path.strip_prefix("/").unwrap_or(path))
}

/// Puts `path` below `dir`, as a link to `copy`.
pub fn link(dir: &Path, path: &Path, copy: &Path) -> Result<PathBuf> {
    let to = inside(dir, path);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    // Of two versions the later one counts.
    let _ = fs::remove_file(&to);
    // /lib and /usr/lib are one (file-hierarchy(7)): whichever name is used.
    if let Ok(rest) = path.strip_prefix("/usr") {
        link(dir, &Path::new("/").join(rest), copy)?;
    }
    symlink(copy, &to).with_context(|| format!("cannot make {}", to.display()))?;
    Ok(to)
}

/// The program that a recording runs: a fork's is its parent's.
fn program(session: &Session, id: RecordingId) -> Result<PathBuf> {
    let program = session.lineage(id)?.program;
    let program = program.with_context(|| format!("{id} is empty"))?;
    Ok(program.path.into())
}

/// The captured files that a recording maps, and its ancestors, in order.
fn files(session: &Session, id: RecordingId) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for id in session.lineage(id)?.recordings.into_iter().rev() {
        let mut records = session.reader(id)?.records();
        while let Some(record) = records.next_record()? {
            let map = match record.kind() {
                Ok(Kind::Map) => record.map()?,
                _ => continue,
            };
            if map.file != 0 && !found.contains(&(map.file - 1)) {
                found.push(map.file - 1);
            }
        }
    }
    Ok(found)
}
