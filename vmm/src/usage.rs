//! How much memory a machine uses, as the kernel accounts for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// Memory of one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Where the RAM mapping begins in this process (find it in `/proc/PID/smaps`).
    pub address: u64,
    /// Resident bytes of RAM shared with the parent.
    pub shared_bytes: u64,
    /// Resident bytes of its own: copied pages of RAM, and the mailbox.
    pub private_bytes: u64,
    /// Proportional set size: private bytes and its share of the shared ones.
    pub pss_bytes: u64,
}

/// RAM figures of the machines whose memory begins at `addresses` (see [`crate::Machine::memory_address`]) and has
/// `bytes` bytes, in that order, `None` for those that are gone. Reads `/proc/self/smaps` once, whatever the number
/// of machines.
pub fn usage_of(addresses: &[u64], bytes: u64) -> io::Result<Vec<Option<MemoryUsage>>> {
    let areas = parse(BufReader::new(File::open("/proc/self/smaps")?))?;
    Ok(addresses.iter().map(|&address| sum(&areas, address, bytes)).collect())
}

/// The figures of one machine; its memory may be several areas, one behind the other.
fn sum(areas: &BTreeMap<u64, MemoryUsage>, address: u64, bytes: u64) -> Option<MemoryUsage> {
    areas.get(&address)?;
    let parts = areas.range(address..address.saturating_add(bytes)).map(|(_, part)| part);
    let none = MemoryUsage { address, ..MemoryUsage::default() };
    Some(parts.fold(none, |sum, part| MemoryUsage {
        address,
        shared_bytes: sum.shared_bytes + part.shared_bytes,
        private_bytes: sum.private_bytes + part.private_bytes,
        pss_bytes: sum.pss_bytes + part.pss_bytes,
    }))
}

/// The figures of every area by its first address.
fn parse(smaps: impl BufRead) -> io::Result<BTreeMap<u64, MemoryUsage>> {
    let mut areas = BTreeMap::new();
    let mut area: Option<&mut MemoryUsage> = None;
    for line in smaps.lines() {
        let line = line?;
        let Some((key, value)) = line.split_once(' ') else { continue };
        let Some(key) = key.strip_suffix(':') else {
            // The head of an area, `START-END PERMISSIONS ...`.
            let start = key.split_once('-').and_then(|(start, _)| u64::from_str_radix(start, 16).ok());
            area = start.map(|address| {
                areas.entry(address).or_insert_with(|| MemoryUsage { address, ..MemoryUsage::default() })
            });
            continue;
        };
        let kilobytes = value.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
        let bytes = kilobytes.and_then(|kilobytes| kilobytes.checked_mul(1024));
        if let (Some(area), Some(bytes)) = (&mut area, bytes) {
            area.take(key, bytes);
        }
    }
    Ok(areas)
}

impl MemoryUsage {
    fn take(&mut self, key: &str, bytes: u64) {
        match key {
            "Pss" => self.pss_bytes = bytes,
            // Copied pages are anonymous; all others belong to the parent, however many map them. `Rss` comes first.
            "Rss" => self.shared_bytes = bytes,
            "Anonymous" => {
                self.private_bytes = bytes;
                self.shared_bytes = self.shared_bytes.saturating_sub(bytes);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000200000 rw-p 00000000 00:01 7 /memfd:a (deleted)
Size:               2048 kB
Rss:                 512 kB
Pss:                 200 kB
Anonymous:            48 kB
VmFlags: rd wr
7f0000400000-7f0000600000 rw-p 00000000 00:01 7 /memfd:a (deleted)
Rss:                   8 kB
";

    #[test]
    fn figures_of_one_area_are_found() {
        let areas = parse(SMAPS.as_bytes()).unwrap();
        let usage = areas[&0x7f00_0000_0000];
        assert_eq!(usage.shared_bytes, 464 * 1024);
        assert_eq!(usage.private_bytes, 48 * 1024);
        assert_eq!(usage.pss_bytes, 200 * 1024);
        assert_eq!(areas[&0x7f00_0040_0000].shared_bytes, 8192);
        assert_eq!(areas.len(), 2);
        let both = sum(&areas, 0x7f00_0000_0000, 0x60_0000).unwrap();
        assert_eq!((both.shared_bytes, both.private_bytes), (464 * 1024 + 8192, 48 * 1024));
        assert_eq!(sum(&areas, 0x7f00_0000_0000, 0x20_0000), Some(usage));
        assert_eq!(usage_of(&[1], 4096).unwrap(), [None]);
    }
}
