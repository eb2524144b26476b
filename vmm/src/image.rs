//! Read-only images: files that all VMs of a process see through a slot of their own.

use crate::memory::{Advice, Backing, Mapping};
use crate::size::{HUGE_BYTES, size};
use abi::layout::{HUGE, IMAGE_MAX};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// An image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// Not a file with a size between 1 byte and the maximum.
    #[error("an image must be a regular file of 1 to {IMAGE_MAX} bytes, this one has {0}")]
    Size(u64),
    /// The kernel refused.
    #[error("the image cannot be mapped")]
    Io(#[from] io::Error),
}

/// A file mapped read-only. The slot it fills is rounded up to 2 MiB; what lies beyond the file reads as zero.
#[derive(Debug)]
pub struct Image {
    mapping: Mapping,
    len: u64,
}

impl Image {
    /// Maps all of `file`. The file must not be shortened while the image is in use: a guest that reads a part
    /// that is gone stops with an error.
    ///
    /// A memfd (or a file on tmpfs) is gathered into large pages where the kernel agrees, once for all processes
    /// that map it; a guest then takes one fault for 2 MiB instead of one for 4 KiB.
    pub fn map(file: &File) -> Result<Image, MapError> {
        let metadata = file.metadata()?;
        let len = metadata.len();
        if !metadata.is_file() || len == 0 || len > IMAGE_MAX {
            return Err(MapError::Size(len));
        }
        let backing = Backing::ReadOnly(file.as_fd(), size(len));
        let mut mapping = Mapping::new(size(len.next_multiple_of(HUGE)), backing)?;
        for area in 0..len / HUGE {
            // An optimisation; a file system that cannot do it refuses the first area at once.
            if mapping.advise(size(area * HUGE), HUGE_BYTES, Advice::Collapse).is_err() {
                break;
            }
        }
        Ok(Image { mapping, len })
    }

    /// Bytes of the file.
    #[expect(clippy::len_without_is_empty, reason = "an image is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::Write;

    #[test]
    fn what_follows_the_file_reads_as_zero() {
        let mut file = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(&[7; 5000]).unwrap();
        let image = Image::map(&file).unwrap();
        assert_eq!(image.len(), 5000);
        assert_eq!(image.mapping().len() as u64, HUGE);
        let mut bytes = [1; 2];
        image.mapping().read(4999, &mut bytes).unwrap();
        assert_eq!(bytes, [7, 0]);
        image.mapping().read(size(HUGE) - 2, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 0]);
    }

    #[test]
    fn an_empty_file_is_refused() {
        let file = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
        assert!(matches!(Image::map(&file), Err(MapError::Size(0))));
    }
}
