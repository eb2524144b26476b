//! Which processes there are.

use super::{PidFd, Spaces, Stored};
use crate::errno::{Errno, Result};
use crate::net::budget::Budget;
use crate::tty::jobs::Jobs;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::SIGCHLD;

/// Bytes of pico's own memory that all processes but the first may need together.
const OWN_MEMORY: usize = 2 << 20;
/// Bytes of pico's own memory that a process needs besides its descriptors.
const RECORD_BYTES: usize = 6 << 10;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By exit(2), with this status.
    Exited(u32),
    /// By this signal.
    Killed(u32),
}

/// What has become of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has ended.
    Ended(Ending),
    /// This signal has stopped it.
    Stopped(u32),
    /// It goes on.
    Continued,
}

impl Change {
    /// The status wait4(2) reports.
    pub fn wait_status(self) -> u32 {
        match self {
            Self::Ended(Ending::Exited(status)) => (status & 0xff) << 8,
            Self::Ended(Ending::Killed(signal)) => signal,
            Self::Stopped(signal) => signal << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }
}

/// What the parent of a process can ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// What has become of it.
    pub change: Change,
    /// CPU time it used, and its children that were waited for, in ns.
    pub busy: u64,
}

/// What others know of a process.
pub struct Record {
    /// Who made it; 0: the host.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// Its controlling terminal.
    pub terminal: Option<Rc<Jobs>>,
    /// The group that was in the foreground when it, a session's leader, lost its terminal; 0: none.
    pub lost_foreground: u32,
    /// Threads that have not ended.
    pub threads: usize,
    /// Its address space among [`Spaces`].
    pub space: u32,
    /// The signal its parent gets at its end; 0: none.
    pub exit_signal: u32,
    /// The thread that waits until this process has an address space of its own, or ends: vfork(2).
    pub lender: Option<u32>,
    /// Whether it runs another program than its parent did.
    pub has_execed: bool,
    /// Set once it is to end; its threads are on their way.
    pub ending: Option<Ending>,
    /// Set once it has ended: a zombie.
    pub ended: Option<News>,
    /// Set when it stops and when it is continued, until its parent has asked.
    pub change: Option<Change>,
    /// `PR_SET_CHILD_SUBREAPER`: it becomes the parent of descendants whose parents end.
    pub adopts: bool,
    /// What its process descriptors refer to, once it has had one.
    pub pidfd: Option<Rc<PidFd>>,
    /// CPU time of its children that were waited for, in ns.
    pub children_busy: u64,
    /// What is its own, while another process has the processor.
    pub stored: Option<Box<Stored>>,
    charged: usize,
}

impl Record {
    fn first() -> Self {
        let first = u32::try_from(super::PID).expect("it is 1");
        Self {
            parent: 0,
            group: first,
            session: first,
            terminal: None,
            lost_foreground: 0,
            threads: 1,
            space: Spaces::FIRST,
            exit_signal: SIGCHLD,
            lender: None,
            has_execed: true,
            ending: None,
            ended: None,
            change: None,
            adopts: false,
            pidfd: None,
            children_busy: 0,
            stored: None,
            charged: 0,
        }
    }
}

/// All processes, with those that ended and nobody has asked about.
pub struct Processes {
    by_pid: BTreeMap<u32, Record>,
    pub(super) current: u32,
    /// CPU time of the VM when the current process got the processor.
    pub(super) since: u64,
    /// Their address spaces.
    pub spaces: Spaces,
    memory: Budget,
}

/// The first process.
pub const FIRST: u32 = 1;

impl Default for Processes {
    fn default() -> Self {
        Self {
            by_pid: BTreeMap::from([(FIRST, Record::first())]),
            current: FIRST,
            since: 0,
            spaces: Spaces::default(),
            memory: Budget::new(OWN_MEMORY),
        }
    }
}

impl Processes {
    /// The process whose state lies in the kernel.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Whether there is no other process.
    pub fn is_alone(&self) -> bool {
        self.by_pid.len() == 1
    }

    /// The clock of CPU time begins anew.
    pub fn restart_clock(&mut self) {
        self.since = 0;
    }

    /// How many there are, zombies included.
    pub fn count(&self) -> usize {
        self.by_pid.len()
    }

    /// Process `pid`, or `ESRCH`.
    pub fn get(&self, pid: u32) -> Result<&Record> {
        self.by_pid.get(&pid).ok_or(Errno::ESRCH)
    }

    /// Process `pid`, or `ESRCH`.
    pub fn get_mut(&mut self, pid: u32) -> Result<&mut Record> {
        self.by_pid.get_mut(&pid).ok_or(Errno::ESRCH)
    }

    /// The current process.
    pub fn own(&self) -> &Record {
        &self.by_pid[&self.current]
    }

    /// The current process.
    pub fn own_mut(&mut self) -> &mut Record {
        self.by_pid.get_mut(&self.current).expect("the current process is in the table")
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.by_pid.iter().map(|(&pid, record)| (pid, record))
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Record)> {
        self.by_pid.iter_mut().map(|(&pid, record)| (pid, record))
    }

    /// Those that `is_meant`.
    pub fn select(&self, is_meant: impl Fn(u32, &Record) -> bool) -> Vec<u32> {
        self.iter().filter(|&(pid, record)| is_meant(pid, record)).map(|(pid, _)| pid).collect()
    }

    /// Whether `id` names a process, a group or a session.
    pub fn is_in_use(&self, id: u32) -> bool {
        self.by_pid.contains_key(&id)
            || self.iter().any(|(_, record)| record.group == id || record.session == id)
    }

    /// Takes pico's own memory for one more process with `bytes` of its own. `EAGAIN` if there is none.
    pub(super) fn charge(&self, bytes: usize) -> Result<usize> {
        let amount = RECORD_BYTES + bytes;
        self.memory.take(amount).map(|()| amount).map_err(|_| Errno::EAGAIN)
    }

    /// Takes pico's own memory for what the current process will have. `ENOMEM` if there is none.
    pub(crate) fn recharge(&mut self, bytes: usize) -> Result<()> {
        let before = self.own().charged;
        self.memory.give(before);
        let amount = if self.current == FIRST { bytes } else { RECORD_BYTES + bytes };
        let taken = self.memory.take(amount).map(|()| amount);
        if taken.is_err() {
            self.memory.take(before).expect("it was given back just now");
        }
        self.own_mut().charged = taken.unwrap_or(before);
        taken.map(drop).map_err(|_| Errno::ENOMEM)
    }

    /// Gives back what [`Processes::charge`] took.
    pub(super) fn refund(&self, amount: usize) {
        self.memory.give(amount);
    }

    /// A child of the current process, `pid`, that lives in `space`.
    pub(super) fn add(&mut self, pid: u32, space: u32, exit_signal: u32, charged: usize, stored: Stored) {
        let (parent, own) = (self.current, self.own());
        let record = Record {
            parent,
            group: own.group,
            session: own.session,
            terminal: own.terminal.clone(),
            lost_foreground: 0,
            threads: 1,
            space,
            exit_signal,
            lender: None,
            has_execed: false,
            ending: None,
            ended: None,
            change: None,
            adopts: false,
            pidfd: None,
            children_busy: 0,
            stored: Some(Box::new(stored)),
            charged,
        };
        self.by_pid.insert(pid, record);
    }

    /// Nobody asks about `pid` any more.
    pub(super) fn remove(&mut self, pid: u32) {
        if let Some(record) = self.by_pid.remove(&pid) {
            self.memory.give(record.charged);
        }
    }
}
