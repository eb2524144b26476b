//! `/dev`: the devices a program expects, and the ones other modules add.

use super::attributes::Attributes;
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::random;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general::{S_IFCHR, stat as Stat};

/// Makes the open file of a device that another module brings; it is given what stat(2) tells.
pub type Opener = Rc<dyn Fn(Stat) -> Rc<dyn File>>;

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Swallows everything, is always at its end.
    Null,
    /// Endless zeros.
    Zero,
    /// Endless zeros, no room to write.
    Full,
    /// `/dev/random`.
    Random,
    /// `/dev/urandom`.
    Urandom,
    /// The controlling terminal, if the program has one.
    Tty,
    /// Opening it makes a pseudo terminal; what is opened is its master.
    Ptmx,
    /// Writes go to the log.
    Console,
    /// One that was registered, by position.
    Registered(usize),
}

/// The devices with fixed names.
const FIXED: [(&str, Device); 8] = [
    ("null", Device::Null),
    ("zero", Device::Zero),
    ("full", Device::Full),
    ("random", Device::Random),
    ("urandom", Device::Urandom),
    ("tty", Device::Tty),
    ("ptmx", Device::Ptmx),
    ("console", Device::Console),
];

/// The symbolic links in `/dev`.
pub const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The devices other modules have added.
#[derive(Default)]
pub struct Devices {
    registered: Vec<(&'static str, Opener)>,
}

impl Devices {
    /// Adds the device `/dev/NAME`.
    pub fn register(&mut self, name: &'static str, opener: Opener) {
        self.registered.push((name, opener));
    }

    /// The names of all devices.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, Device)> {
        let registered = self.registered.iter().enumerate();
        FIXED.into_iter().chain(registered.map(|(index, &(name, _))| (name, Device::Registered(index))))
    }

    /// The device called `name`.
    pub fn find(&self, name: &[u8]) -> Option<Device> {
        self.names().find(|(known, _)| known.as_bytes() == name).map(|(_, device)| device)
    }
}

impl Device {
    /// Device number and permissions, as in Linux's `devices.txt`.
    fn number(self) -> (u64, u64, u32) {
        match self {
            Self::Null => (1, 3, 0o666),
            Self::Zero => (1, 5, 0o666),
            Self::Full => (1, 7, 0o666),
            Self::Random => (1, 8, 0o666),
            Self::Urandom => (1, 9, 0o666),
            Self::Tty => (5, 0, 0o666),
            Self::Ptmx => (5, 2, 0o666),
            Self::Console => (5, 1, 0o620),
            Self::Registered(index) => (240, index as u64, 0o666),
        }
    }

    /// Metadata for stat(2).
    pub fn attributes(self, dev: u64) -> Attributes {
        let (major, minor, mode) = self.number();
        let rdev = (major << 8) | minor;
        Attributes {
            dev,
            ino: 0x1_0000 + rdev,
            mode: S_IFCHR | mode,
            nlink: 1,
            rdev,
            ..Attributes::default()
        }
    }

    /// Opens the device.
    pub fn open(self, kernel: &Kernel, dev: u64) -> Result<Rc<dyn File>> {
        let stat = self.attributes(dev).to_stat();
        match self {
            Self::Tty => kernel.own_terminal(stat),
            // What opens files knows how to make one.
            Self::Ptmx => Err(Errno::ENXIO),
            Self::Console => Ok(Rc::new(LogFile { platform: kernel.platform.clone(), stream: 2, stat })),
            Self::Registered(index) => {
                let (_, opener) = kernel.vfs.devices.registered.get(index).ok_or(Errno::ENXIO)?;
                Ok(opener(stat))
            }
            Self::Null | Self::Zero | Self::Full | Self::Random | Self::Urandom => {
                Ok(Rc::new(DeviceFile { device: self, random: kernel.random.clone(), stat }))
            }
        }
    }
}

/// An open device that has no state of its own.
struct DeviceFile {
    device: Device,
    random: random::Shared,
    stat: Stat,
}

impl File for DeviceFile {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        match self.device {
            Device::Null => return Ok(0),
            Device::Random | Device::Urandom => self.random.fill(buf),
            _ => buf.fill(0),
        }
        Ok(buf.len())
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        if self.device == Device::Full { Err(Errno::ENOSPC) } else { Ok(buf.len()) }
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

/// Standard output or standard error: every write is a log record.
pub struct LogFile {
    platform: Rc<dyn Platform>,
    stream: u32,
    stat: Stat,
}

impl LogFile {
    /// The log stream `stream`: 1 standard output, 2 standard error.
    pub fn new(platform: Rc<dyn Platform>, stream: u32, dev: u64) -> Self {
        Self { platform, stream, stat: Device::Console.attributes(dev).to_stat() }
    }
}

impl File for LogFile {
    fn read(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        self.platform.log(self.stream, buf);
        Ok(buf.len())
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.stat)
    }

    fn ready(&self) -> Ready {
        Ready::OUT
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
