//! KVM's own counters of one vCPU (`KVM_GET_STATS_FD`), for reports: how often it left the guest, how many page
//! faults it took for it.

use crate::machine::Machine;
use crate::sys::vcpu_stats;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Most counters looked at.
const COUNTERS_MAX: usize = 1024;
/// Bytes of the header: flags, length of a name, number of descriptors, offsets of id, descriptors and data.
const HEADER: usize = 24;
/// Bytes of a descriptor before the name.
const DESCRIPTOR: usize = 16;

/// What a vCPU has cost since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Exits from the guest, those KVM handled itself included.
    pub exits: u64,
    /// Page faults on guest memory that KVM resolved.
    pub faults: u64,
}

impl Machine {
    /// Reads the counters of this machine's vCPU.
    pub fn counters(&self) -> io::Result<Counters> {
        let stats = File::from(vcpu_stats(&self.vcpu)?);
        let mut header = [0; HEADER];
        stats.read_exact_at(&mut header, 0)?;
        let field = |at: usize| word(&header, 4 * at);
        let (name_len, count) = (field(1)?, field(2)?.min(COUNTERS_MAX));
        let (descriptors_at, data_at) = (field(4)?, field(5)?);
        let size = DESCRIPTOR + name_len;
        let mut descriptors = vec![0; size * count];
        stats.read_exact_at(&mut descriptors, descriptors_at as u64)?;
        let mut counters = Counters::default();
        for descriptor in descriptors.chunks_exact(size) {
            let name = descriptor[DESCRIPTOR..].split(|&byte| byte == 0).next();
            let counter = match name {
                Some(b"exits") => &mut counters.exits,
                Some(b"pf_taken") => &mut counters.faults,
                _ => continue,
            };
            let mut value = [0; 8];
            stats.read_exact_at(&mut value, (data_at + word(descriptor, 8)?) as u64)?;
            *counter = u64::from_ne_bytes(value);
        }
        Ok(counters)
    }
}

fn word(bytes: &[u8], at: usize) -> io::Result<usize> {
    let word = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    let word = word.map(|word| u32::from_ne_bytes(*word)).and_then(|word| usize::try_from(word).ok());
    word.ok_or_else(|| io::Error::other("KVM's counters have another format"))
}
