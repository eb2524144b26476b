//! What system calls take of pico's own memory for the length of the call.
//!
//! A call can wait, and a thousand threads can be in such calls at once. So a large buffer is made when there is
//! something to put into it and is gone before the call waits again ([`buffer`]); lists that are needed all along count against one
//! allowance of all threads ([`Kernel::hold`]).

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::net::budget::Budget;
use alloc::vec::Vec;

/// Bytes that calls which may wait hold together.
pub const HELD_MAX: usize = 1 << 20;
/// Bytes that any call may have: 1024 threads that wait take less than is set apart.
const FREE_OF_CHARGE: usize = 1024;

/// A part of the allowance; it goes back at the end of the call.
pub(super) struct Held {
    budget: Budget,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

impl Kernel {
    /// Allows `bytes` of a call that may wait: `ENOMEM` if all threads hold too much already.
    pub(super) fn hold(&self, bytes: usize) -> Result<Held> {
        let bytes = if bytes > FREE_OF_CHARGE { bytes } else { 0 };
        self.held.take(bytes).map_err(|_| Errno::ENOMEM)?;
        Ok(Held { budget: self.held.clone(), bytes })
    }
}

/// `len` zeroed bytes: `ENOMEM` if there are not so many.
pub(super) fn buffer(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::rig::Rig;
    use linux_raw_sys::general as c;

    /// As if other threads held all there is, or nothing.
    fn while_others_hold<T>(rig: &mut Rig, bytes: usize, then: impl FnOnce(&mut Rig) -> T) -> T {
        let held = rig.kernel.hold(bytes);
        let result = then(rig);
        drop(held);
        result
    }

    #[test]
    fn long_lists_of_calls_that_may_wait_are_refused_when_too_much_is_held() {
        let mut rig = Rig::new();
        let no_memory = Errno::ENOMEM.as_return_value().cast_signed();
        let (buffer, many, few) = (rig.buffer, 1024, 8);
        rig.bytes(32 << 10).fill(0);
        for nothing in rig.bytes(1024 * 8).chunks_exact_mut(8) {
            nothing[..4].copy_from_slice(&(-1i32).to_ne_bytes());
        }
        let poll = |rig: &mut Rig, count: u64| rig.call(c::__NR_poll, &[buffer, count, 0]);
        assert_eq!(while_others_hold(&mut rig, HELD_MAX, |rig| poll(rig, many)), no_memory);
        assert_eq!(while_others_hold(&mut rig, HELD_MAX, |rig| poll(rig, few)), 0);
        assert_eq!(while_others_hold(&mut rig, HELD_MAX - (32 << 10), |rig| poll(rig, many)), 0);
        rig.bytes(32 << 10).fill(0);
        let null = rig.open("/dev/null", c::O_RDWR).cast_unsigned();
        for call in [c::__NR_readv, c::__NR_writev] {
            let vector = |rig: &mut Rig, count: u64| rig.call(call, &[null, buffer, count]);
            assert_eq!(while_others_hold(&mut rig, HELD_MAX, |rig| vector(rig, many)), no_memory);
            assert_eq!(while_others_hold(&mut rig, HELD_MAX, |rig| vector(rig, few)), 0);
            assert_eq!(vector(&mut rig, many), 0);
        }
        assert_eq!(rig.kernel.held.left(), HELD_MAX, "everything was given back");
    }

    #[test]
    fn a_buffer_that_there_is_no_memory_for_is_an_error() {
        assert_eq!(buffer(usize::MAX / 4), Err(Errno::ENOMEM));
        assert_eq!(buffer(3), Ok(alloc::vec![0; 3]));
    }

    #[test]
    fn what_cannot_be_joined_is_written_part_by_part() {
        let mut rig = Rig::new();
        let buffer = rig.buffer;
        assert_eq!(rig.call(c::__NR_pipe, &[buffer]), 0);
        let ends = [0, 1].map(|index| u64::from(rig.bytes(8)[index * 4]));
        let parts = [[buffer + 4096, 3000], [buffer + 8192, 3000]];
        for (place, word) in rig.bytes(32).chunks_exact_mut(8).zip(parts.as_flattened()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let written =
            while_others_hold(&mut rig, HELD_MAX, |rig| rig.call(c::__NR_writev, &[ends[1], buffer, 2]));
        assert_eq!(written, 6000);
        assert_eq!(rig.call(c::__NR_readv, &[ends[0], buffer, 2]), 6000);
    }
}
