//! Records to columns.

use super::context::{Context, Contexts, Key};
use super::{COLUMNS, CodecError, HEAD_LEN, NARROW, Shape, chunk_is_words, shape, split_head};
use crate::trace::bytes::{put_varint, zigzag};
use orch_abi::record::{Head, pad8};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Encodes one block at a time; keeps its memory between blocks.
#[derive(Debug, Default)]
pub struct Encoder {
    contexts: Contexts,
    numbers: HashMap<Key, u32, BuildHasherDefault<KeyHasher>>,
    tick: u64,
    raw_len: usize,
    records: u32,
    symbols: Vec<u8>,
    keys: Vec<u8>,
    ticks: Vec<u8>,
    words: Words,
    data: Vec<u8>,
}

/// The columns that words go to.
#[derive(Debug, Default)]
struct Words {
    masks: Vec<u8>,
    differences: Vec<u8>,
    wide: Vec<u8>,
}

impl Encoder {
    /// Adds the record at the start of `bytes`; returns its head and length.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(Head, usize), CodecError> {
        let (head, len) = split_head(bytes)?;
        let payload = &bytes[HEAD_LEN..len];
        let shape = shape(head.kind, payload.len());
        let site = if shape.site { word_at(payload, 0) } else { 0 };
        let key = Key {
            kind: head.kind,
            flags: head.flags,
            aux: head.aux,
            site,
        };

        let (id, code) = self.find(key);
        let context = self
            .contexts
            .follow(id)
            .expect("a context that was just found");
        let resized = context.len != head.len;
        put_varint(&mut self.symbols, code << 1 | u64::from(resized));
        if resized {
            let difference = (i64::from(head.len) - i64::from(context.len)) / 8;
            put_varint(&mut self.words.differences, zigzag(difference));
            context.len = head.len;
        }
        let passed = head.tick.wrapping_sub(self.tick).wrapping_sub(1);
        put_varint(&mut self.ticks, zigzag(passed.cast_signed()));
        self.tick = head.tick;

        encode_payload(payload, shape, context, &mut self.words, &mut self.data);
        self.raw_len += len;
        self.records += 1;
        Ok((head, len))
    }

    /// The context for `key`, and how to tell the decoder.
    #[inline]
    fn find(&mut self, key: Key) -> (u32, u64) {
        if let Some(id) = self.contexts.predicted()
            && self
                .contexts
                .get(id)
                .is_some_and(|context| context.key == key)
        {
            return (id, 0);
        }
        if let Some(&id) = self.numbers.get(&key) {
            return (id, u64::from(id) + 2);
        }
        let (id, lost) = self.contexts.make(key);
        if let Some(lost) = lost {
            self.numbers.remove(&lost);
        }
        self.numbers.insert(key, id);
        self.keys.extend([key.kind, key.flags]);
        self.keys.extend(key.aux.to_le_bytes());
        self.keys.extend(key.site.to_le_bytes());
        (id, 1)
    }

    /// Raw bytes in the block so far.
    #[must_use]
    pub fn raw_len(&self) -> usize {
        self.raw_len
    }

    /// Records in the block so far.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Appends the encoded block to `out` and begins a new one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Words {
            masks,
            differences,
            wide,
        } = &mut self.words;
        let columns: [&mut Vec<u8>; COLUMNS] = [
            &mut self.symbols,
            &mut self.ticks,
            masks,
            differences,
            &mut self.keys,
            wide,
            &mut self.data,
        ];
        for column in &columns {
            put_varint(out, column.len() as u64);
        }
        for column in columns {
            out.extend_from_slice(column);
            column.clear();
        }
        self.contexts.clear();
        self.numbers.clear();
        self.tick = 0;
        self.raw_len = 0;
        self.records = 0;
    }
}

/// Word `i` of a payload that is known to have it.
#[inline]
fn word_at(payload: &[u8], i: usize) -> u64 {
    let bytes = payload[i * 8..]
        .first_chunk()
        .expect("the shape counts whole words");
    u64::from_le_bytes(*bytes)
}

#[inline]
fn encode_payload(
    payload: &[u8],
    shape: Shape,
    context: &mut Context,
    words: &mut Words,
    data: &mut Vec<u8>,
) {
    let (coded, mut rest) = payload[usize::from(shape.site) * 8..].split_at(shape.words * 8);
    let mut run = Run {
        context,
        words,
        index: 0,
        mask: 0,
    };
    run.put(coded);
    while shape.chunks && rest.len() >= 16 {
        let head;
        (head, rest) = rest.split_at(16);
        run.put(head);
        let len = word_at(head, 1) as u32 as usize;
        if len > rest.len() {
            break;
        }
        let content;
        (content, rest) = rest.split_at(pad8(len));
        if chunk_is_words(len) {
            run.put(content);
        } else {
            data.extend_from_slice(content);
        }
    }
    run.end();
    data.extend_from_slice(rest);
}

/// The words of one record, on their way to the columns.
struct Run<'a> {
    context: &'a mut Context,
    words: &'a mut Words,
    index: usize,
    mask: u8,
}

impl Run<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8) {
            let value = word_at(chunk, 0);
            let known = self.context.word(self.index);
            if *known != value {
                self.mask |= 1 << (self.index % 8);
                let difference = zigzag(value.wrapping_sub(*known).cast_signed());
                *known = value;
                if difference < NARROW {
                    put_varint(&mut self.words.differences, difference);
                } else {
                    self.words.differences.push(0);
                    self.words.wide.extend_from_slice(chunk);
                }
            }
            self.index += 1;
            if self.index.is_multiple_of(8) {
                self.words.masks.push(self.mask);
                self.mask = 0;
            }
        }
    }

    #[inline]
    fn end(self) {
        if !self.index.is_multiple_of(8) {
            self.words.masks.push(self.mask);
        }
    }
}

/// Multiplies: the default hash would be most of the encoder's time.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        // The multiplier of FxHash; the rotation brings high bits, which are
        // the good ones, to where the table looks.
        self.0 = (self.0 ^ n)
            .wrapping_mul(0x517c_c1b7_2722_0a95)
            .rotate_left(26);
    }
}
