//! Stopping and continuing: job control.
//!
//! A process stops when one of its threads takes a stop signal, at the end of a system call or where it waits in one. From then on none
//! of its threads gets the processor, whatever they wait for, until `SIGCONT` or `SIGKILL` is sent to it.

use super::signals::{CONTINUE, IGNORE, STOPS, bit};
use super::{Change, Info, News};
use crate::kernel::Kernel;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// `si_code` of what the kernel sends.
const SI_KERNEL: i32 = 0x80;

impl Kernel {
    /// Whether a signal is to be delivered, or the thread is to end. A stop is obeyed first: the process stops, and goes on.
    pub(crate) fn is_interrupted(&mut self) -> bool {
        if !self.process.signals.is_due() {
            return false;
        }
        while let Some(signal) = self.process.signals.take_stop() {
            self.stop(signal);
        }
        self.process.signals.is_due()
    }

    /// The current process stops by `signal`. Returns when it has been continued, or is to end.
    pub(crate) fn stop(&mut self, signal: u32) {
        let pid = self.pid();
        if signal != linux::SIGSTOP && self.is_orphaned(self.processes.own().group) {
            return;
        }
        self.threads.freeze(pid);
        self.tell_of_stop(pid, Change::Stopped(signal));
        self.threads.note_change();
        self.rest();
    }

    /// What `signal`, which is being sent to process `pid`, does whether or not it is blocked or ignored.
    pub(crate) fn before_sending(&mut self, pid: u32, signal: u32) {
        match signal {
            linux::SIGKILL => {
                if self.threads.thaw(pid)
                    && let Ok(record) = self.processes.get_mut(pid)
                {
                    record.change = None;
                }
            }
            linux::SIGCONT => {
                self.forget_signals(pid, STOPS);
                if self.threads.thaw(pid) {
                    self.tell_of_stop(pid, Change::Continued);
                }
            }
            signal if (1..=64).contains(&signal) && bit(signal) & STOPS != 0 => {
                self.forget_signals(pid, CONTINUE);
            }
            _ => {}
        }
    }

    /// Signals of `mask` are not pending for process `pid` or its threads any more.
    fn forget_signals(&mut self, pid: u32, mask: u64) {
        if let Ok(signals) = self.signals_of(pid) {
            signals.forget(mask);
        }
        let threads = self.threads.iter_mut().filter(|(_, thread)| thread.process == pid);
        threads.for_each(|(_, thread)| thread.signals.forget(mask));
    }

    /// Process `pid` has stopped or been continued: its parent can ask about that, and is told if it wants to be.
    fn tell_of_stop(&mut self, pid: u32, change: Change) {
        let Ok(record) = self.processes.get_mut(pid) else { return };
        record.change = Some(change);
        let parent = record.parent;
        let Ok(action) = self.signals_of(parent).and_then(|signals| signals.action(linux::SIGCHLD)) else {
            return;
        };
        if action.handler != IGNORE && action.flags & u64::from(linux::SA_NOCLDSTOP) == 0 {
            let busy = self.view(pid).map_or(0, |view| view.process.busy);
            // The parent lives: it has signals.
            let _ = self.send_to(parent, Info::of_child(linux::SIGCHLD, pid, News { change, busy }));
        }
        self.threads.wake_parents(parent);
    }

    /// Whether nobody is there to continue the processes of `group`: no parent of one of them is in another group of its session.
    pub(crate) fn is_orphaned(&self, group: u32) -> bool {
        !self.processes.iter().any(|(_, record)| {
            record.group == group
                && record.ended.is_none()
                && self
                    .processes
                    .get(record.parent)
                    .is_ok_and(|parent| parent.group != group && parent.session == record.session)
        })
    }

    /// Groups with stopped processes that may be orphaned by the end of process `pid`.
    pub(crate) fn endangered_groups(&self, pid: u32) -> Vec<u32> {
        if !self.threads.are_some_frozen() {
            return Vec::new();
        }
        let is_near = |other: u32, parent: u32| other == pid || parent == pid;
        let near = self.processes.iter().filter(|(other, record)| is_near(*other, record.parent));
        let mut groups: Vec<u32> = near.map(|(_, record)| record.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|&group| !self.is_orphaned(group));
        groups
    }

    /// Ends the rest of those of `groups` that are orphaned now, or at least its stops.
    pub(crate) fn rouse_orphans(&mut self, groups: &[u32]) {
        for &group in groups {
            let members = self.processes.select(|_, record| record.group == group && record.ended.is_none());
            if !self.is_orphaned(group) || !members.iter().any(|&pid| self.threads.is_frozen(pid)) {
                continue;
            }
            for pid in members {
                for signal in [linux::SIGHUP, linux::SIGCONT] {
                    // It is in the table.
                    let _ = self.send_to(pid, Info::sent(signal, SI_KERNEL));
                }
            }
        }
    }
}
