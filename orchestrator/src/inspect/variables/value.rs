//! Values by their types (DWARF 5, chapter 5).

use super::{Entry, There, Variable, Where};
use crate::describe::safe;
use gimli::{AttributeValue, UnitOffset, constants as dw};

/// More members of variables of one function are left out.
const MOST: usize = 80;
/// Structures in structures that are opened.
const DEEPEST: usize = 3;
/// Characters of a text.
const LONGEST: usize = 120;
/// Elements of an array that are shown.
const ELEMENTS: u64 = 8;

impl<'a> There<'a, '_> {
    /// Adds a value, and its members.
    pub(super) fn show(
        &self,
        found: &mut Vec<Variable>,
        name: &str,
        of: UnitOffset,
        at: Where,
        depth: usize,
    ) {
        if found.len() >= MOST {
            return;
        }
        let Some(entry) = self.plain(of) else {
            return;
        };
        let target = self.type_of(&entry);
        if let (dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type, Some(target)) =
            (entry.tag(), target)
            && let Some(addr) = self.word(at)
        {
            return self.show(found, name, target, Where::Memory(addr), depth);
        }
        let size = self.size(&entry);
        let composite = matches!(
            entry.tag(),
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type
        );
        let text = if composite {
            self.text_of_class(&entry, at)
        } else {
            None
        };
        let opened = composite && text.is_none();
        let value: String = match text {
            Some(text) => text,
            None if opened => self
                .name(&entry)
                .map_or_else(|| "{…}".to_owned(), |n| format!("{n} {{…}}")),
            None => self
                .value(&entry, at, size)
                .unwrap_or_else(|| "unreadable".to_owned()),
        };
        let value = safe(value.as_bytes());
        let variable = |value: &str| Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            place: match at {
                Where::Memory(addr) if size > 0 => Some((addr, size)),
                _ => None,
            },
        };
        let mut members = Vec::new();
        if let (true, Where::Memory(addr)) = (opened && depth < DEEPEST, at) {
            // What cannot be read further has no members to show.
            let _ = self.members(&mut members, name, &entry, addr, depth + 1);
        }
        // What only wraps something (`std::atomic`) is shown as that.
        if let [member] = &members[..] {
            found.push(variable(&member.value));
            return;
        }
        found.push(variable(&value));
        members.truncate(MOST.saturating_sub(found.len()));
        found.append(&mut members);
    }

    fn members(
        &self,
        found: &mut Vec<Variable>,
        name: &str,
        entry: &Entry<'a>,
        addr: u64,
        depth: usize,
    ) -> gimli::Result<()> {
        let mut tree = self.unit.entries_tree(Some(entry.offset()))?;
        let mut children = tree.root()?.children();
        while let Some(child) = children.next()? {
            let member = self.unit.entry(child.entry().offset())?;
            let (Some(of), true) = (
                self.type_of(&member),
                matches!(member.tag(), dw::DW_TAG_member | dw::DW_TAG_inheritance),
            ) else {
                continue;
            };
            let Some(offset) = self.offset(&member) else {
                continue;
            };
            let at = addr.wrapping_add(offset);
            if member.tag() == dw::DW_TAG_inheritance {
                if let Some(base) = self.plain(of).filter(|_| depth < DEEPEST + 2) {
                    self.members(found, name, &base, at, depth + 1)?;
                }
                continue;
            }
            let name = match self.name(&member) {
                Some(own) => format!("{name}.{own}"),
                None => name.to_owned(),
            };
            self.show(found, &name, of, Where::Memory(at), depth);
        }
        Ok(())
    }

    /// Where in an object a member is. A static one has no place in it; a bit field has one
    /// of its own kind.
    pub(super) fn offset(&self, member: &Entry<'a>) -> Option<u64> {
        let special = [
            dw::DW_AT_external,
            dw::DW_AT_data_bit_offset,
            dw::DW_AT_bit_size,
        ];
        let has = |&name: &gimli::DwAt| self.attribute(member, name).is_some();
        if special.iter().any(has) {
            return None;
        }
        match self.attribute(member, dw::DW_AT_data_member_location) {
            None => Some(0),
            Some(offset) => offset.udata_value(),
        }
    }

    /// A type without its other names and qualifiers.
    pub(super) fn plain(&self, of: UnitOffset) -> Option<Entry<'a>> {
        let mut of = of;
        for _ in 0..32 {
            let entry = self.unit.entry(of).ok()?;
            match entry.tag() {
                dw::DW_TAG_typedef
                | dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_restrict_type
                | dw::DW_TAG_atomic_type => of = self.type_of(&entry)?,
                _ => return Some(entry),
            }
        }
        None
    }

    pub(super) fn size(&self, entry: &Entry<'a>) -> u64 {
        let said = self.attribute(entry, dw::DW_AT_byte_size);
        if let Some(size) = said.and_then(|size| size.udata_value()) {
            return size;
        }
        match entry.tag() {
            dw::DW_TAG_pointer_type => 8,
            dw::DW_TAG_array_type => {
                let element = self.type_of(entry).and_then(|of| self.plain(of));
                let size = element.map_or(0, |element| self.size(&element));
                self.count(entry).unwrap_or(0).saturating_mul(size)
            }
            _ => 0,
        }
    }

    /// How many dimensions an array has.
    pub(super) fn dimensions(&self, entry: &Entry<'a>) -> usize {
        let count = || {
            let mut tree = self.unit.entries_tree(Some(entry.offset())).ok()?;
            let mut children = tree.root().ok()?.children();
            let mut n = 0;
            while let Some(child) = children.next().ok()? {
                n += usize::from(child.entry().tag() == dw::DW_TAG_subrange_type);
            }
            Some(n)
        };
        count().unwrap_or(0)
    }

    /// How many elements an array has, of all dimensions.
    pub(super) fn count(&self, entry: &Entry<'a>) -> Option<u64> {
        let mut tree = self.unit.entries_tree(Some(entry.offset())).ok()?;
        let mut children = tree.root().ok()?.children();
        let mut all: Option<u64> = None;
        while let Some(child) = children.next().ok()? {
            if child.entry().tag() == dw::DW_TAG_subrange_type {
                let number = |name| child.entry().attr_value(name).ok()??.udata_value();
                let last = || number(dw::DW_AT_upper_bound)?.checked_add(1);
                let count = number(dw::DW_AT_count).or_else(last)?;
                all = Some(all.unwrap_or(1).saturating_mul(count));
            }
        }
        all
    }

    pub(super) fn word(&self, at: Where) -> Option<u64> {
        match at {
            Where::Memory(addr) => self.read_word(addr, 8),
            Where::Value(value) => Some(value),
        }
    }

    fn bytes(&self, at: Where, size: u64) -> Option<Vec<u8>> {
        let size = usize::try_from(size).ok()?;
        match at {
            Where::Memory(addr) => {
                let mut bytes = vec![0; size];
                (self.frame.still.read(addr, &mut bytes) == size).then_some(bytes)
            }
            Where::Value(value) => value.to_le_bytes().get(..size).map(<[u8]>::to_vec),
        }
    }

    fn value(&self, entry: &Entry<'a>, at: Where, size: u64) -> Option<String> {
        let target = self.type_of(entry).and_then(|of| self.plain(of));
        match entry.tag() {
            dw::DW_TAG_pointer_type => {
                let addr = self.word(at)?;
                let text = target.filter(|t| self.is_char(t));
                let text = text.and_then(|_| self.text(addr, None));
                Some(match (addr, text) {
                    (0, _) => "null".to_owned(),
                    (_, Some(text)) => format!("{addr:#x} {text}"),
                    (_, None) => format!("{addr:#x}"),
                })
            }
            dw::DW_TAG_array_type => {
                let (element, count) = (target?, self.count(entry)?);
                let Where::Memory(addr) = at else {
                    return None;
                };
                if self.is_char(&element) {
                    return self.text(addr, Some(count));
                }
                let size = self.size(&element);
                let simple = element.tag() == dw::DW_TAG_base_type;
                if !simple || size == 0 {
                    return Some(format!("{count} elements of {size} bytes"));
                }
                let one = |n| {
                    let at = Where::Memory(addr.wrapping_add(n * size));
                    self.value(&element, at, size)
                };
                let all: Option<Vec<String>> = (0..count.min(ELEMENTS)).map(one).collect();
                let more = if count > ELEMENTS { ", …" } else { "" };
                Some(format!("{{{}{more}}}", all?.join(", ")))
            }
            dw::DW_TAG_enumeration_type => {
                let value = number(&self.bytes(at, size)?, true)?;
                Some(
                    self.enumerator(entry, value)
                        .unwrap_or_else(|| value.to_string()),
                )
            }
            dw::DW_TAG_base_type => {
                let bytes = self.bytes(at, size.min(16))?;
                self.base(entry, &bytes)
            }
            _ => Some(hex(&self.bytes(at, size.clamp(1, 16))?)),
        }
    }

    fn encoding(&self, entry: &Entry<'a>) -> Option<gimli::DwAte> {
        match self.attribute(entry, dw::DW_AT_encoding)? {
            AttributeValue::Encoding(encoding) => Some(encoding),
            _ => None,
        }
    }

    fn is_char(&self, entry: &Entry<'a>) -> bool {
        let char = matches!(
            self.encoding(entry),
            Some(dw::DW_ATE_signed_char | dw::DW_ATE_unsigned_char)
        );
        char && self.size(entry) == 1 && self.name(entry).is_some_and(|n| n.contains("char"))
    }

    fn base(&self, entry: &Entry<'a>, bytes: &[u8]) -> Option<String> {
        Some(match self.encoding(entry)? {
            dw::DW_ATE_boolean => match bytes {
                [0] => "false".to_owned(),
                [1] => "true".to_owned(),
                other => hex(other),
            },
            dw::DW_ATE_float => match *bytes {
                [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).to_string(),
                [a, b, c, d, e, f, g, h] => {
                    f64::from_le_bytes([a, b, c, d, e, f, g, h]).to_string()
                }
                _ => hex(bytes),
            },
            dw::DW_ATE_signed => number(bytes, true)?.to_string(),
            dw::DW_ATE_unsigned => number(bytes, false)?.to_string(),
            of @ (dw::DW_ATE_signed_char | dw::DW_ATE_unsigned_char | dw::DW_ATE_UTF) => {
                let value = number(bytes, of == dw::DW_ATE_signed_char)?;
                let c = u32::try_from(value).ok().and_then(char::from_u32);
                match c.filter(|c| !c.is_control()) {
                    Some(c) if value < 0x80 || bytes.len() == 4 => format!("{value} '{c}'"),
                    _ => value.to_string(),
                }
            }
            _ => hex(bytes),
        })
    }

    fn enumerator(&self, entry: &Entry<'a>, value: i128) -> Option<String> {
        let mut tree = self.unit.entries_tree(Some(entry.offset())).ok()?;
        let mut children = tree.root().ok()?.children();
        while let Some(child) = children.next().ok()? {
            let constant = child.entry().attr_value(dw::DW_AT_const_value).ok()?;
            let constant = constant.and_then(|c| c.sdata_value());
            if constant.map(i128::from) == Some(value) {
                return self.name(&self.unit.entry(child.entry().offset()).ok()?);
            }
        }
        None
    }

    /// Text in memory: of so many bytes, or up to a zero.
    fn text(&self, addr: u64, len: Option<u64>) -> Option<String> {
        let most = len.map_or(LONGEST, |len| usize::try_from(len).unwrap_or(LONGEST));
        let mut bytes = vec![0; most.min(LONGEST)];
        let read = self.frame.still.read(addr, &mut bytes);
        bytes.truncate(read);
        if read == 0 && most > 0 {
            return None;
        }
        let end = bytes.iter().position(|&b| b == 0);
        let cut = if end.is_none() && most > LONGEST.min(read) {
            "…"
        } else {
            ""
        };
        let text = safe(&bytes[..end.unwrap_or(bytes.len())]);
        Some(format!("\"{text}\"{cut}"))
    }

    /// The text of C++'s own strings, as libstdc++ keeps them (bits/basic_string.h:
    /// a pointer, a length; string_view: a length, a pointer).
    fn text_of_class(&self, entry: &Entry<'a>, at: Where) -> Option<String> {
        let (name, Where::Memory(addr)) = (self.name(entry)?, at) else {
            return None;
        };
        let word = |n: u64| self.read_word(addr.wrapping_add(8 * n), 8);
        let (text, len) = match &name[..] {
            n if n.starts_with("basic_string<char,") => (word(0)?, word(1)?),
            n if n.starts_with("basic_string_view<char,") => (word(1)?, word(0)?),
            _ => return None,
        };
        // One that is not yet made may have any length.
        if len > 1 << 40 {
            return None;
        }
        let shown = self.text(text, Some(len));
        Some(format!(
            "{} ({len} bytes)",
            shown.unwrap_or_else(|| "unreadable".to_owned())
        ))
    }
}

fn number(bytes: &[u8], signed: bool) -> Option<i128> {
    if bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    let negative = signed && bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 16];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(all))
}

fn hex(bytes: &[u8]) -> String {
    let all: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    all.join(" ")
}
