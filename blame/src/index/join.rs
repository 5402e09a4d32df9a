//! Long accesses, which the index has in pieces.

use super::Query;
use crate::access::{Access, Old};

/// Whether `b` is the piece behind `a` of the same access.
pub fn belongs(a: &Access, b: &Access) -> bool {
    a.piece && b.piece && (a.tick, a.site, a.end()) == (b.tick, b.site, b.offset)
}

/// What was there before both, as far as it is known.
fn joined(a: &Access, b: &Access) -> Option<Old> {
    let whole = |access: &Access| match &access.old {
        None => Old {
            bytes: vec![0; access.new.len()],
            known: vec![false; access.new.len()],
        },
        Some(old) if old.known.is_empty() => Old {
            known: vec![true; old.bytes.len()],
            ..old.clone()
        },
        Some(old) => old.clone(),
    };
    if a.old.is_none() && b.old.is_none() {
        return None;
    }
    let (a, b) = (whole(a), whole(b));
    let known = [a.known, b.known].concat();
    Some(Old {
        bytes: [a.bytes, b.bytes].concat(),
        known: if known.contains(&false) {
            known
        } else {
            Vec::new()
        },
    })
}

/// Joins the pieces of long accesses, and cuts these to the range asked for.
pub struct Joiner {
    from: u64,
    to: u64,
    waiting: Option<Access>,
}

impl Joiner {
    pub const fn new(query: &Query) -> Self {
        Self {
            from: query.offset,
            to: query.offset.saturating_add(query.len),
            waiting: None,
        }
    }

    pub fn push<E>(
        &mut self,
        access: Access,
        visit: &mut dyn FnMut(Access) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.waiting {
            Some(first) if belongs(first, &access) => {
                first.old = joined(first, &access);
                first.new.extend(access.new);
                Ok(())
            }
            _ => {
                let before = self.waiting.replace(access);
                before.map_or(Ok(()), |access| visit(self.cut(access)))
            }
        }
    }

    pub fn end<E>(&mut self, visit: &mut dyn FnMut(Access) -> Result<(), E>) -> Result<(), E> {
        let last = self.waiting.take();
        last.map_or(Ok(()), |access| visit(self.cut(access)))
    }

    fn cut(&self, mut access: Access) -> Access {
        if !access.piece {
            return access;
        }
        let len = access.new.len();
        let skip = (self.from.saturating_sub(access.offset) as usize).min(len);
        let keep = (self.to.saturating_sub(access.offset) as usize).clamp(skip, len);
        access.new = access.new[skip..keep].to_vec();
        if let Some(old) = &mut access.old {
            old.bytes = old.bytes[skip..keep].to_vec();
            if !old.known.is_empty() {
                old.known = old.known[skip..keep].to_vec();
            }
        }
        access.offset += skip as u64;
        access
    }
}
