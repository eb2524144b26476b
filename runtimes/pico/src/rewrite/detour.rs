//! How a system-call site is to be rewritten: which instructions move into the trampoline and where the jump goes.
//!
//! ```text
//! before      mov $232,%eax          syscall      near: an instruction of five bytes or more
//! after       jmp trampoline         syscall
//!
//! before      padding ...  xor %eax,%eax  syscall      short: an instruction of two bytes or more
//! after       jmp tramp..  jmp padding    syscall
//! ```
//! Only that one instruction is replaced. `syscall` itself and what may stand between stay, so whoever jumps there
//! (the restart of a call among them) finds what was always there, and traps.

use super::decode::Instruction;
use super::functions::Function;
use crate::mm::Mm;
use alloc::vec::Vec;
use core::ops::Range;

/// Length of the instruction `syscall`.
pub(super) const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// Bytes of a jump with a 32-bit and with an 8-bit distance.
pub(super) const NEAR: usize = 5;
pub(super) const SHORT: usize = 2;
/// Most bytes of instructions that move into a trampoline.
pub(super) const MOVED_MAX: usize = 19;
/// Most bytes of a function that are decoded to find its instructions.
const FUNCTION_MAX: u64 = 64 << 10;
/// Most bytes of padding that are looked at.
const PADDING_MAX: u64 = 64;

/// A way to rewrite a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detour {
    /// The instruction that gives way.
    pub(super) replaced: Range<u64>,
    /// The `syscall`; the bytes from the replaced instruction to here move.
    pub(super) syscall: u64,
    /// For a short jump: where there is room for the long one.
    pub(super) padding: Option<u64>,
}

/// Why there is no detour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The bytes of `syscall` are part of something else.
    NoInstruction,
    /// What stands before it cannot move, or there is no room for a jump.
    NoRoom,
}

/// A function whose instructions are known.
pub(super) struct Decoded {
    function: Function,
    /// Where its instructions begin, up to the first that is not understood.
    starts: Vec<u64>,
}

impl Decoded {
    /// Decodes `function` from its first instruction.
    pub(super) fn new(mm: &Mm, function: Function) -> Self {
        Self { starts: instructions(mm, &function.body).0, function }
    }

    /// Whether `address` is inside.
    pub(super) fn holds(&self, address: u64) -> bool {
        self.function.body.contains(&address)
    }

    /// Plans for the `syscall` at `syscall`.
    pub(super) fn detour(&self, mm: &Mm, syscall: u64) -> Result<Detour, Refusal> {
        let number = self.starts.binary_search(&syscall).map_err(|_| Refusal::NoInstruction)?;
        let movable = movable_before(mm, &self.starts[..number], syscall);
        let near = movable.iter().find(|range| range.end - range.start >= NEAR as u64);
        if let Some(replaced) = near {
            return Ok(Detour { replaced: replaced.clone(), syscall, padding: None });
        }
        let replaced = movable.first().filter(|range| range.end - range.start >= SHORT as u64);
        let replaced = replaced.ok_or(Refusal::NoRoom)?;
        let padding = padding_near(mm, &self.function, replaced.start).ok_or(Refusal::NoRoom)?;
        Ok(Detour { replaced: replaced.clone(), syscall, padding: Some(padding) })
    }
}

/// Where the instructions of `body` begin, up to the first that is not understood; and where that is, or the end.
fn instructions(mm: &Mm, body: &Range<u64>) -> (Vec<u64>, u64) {
    let len = usize::try_from((body.end - body.start).min(FUNCTION_MAX)).unwrap_or(0);
    let code = mm.slice(body.start, len).unwrap_or_default();
    let (mut at, mut starts) = (0, Vec::new());
    while let Some(found) = Instruction::decode(&code[at..]) {
        starts.push(body.start + at as u64);
        at += found.len;
    }
    (starts, body.start + at as u64)
}

/// The movable instructions directly before `syscall`, the nearest first.
fn movable_before(mm: &Mm, starts: &[u64], syscall: u64) -> Vec<Range<u64>> {
    let (mut end, mut found) = (syscall, Vec::new());
    for &start in starts.iter().rev().take_while(|&&start| syscall - start <= MOVED_MAX as u64) {
        let code = mm.slice(start, usize::try_from(end - start).unwrap_or(0)).unwrap_or_default();
        if !Instruction::decode(code).is_some_and(|instruction| instruction.is_movable()) {
            break;
        }
        found.push(start..end);
        end = start;
    }
    found
}

/// Room for a jump in the padding before or behind `function`, in reach of a short jump at `site`.
fn padding_near(mm: &Mm, function: &Function, site: u64) -> Option<u64> {
    let before = function.previous.as_ref().map(|previous| (previous, function.body.start));
    let behind = function.next.map(|next| (&function.body, next));
    let behind_jump = site + SHORT as u64;
    let reaches = |at: u64| i8::try_from(at.wrapping_sub(behind_jump).cast_signed()).is_ok();
    let in_reach = [before, behind].into_iter().flatten().filter(|(function, _)| reaches(function.end));
    in_reach.filter_map(|(function, next)| padding(mm, function, next)).next()
}

/// Where there is padding between `function` and `next` into which control never falls.
fn padding(mm: &Mm, function: &Range<u64>, next: u64) -> Option<u64> {
    let len = next.checked_sub(function.end).filter(|len| (NEAR as u64..=PADDING_MAX).contains(len))?;
    let mut rest = mm.slice(function.end, usize::try_from(len).ok()?).ok()?;
    while !rest.is_empty() {
        let padding = Instruction::decode(rest).filter(Instruction::is_padding)?;
        rest = &rest[padding.len..];
    }
    let (starts, end) = instructions(mm, function);
    let last = *starts.last().filter(|_| end == function.end)?;
    let code = mm.slice(last, usize::try_from(function.end - last).ok()?).ok()?;
    Instruction::decode(code)?.ends_function().then_some(function.end)
}
