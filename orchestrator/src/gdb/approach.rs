//! How a gdb comes to a position of a recording.

use super::Sysroot;
use crate::position::Position;
use anyhow::Result;
use orch_recorder::session::Session;
use std::path::Path;

/// What gdb is to do to be there.
pub fn approach(dir: &Path, session: &Session, position: &Position) -> Result<Vec<String>> {
    let sysroot = Sysroot::make(dir, session, position.recording)?;
    let orch = quoted(&std::env::current_exe()?);
    let session = quoted(&std::fs::canonicalize(session.dir())?);
    Ok(vec![
        // Some answers are searched for in the whole recording.
        "set remotetimeout 3600".to_owned(),
        format!("set sysroot {}", sysroot.dir().display()),
        format!("file {}", sysroot.program().display()),
        format!("target remote | {orch} -s {session} serve --stdio {position}"),
    ])
}

/// A path as a shell takes it, which gdb gives the command to.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
