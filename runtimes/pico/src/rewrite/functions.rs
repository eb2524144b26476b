//! Where the functions of a mapped ELF file begin and end: its table for unwinding, `.eh_frame_hdr` (Linux Standard
//! Base, "Exception Frames"), or where there is none what the table would be made of ([`frames`]). The one list of functions
//! that is in memory even if the symbols were stripped.
//! Everything is read through checked addresses; what makes no sense is no function.

use super::frames;
use crate::mm::Mm;
use crate::mm::areas::Area;
use alloc::vec::Vec;
use core::ops::Range;
use zerocopy::FromBytes;

const ELF_MAGIC: [u8; 4] = *b"\x7fELF";
const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
/// Version 1; a pointer relative to itself, a count, and a table of 4-byte offsets relative to the header.
const HEADER: [u8; 4] = [1, 0x1b, 3, 0x3b];
/// Offset of the table in the header, and bytes of an entry.
const TABLE: u64 = 12;
const ENTRY: u64 = 8;
const PROGRAM_HEADERS_MAX: u64 = 64;

/// `Elf64_Phdr`
#[derive(FromBytes)]
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    _physical: u64,
    file_size: u64,
    _memory_size: u64,
    _align: u64,
}

/// The functions of one file.
pub(super) enum Functions {
    /// As its table says.
    Table(Table),
    /// All of them, in order.
    List(Vec<Range<u64>>),
}

/// The table of a file.
#[derive(Clone, Copy)]
pub(super) struct Table {
    header: u64,
    count: u64,
}

/// A function and the padding around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its instructions.
    pub(super) body: Range<u64>,
    /// The function before it; what lies between the two is padding, perhaps.
    pub(super) previous: Option<Range<u64>>,
    /// Where the next one begins.
    pub(super) next: Option<u64>,
}

impl Functions {
    /// The functions of the file that `text` is a part of.
    pub(super) fn of(mm: &Mm, text: &Area) -> Option<Self> {
        let (path, text_offset) = text.file.as_ref()?;
        let is_first = |area: &Area| area.file.as_ref().is_some_and(|(other, at)| other == path && *at == 0);
        let mut first = None;
        mm.each_area(|area| {
            if area.start <= text.start && is_first(area) {
                first = Some(area.start);
            }
        });
        let first = first?;
        if mm.read::<[u8; 4]>(first).ok()? != ELF_MAGIC {
            return None;
        }
        let headers = first.checked_add(mm.read::<u64>(first + 32).ok()?)?;
        let count = u64::from(mm.read::<u16>(first + 56).ok()?).min(PROGRAM_HEADERS_MAX);
        let (mut bias, mut frames, mut is_there) = (None, None, false);
        let mut constants: Vec<Range<u64>> = Vec::new();
        for number in 0..count {
            let at = headers.checked_add(number * size_of::<ProgramHeader>() as u64)?;
            let header: ProgramHeader = mm.read(at).ok()?;
            if header.kind == PT_LOAD && bias.is_none() {
                bias = Some(first.wrapping_sub(header.address.wrapping_sub(header.offset)));
            }
            let moved = text.start.wrapping_sub(*text_offset);
            if header.kind == PT_LOAD {
                is_there |= moved == bias?.wrapping_add(header.address.wrapping_sub(header.offset));
                if header.flags & (PF_W | PF_R) == PF_R {
                    let start = bias?.wrapping_add(header.address);
                    constants.push(start..start.checked_add(header.file_size)?);
                }
            } else if header.kind == PT_GNU_EH_FRAME {
                frames = Some(header.address);
            }
        }
        // Text mapped elsewhere than its file says is not described by this table.
        if !is_there {
            return None;
        }
        let Some(header) = frames else {
            let text = text.start..text.end;
            let list = constants.iter().find_map(|segment| frames::functions(mm, segment, &text));
            return list.map(Self::List);
        };
        let header = header.wrapping_add(bias?);
        if mm.read::<[u8; 4]>(header).ok()? != HEADER {
            return None;
        }
        let count = u64::from(mm.read::<u32>(header.checked_add(8)?).ok()?);
        Some(Self::Table(Table { header, count }))
    }

    /// The function that holds `address`.
    pub(super) fn find(&self, mm: &Mm, address: u64) -> Option<Function> {
        match self {
            Self::Table(table) => table.find(mm, address),
            Self::List(list) => find(list, address),
        }
    }
}

/// The function of `list`, which is in order, that holds `address`.
fn find(list: &[Range<u64>], address: u64) -> Option<Function> {
    let behind = list.partition_point(|function| function.start <= address);
    let (before, rest) = list.split_at(behind);
    let (body, before) = before.split_last()?;
    let next = rest.first().map(|function| function.start);
    let function = Function { body: body.clone(), previous: before.last().cloned(), next };
    body.contains(&address).then_some(function)
}

impl Table {
    /// The function that holds `address`.
    fn find(self, mm: &Mm, address: u64) -> Option<Function> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(mm, middle)?.0 <= address { low = middle + 1 } else { high = middle }
        }
        let number = low.checked_sub(1)?;
        let body = self.range(mm, number).filter(|body| body.contains(&address))?;
        let previous = number.checked_sub(1).and_then(|number| self.range(mm, number));
        let next = self.entry(mm, number + 1).map(|(start, _)| start);
        Some(Function { body, previous, next })
    }

    /// An entry of the table: where the function begins, and where its description is.
    fn entry(self, mm: &Mm, number: u64) -> Option<(u64, u64)> {
        if number >= self.count {
            return None;
        }
        let at = self.header.checked_add(TABLE + ENTRY * number)?;
        let [start, description] = mm.read::<[i32; 2]>(at).ok()?;
        let absolute = |offset: i32| self.header.wrapping_add_signed(offset.into());
        Some((absolute(start), absolute(description)))
    }

    /// The addresses of a function. Its description must repeat where it begins, in the usual encoding.
    fn range(self, mm: &Mm, number: u64) -> Option<Range<u64>> {
        let (start, description) = self.entry(mm, number)?;
        let [_, common, begin, len] = mm.read::<[u32; 4]>(description).ok()?;
        let begin = description.wrapping_add(8).wrapping_add_signed(begin.cast_signed().into());
        let is_plain = is_common_plain(mm, description.wrapping_add(4).wrapping_sub(common.into()));
        (begin == start && is_plain).then_some(start..start.checked_add(len.into())?)
    }
}

/// Whether the common part of a description says nothing unusual. What is called by the kernel alone (`S`, the return
/// from a signal) is described from the byte before its first instruction on.
fn is_common_plain(mm: &Mm, common: u64) -> bool {
    let Ok(augmentation) = mm.read::<[u8; 8]>(common.wrapping_add(9)) else { return false };
    let end = augmentation.iter().position(|&byte| byte == 0);
    end.is_some_and(|end| is_plain(&augmentation[..end]))
}

/// The same, of its augmentation alone.
pub(super) fn is_plain(augmentation: &[u8]) -> bool {
    matches!(augmentation, b"zR" | b"zPR" | b"zLR" | b"zPLR")
}
