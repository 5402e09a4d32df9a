//! Variables, opened as far as the client asks: gdb's variable objects (gdb manual,
//! "GDB/MI Variable Objects").

use super::adapter::Adapter;
use super::mi::quoted;
use super::stack::{Frame, address_in};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::HashMap;

/// A client that does not page gets no more of an array.
const MOST: usize = 1000;
/// Longer arrays are paged, if the client can.
const PAGE: u64 = 100;

/// What has variables.
#[derive(Clone, Debug)]
enum Holder {
    Locals(Frame),
    Arguments(Frame),
    Registers(Frame),
    /// A variable object, with an expression for it if there is one.
    Object(Frame, String),
}

/// What the client has seen of the present instant.
#[derive(Debug, Default)]
pub struct Variables {
    next: i64,
    holders: HashMap<i64, Holder>,
    /// Expressions for the variables of a holder.
    expressions: HashMap<(i64, String), String>,
    /// Variable objects to be deleted.
    roots: Vec<String>,
}

impl Variables {
    fn add(&mut self, holder: Holder) -> i64 {
        self.next += 1;
        self.holders.insert(self.next, holder);
        self.next
    }

    /// Forgets all: the variable objects that gdb can forget, too.
    pub fn clear(&mut self) -> Vec<String> {
        self.holders.clear();
        self.expressions.clear();
        std::mem::take(&mut self.roots)
    }

    /// An expression for a variable that the client has seen, and its frame.
    pub fn expression(&self, holder: i64, name: &str) -> Result<(Frame, String)> {
        let known = self.holders.get(&holder);
        let known = known.with_context(|| format!("variables {holder} are of another instant"))?;
        let (Holder::Locals(frame)
        | Holder::Arguments(frame)
        | Holder::Registers(frame)
        | Holder::Object(frame, _)) = known;
        let expression = self.expressions.get(&(holder, name.to_owned()));
        let expression = expression.with_context(|| format!("{name} has no place of its own"))?;
        Ok((*frame, expression.clone()))
    }
}

impl Adapter {
    pub(super) fn scopes(&mut self, arguments: &Value) -> Result<Value> {
        let frame = self.frame(arguments)?;
        let variables = &mut self.target()?.variables;
        let mut scope = |name: &str, hint: &str, holder, expensive: bool| {
            json!({
                "name": name, "presentationHint": hint, "expensive": expensive,
                "variablesReference": variables.add(holder),
            })
        };
        let scopes = [
            scope("Locals", "locals", Holder::Locals(frame), false),
            scope("Arguments", "arguments", Holder::Arguments(frame), false),
            scope("Registers", "registers", Holder::Registers(frame), true),
        ];
        Ok(json!({ "scopes": scopes }))
    }

    pub(super) fn variables(&mut self, arguments: &Value) -> Result<Value> {
        let number = arguments["variablesReference"].as_i64();
        let number = number.context("variablesReference is a number")?;
        let holder = self.target()?.variables.holders.get(&number).cloned();
        let holder =
            holder.with_context(|| format!("variables {number} are of another instant"))?;
        let hex = arguments["format"]["hex"] == json!(true);
        let all = match holder {
            Holder::Locals(frame) => self.named(number, frame, false, hex)?,
            Holder::Arguments(frame) => self.named(number, frame, true, hex)?,
            Holder::Registers(frame) => self.registers(frame)?,
            Holder::Object(frame, name) => {
                let start = arguments["start"].as_u64().unwrap_or(0) as usize;
                let count = match arguments["count"].as_u64().unwrap_or(0) as usize {
                    0 => MOST,
                    count => count.min(MOST),
                };
                let range = start..start.saturating_add(count);
                self.children(number, frame, &name, range, hex)?
            }
        };
        Ok(json!({ "variables": all }))
    }

    /// Locals or arguments, the innermost of a name.
    fn named(
        &mut self,
        holder: i64,
        frame: Frame,
        arguments: bool,
        hex: bool,
    ) -> Result<Vec<Value>> {
        let option = frame.option();
        let found = self.gdb(&format!("-stack-list-variables {option} --simple-values"))?;
        let mut all: Vec<Value> = Vec::new();
        for variable in found["variables"].as_array().into_iter().flatten() {
            let Some(name) = variable["name"].as_str() else {
                continue;
            };
            let is_argument = variable["arg"] == "1";
            // `x@entry` is x, once more.
            let again = name.contains('@') || all.iter().any(|v| v["name"] == name);
            if is_argument != arguments || again {
                continue;
            }
            let shown = match self.object(frame, name, hex) {
                Ok(object) => self.shown(holder, frame, &object, name, Some(name.to_owned()))?,
                Err(_) => json!({
                    "name": name, "variablesReference": 0, "type": variable["type"],
                    "value": variable["value"].as_str().unwrap_or("<not available>"),
                }),
            };
            all.push(shown);
        }
        Ok(all)
    }

    /// Makes a variable object.
    pub(super) fn object(&mut self, frame: Frame, expression: &str, hex: bool) -> Result<Value> {
        let (option, quoted) = (frame.option(), quoted(expression));
        let made = self.gdb(&format!("-var-create {option} - * {quoted}"));
        let mut object = match made {
            Ok(object) => object,
            // gdb says why only here.
            Err(e) => return Err(self.value(frame, expression).err().unwrap_or(e)),
        };
        let name = object["name"].as_str().unwrap_or_default().to_owned();
        if hex {
            let shown = self.gdb(&format!("-var-set-format {name} hexadecimal"))?;
            object["value"] = shown["value"].clone();
        }
        self.target()?.variables.roots.push(name);
        Ok(object)
    }

    /// A variable object as the client shows it.
    pub(super) fn shown(
        &mut self,
        holder: i64,
        frame: Frame,
        object: &Value,
        name: &str,
        expression: Option<String>,
    ) -> Result<Value> {
        let text = |of: &str| object[of].as_str().unwrap_or_default();
        let kind = text("type");
        // A text, not how many characters it has.
        let characters = kind.trim_start_matches("const ").starts_with("char [");
        let whole = match expression.as_deref().filter(|_| characters) {
            Some(expression) => self.value(frame, expression).ok(),
            None => None,
        };
        let value = whole.as_deref().unwrap_or(text("value"));
        let count: u64 = text("numchild").parse().unwrap_or(0);
        let opens = count > 0 || (object["dynamic"] == "1" && object["has_more"] == "1");
        let variables = &mut self.target()?.variables;
        let inside = if opens {
            variables.add(Holder::Object(frame, text("name").to_owned()))
        } else {
            0
        };
        let mut shown = json!({
            "name": name, "value": value, "type": kind, "variablesReference": inside,
        });
        if let Some(expression) = expression {
            let key = (holder, name.to_owned());
            variables.expressions.insert(key, expression.clone());
            shown["evaluateName"] = expression.into();
        }
        if count > PAGE && kind.ends_with(']') {
            shown["indexedVariables"] = count.into();
        }
        if (kind.ends_with('*') || kind.ends_with('&'))
            && let Some(address) = address_in(value)
        {
            shown["memoryReference"] = format!("{address:#x}").into();
        }
        Ok(shown)
    }

    /// What is inside of a variable object. Between a class and its members, gdb has
    /// `public` and the like: these are left out.
    fn children(
        &mut self,
        holder: i64,
        frame: Frame,
        object: &str,
        range: std::ops::Range<usize>,
        hex: bool,
    ) -> Result<Vec<Value>> {
        let (from, to) = (range.start, range.end);
        let found = self.gdb(&format!(
            "-var-list-children --all-values {object} {from} {to}"
        ))?;
        let mut all = Vec::new();
        for child in found["children"].as_array().into_iter().flatten() {
            let text = |of: &str| child[of].as_str().unwrap_or_default();
            let (name, shown_as) = (text("name"), text("exp"));
            let access = matches!(shown_as, "public" | "private" | "protected");
            if access && child["type"].is_null() {
                all.extend(self.children(holder, frame, name, 0..MOST, hex)?);
                continue;
            }
            let mut child = child.clone();
            if hex {
                let shown = self.gdb(&format!("-var-set-format {name} hexadecimal"))?;
                child["value"] = shown["value"].clone();
            }
            // Printers' children have none.
            let path = self.gdb(&format!("-var-info-path-expression {name}"));
            let path = path
                .ok()
                .and_then(|p| p["path_expr"].as_str().map(str::to_owned));
            all.push(self.shown(holder, frame, &child, shown_as, path)?);
        }
        Ok(all)
    }

    fn registers(&mut self, frame: Frame) -> Result<Vec<Value>> {
        let names = self.gdb("-data-list-register-names")?;
        let names = names["register-names"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let (mut numbers, mut natural) = (String::new(), String::new());
        for (number, name) in names.iter().enumerate() {
            match name.as_str().unwrap_or_default() {
                "" => {}
                name if ["xmm", "ymm", "st", "eflags"]
                    .iter()
                    .any(|n| name.starts_with(n)) =>
                {
                    natural += &format!(" {number}");
                }
                // Parts of others, and the modern names of the old.
                name if PARTS.contains(&name) || name.ends_with(['l', 'w', 'd', 'h']) => {}
                _ => numbers += &format!(" {number}"),
            }
        }
        let mut all = Vec::new();
        for (format, numbers) in [("x", numbers), ("N", natural)] {
            let option = frame.option();
            let found = self.gdb(&format!(
                "-data-list-register-values {option} --skip-unavailable {format}{numbers}"
            ))?;
            for value in found["register-values"].as_array().into_iter().flatten() {
                let number: usize = value["number"].as_str().unwrap_or_default().parse()?;
                let name = names
                    .get(number)
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let value = value["value"].as_str().unwrap_or_default();
                let mut one = json!({
                    "name": name, "value": value, "variablesReference": 0,
                    "evaluateName": format!("${name}"),
                });
                if format == "x" {
                    one["memoryReference"] = value.into();
                }
                all.push(one);
            }
        }
        Ok(all)
    }
}

/// Registers that are parts of others.
const PARTS: [&str; 8] = ["ax", "bx", "cx", "dx", "si", "di", "bp", "sp"];
