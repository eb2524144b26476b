//! Which pages of a mapping belong to this process alone, and which it has touched.

use crate::memory::Mapping;
use crate::size::PAGE_BYTES;
use crate::sys::{PageRegion, Wanted, pagemap_scan};
use abi::layout::PAGE;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Runs fetched by one `PAGEMAP_SCAN`.
const BATCH: usize = 512;
/// Entries fetched by one read of the old interface.
const ENTRIES: usize = 4096;

/// `/proc/self/pagemap`, opened once. Valid in the process that opened it only.
#[derive(Debug)]
pub(crate) struct Pagemap(File);

impl Pagemap {
    pub(crate) fn open() -> io::Result<Pagemap> {
        File::open("/proc/self/pagemap").map(Pagemap)
    }

    /// Byte ranges of `mapping` with private pages (copied from a file by a write, or anonymous), in order.
    pub(crate) fn private_pages(&self, mapping: &Mapping) -> io::Result<Vec<Range<usize>>> {
        self.pages(mapping, Wanted::Private)
    }

    /// Byte ranges of `mapping` with pages in the page tables of this process, in order.
    pub(crate) fn present_pages(&self, mapping: &Mapping) -> io::Result<Vec<Range<usize>>> {
        self.pages(mapping, Wanted::Present)
    }

    /// Byte ranges of `mapping` that are in large pages of the page tables of this process, in order. Before Linux 6.7
    /// nothing tells that: an error.
    pub(crate) fn large_pages(&self, mapping: &Mapping) -> io::Result<Vec<Range<usize>>> {
        self.scan(mapping, Wanted::Large)
    }

    fn pages(&self, mapping: &Mapping, wanted: Wanted) -> io::Result<Vec<Range<usize>>> {
        match self.scan(mapping, wanted) {
            // Before Linux 6.7 there is no PAGEMAP_SCAN.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => {
                self.read(mapping, wanted)
            }
            result => result,
        }
    }

    fn scan(&self, mapping: &Mapping, wanted: Wanted) -> io::Result<Vec<Range<usize>>> {
        let base = mapping.address();
        let (mut start, end) = (base, base + mapping.len() as u64);
        let mut regions = [PageRegion::default(); BATCH];
        let mut runs = Runs::default();
        while start < end {
            let (found, stopped) = pagemap_scan(self.0.as_fd(), start, end, wanted, &mut regions)?;
            for region in &regions[..found] {
                runs.add(offset(region.start, base)?..offset(region.end, base)?);
            }
            if stopped <= start {
                return Err(io::Error::other("PAGEMAP_SCAN does not advance"));
            }
            start = stopped;
        }
        Ok(runs.0)
    }

    fn read(&self, mapping: &Mapping, wanted: Wanted) -> io::Result<Vec<Range<usize>>> {
        let first = mapping.address() / PAGE;
        let pages = mapping.len() / PAGE_BYTES;
        let mut entries = vec![0_u8; 8 * ENTRIES.min(pages)];
        let mut runs = Runs::default();
        for batch in (0..pages).step_by(ENTRIES) {
            let count = ENTRIES.min(pages - batch);
            let entries = &mut entries[..8 * count];
            self.0.read_exact_at(entries, 8 * (first + batch as u64))?;
            let (words, _) = entries.as_chunks::<8>();
            for (page, word) in (batch..).zip(words) {
                if is_wanted(u64::from_le_bytes(*word), wanted) {
                    runs.add(page * PAGE_BYTES..(page + 1) * PAGE_BYTES);
                }
            }
        }
        Ok(runs.0)
    }
}

/// Present (bit 63), or swapped (bit 62); a page of a file (bit 61). How large it is is not told.
fn is_wanted(entry: u64, wanted: Wanted) -> bool {
    match wanted {
        Wanted::Private => entry >> 62 != 0 && entry >> 61 & 1 == 0,
        Wanted::Present => entry >> 63 != 0,
        Wanted::Large => false,
    }
}

fn offset(address: u64, base: u64) -> io::Result<usize> {
    let offset = address.checked_sub(base).and_then(|offset| usize::try_from(offset).ok());
    offset.ok_or_else(|| io::Error::other("PAGEMAP_SCAN answered beyond the mapping"))
}

/// Ranges in order, neighbours joined.
#[derive(Default)]
struct Runs(Vec<Range<usize>>);

impl Runs {
    fn add(&mut self, run: Range<usize>) {
        match self.0.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => self.0.push(run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Backing;
    use crate::size::HUGE_BYTES;
    use abi::layout::HUGE;

    #[test]
    fn both_interfaces_find_exactly_the_written_pages() {
        let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, 4 * HUGE).unwrap();
        let len = 4 * HUGE_BYTES;
        let mut parent = Mapping::new(len, Backing::Shared(fd.as_fd())).unwrap();
        parent.write(0, &vec![1; len]).unwrap();
        let mut child = Mapping::new(len, Backing::Private(fd.as_fd())).unwrap();
        let mut all = vec![0; len];
        child.read(0, &mut all).unwrap();
        let mut expected = Vec::new();
        expected.push(PAGE_BYTES..3 * PAGE_BYTES);
        child.write(PAGE_BYTES, &[2; PAGE_BYTES + 1]).unwrap();
        for odd in (601..1023).step_by(2) {
            child.write(odd * PAGE_BYTES + 5, &[2]).unwrap();
            expected.push(odd * PAGE_BYTES..(odd + 1) * PAGE_BYTES);
        }
        child.write(len - 1, &[2]).unwrap();
        expected.push(len - PAGE_BYTES..len);
        let pagemap = Pagemap::open().unwrap();
        assert_eq!(pagemap.read(&child, Wanted::Private).unwrap(), expected);
        assert_eq!(pagemap.private_pages(&child).unwrap(), expected);
        let everything = std::iter::once(0..len).collect::<Vec<_>>();
        assert_eq!(pagemap.read(&child, Wanted::Present).unwrap(), everything);
        assert_eq!(pagemap.present_pages(&child).unwrap(), everything);
    }
}
