//! What KVM counts about a VM and its vCPU: exits, page faults and more, read by name (`KVM_GET_STATS_FD`).
//!
//! The descriptor's file describes itself: a header says where names and values are. Only names and types are
//! promised by the kernel; which counters there are differs between processors and releases, so a counter that is
//! not there is unknown, not zero. Linux before 5.14 has none of this.
#![expect(unsafe_code, reason = "the ioctl that opens the statistics has no safe wrapper")]

use crate::machine::Machine;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

vmm_sys_util::ioctl_io_nr!(KVM_GET_STATS_FD, 0xae, 0xce);

/// Bytes of `struct kvm_stats_header`.
const HEADER_BYTES: usize = 24;
/// Bytes of `struct kvm_stats_desc` before the name.
const DESCRIPTOR_BYTES: usize = 16;
/// Longest name that is believed; the kernel's is 48.
const NAME_BYTES_MAX: u32 = 1024;
/// Most statistics that are believed; current kernels have about 60.
const COUNT_MAX: u32 = 4096;

/// The counters of one VM or vCPU.
#[derive(Debug)]
pub struct Stats {
    file: File,
    fields: Vec<Field>,
}

/// One counter: its name, and where its value is in the file.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    at: u64,
}

impl Stats {
    fn open(owner: &impl AsRawFd) -> io::Result<Stats> {
        // SAFETY: the request takes no argument and gives a new descriptor or an error.
        let fd = unsafe { libc::ioctl(owner.as_raw_fd(), KVM_GET_STATS_FD()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else has it.
        let file = unsafe { File::from_raw_fd(fd) };
        let fields = parse(&|bytes, at| file.read_exact_at(bytes, at))?;
        Ok(Stats { file, fields })
    }

    /// The counter of this name now; `None` if this kernel does not have it.
    pub fn read(&self, name: &str) -> io::Result<Option<u64>> {
        let Some(field) = self.fields.iter().find(|field| field.name == name) else { return Ok(None) };
        let mut value = [0; 8];
        self.file.read_exact_at(&mut value, field.at)?;
        Ok(Some(u64::from_le_bytes(value)))
    }

    /// The names of all counters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }
}

/// A part of making a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkStep {
    /// Its RAM was mapped.
    Map,
    /// The recorded write set was populated.
    Populate,
    /// Its mailbox, VM and vCPU were made.
    Create,
}

impl Machine {
    /// Counters of the machine's vCPU.
    pub fn vcpu_stats(&self) -> io::Result<Stats> {
        Stats::open(&self.vcpu)
    }

    /// Counters of the machine's VM.
    pub fn vm_stats(&self) -> io::Result<Stats> {
        Stats::open(&self.vm)
    }
}

/// Finds the counters with one value each. `read` fills a buffer from a place in the file.
fn parse(read: &dyn Fn(&mut [u8], u64) -> io::Result<()>) -> io::Result<Vec<Field>> {
    let mut header = [0; HEADER_BYTES];
    read(&mut header, 0)?;
    let [_flags, name_bytes, count, _id, descriptors, data] = words(&header);
    if name_bytes == 0 || name_bytes > NAME_BYTES_MAX || count > COUNT_MAX {
        return Err(malformed(format!("{count} statistics with names of {name_bytes} bytes")));
    }
    let mut descriptor = vec![0; DESCRIPTOR_BYTES + name_bytes as usize];
    let mut fields = Vec::new();
    let step = descriptor.len() as u64;
    for index in 0..u64::from(count) {
        read(&mut descriptor, u64::from(descriptors) + index * step)?;
        let (head, name) = descriptor.split_at(DESCRIPTOR_BYTES);
        let values = u16::from_le_bytes([head[6], head[7]]);
        let offset = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        let end = name.iter().position(|&byte| byte == 0);
        let name = end.and_then(|end| std::str::from_utf8(&name[..end]).ok());
        let name = name.ok_or_else(|| malformed(format!("statistic {index} has no name")))?;
        // Histograms have more values than one.
        if values == 1 {
            fields.push(Field { name: name.to_owned(), at: u64::from(data) + u64::from(offset) });
        }
    }
    Ok(fields)
}

fn words(bytes: &[u8; HEADER_BYTES]) -> [u32; HEADER_BYTES / 4] {
    let (chunks, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|index| u32::from_le_bytes(chunks[index]))
}

fn malformed(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("KVM's statistics make no sense: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with two counters and a histogram, as Linux lays it out, with names of 16 bytes.
    const GOLDEN: &[u8] = b"\
\x00\x00\x00\x00\x10\x00\x00\x00\x03\x00\x00\x00\x18\x00\x00\x00\x28\x00\x00\x00\x88\x00\x00\x00\
kvm-1/vcpu-0\0\0\0\0\
\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00pf_taken\0\0\0\0\0\0\0\0\
\x13\x00\x00\x00\x00\x00\x02\x00\x08\x00\x00\x00\x00\x00\x00\x00halt_hist\0\0\0\0\0\0\0\
\x00\x00\x00\x00\x00\x00\x01\x00\x18\x00\x00\x00\x00\x00\x00\x00exits\0\0\0\0\0\0\0\0\0\0\0\
\x05\x00\x00\x00\x00\x00\x00\x00\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x02\x02\
\x07\x01\x00\x00\x00\x00\x00\x00";

    fn parse_bytes(bytes: &[u8]) -> io::Result<Vec<Field>> {
        parse(&|buffer, at| {
            let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..)?.get(..buffer.len()));
            buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn with(at: usize, value: u32) -> Vec<u8> {
        let mut bytes = GOLDEN.to_vec();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    }

    #[test]
    fn counters_are_found_by_name_and_histograms_left_out() {
        let fields = parse_bytes(GOLDEN).unwrap();
        let expected = [("pf_taken", 0x88), ("exits", 0xa0)];
        assert_eq!(fields.iter().map(|f| (f.name.as_str(), f.at)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn values_are_read_from_the_file() {
        let file = File::from(rustix::fs::memfd_create("stats", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        file.write_all_at(GOLDEN, 0).unwrap();
        let stats = Stats { file, fields: parse_bytes(GOLDEN).unwrap() };
        assert_eq!(stats.read("exits").unwrap(), Some(0x107));
        assert_eq!(stats.read("pf_taken").unwrap(), Some(5));
        assert_eq!(stats.read("pf_guest").unwrap(), None);
        assert_eq!(stats.names().collect::<Vec<_>>(), ["pf_taken", "exits"]);
    }

    #[test]
    fn hostile_sizes_are_refused() {
        let [name_bytes, count, descriptors] = [4, 8, 16];
        for (at, value) in [
            (name_bytes, 0),
            (name_bytes, NAME_BYTES_MAX + 1),
            (name_bytes, u32::MAX),
            (name_bytes, NAME_BYTES_MAX),
            (count, 5),
            (count, COUNT_MAX),
            (count, u32::MAX),
            (descriptors, 0x1000),
            (descriptors, u32::MAX),
        ] {
            assert!(parse_bytes(&with(at, value)).is_err(), "{value} at {at}");
        }
        assert!(parse_bytes(&with(count, 0)).unwrap().is_empty());
        for len in 0..0x88 {
            assert!(parse_bytes(&GOLDEN[..len]).is_err(), "cut to {len} bytes");
        }
    }

    #[test]
    fn names_without_an_end_and_names_that_are_no_text_are_refused() {
        let name = 0x28 + DESCRIPTOR_BYTES;
        let mut endless = GOLDEN.to_vec();
        endless[name..name + 16].fill(b'a');
        assert!(parse_bytes(&endless).is_err());
        let mut binary = GOLDEN.to_vec();
        binary[name] = 0xff;
        assert!(parse_bytes(&binary).is_err());
    }
}
