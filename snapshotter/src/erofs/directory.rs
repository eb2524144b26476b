//! Directory contents as EROFS stores them.

use abi::erofs::{BLOCK, Dirent};
use zerocopy::IntoBytes;

/// One name in a directory.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) nid: u64,
    pub(super) file_type: u8,
}

/// How many of the entries with these name lengths share the first block, and the bytes they take in it.
fn first_block(name_lengths: impl Iterator<Item = usize>) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for len in name_lengths {
        let next = bytes + size_of::<Dirent>() + len;
        if next > BLOCK {
            break;
        }
        (count, bytes) = (count + 1, next);
    }
    (count, bytes)
}

/// Bytes of a directory with names of these lengths, in their final order.
pub(super) fn size(name_lengths: &[usize]) -> usize {
    let mut rest = name_lengths;
    let mut blocks_before = 0;
    loop {
        let (count, bytes) = first_block(rest.iter().copied());
        if count == rest.len() {
            return blocks_before + bytes;
        }
        rest = &rest[count..];
        blocks_before += BLOCK;
    }
}

/// The contents of a directory; `entries` are sorted by name.
pub(super) fn encode(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        let (count, _) = first_block(rest.iter().map(|entry| entry.name.len()));
        let (block, after) = rest.split_at(count);
        let mut name_offset = count * size_of::<Dirent>();
        for entry in block {
            let offset = u16::try_from(name_offset).expect("an offset in a block fits 16 bits");
            let dirent = Dirent {
                nid: entry.nid.into(),
                name_offset: offset.into(),
                file_type: entry.file_type,
                reserved: 0,
            };
            out.extend_from_slice(dirent.as_bytes());
            name_offset += entry.name.len();
        }
        block.iter().for_each(|entry| out.extend_from_slice(entry.name));
        rest = after;
    }
    out
}
