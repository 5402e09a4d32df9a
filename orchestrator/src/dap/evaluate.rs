//! Expressions, and gdb's own commands in the console.

use super::adapter::Adapter;
use super::launch::text;
use super::stack::address_in;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// Commands that would read on, from where gdb's other commands come.
const ASK: [&str; 10] = [
    "commands",
    "define",
    "document",
    "if",
    "while",
    "python",
    "py",
    "pi",
    "python-interactive",
    "shell",
];

impl Adapter {
    pub(super) fn evaluate(&mut self, arguments: &Value) -> Result<Value> {
        let expression = text(arguments, "expression")?.context("expression is a text")?;
        let expression = expression.trim();
        let frame = self.frame(arguments)?;
        if arguments["context"] == "repl" {
            match self.command(arguments, expression) {
                Ok(result) => return Ok(result),
                Err(e) if !e.to_string().starts_with("Undefined command") => return Err(e),
                // An expression, then.
                Err(_) => {}
            }
        }
        let hex = arguments["format"]["hex"] == json!(true);
        let object = self.object(frame, expression, hex)?;
        let mut shown = self.shown(0, frame, &object, expression, None)?;
        shown["result"] = shown["value"].take();
        if shown["memoryReference"].is_null()
            && let Ok(address) = self.value(frame, &format!("&({expression})"))
            && let Some(address) = address_in(&address)
        {
            shown["memoryReference"] = format!("{address:#x}").into();
        }
        let fields = [
            "result",
            "type",
            "variablesReference",
            "memoryReference",
            "indexedVariables",
        ];
        let known = fields.iter().filter(|f| !shown[**f].is_null());
        Ok(known
            .map(|f| ((*f).to_owned(), shown[*f].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into())
    }

    /// A line for gdb. It may move, which is told when it has, or jump.
    fn command(&mut self, arguments: &Value, line: &str) -> Result<Value> {
        let line = line.strip_prefix("-exec ").unwrap_or(line).trim();
        let first = line.split_whitespace().next().unwrap_or_default();
        let python = first.starts_with("py") && line.len() > first.len();
        if ASK.contains(&first) && !python {
            bail!("{first} would read more lines; this console has one at a time");
        }
        let frame = self.frame(arguments)?;
        self.gdb(&format!("-thread-select {}", frame.thread))?;
        self.gdb(&format!("-stack-select-frame {}", frame.level))?;
        let before = self.when()?;
        self.target()?.backwards = first.starts_with('r');
        let printed = self.console(line)?;
        let printed = printed.trim_end();
        if self.target()?.running.is_none() {
            let stops = self.take_stops();
            let now = self.when()?;
            match stops.last() {
                Some(stop) if now == before => self.tell_stop(stop)?,
                _ if now != before => {
                    let now = self.moved()?;
                    let body = self.stop_body("goto", &now, None)?;
                    self.after.push(("stopped", body));
                }
                _ => {}
            }
        }
        Ok(json!({ "result": printed, "variablesReference": 0 }))
    }
}
