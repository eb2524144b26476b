//! Open files that never change: files of an image, generated texts, directories and paths.

use super::Location;
use super::erofs::Contents;
use crate::errno::{Errno, Result};
use crate::file::File;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general::stat as Stat;

/// An open file of an image.
pub struct ImageFile {
    /// What is in it.
    pub contents: Contents,
    /// What stat(2) tells about it.
    pub stat: Stat,
}

impl File for ImageFile {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        Ok(self.contents.read(offset, buf))
    }

    fn write(&self, _offset: u64, _buf: &[u8]) -> Result<usize> {
        Err(Errno::EROFS)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.stat)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn size(&self) -> u64 {
        (self.contents.head.len() + self.contents.tail.len()) as u64
    }

    fn image_slice(&self) -> Option<&'static [u8]> {
        self.contents.whole()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A text that was generated when it was opened.
pub struct TextFile {
    /// The text.
    pub text: Vec<u8>,
    /// What stat(2) tells about it.
    pub stat: Stat,
}

impl File for TextFile {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        let len = (self.text.len() - start).min(buf.len());
        buf[..len].copy_from_slice(&self.text[start..start + len]);
        Ok(len)
    }

    fn write(&self, _offset: u64, _buf: &[u8]) -> Result<usize> {
        Err(Errno::EACCES)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.stat)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory.
pub struct DirectoryFile(pub Location);

impl File for DirectoryFile {
    fn read(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn write(&self, _offset: u64, _buf: &[u8]) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn stat(&self) -> Result<Stat> {
        self.0.stat()
    }

    fn seekable(&self) -> bool {
        true
    }

    fn location(&self) -> Option<&Location> {
        Some(&self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A place in the tree, opened with `O_PATH`: nothing can be done with it but to name it.
pub struct PathFile(pub Location);

impl File for PathFile {
    fn read(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn write(&self, _offset: u64, _buf: &[u8]) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn stat(&self) -> Result<Stat> {
        self.0.stat()
    }

    fn location(&self) -> Option<&Location> {
        Some(&self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
