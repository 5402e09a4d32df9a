//! Source lines of functions that have not returned.

use crate::describe::safe;
use crate::inspect::backtrace::Call;
use crate::inspect::source;
use orch_recorder::files::FileStore;
use orch_tui::data::Source;
use std::path::PathBuf;

/// Lines before and behind.
const AROUND: u32 = 120;

/// Those of a function; none if it has no line.
pub fn of(call: &Call, files: Option<&FileStore>, dirs: &[PathBuf]) -> Option<Source> {
    let (file, line) = (call.file.clone()?, call.line?);
    let module = call.module.as_ref();
    let built = module.and_then(|m| Some(files?.get(m.file)?.version.mtime));
    let (lines, problem) = match source::lines(&file, line, AROUND, dirs, built) {
        Ok(found) => {
            let newer = "the source is newer than the program: the lines may be others";
            (found.lines, found.newer.then(|| newer.to_owned()))
        }
        Err(e) => (Vec::new(), Some(e.to_string())),
    };
    let lines = lines
        .into_iter()
        .map(|(n, text)| (n, safe(text.as_bytes())));
    Some(Source {
        file: safe(file.as_bytes()),
        line,
        lines: lines.collect(),
        problem,
    })
}
