//! The functions of a file that has no table of them: what is said of each for unwinding (`.eh_frame`; Linux Standard Base,
//! "Exception Frames"). A program linked with plain `-static` has that section, and nothing in memory says where: it is
//! found by its form, from its first record to the end mark.

use super::functions::is_plain;
use crate::mm::Mm;
use alloc::vec::Vec;
use core::ops::Range;

/// Most bytes of a segment that are looked through.
const SEGMENT_MAX: u64 = 16 << 20;
/// Most functions of a file.
const FUNCTIONS_MAX: usize = 65_536;
/// Most places that look like the first record and are none.
const STARTS_MAX: usize = 16;
/// Records begin at multiples of this.
const ALIGN: usize = 4;
/// How a function's address is written: four bytes, relative to where they are.
const RELATIVE: u8 = 0x1b;

/// The functions in `text` that `segment`, mapped and readable, describes; in order. `None` if it describes none.
pub(super) fn functions(mm: &Mm, segment: &Range<u64>, text: &Range<u64>) -> Option<Vec<Range<u64>>> {
    let len = segment.end.checked_sub(segment.start)?.min(SEGMENT_MAX);
    let bytes = mm.slice(segment.start, usize::try_from(len).ok()?).ok()?;
    let words = bytes.as_chunks::<ALIGN>().0.windows(3).zip((0..).step_by(ALIGN));
    // A short record, number 0, version 1, and the `z` that all begin with: hardly anything else looks like that.
    let looks_first =
        |&(words, _): &(&[[u8; ALIGN]], usize)| matches!(words, [[_, 0, 0, 0], [0, 0, 0, 0], [1, b'z', ..]]);
    let starts = words.filter(looks_first).map(|(_, at)| at).filter(|&at| common(bytes, at).is_some());
    let mut found = starts.take(STARTS_MAX).find_map(|at| walk(bytes, at, segment.start))?;
    found.retain(|function| text.start <= function.start && function.end <= text.end && !function.is_empty());
    found.sort_unstable_by_key(|function| (function.start, function.end));
    found.dedup();
    Some(found).filter(|found| !found.is_empty())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// The functions that the records from `at` on describe, up to the end mark; `bytes` are mapped at `base`.
fn walk(bytes: &[u8], first: usize, base: u64) -> Option<Vec<Range<u64>>> {
    let (mut at, mut found) = (first, Vec::new());
    loop {
        let len = usize::try_from(word(bytes, at)?).ok()?;
        if len == 0 {
            return Some(found);
        }
        let next = at.checked_add(4)?.checked_add(len)?;
        if next > bytes.len() || !next.is_multiple_of(ALIGN) || found.len() >= FUNCTIONS_MAX {
            return None;
        }
        let id = usize::try_from(word(bytes, at + 4)?).ok()?;
        if id == 0 {
            common(bytes, at)?;
        } else {
            let common = (at + 4).checked_sub(id).filter(|&start| start >= first && start < at)?;
            if self::common(bytes, common)? == Common::Plain {
                found.try_reserve(1).ok()?;
                found.push(function(bytes, at, base)?);
            }
        }
        at = next;
    }
}

/// The function that the record at `at` describes.
fn function(bytes: &[u8], at: usize, base: u64) -> Option<Range<u64>> {
    let (distance, len) = (word(bytes, at + 8)?, word(bytes, at + 12)?);
    let start = (base + at as u64 + 8).wrapping_add_signed(distance.cast_signed().into());
    Some(start..start.checked_add(len.into())?)
}

/// What the common part of descriptions says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Common {
    /// Nothing unusual.
    Plain,
    /// Something that makes its functions none to be looked at.
    Unusual,
}

/// The common part at `at`, if there is one.
fn common(bytes: &[u8], at: usize) -> Option<Common> {
    let len = usize::try_from(word(bytes, at)?).ok()?;
    let record = bytes.get(at + 4..)?.get(..len)?;
    let [0, 0, 0, 0, 1, rest @ ..] = record else { return None };
    let end = rest.iter().take(8).position(|&byte| byte == 0)?;
    let (augmentation, behind) = (&rest[..end], &rest[end + 1..]);
    let known = augmentation.first() == Some(&b'z') && augmentation[1..].iter().all(|c| b"RPLSB".contains(c));
    if !known {
        return None;
    }
    if !is_plain(augmentation) {
        return Some(Common::Unusual);
    }
    // Two alignments, the register of the return address, the length of what follows: one byte each in what compilers write.
    let [code, data, register, len, behind @ ..] = behind else { return None };
    if [code, data, register, len].into_iter().any(|byte| byte & 0x80 != 0) {
        return Some(Common::Unusual);
    }
    Some(if encoding(augmentation, behind) == Some(RELATIVE) { Common::Plain } else { Common::Unusual })
}

/// How addresses of functions are written, as the augmentation's data says.
fn encoding(augmentation: &[u8], mut data: &[u8]) -> Option<u8> {
    for letter in &augmentation[1..] {
        let (&first, rest) = data.split_first()?;
        match letter {
            b'R' => return Some(first),
            b'P' => {
                let pointer = match first & 0xf {
                    0 | 4 | 0xc => 8,
                    3 | 0xb => 4,
                    _ => return None,
                };
                data = rest.get(pointer..)?;
            }
            _ => data = rest,
        }
    }
    None
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
