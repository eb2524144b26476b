//! System calls: one table from number to handler; each handler decodes, validates, acts, returns.

pub mod alarm;
pub mod control;
pub mod dir;
pub mod dir_list;
pub mod epoll;
pub mod eventfd;
pub mod exec;
pub mod fdctl;
mod fifo;
pub mod file_copy;
pub mod file_io;
mod file_map;
pub mod file_open;
pub mod file_size;
pub mod futex;
pub mod group;
mod held;
pub mod ids;
pub mod inotify;
pub mod lock;
pub mod memory;
pub mod message;
pub mod misc;
pub mod names;
pub mod path;
pub mod pidfd;
pub mod pipe;
pub mod poll;
pub mod priority;
pub mod process;
mod refused;
mod remap;
mod scarce;
pub mod select;
pub mod shm;
pub mod signal;
pub mod signalfd;
pub mod socket;
mod socket_control;
pub mod socket_io;
pub mod splice;
pub mod stat;
pub mod stat_change;
mod table;
mod terminal;
pub mod thread;
pub mod time;
pub mod timerfd;
mod timers;
pub mod unix;
mod vectors;
pub mod wait;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod limits_tests;

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;

pub use held::HELD_MAX;
pub use table::{dispatch, entries, markdown};

/// All system calls, family by family. A family is one file here with a table of its own.
const FAMILIES: &[&[Entry]] = &[
    memory::ENTRIES,
    stat_change::ENTRIES,
    stat::ENTRIES,
    path::ENTRIES,
    file_size::ENTRIES,
    file_open::ENTRIES,
    file_io::ENTRIES,
    file_copy::ENTRIES,
    splice::ENTRIES,
    fdctl::ENTRIES,
    lock::ENTRIES,
    dir_list::ENTRIES,
    dir::ENTRIES,
    shm::ENTRIES,
    time::ENTRIES,
    alarm::ENTRIES,
    signal::ENTRIES,
    group::ENTRIES,
    ids::ENTRIES,
    process::ENTRIES,
    pidfd::ENTRIES,
    wait::ENTRIES,
    exec::ENTRIES,
    thread::ENTRIES,
    futex::ENTRIES,
    misc::ENTRIES,
    names::ENTRIES,
    priority::ENTRIES,
    socket::ENTRIES,
    socket_io::ENTRIES,
    message::ENTRIES,
    poll::ENTRIES,
    select::ENTRIES,
    epoll::ENTRIES,
    pipe::ENTRIES,
    eventfd::ENTRIES,
    timerfd::ENTRIES,
    timers::ENTRIES,
    signalfd::ENTRIES,
    inotify::ENTRIES,
];

/// The six arguments of a system call, read by name and type rather than cast in place.
#[derive(Clone, Copy, Debug)]
pub struct Args(pub [u64; 6]);

impl Args {
    /// Argument `index` as it came.
    pub fn raw(&self, index: usize) -> u64 {
        self.0[index]
    }

    /// Argument `index` as a C `int`: its low 32 bits, as the kernel's ABI has it.
    pub fn int(&self, index: usize) -> i32 {
        let bytes = self.0[index].to_le_bytes();
        i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Argument `index` as a C `unsigned int`.
    pub fn uint(&self, index: usize) -> u32 {
        self.int(index).cast_unsigned()
    }

    /// Argument `index` as a descriptor number; negative ones are `EBADF`.
    pub fn fd(&self, index: usize) -> Result<u64> {
        u64::try_from(self.int(index)).map_err(|_| Errno::EBADF)
    }

    /// Argument `index` as a size in this address space.
    pub fn size(&self, index: usize) -> usize {
        usize::try_from(self.0[index]).expect("usize is 64 bits wide")
    }
}

/// What pico does with a system call. The compatibility page is generated from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As Linux does it.
    Full,
    /// With the stated difference.
    Partial(&'static str),
}

/// One row of the table.
pub struct Entry {
    /// Number (x86-64).
    pub number: u32,
    /// Name as in syscalls(2).
    pub name: &'static str,
    /// What is supported.
    pub support: Support,
    /// The handler.
    pub handler: fn(&mut Kernel, &Args) -> Result<u64>,
}
