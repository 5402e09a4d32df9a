//! The recordings of a session as the tree of processes that they were.

use anyhow::Result;
use orch_recorder::session::Session;
use orch_recorder::trace::{End, Origin, RecordingId, Summary};
use std::collections::BTreeMap;

/// A recording, and what else is to be said of it.
pub struct Row {
    pub id: RecordingId,
    /// What can be told of it; otherwise why not.
    pub summary: Result<Summary, String>,
    pub parent: Option<RecordingId>,
    /// Lines that show its place in the tree.
    pub branch: String,
    pub command: String,
}

/// All recordings, children below their parents.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    let mut all = BTreeMap::new();
    for id in session.recordings()? {
        let summary = session.summary(id).map_err(|e| e.to_string());
        let parent = summary.as_ref().ok().and_then(parent);
        all.insert(id, (summary, parent));
    }
    // One whose beginning is damaged is still known to the one that it followed.
    let followed =
        |(&id, (summary, _)): (&RecordingId, &(Result<Summary, String>, _))| match summary
            .as_ref()
            .ok()?
            .end
        {
            Some(End::Execed(next)) => Some((next, id)),
            _ => None,
        };
    let followed: Vec<(RecordingId, RecordingId)> = all.iter().filter_map(followed).collect();
    for (next, id) in followed {
        if let Some((_, parent)) = all.get_mut(&next) {
            parent.get_or_insert(id);
        }
    }
    let mut children: BTreeMap<Option<RecordingId>, Vec<RecordingId>> = BTreeMap::new();
    for (&id, (_, parent)) in &all {
        // A parent has a lower number: so there are no circles.
        let parent = parent.filter(|p| *p < id && all.contains_key(p));
        children.entry(parent).or_default().push(id);
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut commands: BTreeMap<RecordingId, String> = BTreeMap::new();
    let mut stack: Vec<(RecordingId, String, String)> = Vec::new();
    let push = |stack: &mut Vec<_>, parent: Option<RecordingId>, below: &str| {
        let ids = children.get(&parent).map_or(&[][..], Vec::as_slice);
        for (n, &id) in ids.iter().enumerate().rev() {
            let last = n + 1 == ids.len();
            let (own, next) = match (parent, last) {
                (None, _) => ("", ""),
                (_, true) => ("└─", "  "),
                (_, false) => ("├─", "│ "),
            };
            stack.push((id, format!("{below}{own}"), format!("{below}{next}")));
        }
    };
    push(&mut stack, None, "");
    while let Some((id, branch, below)) = stack.pop() {
        push(&mut stack, Some(id), &below);
        let (summary, parent) = all.remove(&id).expect("each is in the tree once");
        let inherited = parent.and_then(|p| commands.get(&p)).map(String::as_str);
        let command = command(&summary, inherited);
        commands.insert(id, command.clone());
        rows.push(Row {
            id,
            summary,
            parent,
            branch,
            command,
        });
    }
    Ok(rows)
}

fn parent(summary: &Summary) -> Option<RecordingId> {
    match summary.origin.as_ref()? {
        Origin::Exec { parent, .. } => *parent,
        Origin::Fork { parent, .. } => Some(*parent),
    }
}

/// The command line that a recording runs; a forked one has its parent's.
fn command(summary: &Result<Summary, String>, inherited: Option<&str>) -> String {
    match summary {
        Err(e) => e.clone(),
        Ok(summary) => match &summary.origin {
            Some(Origin::Exec { program, .. }) => shell_words(&program.path, &program.args),
            Some(Origin::Fork { .. }) => inherited.unwrap_or("?").to_owned(),
            None => "(no event was kept)".to_owned(),
        },
    }
}

/// A command line, quoted as a shell would need it; control characters are made safe.
pub fn shell_words(program: &str, args: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+./,:@%^".contains(c);
    let words = args.iter().map(|arg| {
        if !arg.is_empty() && arg.chars().all(plain) {
            arg.clone()
        } else if arg.chars().any(char::is_control) {
            format!("$'{}'", escaped(arg))
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        program.to_owned()
    } else {
        words.join(" ")
    }
}

/// What `$'…'` of a shell needs between the quotes.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_can_be_pasted() {
        let words = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
            shell_words("/bin/x", &args)
        };
        assert_eq!(words(&[]), "/bin/x");
        assert_eq!(words(&["ls", "-l", "/tmp/a b", ""]), "ls -l '/tmp/a b' ''");
        assert_eq!(words(&["sh", "-c", "it's"]), r"sh -c 'it'\''s'");
        assert_eq!(words(&["a\n'b"]), r"$'a\n\'b'");
    }
}
