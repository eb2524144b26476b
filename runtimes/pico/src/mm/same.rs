//! A file that is mapped over a part of itself.
//!
//! A loader maps a whole library to be read, and then each segment over the place it has there. What is not to be written to
//! holds the right bytes already: comparing them takes less than copying them again, and their pages, which a host that shadows
//! page tables has mapped, stay as they are.

use super::areas::{Area, Kind, READ, WRITE};
use super::{Mapping, Mm, Placement, round_up};
use crate::errno::Result;

impl Mm {
    /// Makes `mapping` of a file that holds `bytes` there, if it comes down to another protection of what is mapped. Returns
    /// where; nothing if the mapping has to be made.
    pub fn map_same(&mut self, mapping: &Mapping, bytes: &[u8]) -> Result<Option<u64>> {
        let (Placement::Fixed(at), Ok(len)) = (mapping.placement, round_up(mapping.len)) else {
            return Ok(None);
        };
        if bytes.is_empty() || mapping.prot & WRITE != 0 || !self.is_same(at, len, mapping, bytes) {
            return Ok(None);
        }
        self.protect_filled(at, len, mapping.prot)?;
        // It is a new mapping.
        self.inherited.borrow_mut().forget(at, at + len);
        Ok(Some(at))
    }

    /// Whether `len` bytes at `at` are in linear memory, of the part of the file that `mapping` names, and equal to `bytes` and zeros
    /// behind them.
    fn is_same(&self, at: u64, len: u64, mapping: &Mapping, bytes: &[u8]) -> bool {
        let Some(end) = at.checked_add(len) else { return false };
        let is_part = |area: Area| is_part(&area, at, end, mapping);
        // What shows an image stays as it is anyhow.
        let is_shown = !self.shown.borrow().overlapping(at, end).is_empty();
        if is_shown || self.pool.is_some() || self.is_paged(at) || !self.area_at(at).is_some_and(is_part) {
            return false;
        }
        let memory = self.raw(at, len);
        memory
            .split_at_checked(bytes.len())
            .is_some_and(|(contents, rest)| are_equal(contents, bytes) && rest.iter().all(|&byte| byte == 0))
    }
}

/// Whether `start..end` of `area` is the part of a file that `mapping` names, and may be read but not written to.
fn is_part(area: &Area, start: u64, end: u64, mapping: &Mapping) -> bool {
    let (Some((path, offset)), Some((wanted, from))) = (&area.file, &mapping.file) else { return false };
    let is_there = path == wanted && offset.checked_add(start - area.start) == Some(*from);
    let is_text = area.kind == Kind::File && mapping.kind == Kind::File && area.prot & (READ | WRITE) == READ;
    is_text && is_there && end <= area.end && !area.is_beyond()
}

/// Whether two slices of one length are equal, in blocks that take a few instructions each: these are whole texts.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let (ones, rest) = one.as_chunks::<64>();
    let (others, other_rest) = other.as_chunks::<64>();
    let differs = |(one, other): (&[u8; 64], &[u8; 64])| {
        one.iter().zip(other).fold(0, |found, (one, other)| found | (one ^ other)) != 0
    };
    !ones.iter().zip(others).any(differs) && rest == other_rest
}
