//! Read-only images: files that all VMs of a process see through a slot of their own.

use crate::memory::{Advice, Backing, Mapping};
use crate::pagemap::Pagemap;
use crate::size::{HUGE_BYTES, size};
use abi::layout::{HUGE, IMAGE_MAX};
use rustix::fs::{fadvise, fstatfs};
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Bytes read at once: they stay in a cache until they are copied.
const CHUNK: usize = 256 << 10;

/// An image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// Not a file with a size between 1 byte and the maximum.
    #[error("an image must be a regular file of 1 to {IMAGE_MAX} bytes, this one has {0}")]
    Size(u64),
    /// The kernel refused.
    #[error("the image cannot be mapped")]
    Io(#[from] io::Error),
}

/// A file mapped read-only. The slot it fills is rounded up to 2 MiB; what lies beyond the file reads as zero.
#[derive(Debug)]
pub struct Image {
    mapping: Mapping,
    len: u64,
}

impl Image {
    /// Maps all of `file`. The file must not be shortened while the image is in use: a guest that reads a part
    /// that is gone stops with an error.
    ///
    /// A memfd (or a file on tmpfs) is gathered into large pages where the kernel agrees, once for all processes
    /// that map it; a guest then takes one fault for 2 MiB instead of one for 4 KiB.
    pub fn map(file: &File) -> Result<Image, MapError> {
        let len = checked_len(file)?;
        let backing = Backing::ReadOnly(file.as_fd(), size(len));
        let mut mapping = Mapping::new(size(len.next_multiple_of(HUGE)), backing)?;
        for area in 0..len / HUGE {
            // An optimisation; a file system that cannot do it refuses the first area at once.
            if mapping.advise(size(area * HUGE), HUGE_BYTES, Advice::Collapse).is_err() {
                break;
            }
        }
        Ok(Image { mapping, len })
    }

    /// Brings all of `file` into memory, in large pages where the kernel has them. For an image on a disk and a VM that lives
    /// once: that costs less than the fault of each 4 KiB that the guest touches.
    ///
    /// Where the page cache can hold the file in large pages it is mapped, and only its end copied; then it must not be
    /// shortened while the image is in use (see [`Image::map`]). Elsewhere it is copied.
    pub fn load(file: &File) -> Result<Image, MapError> {
        let len = checked_len(file)?;
        // Whatever is wrong with mapping it, reading it will tell.
        if let Ok(Some(mapping)) = in_large_pages(file, len) {
            return Ok(Image { mapping, len });
        }
        let mut mapping = memory(len)?;
        copy(file, 0..len, &mut mapping)?;
        Ok(Image { mapping, len })
    }

    /// Bytes of the file.
    #[expect(clippy::len_without_is_empty, reason = "an image is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

/// Memory of this process for `len` bytes.
fn memory(len: u64) -> io::Result<Mapping> {
    let mut mapping = Mapping::new(size(len.next_multiple_of(HUGE)), Backing::Anonymous)?;
    // An optimisation: kernels without large pages refuse it.
    let _ = mapping.advise(0, mapping.len(), Advice::Huge);
    Ok(mapping)
}

/// Copies `range` of `file` to the same place of `mapping`.
fn copy(file: &File, range: Range<u64>, mapping: &mut Mapping) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let part = CHUNK.min(size(range.end - at));
        file.read_exact_at(&mut chunk[..part], at)?;
        mapping.write(size(at), &chunk[..part]).map_err(io::Error::other)?;
        at += part as u64;
    }
    Ok(())
}

/// The `len` bytes of `file`, mapped in large pages of the page cache; its end, which is no whole page, copied. Nothing if the page
/// cache has no such pages of this file.
///
/// A file system with large folios reads what is not cached in such pages, for a mapping that wants them. What is cached
/// in small ones is forgotten and read again; the first piece tells whether that helps.
fn in_large_pages(file: &File, len: u64) -> io::Result<Option<Mapping>> {
    let whole = len / HUGE * HUGE;
    if whole == 0 {
        return Ok(None);
    }
    let mut mapping = memory(len)?;
    if whole < len {
        copy(file, whole..len, &mut mapping)?;
    }
    mapping.cover(file.as_fd(), size(whole))?;
    mapping.advise(0, size(whole), Advice::Huge)?;
    let pagemap = Pagemap::open()?;
    if !enlarge(file, &pagemap, &mut mapping, 0..HUGE_BYTES)? {
        return Ok(None);
    }
    enlarge(file, &pagemap, &mut mapping, HUGE_BYTES..size(whole))?;
    mapping.advise(0, size(whole), Advice::PopulateRead)?;
    Ok(Some(mapping))
}

/// Reads again what `part` has in small pages: more and more at once, as long as it helps. Returns whether all are large.
fn enlarge(file: &File, pagemap: &Pagemap, mapping: &mut Mapping, part: Range<usize>) -> io::Result<bool> {
    let small = small_pieces(pagemap, mapping, &part)?;
    let (mut rest, mut count) = (&small[..], 1);
    while let [first, ..] = *rest {
        let (batch, later) = rest.split_at(count.min(rest.len()));
        let Some(last) = batch.last() else { break };
        if !forget(file, mapping, batch)?
            || !small_pieces(pagemap, mapping, &(first..last + HUGE_BYTES))?.is_empty()
        {
            return Ok(false);
        }
        (rest, count) = (later, 2 * count);
    }
    Ok(true)
}

/// Takes `pieces` out of the page cache, as far as nobody maps them. Returns whether the file system can read them again.
fn forget(file: &File, mapping: &mut Mapping, pieces: &[usize]) -> io::Result<bool> {
    if fstatfs(file)?.f_type == libc::TMPFS_MAGIC {
        return Ok(false);
    }
    for &piece in pieces {
        mapping.advise(piece, HUGE_BYTES, Advice::DontNeed)?;
        fadvise(file, piece as u64, NonZeroU64::new(HUGE), rustix::fs::Advice::DontNeed)?;
    }
    Ok(true)
}

/// Where the pieces of 2 MiB of `part` are that are not in one page, once they are there.
fn small_pieces(pagemap: &Pagemap, mapping: &mut Mapping, part: &Range<usize>) -> io::Result<Vec<usize>> {
    if part.is_empty() {
        return Ok(Vec::new());
    }
    mapping.advise(part.start, part.len(), Advice::PopulateRead)?;
    let large = pagemap.large_pages(mapping)?;
    let is_small = |piece: &usize| !large.iter().any(|run| run.contains(piece));
    Ok(part.clone().step_by(HUGE_BYTES).filter(is_small).collect())
}

fn checked_len(file: &File) -> Result<u64, MapError> {
    let metadata = file.metadata()?;
    let len = metadata.len();
    let fits = metadata.is_file() && (1..=IMAGE_MAX).contains(&len);
    fits.then_some(len).ok_or(MapError::Size(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::Write;

    #[test]
    fn what_follows_the_file_reads_as_zero() {
        let mut file = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(&[7; 5000]).unwrap();
        let image = Image::map(&file).unwrap();
        assert_eq!(image.len(), 5000);
        assert_eq!(image.mapping().len() as u64, HUGE);
        let mut bytes = [1; 2];
        image.mapping().read(4999, &mut bytes).unwrap();
        assert_eq!(bytes, [7, 0]);
        image.mapping().read(size(HUGE) - 2, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 0]);
    }

    fn contents(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 1000).to_le_bytes()[0]).collect()
    }

    /// Checks that `image` holds `contents`, and zeros behind them.
    fn check(image: &Image, contents: &[u8]) {
        let mut bytes = vec![1; contents.len() + 1];
        image.mapping().read(0, &mut bytes).unwrap();
        assert!(bytes[..contents.len()] == *contents && bytes[contents.len()] == 0);
        assert_eq!(image.len(), contents.len() as u64);
    }

    #[test]
    fn a_small_image_is_copied() {
        let mut file = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
        let contents = contents(CHUNK + 5000);
        file.write_all(&contents).unwrap();
        let image = Image::load(&file).unwrap();
        file.set_len(1).unwrap();
        check(&image, &contents);
    }

    #[test]
    fn an_image_holds_the_file_wherever_it_lies() {
        let contents = contents(2 * HUGE_BYTES + 5000);
        let disk = tempfile::tempfile().unwrap();
        let memory = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
        for mut file in [disk, memory] {
            file.write_all(&contents).unwrap();
            // At first dirty and in small pages, then clean; from the second time on as the first has left it.
            for _ in 0..3 {
                check(&Image::load(&file).unwrap(), &contents);
                file.sync_all().unwrap();
            }
        }
    }

    #[test]
    fn images_of_one_file_share_its_large_pages() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&contents(2 * HUGE_BYTES)).unwrap();
        file.sync_all().unwrap();
        let len = file.metadata().unwrap().len();
        // Not every file system has such pages.
        if let Ok(Some(first)) = in_large_pages(&file, len) {
            let pagemap = Pagemap::open().unwrap();
            assert!(!pagemap.large_pages(&first).unwrap().is_empty());
            assert!(pagemap.private_pages(&first).unwrap().is_empty());
            assert!(in_large_pages(&file, len).unwrap().is_some());
        }
    }

    #[test]
    fn an_empty_file_is_refused() {
        let file = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
        assert!(matches!(Image::map(&file), Err(MapError::Size(0))));
        assert!(matches!(Image::load(&file), Err(MapError::Size(0))));
    }
}
