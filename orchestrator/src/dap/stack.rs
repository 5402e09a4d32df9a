//! Stacks, and the sources of their functions.

use super::adapter::Adapter;
use super::launch::text;
use super::mi::quoted;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// A stack that is deeper is not counted to its end.
const DEEPEST: usize = 1000;

/// A function that has not returned: thread and level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    pub thread: i64,
    pub level: i64,
}

/// The frames that the client knows by number: of the present instant only.
#[derive(Debug, Default)]
pub struct Frames {
    next: i64,
    known: HashMap<i64, Frame>,
}

impl Frame {
    /// For a command of gdb's.
    pub fn option(self) -> String {
        format!("--thread {} --frame {}", self.thread, self.level)
    }
}

impl Frames {
    fn add(&mut self, frame: Frame) -> i64 {
        self.next += 1;
        self.known.insert(self.next, frame);
        self.next
    }

    pub fn get(&self, id: i64) -> Result<Frame> {
        let known = self.known.get(&id).copied();
        known.with_context(|| format!("frame {id} is of another instant"))
    }

    pub fn clear(&mut self) {
        self.known.clear();
    }
}

impl Adapter {
    /// The frame that a request names; the innermost one, if it names none.
    pub(super) fn frame(&mut self, arguments: &Value) -> Result<Frame> {
        let target = self.target()?;
        match arguments["frameId"].as_i64() {
            Some(id) => target.frames.get(id),
            None => Ok(Frame {
                thread: target.threads[0]["id"].as_i64().unwrap_or(1),
                level: 0,
            }),
        }
    }

    pub(super) fn stack_trace(&mut self, arguments: &Value) -> Result<Value> {
        let thread = arguments["threadId"]
            .as_i64()
            .context("threadId is a number")?;
        let number = |name: &str| arguments[name].as_u64().unwrap_or(0) as usize;
        let (first, count) = (number("startFrame").min(DEEPEST), number("levels"));
        let depth = self.gdb(&format!("-stack-info-depth --thread {thread} {DEEPEST}"))?;
        let depth: usize = depth["depth"].as_str().unwrap_or("0").parse()?;
        let count = if count == 0 { DEEPEST } else { count };
        let end = first.saturating_add(count).min(depth);
        let mut frames = Vec::new();
        if first < end {
            let last = end - 1;
            let found = self.gdb(&format!(
                "-stack-list-frames --thread {thread} {first} {last}"
            ))?;
            for frame in found["stack"].as_array().into_iter().flatten() {
                let level: i64 = frame["level"].as_str().unwrap_or("0").parse()?;
                frames.push(self.one_frame(Frame { thread, level }, frame)?);
            }
        }
        Ok(json!({ "stackFrames": frames, "totalFrames": depth }))
    }

    fn one_frame(&mut self, which: Frame, frame: &Value) -> Result<Value> {
        let first_line = self.first_line;
        let id = self.target()?.frames.add(which);
        let addr = frame["addr"].as_str().unwrap_or_default();
        let line = frame["line"].as_str().and_then(|l| l.parse::<i64>().ok());
        let mut one = json!({
            "id": id, "name": frame["func"].as_str().unwrap_or(addr), "column": 0,
            "line": line.map_or(0, |line| line - 1 + first_line),
            "instructionPointerReference": addr,
        });
        match (frame["fullname"].as_str(), line) {
            (Some(path), Some(_)) => one["source"] = source_of(path),
            _ => {
                one["presentationHint"] = "subtle".into();
                if let Some(file) = frame["from"].as_str() {
                    let name = Path::new(file).file_name().unwrap_or_default();
                    let name = format!(
                        "{} ({})",
                        one["name"].as_str().unwrap_or(""),
                        name.display()
                    );
                    one["name"] = name.into();
                }
            }
        }
        Ok(one)
    }

    /// Of a file that is not here, why.
    pub(super) fn source(arguments: &Value) -> Value {
        let path = arguments["source"]["path"].as_str().unwrap_or_default();
        let content = std::fs::read_to_string(path).unwrap_or_else(|_| {
            format!(
                "{path} is not on this machine.\n\nA recording keeps programs and libraries, \
                 not their sources. If these are elsewhere, name in launch.json\n  \
                 \"sources\": [\"/their/directory\"], or\n  \
                 \"sourceMap\": {{ \"/where/they/were\": \"/where/they/are\" }}.\n"
            )
        });
        json!({ "content": content })
    }

    pub(super) fn loaded_sources(&mut self) -> Result<Value> {
        let found = self.gdb("-file-list-exec-source-files")?;
        let mut paths: Vec<&str> = found["files"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|file| file["fullname"].as_str())
            .filter(|path| Path::new(path).exists())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        let sources: Vec<Value> = paths.into_iter().map(source_of).collect();
        Ok(json!({ "sources": sources }))
    }

    /// An expression's address and size, as they are in a frame.
    pub(super) fn place(&mut self, frame: Frame, expression: &str) -> Result<(u64, u64)> {
        let address = self.value(frame, &format!("&({expression})"))?;
        let size = self.value(frame, &format!("sizeof({expression})"))?;
        let address = address_in(&address).with_context(|| format!("{address} is no address"))?;
        Ok((address, size.parse()?))
    }

    /// What gdb says of an expression.
    pub(super) fn value(&mut self, frame: Frame, expression: &str) -> Result<String> {
        let (option, expression) = (frame.option(), quoted(expression));
        let found = self.gdb(&format!("-data-evaluate-expression {option} {expression}"))?;
        Ok(found["value"].as_str().unwrap_or_default().to_owned())
    }
}

/// The first hexadecimal number in a value: `(int *) 0x7ffe… <name>`.
pub fn address_in(value: &str) -> Option<u64> {
    let digits = value.split_once("0x")?.1;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit());
    u64::from_str_radix(&digits[..end.unwrap_or(digits.len())], 16).ok()
}

/// A reference to memory: an address, or what gdb calls a pointer.
pub fn reference(arguments: &Value, name: &str) -> Result<u64> {
    let given = text(arguments, name)?.unwrap_or_default();
    let parsed = match given.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => given.parse().ok(),
    };
    parsed.with_context(|| format!("{name} is an address (0x7f0012345678), not {given:?}"))
}

fn source_of(path: &str) -> Value {
    let name = Path::new(path).file_name().unwrap_or_default();
    let mut source = json!({ "name": name.to_string_lossy(), "path": path });
    if !Path::new(path).exists() {
        // The client asks for it then, with the path.
        source["sourceReference"] = 1.into();
        source["presentationHint"] = "deemphasize".into();
        source["origin"] = "not on this machine".into();
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address_in("(int (*)[4]) 0x7f3c <q+4>"), Some(0x7f3c));
        assert_eq!(address_in("0xffff \"text\""), Some(0xffff));
        assert_eq!(address_in("40"), None);
        assert_eq!(address_in("0xfffffffffffffffff"), None);
        let reference = |text| reference(&json!({ "memoryReference": text }), "memoryReference");
        assert_eq!(reference("0x10").expect("an address"), 16);
        assert!(reference("main").is_err());
    }
}
