//! Putting an ELF file into memory.

use super::LoadError;
use super::elf::{FileHeader, Image, Segment};
use crate::file::File;
use crate::kernel::Kernel;
use crate::mm::areas::{Kind, WRITE};
use crate::mm::{DATA, Mapping, Placement};
use abi::layout::PAGE;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Bytes read from the start of a file: enough for an ELF header or the first line of a script.
pub(super) const HEAD: usize = 256;

/// A program in memory.
pub(super) struct Loaded {
    /// First instruction.
    pub(super) entry: u64,
    /// What was added to the addresses in the file.
    pub(super) base: u64,
    /// First address behind it.
    pub(super) end: u64,
    /// Where the program headers are.
    pub(super) headers: u64,
    /// How many of them.
    pub(super) header_count: u64,
}

/// The first bytes of a file, at most [`HEAD`].
pub(super) fn read_head<'a>(file: &dyn File, buf: &'a mut [u8; HEAD]) -> Result<&'a [u8], LoadError> {
    let mut len = 0;
    while len < buf.len() {
        match file.read(len as u64, &mut buf[len..])? {
            0 => break,
            count => len += count,
        }
    }
    Ok(&buf[..len])
}

/// Fills `buf` from `offset` of `file`.
fn read_exact(file: &dyn File, mut offset: u64, mut buf: &mut [u8]) -> Result<(), LoadError> {
    while !buf.is_empty() {
        match file.read(offset, buf)? {
            0 => return Err(LoadError::Truncated),
            count => {
                offset += count as u64;
                buf = &mut buf[count..];
            }
        }
    }
    Ok(())
}

/// Reads and checks the headers of an ELF file.
pub(super) fn read_image(file: &dyn File) -> Result<Image, LoadError> {
    let mut first = [0; HEAD];
    let header = FileHeader::parse(read_head(file, &mut first)?)?;
    let (offset, len) = header.headers();
    let mut headers = vec![0; len];
    read_exact(file, offset, &mut headers)?;
    header.image(&headers)
}

/// Puts the segments of `image` where it wants them or, if it has no wish, at `hint` or where there is room.
pub(super) fn place(
    kernel: &mut Kernel,
    path: &str,
    file: &dyn File,
    image: &Image,
    hint: Option<u64>,
) -> Result<Loaded, LoadError> {
    let (low, high) = span(image);
    let contents = file.image_slice().unwrap_or(&[]);
    let base = if image.relocatable {
        let hint = hint.map(|hint| kernel.mm.agreeing(hint, contents));
        reserve(kernel, high - low, hint)?.wrapping_sub(low)
    } else {
        0
    };
    show_runs(kernel, contents, image, base);
    for segment in &image.segments {
        map_segment(kernel, path, file, segment, base)?;
    }
    Ok(Loaded {
        entry: image.entry.wrapping_add(base),
        base,
        end: high.wrapping_add(base),
        headers: image.headers_va.wrapping_add(base),
        header_count: u64::from(image.header_count),
    })
}

/// Path of the interpreter that `image` asks for.
pub(super) fn interpreter_path(file: &dyn File, image: &Image) -> Result<Option<String>, LoadError> {
    let Some((offset, len)) = image.interpreter else { return Ok(None) };
    let mut path = vec![0; usize::try_from(len).map_err(|_| LoadError::Truncated)?];
    read_exact(file, offset, &mut path)?;
    if path.pop() != Some(0) || path.contains(&0) {
        return Err(LoadError::Malformed("the path of its interpreter does not end with NUL"));
    }
    String::from_utf8(path).map(Some).map_err(|_| LoadError::Malformed("its interpreter has no UTF-8 name"))
}

/// First and last page boundary of all segments.
fn span(image: &Image) -> (u64, u64) {
    let low = image.segments.iter().map(|s| s.va / PAGE * PAGE).min().unwrap_or(0);
    let high =
        image.segments.iter().map(|s| (s.va + s.memory_size).next_multiple_of(PAGE)).max().unwrap_or(0);
    (low, high)
}

/// A free range for a position-independent image.
fn reserve(kernel: &mut Kernel, len: u64, hint: Option<u64>) -> Result<u64, LoadError> {
    let placement = Placement::Hint(hint.unwrap_or(0));
    Ok(kernel.mm.map(Mapping { placement, len, prot: 0, kind: Kind::Anonymous, file: None })?)
}

fn map_segment(
    kernel: &mut Kernel,
    path: &str,
    file: &dyn File,
    segment: &Segment,
    base: u64,
) -> Result<(), LoadError> {
    let va = segment.va.wrapping_add(base);
    let start = va / PAGE * PAGE;
    let len = (va + segment.memory_size).next_multiple_of(PAGE) - start;
    if start < kernel.mm.base() || start + len > kernel.mm.end() {
        return Err(LoadError::Address(start));
    }
    let source = Some((Rc::from(path), segment.offset / PAGE * PAGE));
    let placement = Placement::Fixed(start);
    let image = if is_fixed(segment) { part(file.image_slice().unwrap_or(&[]), segment) } else { &[] };
    kernel.mm.map_image(Mapping { placement, len, prot: DATA, kind: Kind::File, file: source }, image)?;
    let end = va + segment.file_size;
    for memory in kernel.mm.not_shown(start, start + len) {
        let (from, to) = (memory.start.max(va), memory.end.min(end));
        if from < to {
            read_exact(file, segment.offset + (from - va), kernel.mm.fresh(from, to - from)?)?;
        }
    }
    Ok(kernel.mm.protect(start, len, segment.prot)?)
}

/// Whether a segment is nothing but pages of the file, and stays so.
fn is_fixed(segment: &Segment) -> bool {
    let agrees = segment.va % PAGE == segment.offset % PAGE;
    agrees && segment.prot & WRITE == 0 && segment.memory_size == segment.file_size
}

/// The whole pages of `contents` that `segment` is a part of.
fn part(contents: &'static [u8], segment: &Segment) -> &'static [u8] {
    pages(contents, segment.offset, segment.offset.saturating_add(segment.file_size))
}

fn pages(contents: &'static [u8], start: u64, end: u64) -> &'static [u8] {
    let (start, end) = (start / PAGE * PAGE, end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX));
    let [start, end] = [start, end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
    contents.get(start..end.min(contents.len())).unwrap_or(&[])
}

/// Shows parts of `contents` that several segments have to themselves: what lies in one of them alone is shown with it.
fn show_runs(kernel: &Kernel, contents: &'static [u8], image: &Image, base: u64) {
    let distance = |segment: &Segment| segment.va.wrapping_sub(segment.offset);
    let mut segments: Vec<&Segment> = image.segments.iter().collect();
    segments.sort_by_key(|segment| segment.va);
    for run in segments.chunk_by(|a, b| is_fixed(a) && is_fixed(b) && distance(a) == distance(b)) {
        if let [first, .., last] = run {
            let bytes = pages(contents, first.offset, last.offset.saturating_add(last.file_size));
            kernel.mm.show_ahead((first.va.wrapping_add(base)) / PAGE * PAGE, bytes);
        }
    }
}
