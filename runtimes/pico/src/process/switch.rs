//! From one process to another.

use super::{Process, Signals};
use crate::errno::{Errno, Result};
use crate::file::FdTable;
use crate::fs::Place;
use crate::kernel::Kernel;
use crate::mm::Mm;
use core::mem;

/// What is a process's own. While it is current, this lies in the kernel.
pub struct Stored {
    /// Signals and limits.
    pub process: Process,
    /// Descriptors.
    pub fds: FdTable,
    /// Its place in the tree of files.
    pub place: Place,
}

/// What `/proc` can tell of a process, current or not.
pub struct View<'a> {
    /// Signals and limits.
    pub process: &'a Process,
    /// Descriptors.
    pub fds: &'a FdTable,
    /// Its place in the tree of files.
    pub place: &'a Place,
    /// Memory.
    pub mm: &'a Mm,
}

impl Kernel {
    /// Process `pid` becomes the current one. What is left of one that has ended is dropped.
    pub(crate) fn enter_process(&mut self, pid: u32) {
        let before = self.processes.current;
        if pid == before {
            return;
        }
        let Some(mut own) = self.processes.get_mut(pid).ok().and_then(|record| record.stored.take()) else {
            return self.fail("a process that is gone is to run");
        };
        self.account();
        mem::swap(&mut self.process, &mut own.process);
        mem::swap(&mut self.fds, &mut own.fds);
        mem::swap(&mut self.vfs.place, &mut own.place);
        self.processes.current = pid;
        self.act_as_process();
        match self.processes.get_mut(before) {
            Ok(record) if record.ended.is_none() => record.stored = Some(own),
            _ => drop(own),
        }
        let space = self.processes.own().space;
        self.enter_space(space);
    }

    /// Adds the CPU time since the last switch to the current process.
    pub(crate) fn account(&mut self) {
        let now = self.clock.busy(self.platform.tsc());
        self.process.busy += now.saturating_sub(self.processes.since);
        self.processes.since = now;
    }

    /// CPU time of the current process, in ns.
    pub(crate) fn own_busy(&self) -> u64 {
        let now = self.clock.busy(self.platform.tsc());
        self.process.busy + now.saturating_sub(self.processes.since)
    }

    /// Id of the current process.
    pub fn pid(&self) -> u32 {
        self.processes.current
    }

    /// The signals of process `pid`, or `ESRCH` if it has ended.
    pub(crate) fn signals_of(&mut self, pid: u32) -> Result<&mut Signals> {
        if pid == self.processes.current {
            return Ok(&mut self.process.signals);
        }
        let stored = self.processes.get_mut(pid)?.stored.as_mut();
        stored.map(|stored| &mut stored.process.signals).ok_or(Errno::ESRCH)
    }

    /// What process `pid` is made of; nothing if it has ended.
    pub(crate) fn view(&self, pid: u32) -> Option<View<'_>> {
        if pid == self.processes.current {
            let (process, fds, place, mm) = (&self.process, &self.fds, &self.vfs.place, &self.mm);
            return Some(View { process, fds, place, mm });
        }
        let record = self.processes.get(pid).ok()?;
        let stored = record.stored.as_ref()?;
        let mm = if record.space == self.processes.spaces.current() {
            &self.mm
        } else {
            &self.processes.spaces.stored(record.space)?.mm
        };
        Some(View { process: &stored.process, fds: &stored.fds, place: &stored.place, mm })
    }
}
