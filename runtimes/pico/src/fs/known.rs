//! Paths that lead to the same place for ever: absolute, through nothing but images, which never change. Programs
//! open the same few files again and again.

use super::{Location, Node};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

/// How many paths are remembered, each at a place its bytes determine.
const PATHS: usize = 32;
/// Longer ones are not.
const LONGEST: usize = 128;

/// A path and where it leads.
type Entry = (Box<[u8]>, Location);

/// The last paths that were followed.
pub struct Known(RefCell<Vec<Option<Entry>>>);

impl Default for Known {
    fn default() -> Self {
        Self(RefCell::new((0..PATHS).map(|_| None).collect()))
    }
}

/// Where `path` is remembered.
fn place(path: &[u8]) -> usize {
    // FNV-1a.
    let step = |hash: usize, &byte: &u8| (hash ^ usize::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = path.iter().fold(0xcbf2_9ce4_8422_2325, step);
    (hash >> 32 ^ hash) % PATHS
}

impl Known {
    /// Where `path` leads, if it was followed before.
    pub fn find(&self, path: &[u8]) -> Option<Location> {
        let paths = self.0.borrow();
        let (_, location) = paths[place(path)].as_ref().filter(|(known, _)| **known == *path)?;
        Some(location.clone())
    }

    /// `path` leads to `location`, and to nothing outside of images on the way.
    pub(super) fn note(&self, path: &[u8], location: &Location) {
        if path.len() <= LONGEST && matches!(location.node, Node::Image(..)) {
            self.0.borrow_mut()[place(path)] = Some((path.into(), location.clone()));
        }
    }

    /// Something was mounted.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().fill_with(|| None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::fs::rig::{EVERYTHING, Rig, err};
    use linux_raw_sys::general as linux;
    use std::format;

    fn knows(rig: &Rig, path: &str) -> bool {
        rig.kernel.vfs.mounts.known().find(path.as_bytes()).is_some()
    }

    /// What is at `path`, and its path without links.
    fn seen(rig: &Rig, path: &str) -> (u64, u64, Vec<u8>) {
        let location = rig.kernel.resolve(path.as_bytes()).expect(path);
        let stat = location.stat().expect(path);
        (stat.st_ino, stat.st_dev, location.path_then().into())
    }

    #[test]
    fn only_paths_through_images_are_remembered() {
        let mut rig = Rig::new();
        assert_eq!(rig.write_all("/tmp/1", b"new"), 3);
        let paths = [
            ("/files/1", true),
            ("/var/task/files/1", true),
            ("/files", true),
            ("/", true),
            ("//files/./1", true),
            ("/tmp/1", false),
            ("/tmp/../files/1", false),
            ("/dev/null", false),
            ("/proc/cpuinfo", false),
        ];
        for (path, known) in paths {
            let first = seen(&rig, path);
            assert_eq!((knows(&rig, path), seen(&rig, path)), (known, first), "{path}");
        }
        assert_eq!(rig.on(linux::__NR_unlink, "/tmp/1", &[]), 0);
        assert_eq!(rig.stat("/tmp/1").err(), Some(err(Errno::ENOENT)));
        assert_eq!(rig.open("/files/1", linux::O_DIRECTORY), err(Errno::ENOTDIR));
        assert_eq!(rig.open("/files/1", linux::O_CREAT | linux::O_EXCL), err(Errno::EEXIST));
        assert_eq!(rig.open("/files/1/", linux::O_RDONLY), err(Errno::ENOTDIR));
        rig.kernel.vfs.mounts.mount_package(EVERYTHING);
        assert!(!knows(&rig, "/files/1"), "something was mounted");
    }

    #[test]
    fn no_more_than_some_paths_of_some_length_are_remembered() {
        let rig = Rig::new();
        let long = format!("/files/{}1", "./".repeat(LONGEST));
        let many = (0..4 * PATHS).map(|number| format!("/{}files/1", "/".repeat(number)));
        for path in many.chain([long.clone()]) {
            assert_eq!(seen(&rig, &path).2, b"/files/1");
        }
        assert!(!knows(&rig, &long));
        assert_eq!(rig.kernel.vfs.mounts.known().0.borrow().len(), PATHS);
    }
}
