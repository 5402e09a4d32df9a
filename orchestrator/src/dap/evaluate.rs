//! Expressions, and gdb's own commands in the console.

use super::adapter::Adapter;
use super::launch::text;
use super::stack::{Frame, address_in};
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
        let hex = arguments["format"]["hex"] == json!(true);
        let console = arguments["context"] == "repl";
        if let Some(command) = expression.strip_prefix("-exec ")
            && console
        {
            return self.command(frame, command.trim());
        }
        let object = match self.object(frame, expression, hex) {
            Ok(object) => object,
            // A variable `n` is shown; `next`, and `n` where there is none, move.
            Err(e) if console => match self.command(frame, expression) {
                Err(other) if other.to_string().starts_with("Undefined command") => return Err(e),
                answer => return answer,
            },
            Err(e) => return Err(e),
        };
        // A variable object of what cannot be had is empty, and does not say why.
        if object["value"].as_str().is_none_or(str::is_empty)
            && let Err(e) = self.value(frame, expression)
        {
            if !e.to_string().contains("may-call-functions") {
                return Err(e);
            }
            let result = self.called(frame, expression)?;
            return Ok(json!({
                "result": result, "type": object["type"], "variablesReference": 0,
            }));
        }
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

    /// The value of what calls functions: on a copy of the process, of which nothing is left.
    fn called(&mut self, frame: Frame, expression: &str) -> Result<String> {
        let here = self.when()?;
        self.gdb("-gdb-set may-call-functions on")?;
        let value = self.value(frame, expression);
        self.gdb("-gdb-set may-call-functions off")?;
        // One that came to a breakpoint is in the function still.
        if self.console("monitor settle")?.trim() == "calling" {
            self.console(&format!("orch jump {here}"))?;
        }
        self.console("maintenance flush dcache")?;
        self.take_stops();
        value
    }

    /// A line for gdb. It may move, which is told when it has, or jump.
    fn command(&mut self, frame: Frame, line: &str) -> Result<Value> {
        let first = line.split_whitespace().next().unwrap_or_default();
        let python = first.starts_with("py") && line.len() > first.len();
        if ASK.contains(&first) && !python {
            bail!("{first} would read more lines; this console has one at a time");
        }
        self.gdb(&format!("-thread-select {}", frame.thread))?;
        self.gdb(&format!("-stack-select-frame {}", frame.level))?;
        let before = self.when()?;
        let way = if line.starts_with('r') {
            " --reverse"
        } else {
            ""
        };
        self.target()?.motion = format!("console{way}");
        let printed = self.console(line)?;
        if self.target()?.running {
            let body = json!({ "threadId": frame.thread, "allThreadsContinued": true });
            self.after.push(("continued", body));
        } else if let Some(stop) = self.take_stops().last() {
            self.tell_stop(stop)?;
        } else if self.when()? != before {
            let now = self.moved()?;
            let body = self.stop_body("goto", &now, None)?;
            self.after.push(("stopped", body));
        }
        Ok(json!({ "result": printed.trim_end(), "variablesReference": 0 }))
    }
}
