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
    let found = source::of(call, AROUND, files, dirs)?;
    let lines = found.lines.into_iter();
    Some(Source {
        file: safe(found.file.as_bytes()),
        line: found.line,
        lines: lines.map(|(n, text)| (n, safe(text.as_bytes()))).collect(),
        problem: found.problem,
    })
}
