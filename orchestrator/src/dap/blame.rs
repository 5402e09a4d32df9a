//! Who wrote that: `orch ublame`, of what the debugger shows.

use super::Input;
use super::adapter::Adapter;
use super::gdb::tethered;
use super::launch::text;
use super::stack::{address_in, reference};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::process::Stdio;

impl Adapter {
    /// Rows of `orch ublame --json`, before the present instant unless all are asked for.
    /// What is meant is an expression of a frame, or an address and a length.
    pub(super) fn who_wrote(&mut self, arguments: &Value) -> Result<Value> {
        let (address, length) = self.blamed(arguments)?;
        let length = arguments["length"].as_u64().unwrap_or(length).max(1);
        let now = self.when()?;
        let before = match text(arguments, "before")? {
            _ if arguments["all"] == json!(true) => None,
            Some(before) => Some(before.to_owned()),
            None => Some(now),
        };
        let target = self.target()?;
        let place = format!("{}:{address:#x}", target.recording);
        let mut command = tethered(std::env::current_exe()?)?;
        command
            .arg("-s")
            .arg(std::fs::canonicalize(target.session.dir())?);
        command.args(["ublame", &place, "--json", "--len", &length.to_string()]);
        if let Some(before) = &before {
            command.args(["--before", before]);
        }
        let last = arguments["last"].as_u64().map(|n| n.to_string());
        if let Some(last) = &last {
            command.args(["--last", last]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn()?;
        let to = self.sender.clone();
        std::thread::spawn(move || to.send(Input::Done(child.wait_with_output())));
        let output = self.done()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("orch: ").to_owned();
        let rows: serde_json::Result<Vec<Value>> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(serde_json::from_str)
            .collect();
        let rows = rows.context("orch ublame")?;
        // 1: nothing was found.
        if !matches!(output.status.code(), Some(0 | 1)) {
            bail!("{said}");
        }
        let mut body = json!({ "place": place, "length": length, "rows": rows });
        if !said.is_empty() {
            body["note"] = said.into();
        }
        Ok(body)
    }

    fn blamed(&mut self, arguments: &Value) -> Result<(u64, u64)> {
        if !arguments["address"].is_null() {
            return Ok((reference(arguments, "address")?, 8));
        }
        let known = match (
            arguments["variablesReference"].as_i64(),
            text(arguments, "name")?,
        ) {
            (Some(holder), Some(name)) => self.target()?.variables.expression(holder, name)?,
            _ => {
                let expression = text(arguments, "expression")?;
                let expression = expression.context("say what: an expression, or an address")?;
                (self.frame(arguments)?, expression.to_owned())
            }
        };
        let (frame, expression) = known;
        match self.place(frame, &expression) {
            Ok(place) => Ok(place),
            // A number is an address.
            Err(e) => match self.value(frame, &format!("(void *) ({expression})")) {
                Ok(value) => Ok((address_in(&value).with_context(|| e.to_string())?, 8)),
                Err(_) => Err(e),
            },
        }
    }
}
