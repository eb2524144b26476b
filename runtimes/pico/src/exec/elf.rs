//! Reading ELF headers. Every byte is hostile: what is accepted here can be mapped without further checks on
//! sizes and overflow.

use super::LoadError;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Most program headers a program may have.
const HEADERS_MAX: u16 = 128;
/// Longest path of an interpreter.
pub(super) const INTERPRETER_MAX: u64 = 4096;

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const EXECUTABLE: u16 = 2;
const DYNAMIC: u16 = 3;
const X86_64: u16 = 62;
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
const HEADERS: u32 = 6;

/// `Elf64_Ehdr`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct FileHeader {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    headers_offset: u64,
    sections_offset: u64,
    flags: u32,
    size: u16,
    header_size: u16,
    header_count: u16,
    section_size: u16,
    section_count: u16,
    names: u16,
}

/// `Elf64_Phdr`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    va: u64,
    physical: u64,
    file_size: u64,
    memory_size: u64,
    align: u64,
}

/// Bytes of a program header.
pub(super) const PROGRAM_HEADER: u64 = size_of::<ProgramHeader>() as u64;

/// A range of the file to be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Address, before relocation.
    pub(super) va: u64,
    /// Bytes in memory; the end does not overflow.
    pub(super) memory_size: u64,
    /// Where it is in the file.
    pub(super) offset: u64,
    /// Bytes in the file; not more than in memory.
    pub(super) file_size: u64,
    /// `PROT_*`.
    pub(super) prot: u32,
}

/// What the headers say.
#[derive(Debug)]
pub(super) struct Image {
    /// Whether it runs at any address.
    pub(super) relocatable: bool,
    /// First instruction, before relocation.
    pub(super) entry: u64,
    /// Address of the program headers in memory, before relocation; 0 if they are not in memory.
    pub(super) headers_va: u64,
    /// Number of program headers.
    pub(super) header_count: u16,
    /// At least one, in the order of the file.
    pub(super) segments: Vec<Segment>,
    /// Offset and length of the interpreter's path in the file.
    pub(super) interpreter: Option<(u64, u64)>,
}

impl FileHeader {
    /// Checks the first bytes of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(LoadError::NotAProgram);
        }
        let (header, _) = Self::read_from_prefix(bytes).map_err(|_| LoadError::Truncated)?;
        if header.machine != X86_64 || header.ident[4] != CLASS_64 || header.ident[5] != LITTLE_ENDIAN {
            let bits = if header.ident[4] == CLASS_64 { 64 } else { 32 };
            let machine =
                if header.ident[5] == LITTLE_ENDIAN { header.machine } else { header.machine.swap_bytes() };
            return Err(LoadError::Machine { machine, bits });
        }
        if header.kind != EXECUTABLE && header.kind != DYNAMIC {
            return Err(LoadError::Malformed("it is neither an executable nor position independent"));
        }
        if u64::from(header.header_size) != PROGRAM_HEADER {
            return Err(LoadError::Malformed("its program headers have an unknown size"));
        }
        if header.header_count == 0 || header.header_count > HEADERS_MAX {
            return Err(LoadError::Malformed("it has no program headers, or more than 128"));
        }
        Ok(header)
    }

    /// Where the program headers are in the file: offset and bytes.
    pub(super) fn headers(&self) -> (u64, usize) {
        (self.headers_offset, usize::from(self.header_count) * size_of::<ProgramHeader>())
    }

    /// Checks the program headers.
    pub(super) fn image(&self, headers: &[u8]) -> Result<Image, LoadError> {
        let mut image = Image {
            relocatable: self.kind == DYNAMIC,
            entry: self.entry,
            headers_va: 0,
            header_count: self.header_count,
            segments: Vec::new(),
            interpreter: None,
        };
        for bytes in headers.chunks(size_of::<ProgramHeader>()) {
            let header = ProgramHeader::read_from_bytes(bytes).map_err(|_| LoadError::Truncated)?;
            match header.kind {
                LOAD if header.memory_size > 0 => {
                    let segment = segment(&header)?;
                    if (header.offset..header.offset + header.file_size).contains(&self.headers_offset)
                        && image.headers_va == 0
                    {
                        image.headers_va = header.va + (self.headers_offset - header.offset);
                    }
                    image.segments.push(segment);
                }
                INTERPRETER if image.interpreter.is_some() => {
                    return Err(LoadError::Malformed("it names two interpreters"));
                }
                INTERPRETER if !(2..=INTERPRETER_MAX).contains(&header.file_size) => {
                    return Err(LoadError::Malformed("the path of its interpreter is empty or too long"));
                }
                INTERPRETER => image.interpreter = Some((header.offset, header.file_size)),
                HEADERS => image.headers_va = header.va,
                _ => {}
            }
        }
        if image.segments.is_empty() {
            return Err(LoadError::Malformed("it has nothing to load"));
        }
        Ok(image)
    }
}

fn segment(header: &ProgramHeader) -> Result<Segment, LoadError> {
    let Some(end) = header.va.checked_add(header.memory_size) else {
        return Err(LoadError::Malformed("a segment wraps around the end of the address space"));
    };
    // What is only in memory has offsets, too.
    let len = header.memory_size.max(header.file_size);
    if header.offset.checked_add(len).is_none_or(|end| end > i64::MAX.unsigned_abs()) {
        return Err(LoadError::Malformed("a segment lies where no file has an offset"));
    }
    // Room to round up to pages and to add a load address.
    if header.file_size > header.memory_size || end > 1 << 46 {
        return Err(LoadError::Malformed("a segment is larger in the file than in memory, or out of reach"));
    }
    let prot = [(4, 1), (2, 2), (1, 4)]
        .iter()
        .filter(|(flag, _)| header.flags & flag != 0)
        .fold(0, |prot, (_, bit)| prot | bit);
    Ok(Segment {
        va: header.va,
        memory_size: header.memory_size,
        offset: header.offset,
        file_size: header.file_size,
        prot,
    })
}

/// Name of a machine in an ELF header.
pub(super) fn machine_name(machine: u16) -> &'static str {
    match machine {
        3 => "x86 (32 bit)",
        8 => "mips",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390",
        40 => "arm",
        62 => "x86-64",
        183 => "aarch64",
        243 => "riscv",
        258 => "loongarch",
        _ => "an unknown machine",
    }
}
