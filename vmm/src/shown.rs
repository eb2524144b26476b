//! Pieces of 2 MiB of the program's linear memory that lead to the root image: pico maps large files so,
//! without a copy.
//!
//! They are entries of the directories that the host made. Nothing here relies on what a guest writes there: an entry that is
//! not exactly such a piece is left as it is, and refused where tables are compared.

use crate::boot_tables::{ADDRESS, LEAF_FLAGS, PRESENT, Sizes, WRITABLE};
use crate::memory::Mapping;
use crate::size::size;
use abi::layout::{HUGE, IMAGE_MAX, KERNEL_SIZE, PROGRAM_VA, ROOT_GPA};

/// Guest-virtual address of a piece, and its entry.
pub(crate) type Piece = (u64, u64);

/// For all pieces that can be, whatever the root image is.
pub(crate) fn any_image(ram: u64) -> Sizes {
    Sizes { ram, root: IMAGE_MAX, package: 0 }
}

/// Where the entry of a directory for `va` is, in tables whose root is at `root` and whose entries `read` returns.
pub(crate) fn entry_at(root: u64, va: u64, read: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    let index = |shift: u32| 8 * (va >> shift & 0x1ff);
    let pointers = read(root + index(39)).filter(|entry| entry & PRESENT != 0)? & ADDRESS;
    let directory = read(pointers + index(30)).filter(|entry| entry & PRESENT != 0)? & ADDRESS;
    Some(directory + index(21))
}

fn is_piece(entry: u64, sizes: Sizes) -> bool {
    let gpa = entry & ADDRESS;
    (ROOT_GPA..ROOT_GPA + sizes.root).contains(&gpa) && gpa.is_multiple_of(HUGE) && entry == gpa | LEAF_FLAGS
}

fn find(root: u64, sizes: Sizes, read: impl Fn(u64) -> Option<u64>) -> Vec<Piece> {
    let pieces = (0..sizes.ram.saturating_sub(KERNEL_SIZE) / HUGE).map(|piece| PROGRAM_VA + piece * HUGE);
    let found = pieces.filter_map(|va| Some((va, read(entry_at(root, va, &read)?)?)));
    found.filter(|&(_, entry)| is_piece(entry, sizes)).collect()
}

pub(crate) fn entry_of(tables: &[u8], at: u64, gpa: u64) -> Option<u64> {
    let offset = usize::try_from(gpa.checked_sub(at)?).ok()?;
    Some(u64::from_le_bytes(tables.get(offset..offset.checked_add(8)?)?.try_into().ok()?))
}

pub(crate) fn set_entry(tables: &mut [u8], at: u64, va: u64, entry: u64) {
    let gpa = entry_at(at, va, |gpa| entry_of(tables, at, gpa));
    if let Some(bytes) = gpa.and_then(|gpa| tables.get_mut(size(gpa.checked_sub(at)?)..)?.get_mut(..8)) {
        bytes.copy_from_slice(&entry.to_le_bytes());
    }
}

/// The pieces in the tables below the root at `root`.
pub(crate) fn read(ram: &Mapping, root: u64, sizes: Sizes) -> Vec<Piece> {
    find(root, sizes, |gpa| {
        let mut bytes = [0; 8];
        ram.read(usize::try_from(gpa).ok()?, &mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    })
}

/// Takes pieces out of `tables`, which lie at `at`: memory is mapped there, as the host did. Returns them.
pub(crate) fn take_out(tables: &mut [u8], at: u64, sizes: Sizes) -> Vec<Piece> {
    let found = find(at, sizes, |gpa| entry_of(tables, at, gpa));
    for &(va, _) in &found {
        set_entry(tables, at, va, (va - PROGRAM_VA + KERNEL_SIZE) | LEAF_FLAGS | WRITABLE);
    }
    found
}

/// Puts `pieces` into `tables`, which lie at `at` and map all of the program's memory.
pub(crate) fn put_in(tables: &mut [u8], at: u64, pieces: &[Piece]) {
    for &(va, entry) in pieces {
        set_entry(tables, at, va, entry);
    }
}

/// Whether linear memory at `va` is hidden by one of `pieces`, which are in order.
pub(crate) fn hides(pieces: &[Piece], va: u64) -> bool {
    pieces.binary_search_by_key(&(va / HUGE * HUGE), |&(piece, _)| piece).is_ok()
}

#[cfg(test)]
#[path = "shown_tests.rs"]
mod tests;
