//! Columns to records.

use super::context::{Context, Contexts, Key};
use super::{COLUMNS, CodecError, HEAD_LEN, MAX_RAW, Shape, chunk_is_words, shape};
use crate::trace::bytes::{Input, unzigzag};
use orch_abi::record::{MAX_PAYLOAD, pad8};

/// Decodes one block at a time; keeps its memory between blocks.
#[derive(Debug, Default)]
pub struct Decoder {
    contexts: Contexts,
}

/// The columns, each at its next byte. The order is that of `Encoder::finish`.
struct Columns<'a> {
    symbols: Input<'a>,
    ticks: Input<'a>,
    masks: Input<'a>,
    differences: Input<'a>,
    keys: Input<'a>,
    wide: Input<'a>,
    data: Input<'a>,
}

impl<'a> Columns<'a> {
    fn split(encoded: &'a [u8]) -> Option<Self> {
        let mut input = Input(encoded);
        let mut lens = [0usize; COLUMNS];
        for len in &mut lens {
            *len = usize::try_from(input.varint()?).ok()?;
        }
        let mut next = lens.into_iter();
        let mut column = || Some(Input(input.take(next.next()?)?));
        let columns = Self {
            symbols: column()?,
            ticks: column()?,
            masks: column()?,
            differences: column()?,
            keys: column()?,
            wide: column()?,
            data: column()?,
        };
        input.is_empty().then_some(columns)
    }

    fn are_used_up(&self) -> bool {
        let Self {
            symbols,
            ticks,
            masks,
            differences,
            keys,
            wide,
            data,
        } = self;
        [symbols, ticks, masks, differences, keys, wide, data]
            .iter()
            .all(|c| c.is_empty())
    }

    fn key(&mut self) -> Option<Key> {
        Some(Key {
            kind: self.keys.u8()?,
            flags: self.keys.u8()?,
            aux: self.keys.u16()?,
            site: self.keys.u64()?,
        })
    }
}

impl Decoder {
    /// Appends the records of an encoded block, `raw_len` bytes of them, to `out`.
    pub fn decode(
        &mut self,
        encoded: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        if raw_len > MAX_RAW {
            return Err(CodecError::Length);
        }
        self.contexts.clear();
        let mut columns = Columns::split(encoded).ok_or(CodecError::Columns)?;
        out.reserve(raw_len);
        let end = out.len() + raw_len;
        let mut tick = 0;
        while out.len() < end {
            self.record(&mut columns, &mut tick, end, out)?;
        }
        if columns.are_used_up() {
            Ok(())
        } else {
            Err(CodecError::Columns)
        }
    }

    #[inline]
    fn record(
        &mut self,
        columns: &mut Columns<'_>,
        tick: &mut u64,
        end: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let symbol = columns.symbols.varint().ok_or(CodecError::Columns)?;
        let id = match symbol >> 1 {
            0 => self.contexts.predicted().ok_or(CodecError::Context)?,
            1 => {
                self.contexts
                    .make(columns.key().ok_or(CodecError::Columns)?)
                    .0
            }
            code => u32::try_from(code - 2).map_err(|_| CodecError::Context)?,
        };
        self.contexts.get(id).ok_or(CodecError::Context)?;
        let context = self.contexts.follow(id).ok_or(CodecError::Context)?;
        if symbol & 1 == 1 {
            context.len = resized(context.len, columns).ok_or(CodecError::Columns)?;
        }
        let len = context.len as usize;
        if context.key.kind == 0 {
            return Err(CodecError::NoKind);
        }
        if end - out.len() < HEAD_LEN + len {
            return Err(CodecError::Length);
        }
        let passed = columns.ticks.varint().ok_or(CodecError::Columns)?;
        *tick = tick
            .wrapping_add(1)
            .wrapping_add(unzigzag(passed).cast_unsigned());

        out.extend([context.key.kind, context.key.flags]);
        out.extend(context.key.aux.to_le_bytes());
        out.extend(context.len.to_le_bytes());
        out.extend(tick.to_le_bytes());
        let shape = shape(context.key.kind, len);
        decode_payload(len, shape, context, columns, out).ok_or(CodecError::Columns)
    }
}

/// The new payload length of a context, if it is one that a payload can have.
fn resized(old: u32, columns: &mut Columns<'_>) -> Option<u32> {
    let difference = unzigzag(columns.differences.varint()?).checked_mul(8)?;
    let len = u32::try_from(i64::from(old).checked_add(difference)?).ok()?;
    (len as usize <= MAX_PAYLOAD).then_some(len)
}

#[inline]
fn decode_payload(
    len: usize,
    shape: Shape,
    context: &mut Context,
    columns: &mut Columns<'_>,
    out: &mut Vec<u8>,
) -> Option<()> {
    if shape.site {
        out.extend(context.key.site.to_le_bytes());
    }
    let mut rest = len - usize::from(shape.site) * 8 - shape.words * 8;
    let mut run = Run {
        context,
        index: 0,
        mask: 0,
    };
    run.take(shape.words, columns, out)?;
    while shape.chunks && rest >= 16 {
        rest -= 16;
        let meta = run.take(2, columns, out)?;
        let len = meta as u32 as usize;
        if len > rest {
            break;
        }
        rest -= pad8(len);
        if chunk_is_words(len) {
            run.take(pad8(len) / 8, columns, out)?;
        } else {
            out.extend_from_slice(columns.data.take(pad8(len))?);
        }
    }
    out.extend_from_slice(columns.data.take(rest)?);
    Some(())
}

/// The words of one record, on their way from the columns.
struct Run<'a> {
    context: &'a mut Context,
    index: usize,
    mask: u8,
}

impl Run<'_> {
    /// Appends `count` words to `out`; returns the last.
    #[inline]
    fn take(&mut self, count: usize, columns: &mut Columns<'_>, out: &mut Vec<u8>) -> Option<u64> {
        let mut last = 0;
        for _ in 0..count {
            if self.index.is_multiple_of(8) {
                self.mask = columns.masks.u8()?;
            }
            let known = self.context.word(self.index);
            if self.mask >> (self.index % 8) & 1 == 1 {
                *known = match columns.differences.varint()? {
                    0 => columns.wide.u64()?,
                    difference => known.wrapping_add(unzigzag(difference).cast_unsigned()),
                };
            }
            last = *known;
            out.extend(last.to_le_bytes());
            self.index += 1;
        }
        Some(last)
    }
}
