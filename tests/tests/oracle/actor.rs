//! What the program says that it did.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::Path;

/// Objects, numbered as in oracle.c.
pub const OBJECTS: usize = 5;
/// The number of the parent, which only looks.
pub const PARENT: u32 = 99;
const MAX_VIEWS: usize = 16;

/// A thread.
pub struct Actor {
    pub number: u32,
    pub tid: u32,
    pub views: Vec<View>,
    pub ops: Vec<Op>,
}

/// A mapping, as it is at the end.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub addr: u64,
    pub len: u64,
    pub offset: u64,
    pub object: usize,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Op {
    pub seq: u32,
    pub kind: Kind,
    /// A single instruction whose operand this is.
    pub exact: bool,
    /// A system call made the access.
    pub by_call: bool,
    /// What [`Kind::Apply`] does.
    pub calc: u8,
    pub object: usize,
    pub offset: usize,
    pub len: usize,
    /// Of [`Kind::Copy`]: from where.
    pub from: (usize, usize),
    /// Which instruction or call.
    #[expect(dead_code, reason = "for people, in messages")]
    pub form: u16,
    payload: Vec<u8>,
}

/// As in oracle_forms.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Load,
    Store,
    Known,
    Apply,
    Partial,
    PartialLoad,
    Copy,
    Look,
    Contents,
    Mark,
}

const KINDS: [Kind; 10] = [
    Kind::Load,
    Kind::Store,
    Kind::Known,
    Kind::Apply,
    Kind::Partial,
    Kind::PartialLoad,
    Kind::Copy,
    Kind::Look,
    Kind::Contents,
    Kind::Mark,
];

impl Op {
    /// Whether it may store.
    pub fn stores(&self) -> bool {
        use Kind::{Apply, Copy, Known, Partial, Store};
        matches!(self.kind, Store | Known | Apply | Partial | Copy)
    }

    /// The bytes that are there afterwards, if the log says so of all; of a
    /// partial access those that the mask has.
    pub fn after(&self) -> &[u8] {
        match self.kind {
            Kind::Known | Kind::Partial | Kind::PartialLoad => &self.payload[self.len..],
            _ => &self.payload,
        }
    }

    /// What a [`Kind::Known`] found.
    pub fn before(&self) -> &[u8] {
        &self.payload[..self.len]
    }

    /// Whether it accesses the byte.
    pub fn touches(&self, at: usize) -> bool {
        match self.kind {
            Kind::Partial | Kind::PartialLoad => self.payload[at] != 0,
            _ => true,
        }
    }

    /// What [`Kind::Apply`] makes of the bytes that it finds.
    pub fn apply(&self, before: &[u8]) -> Vec<u8> {
        let mut word = [0; 8];
        word[..self.len].copy_from_slice(before);
        let (x, operand) = (u64::from_le_bytes(word), self.payload[..8].try_into());
        let v = u64::from_le_bytes(operand.expect("eight bytes"));
        let after = match self.calc {
            b'+' => x.wrapping_add(v),
            b'-' => x.wrapping_sub(v),
            b'|' => x | v,
            b'&' => x & v,
            b'^' => x ^ v,
            b'i' => x.wrapping_add(1),
            b'd' => x.wrapping_sub(1),
            b'~' => !x,
            b'n' => x.wrapping_neg(),
            b'S' => x | 1 << v,
            b'R' => x & !(1 << v),
            b'C' => x ^ 1 << v,
            b'<' => x << 3,
            b'r' => u64::from((x as u16).rotate_left(7)),
            other => panic!("calc {other}"),
        };
        after.to_le_bytes()[..self.len].to_vec()
    }
}

/// Reads the logs in `dir`; the parent's comes last.
pub fn read_all(dir: &Path) -> Result<Vec<Actor>> {
    let mut actors = Vec::new();
    for number in (0..PARENT).chain([PARENT]) {
        let path = dir.join(format!("log.{number}"));
        if path.exists() {
            let bytes = fs::read(&path)?;
            actors.push(parse(number, &bytes).with_context(|| path.display().to_string())?);
        }
    }
    ensure!(
        actors.last().is_some_and(|a| a.number == PARENT),
        "the parent has left no log"
    );
    Ok(actors)
}

fn parse(number: u32, bytes: &[u8]) -> Result<Actor> {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let views = (0..word(16) as usize).map(|n| {
        let at = 32 + 32 * n;
        View {
            addr: word(at),
            len: word(at + 8),
            offset: word(at + 16),
            object: half(at + 24) as usize,
        }
    });
    let mut ops = Vec::new();
    let mut at = 32 + 32 * MAX_VIEWS;
    ensure!(word(24) == (bytes.len() - at) as u64, "it is cut off");
    while at < bytes.len() {
        let kind = KINDS.get(usize::from(bytes[at + 4]) - 1);
        let payload = half(at + 20) as usize;
        ops.push(Op {
            seq: half(at),
            kind: *kind.context("no kind of operation")?,
            exact: bytes[at + 5] != 0,
            calc: bytes[at + 6],
            object: bytes[at + 7].into(),
            offset: half(at + 8) as usize,
            len: half(at + 12) as usize,
            from: (bytes[at + 24].into(), half(at + 16) as usize),
            by_call: bytes[at + 25] != 0,
            form: u16::from_le_bytes([bytes[at + 26], bytes[at + 27]]),
            payload: bytes[at + 28..at + 28 + payload].to_vec(),
        });
        at += 28 + payload;
    }
    Ok(Actor {
        number,
        tid: word(0) as u32,
        views: views.collect(),
        ops,
    })
}
