//! Memory and instructions.

use super::adapter::Adapter;
use super::stack::reference;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The most memory that is read at once, and the most instructions.
const MOST: u64 = 1 << 20;
const INSTRUCTIONS: usize = 10_000;
/// The longest instruction (Intel SDM, 2.3.11).
const LONGEST: u64 = 15;

impl Adapter {
    pub(super) fn read_memory(&mut self, arguments: &Value) -> Result<Value> {
        let offset = arguments["offset"].as_i64().unwrap_or(0);
        let start = reference(arguments, "memoryReference")?.wrapping_add_signed(offset);
        let count = arguments["count"].as_u64().context("count is a number")?;
        let read = count.min(MOST);
        let mut bytes = Vec::new();
        if read > 0
            && let Ok(found) = self.gdb(&format!("-data-read-memory-bytes {start:#x} {read}"))
        {
            // What is readable from the start on.
            let first = &found["memory"][0];
            let at_start = first["offset"]
                .as_str()
                .is_some_and(|o| reference_of(o) == Some(0));
            if at_start {
                bytes = unhex(first["contents"].as_str().unwrap_or_default());
            }
        }
        let missing = count - bytes.len() as u64;
        let mut body = json!({ "address": format!("{start:#x}") });
        if !bytes.is_empty() {
            body["data"] = base64(&bytes).into();
        }
        if missing > 0 {
            body["unreadableBytes"] = missing.into();
        }
        Ok(body)
    }

    /// As many instructions as were asked for: where there are none, invalid ones.
    pub(super) fn disassemble(&mut self, arguments: &Value) -> Result<Value> {
        let offset = arguments["offset"].as_i64().unwrap_or(0);
        let at = reference(arguments, "memoryReference")?.wrapping_add_signed(offset);
        let count = arguments["instructionCount"].as_u64();
        let count = (count.context("instructionCount is a number")? as usize).min(INSTRUCTIONS);
        let skip = arguments["instructionOffset"].as_i64().unwrap_or(0);
        let skip = skip.clamp(-(INSTRUCTIONS as i64), INSTRUCTIONS as i64);
        let before = usize::try_from(-skip).unwrap_or(0);
        let ahead = usize::try_from(skip).unwrap_or(0);
        let mut all = Vec::new();
        if before > 0 {
            // Backwards there is no telling where instructions begin, but in a function.
            let function = self
                .instructions(&format!("-a {at:#x}"))
                .unwrap_or_default();
            let here = function
                .iter()
                .position(|i| address_of(i) == Some(at))
                .unwrap_or(0);
            let from = here.saturating_sub(before);
            for n in (1..=before - (here - from)).rev() {
                all.push(invalid(at.wrapping_sub(n as u64)));
            }
            all.extend_from_slice(&function[from..here]);
        }
        let behind = (count + ahead).saturating_sub(before);
        // As long as all may be; less is what is readable.
        let end = at.saturating_add(LONGEST * behind as u64);
        let got = self.instructions(&format!("-s {at:#x} -e {end:#x}"));
        let mut got = got.unwrap_or_default();
        let mut next = got.last().and_then(address_of).map_or(at, |last| last + 1);
        while got.len() < behind {
            got.push(invalid(next));
            next = next.wrapping_add(1);
        }
        got.truncate(behind);
        all.extend(got.into_iter().skip(ahead));
        all.truncate(count);
        Ok(json!({ "instructions": all }))
    }

    fn instructions(&mut self, range: &str) -> Result<Vec<Value>> {
        let first_line = self.first_line;
        // With source lines and bytes (gdb manual, -data-disassemble, mode 5).
        let found = self.gdb(&format!("-data-disassemble {range} -- 5"))?;
        let mut all = Vec::new();
        for line in found["asm_insns"].as_array().into_iter().flatten() {
            let Some(inside) = line["line_asm_insn"].as_array() else {
                all.push(instruction(line));
                continue;
            };
            for (n, one) in inside.iter().enumerate() {
                let mut one = instruction(one);
                let number = line["line"].as_str().and_then(|l| l.parse::<i64>().ok());
                if let (0, Some(path), Some(number)) = (n, line["fullname"].as_str(), number) {
                    one["location"] = json!({ "path": path });
                    one["line"] = (number - 1 + first_line).into();
                }
                all.push(one);
            }
        }
        all.sort_by_key(address_of);
        Ok(all)
    }
}

fn instruction(from: &Value) -> Value {
    let mut one = json!({
        "address": from["address"], "instruction": from["inst"],
        "instructionBytes": from["opcodes"],
    });
    if let (Some(name), Some(offset)) = (from["func-name"].as_str(), from["offset"].as_str()) {
        one["symbol"] = format!("{name}+{offset}").into();
    }
    one
}

fn invalid(at: u64) -> Value {
    json!({ "address": format!("{at:#x}"), "instruction": "??", "presentationHint": "invalid" })
}

fn reference_of(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn address_of(instruction: &Value) -> Option<u64> {
    instruction["address"].as_str().and_then(reference_of)
}

fn unhex(digits: &str) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// Base 64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n > three.len() { '=' } else { digit.into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64() {
        // The test vectors of RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(unhex("00ff1a"), [0, 255, 26]);
    }
}
