//! What the kernel needs besides a program to execute it: the interpreter that a script's first
//! line names, or an ELF file's dynamic linker (execve(2), elf(5)).

use crate::regular;
use object::elf::FileHeader64;
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The interpreter that is not there, and so keeps `program` from being executed.
#[must_use]
pub fn missing(program: &Path) -> Option<PathBuf> {
    /// One may have another: so many are followed (exec_binprm in the kernel's fs/exec.c).
    const MOST: usize = 6;
    let mut of = program.to_owned();
    for _ in 0..MOST {
        of = interpreter(&of)?;
        if !of.exists() {
            return Some(of);
        }
    }
    None
}

fn interpreter(program: &Path) -> Option<PathBuf> {
    let file = regular::open(program).ok()?;
    let name = in_first_line(&file).or_else(|| dynamic_linker(file))?;
    Some(OsString::from_vec(name).into())
}

fn in_first_line(file: &File) -> Option<Vec<u8>> {
    // BINPRM_BUF_SIZE (include/uapi/linux/binfmts.h).
    let mut head = [0; 256];
    let len = file.read_at(&mut head, 0).ok()?;
    let line = head[..len].strip_prefix(b"#!")?.trim_ascii_start();
    let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | 0);
    let name = line.split(ends).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn dynamic_linker(file: File) -> Option<Vec<u8>> {
    let cache = ReadCache::new(file);
    let elf = FileHeader64::<object::Endianness>::parse(&cache).ok()?;
    let endian = elf.endian().ok()?;
    let headers = elf.program_headers(endian, &cache).ok()?;
    let mut names = headers.iter().map(|h| h.interpreter(endian, &cache));
    names.find_map(|name| Some(name.ok()??.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let missing = |name, content: &str| missing(&file(name, content.as_bytes()));
        assert_eq!(missing("a", "#! /no/such -x\nx"), Some("/no/such".into()));
        assert_eq!(missing("b", "#!/bin/sh\r\n"), Some("/bin/sh\r".into()));
        let a = dir.path().join("a");
        let script = format!("#!{}", a.display());
        assert_eq!(missing("c", &script), Some("/no/such".into()));
        for sound in ["#!/bin/sh -e\r\n", "#!\n", "text", ""] {
            assert_eq!(missing("d", sound), None, "{sound:?}");
        }
    }

    #[test]
    fn the_dynamic_linker_of_a_program_is_found() {
        let own = Path::new("/proc/self/exe");
        let linker = interpreter(own).unwrap();
        assert!(linker.ends_with("ld-linux-x86-64.so.2"), "{linker:?}");
        assert_eq!(super::missing(own), None);
    }
}
