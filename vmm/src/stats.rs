//! KVM's own counters of a vCPU, in the format of `KVM_GET_STATS_FD`.
//!
//! ```text
//! header: flags, bytes of a name, number of descriptors, and where id, descriptors and data begin (u32 each)
//! descriptor: flags u32, exponent i16, number of values u16, offset in the data u32, bucket size u32, name
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a descriptor before its name.
const DESCRIPTOR: u64 = 16;

/// The value of the counter `name`; `None` if this KVM does not have it.
pub(crate) fn counter(file: &File, name: &str) -> io::Result<Option<u64>> {
    let [_, name_size, count, _, descriptors, data] = words::<6>(file, 0)?;
    for number in 0..u64::from(count) {
        let at = u64::from(descriptors) + number * (DESCRIPTOR + u64::from(name_size));
        let mut text = vec![0; name_size as usize];
        file.read_exact_at(&mut text, at + DESCRIPTOR)?;
        if text.split(|&byte| byte == 0).next() == Some(name.as_bytes()) {
            let [_, _, offset, _] = words::<4>(file, at)?;
            let mut value = [0; 8];
            file.read_exact_at(&mut value, u64::from(data) + u64::from(offset))?;
            return Ok(Some(u64::from_ne_bytes(value)));
        }
    }
    Ok(None)
}

fn words<const N: usize>(file: &File, at: u64) -> io::Result<[u32; N]> {
    let mut words = [0; N];
    for (word, at) in words.iter_mut().zip((at..).step_by(4)) {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at)?;
        *word = u32::from_ne_bytes(bytes);
    }
    Ok(words)
}
