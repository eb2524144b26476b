//! What pico refused because it does not have it: a page of the mailbox that the guest counts in.
//!
//! The guest writes numbers only; the host has the names. The host treats the page as hostile, as all of the mailbox.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Offset of [`Refusals`] in the mailbox.
pub const REFUSALS: u64 = 0x1000;
/// Most refusals that are told apart. What finds no room is counted in [`Refusals::others`].
pub const REFUSALS_MAX: usize = 170;

/// What was refused: [`Refusal::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Kind {
    /// Anything: what found no room in the table.
    Others = 0,
    /// A system call as a whole.
    Call = 1,
    /// Flags: `value` has the bits that are not known.
    Flags = 2,
    /// A command, an option, a family: `value` is it. For an option of a socket it is `level << 32 | option`.
    Value = 3,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_u32(value: u32) -> Option<Self> {
        Some(match value {
            0 => Self::Others,
            1 => Self::Call,
            2 => Self::Flags,
            3 => Self::Value,
            _ => return None,
        })
    }
}

/// One thing that was refused, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Refusal {
    /// A [`Kind`].
    pub kind: u32,
    /// Number of the system call.
    pub number: u32,
    /// Which of its arguments: 0 to 5; 0 for [`Kind::Call`]. Of a structure that the argument points to, `offset << 8` names
    /// the field.
    pub argument: u32,
    /// How often.
    pub count: u32,
    /// What about it.
    pub value: u64,
}

impl Refusal {
    /// Something that was refused once.
    pub fn new(kind: Kind, number: u32, argument: u32, value: u64) -> Self {
        Self { kind: kind as u32, number, argument, count: 1, value }
    }

    /// Whether both are about the same, however often.
    pub fn is_same(&self, other: &Self) -> bool {
        Self { count: 0, ..*self } == Self { count: 0, ..*other }
    }
}

/// The page.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Refusals {
    /// Entries of `list` in use.
    pub len: u32,
    /// How often something was refused that found no room in `list`.
    pub others: u32,
    /// What was refused.
    pub list: [Refusal; REFUSALS_MAX],
}

impl Refusals {
    /// Counts `what` once.
    pub fn count(&mut self, what: &Refusal) {
        let len = usize::try_from(self.len).map_or(REFUSALS_MAX, |len| len.min(REFUSALS_MAX));
        if let Some(entry) = self.list[..len].iter_mut().find(|entry| entry.is_same(what)) {
            entry.count = entry.count.saturating_add(1);
        } else if let Some(free) = self.list.get_mut(len) {
            *free = Refusal { count: 1, ..*what };
            self.len += 1;
        } else {
            self.others = self.others.saturating_add(1);
        }
    }
}

const _: () = assert!(size_of::<Refusal>() == 24);
const _: () = assert!(size_of::<Refusals>() == 8 + 24 * REFUSALS_MAX);
const _: () = assert!(size_of::<Refusals>() as u64 <= crate::layout::PAGE);
const _: () = assert!(size_of::<crate::mailbox::Header>() as u64 <= REFUSALS);
const _: () = assert!(REFUSALS + crate::layout::PAGE <= crate::mailbox::LOG);

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn about(value: u64) -> Refusal {
        Refusal::new(Kind::Value, 16, 1, value)
    }

    #[test]
    fn equal_refusals_are_counted_together() {
        let mut page = Refusals::new_zeroed();
        for value in [5, 6, 5] {
            page.count(&about(value));
        }
        page.count(&Refusal::new(Kind::Flags, 16, 1, 5));
        assert_eq!((page.len, page.others), (3, 0));
        assert_eq!(page.list[0], Refusal { count: 2, ..about(5) });
        assert_eq!(page.list[1], about(6));
        page.list[0].count = u32::MAX;
        page.count(&about(5));
        assert_eq!(page.list[0].count, u32::MAX);
    }

    #[test]
    fn what_finds_no_room_is_counted_all_the_same() {
        let mut page = Refusals::new_zeroed();
        for value in 0..REFUSALS_MAX as u64 + 3 {
            page.count(&about(value));
        }
        page.count(&about(0));
        assert_eq!((page.len as usize, page.others, page.list[0].count), (REFUSALS_MAX, 3, 2));
    }

    #[test]
    fn a_length_the_program_wrote_does_no_harm() {
        let mut page = Refusals::new_zeroed();
        page.len = u32::MAX;
        page.others = u32::MAX;
        page.count(&about(1));
        assert_eq!((page.len, page.others), (u32::MAX, u32::MAX));
    }
}
