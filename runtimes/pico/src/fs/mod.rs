//! The tree of files: what is mounted where, and what can be done with a place in it.
//!
//! ```text
//! /                                    the root image, read-only
//! /var/task                            the package image, read-only
//! /tmp /var/tmp /dev/shm /run          memory
//! /dev /proc /sys                      generated
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`mounts`] | which path is the root of which file system |
//! | [`node`] | one file of any of them: metadata, children, opening |
//! | [`path`] | from a path to a place |
//! | [`known`] | paths that were followed before |
//! | [`erofs`], [`memory`], [`device`], [`proc`] | the file systems |
//! | [`files`] | open files that never change |
//! | [`notify`] | who watches files |

pub mod attributes;
pub mod console;
pub mod device;
pub mod erofs;
pub mod files;
pub mod known;
pub mod listing;
pub mod memory;
pub mod mounts;
pub mod node;
pub mod notify;
pub mod path;
pub mod proc;

use crate::errno::{Errno, Result};
use crate::file::{Descriptor, File, OpenFile};
use crate::kernel::Kernel;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use attributes::{Time, is_dir, is_regular};
use device::{Device, Devices, LogFile};
use linux_raw_sys::general as linux;
use memory::SharedMappings;
use mounts::Mounts;
pub use node::{Link, Location, Node};
use notify::Notifier;

/// What `/proc` tells about the program.
#[derive(Clone, Default)]
pub struct Program {
    /// Path of the executable.
    pub exe: Vec<u8>,
    /// Arguments, each ended by a NUL.
    pub arguments: Rc<[u8]>,
    /// Environment, each entry ended by a NUL.
    pub environment: Rc<[u8]>,
}

impl Program {
    /// Bytes of pico's own memory that it takes.
    pub fn own_bytes(&self) -> usize {
        self.exe.len() + self.arguments.len() + self.environment.len()
    }
}

/// A process's place in the tree.
#[derive(Clone)]
pub struct Place {
    /// Current directory.
    pub cwd: Location,
    /// File mode creation mask.
    pub umask: u32,
    /// What `/proc` tells.
    pub program: Program,
}

/// The tree, and the place of the process that runs in it.
pub struct Vfs {
    /// What is mounted.
    pub mounts: Mounts,
    /// Devices other modules have added.
    pub devices: Devices,
    /// Where the process is that runs.
    pub place: Place,
    /// Files in memory that are mapped shared.
    pub shared: SharedMappings,
    /// Who watches files.
    pub notifier: Rc<Notifier>,
}

impl Vfs {
    /// The tree over the root image and the package image. No root image is an empty one; in a damaged one
    /// everything is `EUCLEAN`.
    pub fn new(root: &'static [u8], package: Option<&'static [u8]>) -> Self {
        let mounts = Mounts::new(root, package);
        let cwd = mounts.root();
        Self {
            mounts,
            devices: Devices::default(),
            place: Place { cwd, umask: 0o022, program: Program::default() },
            shared: SharedMappings::default(),
            notifier: Rc::default(),
        }
    }
}

impl Kernel {
    /// The time for file systems.
    pub fn file_time(&self) -> Time {
        i64::try_from(self.clock.wall(self.platform.tsc())).unwrap_or(i64::MAX)
    }

    /// Descriptors 0, 1 and 2: the console's, else nothing to read, and the log.
    pub fn open_standard_streams(&mut self) -> Result<()> {
        if let Some(console) = self.console.clone() {
            if console.terminal().is_some() {
                self.attach_console();
            }
            return self.open_streams(console.standard_streams());
        }
        let stdin = Device::Null.open(self, mounts::DEV_DEVICES)?;
        let log = |stream| Rc::new(LogFile::new(self.platform.clone(), stream, mounts::DEV_DEVICES));
        self.open_streams([
            (stdin, linux::O_RDONLY, "/dev/null"),
            (log(1), linux::O_WRONLY, "log:[1]"),
            (log(2), linux::O_WRONLY, "log:[2]"),
        ])
    }

    /// Opens `streams` (file, access, path) as descriptors 0, 1 and 2.
    fn open_streams(&mut self, streams: [(Rc<dyn File>, u32, &str); 3]) -> Result<()> {
        for (fd, (file, flags, path)) in (0..).zip(streams) {
            let open = OpenFile::new(file, flags, path.into());
            self.fds.replace(fd, Some(Descriptor { open: Rc::new(open), close_on_exec: false }))?;
        }
        Ok(())
    }

    /// The file at `path` for execution: a regular file with an execute permission, else `EACCES`.
    pub fn open_for_exec(&self, path: &[u8]) -> Result<Rc<dyn File>> {
        self.executable(&self.resolve(path)?)
    }

    /// The file at `location` for execution, as [`Kernel::open_for_exec`].
    pub fn executable(&self, location: &Location) -> Result<Rc<dyn File>> {
        let mode = location.stat()?.st_mode;
        if mode & linux::S_IFMT == linux::S_IFLNK {
            return Err(Errno::ELOOP);
        }
        if !is_regular(mode) || mode & 0o111 == 0 {
            return Err(Errno::EACCES);
        }
        location.open(self)
    }

    /// The directory at `path` becomes the current one.
    pub fn change_dir(&mut self, path: &[u8]) -> Result<()> {
        let location = self.resolve(path)?;
        self.enter_dir(location)
    }

    /// `location` becomes the current directory.
    pub fn enter_dir(&mut self, location: Location) -> Result<()> {
        if !is_dir(location.stat()?.st_mode) {
            return Err(Errno::ENOTDIR);
        }
        self.vfs.place.cwd = location;
        Ok(())
    }

    /// Memory of files that are gone goes back to the program. Called after whatever may have dropped a file.
    pub fn reclaim_files(&mut self) {
        self.vfs.mounts.pool().empty_trash(&mut self.mm);
    }
}

/// `path` as text for messages and listings.
pub fn text(path: Vec<u8>) -> String {
    String::from_utf8(path).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod mapped_tests;
#[cfg(test)]
mod native_tests;
#[cfg(test)]
pub(crate) mod rig;
#[cfg(test)]
mod tests;
