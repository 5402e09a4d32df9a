//! Lines of source around a place.

use super::backtrace::Call;
use orch_blame::symbols::Symbols;
use orch_recorder::files::FileStore;
use orch_recorder::regular;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Lines of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The file.
    pub path: PathBuf,
    /// Numbers and texts.
    pub lines: Vec<(u32, String)>,
    /// Whether the file was changed after the program was built: other lines may be meant.
    pub newer: bool,
}

/// Where a source file is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the source {name} cannot be read; looked for{}; --sources DIR names another place",
    .looked.iter().map(|p| format!(" {}", p.display())).collect::<Vec<_>>().join(",")
)]
pub struct NoSource {
    name: String,
    looked: Vec<PathBuf>,
}

/// Source lines of a function that has not returned.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// The file, as the compiler names it.
    pub file: String,
    /// The line that is meant.
    pub line: u32,
    /// Numbers and texts; none if the file cannot be read.
    pub lines: Vec<(u32, String)>,
    /// Why it cannot, or may be another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The lines that a call stands at, `around` before and after it; none if no line is
/// known. `files` are those captured, `dirs` where sources are looked for, too.
pub fn of(call: &Call, around: u32, files: Option<&FileStore>, dirs: &[PathBuf]) -> Option<Source> {
    let (file, line) = (call.file.clone()?, call.line?);
    let module = call.module.as_ref();
    let built = module.and_then(|m| Some(files?.get(m.file)?.version.mtime));
    let (lines, problem) = match lines(&file, line, around, dirs, built) {
        Ok(found) => {
            let newer = "the source is newer than the program: the lines may be others";
            (found.lines, found.newer.then(|| newer.to_owned()))
        }
        Err(e) => (Vec::new(), Some(e.to_string())),
    };
    Some(Source {
        file,
        line,
        lines,
        problem,
    })
}

/// What would bring the lines of a call that has none.
pub fn hint(call: &Call, symbols: &mut Symbols) -> Option<String> {
    if call.line.is_some() {
        return None;
    }
    let module = call.module.as_ref()?;
    let looked = symbols.missing(module.file)?;
    let path = &module.path;
    let looked = looked.first().map_or_else(String::new, |path| {
        format!(" (looked for {})", path.display())
    });
    let system = ["/usr/", "/lib", "/bin/", "/sbin/"];
    let remedy = if system.iter().any(|dir| path.starts_with(dir)) {
        format!(
            "distributions have it in packages of its own: Debian in PACKAGE-dbgsym or -dbg \
             (`dpkg -S {path}` tells the package)"
        )
    } else {
        "compiled with -g it has".to_owned()
    };
    Some(format!(
        "{path} has no debugging information{looked}; {remedy}"
    ))
}

/// Most bytes of a file that is taken for source.
const MOST: u64 = 64 << 20;

/// The lines of `name` around line `at`, `around` before and after it. The file is looked
/// for where the compiler found it, then below `dirs`. `built` is when the program
/// was written, nanoseconds since the epoch.
pub fn lines(
    name: &str,
    at: u32,
    around: u32,
    dirs: &[PathBuf],
    built: Option<i64>,
) -> Result<Lines, NoSource> {
    let looked = candidates(name, dirs);
    let found = looked.iter().find_map(|path| Some((path, text(path)?)));
    let Some((path, text)) = found else {
        let name = name.to_owned();
        return Err(NoSource { name, looked });
    };
    let from = at.saturating_sub(around).max(1);
    let lines = (1..).zip(text.lines());
    let lines = lines
        .skip(from as usize - 1)
        .take((at.saturating_add(around) - from) as usize + 1);
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let newer = modified
        .zip(built)
        .is_some_and(|(time, built)| i64::try_from(time.as_nanos()).is_ok_and(|time| time > built));
    Ok(Lines {
        path: path.clone(),
        lines: lines.map(|(n, line)| (n, line.to_owned())).collect(),
        newer,
    })
}

fn text(path: &Path) -> Option<String> {
    let bytes = regular::read(path, MOST).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where the file may be: as it was compiled, then in each directory by as much of
/// its path as is there.
fn candidates(name: &str, dirs: &[PathBuf]) -> Vec<PathBuf> {
    let name = Path::new(name);
    let mut all = vec![name.to_owned()];
    let parts: Vec<_> = name
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect();
    for dir in dirs {
        for from in 0..parts.len() {
            all.push(dir.join(parts[from..].iter().collect::<PathBuf>()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_around_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let below = dir.path().join("src");
        fs::create_dir(&below).expect("a directory");
        let text: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        fs::write(below.join("a.c"), text).expect("a file");
        let dirs = [dir.path().to_owned()];
        let found = lines("/no/where/src/a.c", 2, 3, &dirs, Some(0)).expect("it is below");
        let numbers: Vec<u32> = found.lines.iter().map(|l| l.0).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(found.lines[1].1, "line 2");
        assert!(found.newer);
        let error = lines("/no/where/a.c", 2, 3, &[], None).expect_err("it is not there");
        assert!(error.to_string().contains("/no/where/a.c"), "{error}");
    }
}
