//! The guest kernel as an ELF file: checked once, loaded into every parent.

use abi::boot::{EXCEPTIONS, KERNEL_MAGIC, KernelHeader};
use abi::layout::{KERNEL_SIZE, KERNEL_VA, kernel_area};
use object::LittleEndian;
use object::elf::{EM_X86_64, ET_EXEC, FileHeader64, PT_INTERP, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use std::sync::Arc;
use zerocopy::FromBytes;

/// Most program headers looked at.
const SEGMENTS_MAX: usize = 64;

/// The file is not a guest kernel this host can run.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not a readable ELF file.
    #[error("the guest kernel is not a valid ELF file: {0}")]
    Elf(&'static str),
    /// An ELF file of the wrong kind.
    #[error("the guest kernel must be a static x86-64 executable: {0}")]
    Kind(&'static str),
    /// A segment lies outside the kernel area.
    #[error("a segment of the guest kernel ({address:#x}, {bytes:#x} bytes) lies outside its area")]
    Segment {
        /// Virtual address of the segment.
        address: u64,
        /// Size of the segment in memory.
        bytes: u64,
    },
    /// The header is missing or wrong.
    #[error("the guest kernel's header is wrong: {0}")]
    Header(&'static str),
    /// Built for another version of the contract.
    #[error(
        "the guest kernel speaks version {found} of the contract, this host {expected}: rebuild both together"
    )]
    Version {
        /// Version in the file.
        found: u32,
        /// Version of the host.
        expected: u32,
    },
}

/// One loadable piece: guest-physical address and where its bytes are in the file.
#[derive(Clone, Debug)]
struct Segment {
    gpa: u64,
    file: std::ops::Range<usize>,
}

/// A checked guest kernel. What a segment has beyond its file bytes is zero, as all guest memory is at boot.
#[derive(Clone, Debug)]
pub struct KernelImage {
    bytes: Arc<[u8]>,
    segments: Vec<Segment>,
    header: KernelHeader,
}

impl KernelImage {
    /// Checks `bytes`: a static ELF whose segments lie inside the kernel area and which begins, at its link
    /// address, with a [`KernelHeader`] of this version of the contract.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<KernelImage, ImageError> {
        let bytes = bytes.into();
        let segments = segments(&bytes)?;
        let header = header(&bytes, &segments)?;
        Ok(KernelImage { bytes, segments, header })
    }

    pub(crate) fn header(&self) -> &KernelHeader {
        &self.header
    }

    /// All pieces to load: guest-physical address and bytes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.segments.iter().map(|segment| (segment.gpa, &self.bytes[segment.file.clone()]))
    }
}

fn segments(bytes: &[u8]) -> Result<Vec<Segment>, ImageError> {
    let elf = FileHeader64::<LittleEndian>::parse(bytes).map_err(|_| ImageError::Elf("its header"))?;
    let endian = elf.endian().map_err(|_| ImageError::Elf("its byte order"))?;
    if elf.e_machine(endian) != EM_X86_64 {
        return Err(ImageError::Kind("it is for another processor"));
    }
    if elf.e_type(endian) != ET_EXEC {
        return Err(ImageError::Kind("it is not linked to a fixed address"));
    }
    let headers = elf.program_headers(endian, bytes).map_err(|_| ImageError::Elf("its program headers"))?;
    if headers.len() > SEGMENTS_MAX {
        return Err(ImageError::Elf("too many program headers"));
    }
    let mut segments = Vec::new();
    for header in headers {
        match header.p_type(endian) {
            PT_INTERP => return Err(ImageError::Kind("it wants a dynamic linker")),
            PT_LOAD => {}
            _ => continue,
        }
        let (address, memory) = (header.p_vaddr(endian), header.p_memsz(endian));
        let outside = ImageError::Segment { address, bytes: memory };
        let gpa = address.checked_sub(KERNEL_VA).filter(|&gpa| gpa >= kernel_area::IMAGE);
        let end = gpa.and_then(|gpa| gpa.checked_add(memory)).filter(|&end| end <= KERNEL_SIZE);
        let (Some(gpa), Some(_)) = (gpa, end) else { return Err(outside) };
        let (start, size) = (header.p_offset(endian), header.p_filesz(endian));
        if size > memory {
            return Err(outside);
        }
        let file = file_range(bytes.len(), start, size).ok_or(ImageError::Elf("a segment beyond its end"))?;
        segments.push(Segment { gpa, file });
    }
    Ok(segments)
}

fn file_range(len: usize, start: u64, size: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (end <= len).then_some(start..end)
}

fn header(bytes: &[u8], segments: &[Segment]) -> Result<KernelHeader, ImageError> {
    let first = segments.iter().find(|segment| segment.gpa == kernel_area::IMAGE);
    let first = first.ok_or(ImageError::Header("nothing is linked at its address"))?;
    let (header, _) = KernelHeader::read_from_prefix(&bytes[first.file.clone()])
        .map_err(|_| ImageError::Header("the first segment is too short"))?;
    if header.magic != KERNEL_MAGIC {
        return Err(ImageError::Header("the magic number is not there"));
    }
    if header.version != abi::VERSION {
        return Err(ImageError::Version { found: header.version, expected: abi::VERSION });
    }
    let area = KERNEL_VA..=KERNEL_VA + KERNEL_SIZE;
    let stubs = header.exception_stub_bytes.checked_mul(EXCEPTIONS as u64);
    let stubs_end = stubs.and_then(|bytes| header.exception_stubs.checked_add(bytes));
    let addresses = [
        header.entry,
        header.stack_top,
        header.syscall_stub,
        header.exception_stack_top,
        header.exception_stubs,
        stubs_end.unwrap_or(0),
        header.prefault,
    ];
    if !addresses.iter().all(|address| area.contains(address)) {
        return Err(ImageError::Header("an address lies outside the kernel area"));
    }
    Ok(header)
}
