//! Shared mappings of files in memory: on Linux and on pico alike, and what pico does of its own.

use super::rig::{Rig, err};
use crate::errno::Errno;
use linux_raw_sys::general as linux;
use std::format;
use std::string::String;
use std::vec::Vec;

const PAGE: u64 = 4096;
const BOTH: u64 = (linux::PROT_READ | linux::PROT_WRITE) as u64;

fn map(rig: &mut Rig, fd: u64, offset: u64, len: u64) -> i64 {
    rig.call(linux::__NR_mmap, &[0, len, BOTH, linux::MAP_SHARED.into(), fd, offset])
}

fn number(result: i64) -> u64 {
    u64::try_from(result).expect("the call succeeds")
}

/// The bytes at an address the kernel gave us.
fn at(address: u64, len: usize) -> &'static mut [u8] {
    let pointer = core::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap());
    // SAFETY: the tests pass ranges that are mapped at that moment, and keep no other reference to them.
    unsafe { core::slice::from_raw_parts_mut(pointer, len) }
}

fn read(rig: &mut Rig, fd: u64, offset: u64, len: u64) -> Vec<u8> {
    let got = rig.call(linux::__NR_pread64, &[fd, rig.buffer, len, offset]);
    rig.bytes(usize::try_from(got).unwrap()).to_vec()
}

fn write(rig: &mut Rig, fd: u64, offset: u64, bytes: &[u8]) -> i64 {
    rig.bytes(bytes.len()).copy_from_slice(bytes);
    rig.call(linux::__NR_pwrite64, &[fd, rig.buffer, bytes.len() as u64, offset])
}

/// What a program does with a file it has mapped, and what it sees.
fn scenario(rig: &mut Rig) -> Vec<String> {
    let mut seen = Vec::new();
    let name = rig.path("scenario");
    let fd = number(rig.call(linux::__NR_memfd_create, &[name, linux::MFD_CLOEXEC.into()]));
    // Contents in more than one piece, with a hole.
    write(rig, fd, 0, b"first");
    write(rig, fd, 5 * PAGE, b"last");
    let map_at = number(map(rig, fd, PAGE, 5 * PAGE));
    seen.push(format!("{:?}", at(map_at + 4 * PAGE, 4)));
    at(map_at + 10, 3).copy_from_slice(b"map");
    seen.push(format!("{:?}", read(rig, fd, PAGE + 8, 8)));
    write(rig, fd, PAGE + 12, b"file");
    seen.push(format!("{:?}", at(map_at + 8, 10)));
    // From the mapping into the file it maps.
    let copied = rig.call(linux::__NR_pwrite64, &[fd, map_at + 8, 10, PAGE + 20]);
    seen.push(format!("{copied} {:?}", at(map_at + 18, 30)));
    // It outlives its descriptor, and a cut zeroes what is mapped.
    seen.push(format!("{}", rig.call(linux::__NR_ftruncate, &[fd, PAGE + 9])));
    seen.push(format!("{:?}", at(map_at + 6, 8)));
    seen.push(format!("{}", rig.call(linux::__NR_close, &[fd])));
    at(map_at, 1)[0] = 1;
    seen.push(format!("{}", rig.call(linux::__NR_munmap, &[map_at, 5 * PAGE])));
    seen
}

#[test]
fn a_file_and_its_mapping_are_the_same_bytes_as_on_linux() {
    let _alone = crate::platform::fake::alone_with_linux();
    assert_eq!(scenario(&mut Rig::new()), scenario(&mut Rig::native()));
}

#[test]
fn contents_stay_when_the_mapping_goes_and_memory_comes_back() {
    let mut rig = Rig::new();
    let before = rig.kernel.mm.used();
    let fd = number(rig.open("/tmp/f", linux::O_CREAT | linux::O_RDWR));
    assert_eq!(rig.call(linux::__NR_ftruncate, &[fd, 3 * PAGE]), 0);
    for round in 0..5u8 {
        let start = number(map(&mut rig, fd, 0, 3 * PAGE));
        at(start + 100, 1)[0] = round + 1;
        assert_eq!(rig.call(linux::__NR_munmap, &[start, 3 * PAGE]), 0);
        assert_eq!(rig.call(linux::__NR_mincore, &[start, PAGE, rig.buffer]), err(Errno::ENOMEM));
        assert_eq!(read(&mut rig, fd, 100, 1), [round + 1]);
    }
    let start = number(map(&mut rig, fd, 0, 3 * PAGE));
    assert_eq!(rig.on(linux::__NR_unlink, "/tmp/f", &[]), 0);
    assert_eq!(rig.call(linux::__NR_close, &[fd]), 0);
    assert_eq!(at(start + 100, 1), [5], "the mapping keeps the file");
    assert_eq!(rig.call(linux::__NR_munmap, &[start, 3 * PAGE]), 0);
    assert_eq!(rig.kernel.mm.used(), before);
}

#[test]
fn what_is_mapped_already_can_be_mapped_again_and_lies_apart() {
    let mut rig = Rig::new();
    let fd = number(rig.open("/dev/shm/f", linux::O_CREAT | linux::O_RDWR));
    let one = number(map(&mut rig, fd, 0, 2 * PAGE));
    // The same part, and one that overlaps.
    for offset in [0, PAGE] {
        let apart = number(map(&mut rig, fd, offset, 2 * PAGE));
        assert!((abi::layout::SPARSE_VA..abi::layout::SPARSE_END).contains(&apart));
        assert_eq!(rig.call(linux::__NR_munmap, &[apart, 2 * PAGE]), 0);
    }
    let next = number(map(&mut rig, fd, 2 * PAGE, PAGE));
    assert!(next + PAGE <= one || next >= one + 2 * PAGE);
    at(one, 1)[0] += 1;
    assert_eq!(rig.call(linux::__NR_munmap, &[one, 2 * PAGE]), 0);
    assert_eq!(rig.call(linux::__NR_mincore, &[one, PAGE, rig.buffer]), err(Errno::ENOMEM));
    assert_eq!(number(map(&mut rig, fd, PAGE, PAGE)), one + PAGE, "it is free again");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut rig = Rig::new();
    let fd = number(rig.open("/tmp/f", linux::O_CREAT | linux::O_RDWR));
    assert_eq!(rig.call(linux::__NR_ftruncate, &[fd, PAGE]), 0);
    let start = number(map(&mut rig, fd, 0, PAGE));
    let fixed = u64::from(linux::MAP_SHARED | linux::MAP_FIXED);
    let buffer = rig.buffer;
    let private = u64::from(linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_FIXED);
    for (number, args, errno) in [
        (linux::__NR_mmap, [buffer, PAGE, BOTH, fixed, fd, 0], Errno::ENODEV),
        (linux::__NR_mmap, [start, PAGE, BOTH, private, 0, 0], Errno::ENOMEM),
        (linux::__NR_mmap, [0, 1 << 40, BOTH, linux::MAP_SHARED.into(), fd, PAGE], Errno::ENOMEM),
        (
            linux::__NR_mmap,
            [0, PAGE, BOTH, linux::MAP_SHARED.into(), fd, 0u64.wrapping_sub(PAGE)],
            Errno::EOVERFLOW,
        ),
        (linux::__NR_mmap, [0, PAGE, BOTH, linux::MAP_PRIVATE.into(), fd, 1 << 63], Errno::EOVERFLOW),
        (linux::__NR_mremap, [start, PAGE, 2 * PAGE, 0, 0, 0], Errno::ENOMEM),
        (linux::__NR_memfd_create, [buffer, 0x4000, 0, 0, 0, 0], Errno::EINVAL),
    ] {
        assert_eq!(rig.call(number, &args), err(errno));
    }
    at(start, 2).copy_from_slice(b"ok");
    assert_eq!(read(&mut rig, fd, 0, 2), b"ok");
}

#[test]
fn a_refused_mapping_leaves_the_memory_as_it_was() {
    let mut rig = Rig::new();
    let fd = number(rig.open("/tmp/f", linux::O_CREAT | linux::O_RDWR));
    let len = 64 << 20;
    assert_eq!(rig.call(linux::__NR_ftruncate, &[fd, len]), 0);
    for mapped in [false, true] {
        // What is mapped already is mapped again in the sparse area.
        if mapped {
            number(map(&mut rig, fd, 0, PAGE));
        }
        let before = rig.kernel.mm.free();
        assert_eq!(map(&mut rig, fd, 0, len), err(Errno::ENOMEM));
        assert_eq!(rig.kernel.mm.free(), before);
    }
}
