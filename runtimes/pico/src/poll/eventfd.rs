//! eventfd(2): a counter that can be waited for.

use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::net::{anonymous_stat, next_inode};
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::stat as Stat;

/// Most the counter can hold.
const MAX: u64 = u64::MAX - 1;

/// The counter.
pub struct EventFd {
    count: Cell<u64>,
    /// Reads take 1 instead of everything.
    semaphore: bool,
    activity: Cell<u64>,
    inode: u64,
}

impl EventFd {
    /// A counter that starts at `count`.
    pub fn new(count: u32, semaphore: bool) -> Self {
        Self { count: Cell::new(count.into()), semaphore, activity: Cell::new(0), inode: next_inode() }
    }

    fn set(&self, count: u64) {
        self.count.set(count);
        self.activity.set(self.activity.get() + 1);
    }
}

impl File for EventFd {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        let target = buf.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        let count = self.count.get();
        if count == 0 {
            return Err(Errno::EAGAIN);
        }
        let taken = if self.semaphore { 1 } else { count };
        *target = taken.to_ne_bytes();
        self.set(count - taken);
        Ok(8)
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        let added = u64::from_ne_bytes(*buf.first_chunk().ok_or(Errno::EINVAL)?);
        if added == u64::MAX {
            return Err(Errno::EINVAL);
        }
        let count = self.count.get().checked_add(added).filter(|&count| count <= MAX).ok_or(Errno::EAGAIN)?;
        self.set(count);
        Ok(8)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anonymous_stat(0o600, self.inode))
    }

    fn ready(&self) -> Ready {
        let mut ready = Ready::empty();
        ready.set(Ready::IN, self.count.get() > 0);
        ready.set(Ready::OUT, self.count.get() < MAX);
        ready
    }

    fn activity(&self) -> u64 {
        self.activity.get()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &EventFd) -> Result<u64> {
        let mut buf = [0; 8];
        event.read(0, &mut buf).map(|_| u64::from_ne_bytes(buf))
    }

    #[test]
    fn a_counter_gives_everything_and_a_semaphore_one() {
        let counter = EventFd::new(2, false);
        counter.write(0, &3u64.to_ne_bytes()).expect("room");
        assert_eq!(read(&counter), Ok(5));
        assert_eq!(read(&counter), Err(Errno::EAGAIN));
        let semaphore = EventFd::new(2, true);
        assert_eq!(
            [read(&semaphore), read(&semaphore), read(&semaphore)],
            [Ok(1), Ok(1), Err(Errno::EAGAIN)]
        );
    }

    #[test]
    fn limits_and_short_buffers() {
        let event = EventFd::new(0, false);
        assert_eq!(event.write(0, &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL));
        assert_eq!(event.write(0, &[1; 7]), Err(Errno::EINVAL));
        assert_eq!(event.read(0, &mut [0; 7]), Err(Errno::EINVAL));
        event.write(0, &MAX.to_ne_bytes()).expect("room");
        assert_eq!(event.ready(), Ready::IN);
        assert_eq!(event.write(0, &1u64.to_ne_bytes()), Err(Errno::EAGAIN));
        assert_eq!(read(&event), Ok(MAX));
        assert_eq!(event.ready(), Ready::OUT);
    }

    #[test]
    fn every_write_is_an_edge() {
        let event = EventFd::new(0, false);
        let before = event.activity();
        event.write(0, &1u64.to_ne_bytes()).expect("room");
        let between = event.activity();
        event.write(0, &1u64.to_ne_bytes()).expect("room");
        assert!(before < between && between < event.activity());
    }
}
