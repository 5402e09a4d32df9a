//! Rows, for people and for programs.

use super::format::Format;
use super::worker::{Hit, Value};
use crate::describe::safe;
use crate::output::{Output, Style};
use anyhow::Result;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use serde::Serialize;
use std::io::Write as _;

/// How rows are shown.
pub struct Show<'a> {
    /// Whose.
    pub session: &'a Session,
    /// Their text.
    pub format: &'a Format,
    /// Nobody asked for a text: the location says more than nothing.
    pub location: bool,
    /// For programs.
    pub json: bool,
    /// Width of the widest position so far.
    pub column: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    position: &'a str,
    tick: u64,
    recording: String,
    pid: Option<u32>,
    tid: u32,
    program: String,
    file: Option<&'a str>,
    line: Option<u32>,
    function: Option<&'a str>,
    text: String,
    values: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition_error: Option<&'a str>,
}

impl Show<'_> {
    /// Prints a row.
    pub fn print(&mut self, out: &mut Output, id: RecordingId, hit: &Hit) -> Result<()> {
        let (pid, program) = super::super::process(self.session, id);
        let text = self.text(hit);
        if self.json {
            return Ok(out.json(&Row {
                position: &hit.position,
                tick: hit.tick,
                recording: id.to_string(),
                pid,
                tid: hit.tid,
                program,
                file: hit.file.as_deref(),
                line: hit.line,
                function: hit.function.as_deref(),
                text,
                values: self.values(hit),
                condition_error: hit.condition.as_deref(),
            })?);
        }
        let name = safe(program.rsplit('/').next().unwrap_or(&program).as_bytes());
        let who = pid.map_or_else(|| name.to_string(), |pid| format!("{name}/{pid}"));
        self.column = self.column.max(hit.position.len());
        let position = out.style(Style::Of(id), &hit.position);
        let text = safe(text.as_bytes());
        writeln!(out, "{position:width$}  {who}  {text}", width = self.column)?;
        Ok(())
    }

    fn text(&self, hit: &Hit) -> String {
        let mut text = if self.location {
            location(hit)
        } else {
            let failed: Vec<String> = hit.values.iter().map(Value::shown).collect();
            self.format.fill(failed.iter().map(String::as_str))
        };
        if let Some(error) = &hit.condition {
            text += &format!("  <error in --if: {error}>");
        }
        text
    }

    fn values(&self, hit: &Hit) -> serde_json::Map<String, serde_json::Value> {
        let expressions = self.format.expressions().into_iter();
        let value = |value: &Value| match value {
            Value::Known {
                number: Some(n), ..
            } => n.clone().into(),
            Value::Known { text, .. } => text.clone().into(),
            Value::Failed { error } => serde_json::json!({ "error": error }),
        };
        let pairs = expressions.zip(&hit.values);
        pairs.map(|(e, v)| (e.text.clone(), value(v))).collect()
    }
}

/// Where the hit is.
fn location(hit: &Hit) -> String {
    let mut text = hit.function.clone().unwrap_or_else(|| "?".to_owned());
    if let (Some(file), Some(line)) = (&hit.file, hit.line) {
        text += &format!(" at {file}:{line}");
    }
    text
}

impl Value {
    fn shown(&self) -> String {
        match self {
            Self::Known { text, .. } => text.clone(),
            Self::Failed { error } => format!("<error: {error}>"),
        }
    }
}
