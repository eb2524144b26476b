//! An open file in memory.

use super::Inode;
use crate::errno::Result;
use crate::file::File;
use crate::kernel::Kernel;
use alloc::rc::Rc;
use core::any::Any;
use linux_raw_sys::general::stat as Stat;

/// An open regular file in memory. It lives on when its last name is gone.
pub struct MemoryFile(pub Rc<Inode>);

impl File for MemoryFile {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        Ok(self.0.data()?.borrow().read(offset, buf))
    }

    fn write(&self, offset: u64, buf: &[u8]) -> Result<usize> {
        self.0.data()?.borrow_mut().write(offset, buf)
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
