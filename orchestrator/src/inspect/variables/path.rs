//! What is behind a variable: `job.name`, `*p`, `a[3]`, `p->next->x`.

use super::{Entry, Frame, Info, Scopes, There, Variable, Where, borrow};
use gimli::{Expression, UnitOffset, constants as dw};
use std::str::FromStr;

/// Rows of a value that are shown.
const MOST: usize = 16;
/// Steps of a path, and of a text in parentheses.
const DEEPEST: usize = 64;

/// A variable, and the way from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    root: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// What a pointer points to.
    Follow,
    /// A member.
    Member(String),
    /// An element of an array, or of what a pointer points to.
    Element(u64),
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let path = parse(&mut rest, 0).filter(|_| rest.trim_start().is_empty());
        path.ok_or_else(|| "no expression: write job.name, *p, a[3], p->next->x".to_owned())
    }
}

fn eat(rest: &mut &str, token: &str) -> bool {
    match rest.trim_start().strip_prefix(token) {
        Some(behind) => {
            *rest = behind;
            true
        }
        None => false,
    }
}

/// A name, of a namespace too.
fn name(rest: &mut &str) -> Option<String> {
    let text = rest.trim_start();
    let mut end = 0;
    for (n, c) in text.char_indices() {
        let colons = text[n..].starts_with("::") || text[..n].ends_with(':') && c == ':';
        if !(c.is_alphanumeric() || "_$".contains(c) || colons) {
            break;
        }
        end = n + c.len_utf8();
    }
    let (name, behind) = text.split_at(end);
    *rest = behind;
    let starts = name.starts_with(|c: char| c.is_alphabetic() || "_$:".contains(c));
    starts.then(|| name.trim_start_matches("::").to_owned())
}

fn number(rest: &mut &str) -> Option<u64> {
    let text = rest.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    let (digits, behind) = text.split_at(end.unwrap_or(text.len()));
    *rest = behind;
    orch_blame::place::number(digits)
}

fn parse(rest: &mut &str, depth: usize) -> Option<Path> {
    if depth > DEEPEST {
        return None;
    }
    if eat(rest, "*") {
        let mut path = parse(rest, depth + 1)?;
        path.steps.push(Step::Follow);
        return Some(path);
    }
    let mut path = if eat(rest, "(") {
        let inner = parse(rest, depth + 1)?;
        eat(rest, ")").then_some(inner)?
    } else {
        Path {
            root: name(rest)?,
            steps: Vec::new(),
        }
    };
    while path.steps.len() <= DEEPEST {
        if eat(rest, "->") {
            path.steps.push(Step::Follow);
            path.steps.push(Step::Member(name(rest)?));
        } else if eat(rest, ".") {
            path.steps.push(Step::Member(name(rest)?));
        } else if eat(rest, "[") {
            path.steps.push(Step::Element(number(rest)?));
            eat(rest, "]").then_some(())?;
        } else {
            return Some(path);
        }
    }
    None
}

/// Why an expression has no value.
pub(super) enum Unfound {
    /// No variable is called so.
    Unknown(String),
    /// For another reason.
    Other(String),
}

impl From<String> for Unfound {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl Info {
    /// The value of a path from a global variable, whichever unit defines it; none if none does.
    pub(super) fn global(
        &self,
        frame: &Frame<'_>,
        path: &Path,
        text: &str,
    ) -> Option<Result<Vec<Variable>, String>> {
        if self.unknown.borrow().contains(&path.root) {
            return None;
        }
        let found = self.elsewhere(frame, |there| {
            let global = there.global(&path.root)?;
            let found = there.steps(global, &path.root, &path.steps);
            Some(found.and_then(|found| there.shown(found, text)))
        });
        if found.is_none() {
            self.unknown.borrow_mut().insert(path.root.clone());
        }
        found
    }
}

/// A type, and where something of it is.
type Typed = (UnitOffset, Where);

impl<'a> There<'a, '_> {
    /// The value of a path, and its members.
    pub(super) fn follow(
        &self,
        info: &Info,
        scopes: &Scopes<'a>,
        level: usize,
        path: &Path,
        text: &str,
    ) -> Result<Vec<Variable>, Unfound> {
        let shown = |there: &Self, found: Typed| Ok(there.shown(found, text)?);
        if let Some(local) = self.local(scopes, level, &path.root) {
            return shown(self, self.steps(local?, &path.root, &path.steps)?);
        }
        // Of an object, members may be named alone.
        if let Some(Ok(this)) = self.local(scopes, level, "this") {
            let member = [Step::Follow, Step::Member(path.root.clone())];
            if let Ok(found) = self.steps(this, "this", &member) {
                return shown(self, self.steps(found, &path.root, &path.steps)?);
            }
        }
        // Of several units that have one so called, this one's counts.
        if !info.unknown.borrow().contains(&path.root)
            && let Some(global) = self.global(&path.root)
        {
            return shown(self, self.steps(global, &path.root, &path.steps)?);
        }
        match info.global(self.frame, path, text) {
            Some(found) => Ok(found?),
            None => {
                let why = format!("no variable {} is known in this function", path.root);
                Err(Unfound::Unknown(why))
            }
        }
    }

    /// A value and its members.
    fn shown(&self, (of, at): Typed, text: &str) -> Result<Vec<Variable>, String> {
        let mut found = Vec::new();
        self.show(&mut found, text, of, at, 0);
        found.truncate(MOST);
        match found.is_empty() {
            true => Err("its type is not told in this part of the program".to_owned()),
            false => Ok(found),
        }
    }

    /// A variable of the function; the innermost of several.
    fn local(
        &self,
        scopes: &Scopes<'a>,
        level: usize,
        name: &str,
    ) -> Option<Result<Typed, String>> {
        for offset in scopes.levels.get(level)?.iter().rev() {
            let entry = self.unit.entry(*offset).ok()?;
            if self.name(&entry).as_deref() == Some(name) {
                return Some(self.typed(&entry, scopes.base));
            }
        }
        None
    }

    fn typed(
        &self,
        entry: &Entry<'a>,
        base: Option<Expression<super::Slice<'a>>>,
    ) -> Result<Typed, String> {
        let of = self.type_of(entry).ok_or("it has no type")?;
        Ok((of, self.place(entry, base)?))
    }

    /// A variable of the unit that has a place, also in a namespace.
    fn global(&self, path: &str) -> Option<Typed> {
        let name = path.rsplit("::").next()?;
        let mut entries = self.unit.entries();
        while let Some((_, entry)) = entries.next_dfs().ok()? {
            let is_it = entry.tag() == dw::DW_TAG_variable
                && self.attribute(entry, dw::DW_AT_location).is_some()
                && self.name(entry).as_deref() == Some(name);
            if is_it && let Ok(found) = self.typed(entry, None) {
                return Some(found);
            }
        }
        None
    }

    fn steps(&self, from: Typed, root: &str, steps: &[Step]) -> Result<Typed, String> {
        let mut name = root.to_owned();
        let mut here = from;
        for step in steps {
            here = self.step(here, step, &name)?;
            match step {
                Step::Follow => name = format!("(*{name})"),
                Step::Member(member) => name += &format!(".{member}"),
                Step::Element(n) => name += &format!("[{n}]"),
            }
        }
        Ok(here)
    }

    fn step(&self, (of, at): Typed, step: &Step, name: &str) -> Result<Typed, String> {
        const UNTOLD: &str = "its type is not told in this part of the program";
        let entry = self.plain(of).ok_or(UNTOLD)?;
        let target = self.type_of(&entry);
        let is_reference = matches!(
            entry.tag(),
            dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type
        );
        if is_reference {
            let addr = self.word(at).ok_or("unreadable")?;
            return self.step((target.ok_or(UNTOLD)?, Where::Memory(addr)), step, name);
        }
        let is_pointer = entry.tag() == dw::DW_TAG_pointer_type;
        let pointed = || {
            let addr = self
                .word(at)
                .ok_or_else(|| format!("{name} is unreadable"))?;
            match (addr, target) {
                (0, _) => Err(format!("{name} is null")),
                (_, None) => Err(format!("{name} points to no type (void *)")),
                (addr, Some(of)) => Ok((of, addr)),
            }
        };
        match step {
            Step::Follow if is_pointer => pointed().map(|(of, addr)| (of, Where::Memory(addr))),
            Step::Follow => Err(format!("{name} is no pointer")),
            Step::Member(_) if is_pointer => Err(format!(
                "{name} is a pointer: write -> for its target's members"
            )),
            Step::Member(member) => {
                let Where::Memory(addr) = at else {
                    return Err(format!(
                        "{name} is in a register: its members are not followed"
                    ));
                };
                let found = self.member(&entry, addr, member, 0);
                found.ok_or_else(|| format!("{name} has no member {member}"))
            }
            Step::Element(n) => {
                let (of, first) = match (is_pointer, entry.tag(), at) {
                    (true, ..) => pointed()?,
                    (_, dw::DW_TAG_array_type, Where::Memory(addr)) => {
                        self.inside(&entry, *n, name)?;
                        (target.ok_or(UNTOLD)?, addr)
                    }
                    _ => return Err(format!("{name} is no array")),
                };
                let element = self.plain(of).ok_or(UNTOLD)?;
                let offset = n.checked_mul(self.size(&element));
                let at = offset.and_then(|offset| first.checked_add(offset));
                Ok((of, Where::Memory(at.ok_or("there is no such address")?)))
            }
        }
    }

    /// That an array of one dimension has this element. (Of 0 or unknown length, any.)
    fn inside(&self, array: &Entry<'a>, n: u64, name: &str) -> Result<(), String> {
        if self.dimensions(array) > 1 {
            return Err(format!(
                "{name} has several dimensions, which are not followed"
            ));
        }
        match self.count(array) {
            Some(count) if count > 0 && n >= count => {
                Err(format!("{name} has {count} elements only"))
            }
            _ => Ok(()),
        }
    }

    /// A member, also of a base or of a structure without a name.
    fn member(&self, of: &Entry<'a>, addr: u64, name: &str, depth: usize) -> Option<Typed> {
        if depth > DEEPEST {
            return None;
        }
        let mut tree = self.unit.entries_tree(Some(of.offset())).ok()?;
        let mut children = tree.root().ok()?.children();
        while let Some(child) = children.next().ok()? {
            let member = self.unit.entry(child.entry().offset()).ok()?;
            if !matches!(member.tag(), dw::DW_TAG_member | dw::DW_TAG_inheritance) {
                continue;
            }
            let (Some(of), Some(offset)) = (self.type_of(&member), self.offset(&member)) else {
                continue;
            };
            let at = addr.wrapping_add(offset);
            match self.name(&member) {
                Some(own) if own == name => return Some((of, Where::Memory(at))),
                Some(_) => {}
                None => {
                    let inner = self.plain(of)?;
                    if let Some(found) = self.member(&inner, at, name, depth + 1) {
                        return Some(found);
                    }
                }
            }
        }
        None
    }
}

impl Info {
    /// Shows `see` the other units, until it says something.
    fn elsewhere<T>(
        &self,
        frame: &super::Frame<'_>,
        mut see: impl FnMut(&There<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        for sections in &self.sections {
            let dwarf = borrow(sections);
            let mut units = dwarf.units();
            while let Ok(Some(header)) = units.next() {
                let Ok(unit) = dwarf.unit(header) else {
                    continue;
                };
                let there = There {
                    dwarf: &dwarf,
                    unit: &unit,
                    frame,
                };
                if let Some(found) = see(&there) {
                    return Some(found);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let steps = |text: &str| text.parse::<Path>().map(|path| (path.root, path.steps));
        let member = |name: &str| Step::Member(name.to_owned());
        for (text, root, wanted) in [
            ("job.name", "job", vec![member("name")]),
            ("*p", "p", vec![Step::Follow]),
            (" a [ 0x3 ] ", "a", vec![Step::Element(3)]),
            (
                "p->next->x",
                "p",
                vec![Step::Follow, member("next"), Step::Follow, member("x")],
            ),
            ("(*p).x", "p", vec![Step::Follow, member("x")]),
            ("*p[1]", "p", vec![Step::Element(1), Step::Follow]),
            (
                "ns::table[2].x",
                "ns::table",
                vec![Step::Element(2), member("x")],
            ),
        ] {
            assert_eq!(steps(text), Ok((root.to_owned(), wanted)), "{text}");
        }
        for text in [
            "", "*", "1", "a[", "a[b]", "a.", "a->", "(a", "a b", "a+1", "f(x)",
        ] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
        assert!("*".repeat(100_000).parse::<Path>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_not(text in "[a-c*.>(:\\[\\]0-9 -]{0,20}|.{0,12}") {
            let _ = text.parse::<Path>();
        }
    }
}
