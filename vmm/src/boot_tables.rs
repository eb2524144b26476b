//! The tables a CPU needs to start in ring 3 of 64-bit mode: GDT, TSS, IDT, page tables, boot information.
//!
//! Pure: computes bytes and where they go; `machine` and `specialize` write them into guest memory.

use crate::size::size;
use abi::boot::{BOOT_MAGIC, BootInfo, EXCEPTIONS, KernelHeader, STRINGS_MAX};
use abi::layout::{
    DOORBELL_PORT, HUGE, KERNEL_SIZE, KERNEL_VA, MAILBOX_GPA, MAILBOX_VA, PACKAGE_GPA, PACKAGE_VA, PAGE,
    PROGRAM_VA, ROOT_ENTRY, ROOT_GPA, ROOT_VA, TABLES_VA, kernel_area, selector,
};
use abi::mailbox::MAILBOX_SIZE;
use zerocopy::IntoBytes;

/// Last byte of the TSS: 0x68 bytes of TSS proper, then the I/O bitmap up to the byte after the doorbell's, as
/// the CPU reads two bytes. Ports beyond the limit are denied.
pub(crate) const TSS_LIMIT: u16 = IO_BITMAP + DOORBELL_PORT as u16 / 8 + 1;
const IO_BITMAP: u16 = 0x68;
/// Last byte of the GDT: eight 8-byte entries, the TSS descriptor taking two.
pub(crate) const GDT_LIMIT: u16 = 8 * 8 - 1;
/// Last byte of the IDT: one 16-byte gate per exception. Any other vector is a general protection fault.
#[expect(clippy::cast_possible_truncation, reason = "there are 32 exceptions")]
pub(crate) const IDT_LIMIT: u16 = 16 * EXCEPTIONS as u16 - 1;

pub(crate) const PRESENT: u64 = 1;
pub(crate) const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Set ahead, so that neither the CPU nor KVM's page walker has to write to page tables.
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
pub(crate) const LARGE: u64 = 1 << 7;
/// The bits of an entry that hold an address.
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The dirty bit counts where a table is seen as a page, through the entry of the root that leads to itself.
pub(crate) const TABLE_FLAGS: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY;
pub(crate) const LEAF_FLAGS: u64 = PRESENT | USER | ACCESSED | DIRTY | LARGE;
/// Of a small page that allows everything.
pub(crate) const OPEN_FLAGS: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY;

/// Bytes and the guest-physical address they belong at.
pub(crate) type Piece = (u64, Vec<u8>);

/// One linear range of guest-virtual addresses; all numbers are multiples of 2 MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    va: u64,
    gpa: u64,
    len: u64,
    writable: bool,
}

/// Sizes the page tables depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) ram: u64,
    /// Bytes of the slots, rounded to 2 MiB.
    pub(crate) root: u64,
    pub(crate) package: u64,
}

/// All mapped ranges. Images are mapped read-only, so that a write is the guest's page fault.
pub(crate) fn ranges(sizes: Sizes) -> Vec<Range> {
    let range = |va, gpa, len, writable| Range { va, gpa, len, writable };
    let mut ranges = vec![
        range(KERNEL_VA, 0, KERNEL_SIZE, true),
        range(PROGRAM_VA, KERNEL_SIZE, sizes.ram - KERNEL_SIZE, true),
        range(MAILBOX_VA, MAILBOX_GPA, MAILBOX_SIZE, true),
        range(ROOT_VA, ROOT_GPA, sizes.root, false),
        range(PACKAGE_VA, PACKAGE_GPA, sizes.package, false),
    ];
    ranges.retain(|range| range.len > 0);
    ranges
}

/// A page whose contents lie elsewhere than its range says: guest-virtual and guest-physical address.
pub(crate) type MovedPage = (u64, u64);

/// A page that pico has mapped: guest-virtual address and the entry of the lowest table.
pub(crate) type SparsePage = (u64, u64);

/// Page tables for `ranges`, to be put at guest-physical address `at`; the first page is the root, and one of its
/// entries is its own address. Every moved page lies in one of the ranges, no sparse page does. `closed` are pages of ranges
/// with the flags they have instead of those of their range.
pub(crate) fn page_tables(
    ranges: &[Range],
    moved: &[MovedPage],
    sparse: &[SparsePage],
    closed: &[SparsePage],
    at: u64,
) -> Vec<u8> {
    let mut tables = Tables { entries: vec![0; ENTRIES], at };
    tables.entries[size(TABLES_VA / ROOT_ENTRY)] = at | TABLE_FLAGS;
    for range in ranges {
        for step in 0..range.len / HUGE {
            tables.map(range.va + step * HUGE, range.gpa + step * HUGE, range.writable);
        }
    }
    for &(va, gpa) in moved {
        tables.map_page(va, gpa);
    }
    for &(va, flags) in closed {
        let page = tables.small_page(va);
        tables.entries[page] = tables.entries[page] & ADDRESS | flags;
    }
    for &(va, entry) in sparse {
        let page = tables.page_entry(va);
        tables.entries[page] = entry;
    }
    tables.entries.iter().flat_map(|entry| entry.to_le_bytes()).collect()
}

pub(crate) const ENTRIES: usize = 512;

struct Tables {
    entries: Vec<u64>,
    /// Guest-physical address of the first one.
    at: u64,
}

impl Tables {
    fn map(&mut self, va: u64, gpa: u64, writable: bool) {
        let entry = self.directory_entry(va);
        self.entries[entry] = gpa | LEAF_FLAGS | if writable { WRITABLE } else { 0 };
    }

    /// Maps one small page; the 2 MiB around it become small pages too.
    fn map_page(&mut self, va: u64, gpa: u64) {
        let page = self.small_page(va);
        let flags = self.entries[page] & (PAGE - 1);
        self.entries[page] = gpa | flags;
    }

    /// The entry of a page of a range. The 2 MiB around it become small pages.
    fn small_page(&mut self, va: u64) -> usize {
        let entry = self.directory_entry(va);
        let large = self.entries[entry];
        if large & LARGE != 0 {
            self.entries[entry] = 0;
            let table = self.next(entry);
            for (page, small) in (0..).zip(&mut self.entries[table..table + ENTRIES]) {
                *small = (large & !LARGE) + page * PAGE;
            }
        }
        self.page_entry(va)
    }

    fn page_entry(&mut self, va: u64) -> usize {
        let entry = self.directory_entry(va);
        self.next(entry) + size((va / PAGE) & 0x1ff)
    }

    fn directory_entry(&mut self, va: u64) -> usize {
        let index = |shift: u32| size(va >> shift & 0x1ff);
        let pointers = self.next(index(39));
        let directory = self.next(pointers + index(30));
        directory + index(21)
    }

    /// First entry of the table that entry `at` points to; adds the table if there is none.
    fn next(&mut self, at: usize) -> usize {
        let entry = self.entries[at];
        if entry & PRESENT != 0 {
            let page = (entry & !(PAGE - 1)) - self.at;
            return size(page) / 8;
        }
        let table = self.entries.len();
        self.entries.resize(table + ENTRIES, 0);
        self.entries[at] = (self.at + table as u64 * 8) | TABLE_FLAGS;
        table
    }
}

/// Segment descriptors. Accessed and busy bits are set ahead, so that loading one writes nothing.
pub(crate) fn gdt() -> Piece {
    let tss_va = KERNEL_VA + kernel_area::TSS;
    let tss = u64::from(TSS_LIMIT) | (tss_va & 0xff_ffff) << 16 | 0x8b << 40 | (tss_va >> 24 & 0xff) << 56;
    let mut entries = [0_u64; 8];
    entries[usize::from(selector::KERNEL_CODE / 8)] = 0x00af_9b00_0000_ffff;
    entries[usize::from(selector::KERNEL_DATA / 8)] = 0x00cf_9300_0000_ffff;
    entries[usize::from(selector::USER_DATA / 8)] = 0x00cf_f300_0000_ffff;
    entries[usize::from(selector::USER_CODE / 8)] = 0x00af_fb00_0000_ffff;
    entries[usize::from(selector::TSS / 8)] = tss;
    entries[usize::from(selector::TSS / 8) + 1] = tss_va >> 32;
    (kernel_area::GDT, entries.iter().flat_map(|entry| entry.to_le_bytes()).collect())
}

/// Task state: the ring 0 stack of exceptions and an I/O bitmap that allows the doorbell alone.
pub(crate) fn tss(header: &KernelHeader) -> Piece {
    let mut bytes = vec![0; usize::from(IO_BITMAP)];
    bytes[4..12].copy_from_slice(&header.exception_stack_top.to_le_bytes());
    bytes[0x66..0x68].copy_from_slice(&IO_BITMAP.to_le_bytes());
    bytes.resize(usize::from(TSS_LIMIT) + 1, 0xff);
    bytes[usize::from(IO_BITMAP) + usize::from(DOORBELL_PORT / 8)] &= !(1 << (DOORBELL_PORT % 8));
    (kernel_area::TSS, bytes)
}

/// Interrupt gates for all exceptions, into ring 0. `int3` and `into` may be raised by the program itself.
pub(crate) fn idt(header: &KernelHeader) -> Piece {
    let gate = |vector: u64| {
        let stub = header.exception_stubs + vector * header.exception_stub_bytes;
        let privilege: u64 = if matches!(vector, 3 | 4) { 3 } else { 0 };
        let low = stub & 0xffff
            | u64::from(selector::KERNEL_CODE) << 16
            | (0x8e | privilege << 5) << 40
            | (stub >> 16 & 0xffff) << 48;
        [low, stub >> 32]
    };
    let bytes = (0..EXCEPTIONS as u64).flat_map(gate).flat_map(u64::to_le_bytes).collect();
    (kernel_area::IDT, bytes)
}

/// Arguments and environment are longer than their place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StringsError {
    /// An entry contains a NUL byte.
    Nul,
    /// All entries together have this many bytes.
    TooLong(usize),
}

/// Boot information with its strings. `info` is taken as it is, except for what describes the strings.
pub(crate) fn boot_info(
    mut info: BootInfo,
    args: &[Vec<u8>],
    env: &[Vec<u8>],
) -> Result<Piece, StringsError> {
    let mut strings = Vec::new();
    for entry in args.iter().chain(env) {
        if entry.contains(&0) {
            return Err(StringsError::Nul);
        }
        strings.extend_from_slice(entry);
        strings.push(0);
    }
    let count = |entries: &[Vec<u8>]| u32::try_from(entries.len()).ok();
    let too_long = StringsError::TooLong(strings.len());
    let (Ok(len), Some(arg_count), Some(env_count)) = (u32::try_from(strings.len()), count(args), count(env))
    else {
        return Err(too_long);
    };
    if strings.len() > STRINGS_MAX {
        return Err(too_long);
    }
    info.magic = BOOT_MAGIC;
    info.version = abi::VERSION;
    info.strings_len = len;
    info.arg_count = arg_count;
    info.env_count = env_count;
    let mut bytes = info.as_bytes().to_vec();
    bytes.extend_from_slice(&strings);
    Ok((kernel_area::BOOT_INFO, bytes))
}

#[cfg(test)]
#[path = "boot_tables_tests.rs"]
mod tests;
