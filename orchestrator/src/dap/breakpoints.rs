//! Breakpoints and watched memory.

use super::adapter::Adapter;
use super::launch::text;
use super::mi::quoted;
use super::stack::reference;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Watched at once: words of 1, 2, 4 or 8 bytes, aligned (Intel SDM, 18.2.5).
const WORDS: usize = 4;

/// gdb's numbers of what the client has set.
#[derive(Debug, Default)]
pub struct Breakpoints {
    /// By path, or [`FUNCTIONS`], [`INSTRUCTIONS`].
    set: HashMap<String, Vec<String>>,
    /// Numbers of each watched place, and what the client calls it.
    data: Vec<(Vec<String>, String)>,
}

const FUNCTIONS: &str = "\0functions";
const INSTRUCTIONS: &str = "\0instructions";

impl Breakpoints {
    /// What the client calls a stop at this one.
    pub fn kind(&self, number: &str) -> &'static str {
        let in_list = |list: &str| {
            let all = self.set.get(list);
            all.is_some_and(|all| all.iter().any(|n| n == number))
        };
        if in_list(FUNCTIONS) {
            "function breakpoint"
        } else if in_list(INSTRUCTIONS) {
            "instruction breakpoint"
        } else {
            "breakpoint"
        }
    }

    /// What is watched by this one.
    pub fn name(&self, number: &str) -> String {
        let found = self
            .data
            .iter()
            .find(|(all, _)| all.iter().any(|n| n == number));
        found.map_or_else(|| "watched".to_owned(), |(_, name)| name.clone())
    }

    /// The number that the client knows.
    pub fn first_of(&self, number: i64) -> i64 {
        let text = number.to_string();
        let found = self.data.iter().find(|(all, _)| all.contains(&text));
        found
            .and_then(|(all, _)| all.first()?.parse().ok())
            .unwrap_or(number)
    }

    fn has(&self, number: &str) -> bool {
        self.set.values().flatten().any(|n| n == number)
    }
}

impl Adapter {
    pub(super) fn set_breakpoints(&mut self, arguments: &Value) -> Result<Value> {
        let source = &arguments["source"];
        let path = text(source, "path")?.or(text(source, "name")?);
        let path = path.context("a source has a path")?.to_owned();
        let first_line = self.first_line;
        let place = |one: &Value| {
            let line = one["line"].as_i64().context("a breakpoint has a line")?;
            let line = line - first_line + 1;
            Ok(format!("--source {} --line {line}", quoted(&path)))
        };
        self.replace(&path, &arguments["breakpoints"], place)
    }

    pub(super) fn set_function_breakpoints(&mut self, arguments: &Value) -> Result<Value> {
        let place = |one: &Value| {
            let name = text(one, "name")?.context("a function breakpoint has a name")?;
            Ok(quoted(name))
        };
        self.replace(FUNCTIONS, &arguments["breakpoints"], place)
    }

    pub(super) fn set_instruction_breakpoints(&mut self, arguments: &Value) -> Result<Value> {
        let place = |one: &Value| {
            let offset = one["offset"].as_i64().unwrap_or(0);
            let at = reference(one, "instructionReference")?.wrapping_add_signed(offset);
            Ok(format!("*{at:#x}"))
        };
        self.replace(INSTRUCTIONS, &arguments["breakpoints"], place)
    }

    /// Sets all breakpoints of a list, instead of those that were.
    fn replace(
        &mut self,
        list: &str,
        wanted: &Value,
        place: impl Fn(&Value) -> Result<String>,
    ) -> Result<Value> {
        let old = self.target()?.breakpoints.set.remove(list);
        for number in old.into_iter().flatten() {
            // The user may have deleted it in the console.
            let _ = self.gdb(&format!("-break-delete {number}"));
        }
        let (mut all, mut numbers) = (Vec::new(), Vec::new());
        for one in wanted.as_array().into_iter().flatten() {
            let set = place(one).and_then(|place| {
                let options = conditions(one)?;
                self.gdb(&format!("-break-insert -f{options} {place}"))
            });
            all.push(match set {
                Ok(set) => {
                    let number = set["bkpt"]["number"].as_str().unwrap_or_default();
                    numbers.push(number.to_owned());
                    self.told(&set["bkpt"])
                }
                Err(e) => json!({ "verified": false, "message": e.to_string() }),
            });
        }
        self.target()?
            .breakpoints
            .set
            .insert(list.to_owned(), numbers);
        Ok(json!({ "breakpoints": all }))
    }

    /// A breakpoint of gdb's as the client knows it.
    fn told(&self, breakpoint: &Value) -> Value {
        let number = breakpoint["number"]
            .as_str()
            .and_then(|n| n.parse::<i64>().ok());
        let pending = breakpoint["pending"].is_string();
        let mut told = json!({ "id": number, "verified": !pending });
        if pending {
            told["message"] = "there is no such place yet: in a library that is not loaded?".into();
        }
        let first = match breakpoint["line"].is_string() {
            true => breakpoint,
            false => &breakpoint["locations"][0],
        };
        if let Some(line) = first["line"].as_str().and_then(|l| l.parse::<i64>().ok()) {
            told["line"] = (line - 1 + self.first_line).into();
        }
        if let Some(path) = first["fullname"].as_str() {
            told["source"] = json!({ "path": path });
        }
        if let Some(addr) = first["addr"].as_str().filter(|a| a.starts_with("0x")) {
            told["instructionReference"] = addr.into();
        }
        told
    }

    /// A library has come, or the program has changed.
    pub(super) fn breakpoint_changed(&mut self, breakpoint: &Value) -> Result<()> {
        let number = breakpoint["number"].as_str().unwrap_or_default();
        if self
            .target
            .as_ref()
            .is_some_and(|t| t.breakpoints.has(number))
        {
            let body = json!({ "reason": "changed", "breakpoint": self.told(breakpoint) });
            self.client.event("breakpoint", body)?;
        }
        Ok(())
    }

    /// Whether, and as what, a variable can be watched: by its address.
    pub(super) fn data_breakpoint_info(&mut self, arguments: &Value) -> Result<Value> {
        let name = text(arguments, "name")?.context("name is a text")?;
        let place = if arguments["asAddress"] == json!(true) {
            let size = arguments["bytes"].as_u64().unwrap_or(8);
            reference(arguments, "name").map(|address| (address, size, name.to_owned()))
        } else {
            let known = match arguments["variablesReference"].as_i64() {
                Some(holder) => self.target()?.variables.expression(holder, name),
                None => self.frame(arguments).map(|frame| (frame, name.to_owned())),
            };
            known.and_then(|(frame, expression)| {
                let (address, size) = self.place(frame, &expression)?;
                let size = arguments["bytes"].as_u64().unwrap_or(size);
                Ok((address, size, expression))
            })
        };
        let no = |why: String| json!({ "dataId": null, "description": why });
        Ok(match place {
            Err(e) => no(format!("{name} cannot be watched: {e}")),
            Ok((address, size, _)) if words(address, size).is_none() => no(format!(
                "{name} cannot be watched: its {size} bytes do not fit in {WORDS} words of 8"
            )),
            Ok((address, size, expression)) => json!({
                "dataId": format!("{address:#x}/{size}/{expression}"),
                "description": format!("{expression} ({size} bytes at {address:#x})"),
                "accessTypes": ["write"], "canPersist": false,
            }),
        })
    }

    pub(super) fn set_data_breakpoints(&mut self, arguments: &Value) -> Result<Value> {
        let old = std::mem::take(&mut self.target()?.breakpoints.data);
        for number in old.into_iter().flat_map(|(numbers, _)| numbers) {
            let _ = self.gdb(&format!("-break-delete {number}"));
        }
        let mut all = Vec::new();
        for one in arguments["breakpoints"].as_array().into_iter().flatten() {
            all.push(match self.watch(one) {
                Ok(id) => json!({ "id": id, "verified": true }),
                Err(e) => json!({ "verified": false, "message": e.to_string() }),
            });
        }
        Ok(json!({ "breakpoints": all }))
    }

    fn watch(&mut self, one: &Value) -> Result<i64> {
        let id = text(one, "dataId")?.context("dataId is a text")?;
        let parsed = parse_data_id(id);
        let (address, size, name) = parsed.context("this dataId is not from dataBreakpointInfo")?;
        if one["accessType"].is_string() && one["accessType"] != "write" {
            bail!("only changes can be watched; `orch/whoWrote` tells who read shared memory");
        }
        let words = words(address, size).context("this is too much to be watched")?;
        let data = &self.target()?.breakpoints.data;
        if data.iter().map(|(all, _)| all.len()).sum::<usize>() + words.len() > WORDS {
            bail!("more than {WORDS} words of 8 bytes cannot be watched at once");
        }
        let data = &mut self.target()?.breakpoints.data;
        let place = data.len();
        data.push((Vec::new(), name.to_owned()));
        for (address, size) in words {
            let kind = ["char", "short", "", "int", "", "", "", "long"][size as usize - 1];
            // The frame's language may write this otherwise.
            let command = format!("with language c -- watch *(unsigned {kind} *) {address:#x}");
            let said = self.console(&command)?;
            let number = said.strip_prefix("Hardware watchpoint ");
            let number = number.and_then(|s| s.split_once(':'));
            let (number, _) = number.with_context(|| said.trim().to_owned())?;
            // From here on it goes with the others, even if what follows fails.
            let data = &mut self.target()?.breakpoints.data;
            data[place].0.push(number.to_owned());
            if let Some(condition) = text(one, "condition")? {
                self.gdb(&format!("-break-condition {number} {condition}"))?;
            }
            if let Some(ignored) = ignored(one)? {
                self.gdb(&format!("-break-after {number} {ignored}"))?;
            }
        }
        Ok(self.target()?.breakpoints.data[place].0[0].parse()?)
    }

    pub(super) fn drop_data_breakpoints(&mut self) -> Result<()> {
        let old = std::mem::take(&mut self.target()?.breakpoints.data);
        for (numbers, name) in old {
            for number in &numbers {
                let _ = self.gdb(&format!("-break-delete {number}"));
            }
            let id = numbers.first().and_then(|n| n.parse::<i64>().ok());
            let message = format!("{name} was watched in another process");
            let breakpoint = json!({ "id": id, "verified": false, "message": message });
            let body = json!({ "reason": "changed", "breakpoint": breakpoint });
            self.client.event("breakpoint", body)?;
        }
        Ok(())
    }
}

/// Options of `-break-insert`.
fn conditions(one: &Value) -> Result<String> {
    let mut options = String::new();
    if let Some(condition) = text(one, "condition")?.filter(|c| !c.trim().is_empty()) {
        options += &format!(" -c {}", quoted(condition));
    }
    if let Some(ignored) = ignored(one)? {
        options += &format!(" -i {ignored}");
    }
    Ok(options)
}

/// How many hits do not count: `5` and `>= 5` stop at the fifth, `> 5` at the sixth.
fn ignored(one: &Value) -> Result<Option<u64>> {
    let Some(count) = text(one, "hitCondition")?.filter(|c| !c.trim().is_empty()) else {
        return Ok(None);
    };
    let text = count.trim();
    let (more, number) = match text.strip_prefix(">=").or(text.strip_prefix("==")) {
        Some(number) => (0, number),
        None => text
            .strip_prefix('>')
            .map_or((0, text), |number| (1, number)),
    };
    let number: u64 = match number.trim().parse() {
        Ok(number) => number,
        Err(_) => bail!("a hit condition is a number, >= number or > number, not {count:?}"),
    };
    Ok(Some(number.saturating_sub(1) + more))
}

/// Address, size and name of what [`Adapter::data_breakpoint_info`] has named.
fn parse_data_id(id: &str) -> Option<(u64, u64, &str)> {
    let mut parts = id.splitn(3, '/');
    let address = parts.next()?.strip_prefix("0x")?;
    let address = u64::from_str_radix(address, 16).ok()?;
    Some((address, parts.next()?.parse().ok()?, parts.next()?))
}

/// The words that cover these bytes and no others; none, if they are too many.
fn words(address: u64, size: u64) -> Option<Vec<(u64, u64)>> {
    if size == 0 || size > 8 * WORDS as u64 {
        return None;
    }
    let end = address.checked_add(size)?;
    let (mut at, mut words) = (address, Vec::new());
    while at < end {
        let fits = |size: &u64| at.is_multiple_of(*size) && at + size <= end;
        let size = [8, 4, 2, 1].into_iter().find(fits)?;
        words.push((at, size));
        at += size;
    }
    (words.len() <= WORDS).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cover_exactly() {
        assert_eq!(words(0x10, 4), Some(vec![(0x10, 4)]));
        assert_eq!(words(0x14, 12), Some(vec![(0x14, 4), (0x18, 8)]));
        assert_eq!(words(0x11, 3), Some(vec![(0x11, 1), (0x12, 2)]));
        assert_eq!(words(0x10, 40), None);
        assert_eq!(words(0x11, 32), None);
        assert_eq!(words(0x11, 0), None);
        assert_eq!(words(u64::MAX, 2), None);
    }

    #[test]
    fn hit_conditions() {
        let of = |text: &str| ignored(&json!({ "hitCondition": text })).ok().flatten();
        assert_eq!(of("5"), Some(4));
        assert_eq!(of(">= 5"), Some(4));
        assert_eq!(of(">5"), Some(5));
        assert_eq!(of("0"), Some(0));
        assert_eq!(of(""), None);
        assert_eq!(of("% 2"), None);
    }
}
