//! An open file in memory.

use super::Inode;
use crate::errno::Result;
use crate::file::File;
use crate::kernel::Kernel;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general::stat as Stat;

/// Contents that are mapped are copied by way of a buffer of this size: what the program reads into or writes from
/// may be the very same pages.
const BOUNCE: usize = 64 << 10;

/// An open regular file in memory. It lives on when its last name is gone.
pub struct MemoryFile(pub Rc<Inode>);

impl File for MemoryFile {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let data = self.0.data()?.borrow();
        if !data.is_pinned(offset, offset.saturating_add(buf.len() as u64)) {
            return Ok(data.read(offset, buf));
        }
        let mut done = 0;
        for part in buf.chunks_mut(BOUNCE) {
            let mut bounce = vec![0; part.len()];
            let count = data.read(offset + done as u64, &mut bounce);
            part[..count].copy_from_slice(&bounce[..count]);
            done += count;
        }
        Ok(done)
    }

    fn write(&self, offset: u64, buf: &[u8]) -> Result<usize> {
        let mut data = self.0.data()?.borrow_mut();
        if !data.is_pinned(offset, offset.saturating_add(buf.len() as u64)) {
            return data.write(offset, buf);
        }
        let mut done = 0;
        for part in buf.chunks(BOUNCE) {
            let bounce = Vec::from(part);
            let count = data.write(offset + done as u64, &bounce)?;
            done += count;
            if count < part.len() {
                break;
            }
        }
        Ok(done)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.0.attributes().to_stat())
    }

    fn seekable(&self) -> bool {
        true
    }

    fn size(&self) -> u64 {
        self.0.attributes().size
    }

    fn prepare_write(&self, kernel: &mut Kernel, offset: u64, len: usize) -> Result<usize> {
        let now = kernel.file_time();
        self.0.reserve(&mut kernel.mm, offset, len, now)
    }

    fn truncate(&self, kernel: &mut Kernel, size: u64) -> Result<()> {
        let now = kernel.file_time();
        self.0.resize(&mut kernel.mm, size, now)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
