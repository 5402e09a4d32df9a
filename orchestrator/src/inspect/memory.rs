//! Memory as bytes and text.

use super::{Mapping, Still, What, mapping};
use orch_blame::symbols::Symbols;
use std::fmt::Write as _;

/// Bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Address of the first.
    pub addr: u64,
    /// Up to the first that is not readable.
    pub bytes: Vec<u8>,
    /// Whether that are all that were asked for.
    pub whole: bool,
}

/// Most bytes that are read at once.
pub const MOST: u64 = 16 << 20;

/// Reads memory.
pub fn read(still: &dyn Still, addr: u64, len: u64) -> Memory {
    let mut bytes = vec![0; len.min(MOST) as usize];
    let read = still.read(addr, &mut bytes);
    bytes.truncate(read);
    Memory {
        addr,
        whole: read as u64 == len,
        bytes,
    }
}

/// Lines of 16 bytes: address, hexadecimal, ASCII.
pub fn lines(memory: &Memory) -> impl Iterator<Item = String> + '_ {
    let addresses = (0..).map(|n: u64| memory.addr.wrapping_add(16 * n));
    memory.bytes.chunks(16).zip(addresses).map(|(bytes, addr)| {
        let mut hex = String::new();
        for (n, byte) in bytes.iter().enumerate() {
            let gap = if n == 8 { "  " } else { " " };
            let _ = write!(hex, "{gap}{byte:02x}");
        }
        let visible = |&b: &u8| {
            if (0x20..0x7f).contains(&b) {
                b as char
            } else {
                '.'
            }
        };
        let text: String = bytes.iter().map(visible).collect();
        format!("{addr:#014x} {hex:<49}  |{text}|")
    })
}

/// Why an address cannot be read: what is mapped near it.
pub fn unreadable(maps: &[Mapping], symbols: &Symbols, addr: u64) -> String {
    if let Some(map) = mapping(maps, addr) {
        let what = what(map, symbols);
        return format!(
            "{addr:#x} is in {what}, which may not be read ({})",
            prot(map)
        );
    }
    let below = maps.iter().rfind(|map| map.end <= addr);
    let above = maps.iter().find(|map| map.start > addr);
    let near = [below, above].into_iter().flatten();
    let near: String = near
        .map(|map| {
            format!(
                "\n  {:#x}..{:#x}  {}",
                map.start,
                map.end,
                what(map, symbols)
            )
        })
        .collect();
    let nearest = if near.is_empty() {
        ""
    } else {
        "; nearest to it are"
    };
    format!("nothing is mapped at {addr:#x}{nearest}{near}")
}

/// What a mapping shows.
pub fn what(map: &Mapping, symbols: &Symbols) -> String {
    match &map.what {
        What::File { file, .. } => symbols.path(file.0).display().to_string(),
        What::Named(name) if name.is_empty() => "anonymous memory".to_owned(),
        What::Named(name) => name.clone(),
    }
}

/// Its protection, as /proc/PID/maps has it.
pub fn prot(map: &Mapping) -> String {
    let bits = [(1, 'r'), (2, 'w'), (4, 'x')];
    bits.iter()
        .map(|&(bit, c)| if map.prot & bit != 0 { c } else { '-' })
        .collect()
}
