//! How a process ends: its threads, its descriptors and memory, its children, and who is told.

use super::{Change, Ending, FIRST, Info, News};
use crate::kernel::Kernel;
use abi::mailbox::Doorbell;
use linux_raw_sys::general as linux;

/// `si_code` of what a process sends.
const SI_USER: i32 = 0;

impl Kernel {
    /// The current process is to end by `signal`, which came from `address` if it was a fault, with the program at `rip`.
    /// The first process takes the VM with it.
    pub(crate) fn end_by_signal(&mut self, signal: u32, address: u64, rip: u64) {
        let pid = self.pid();
        if pid == FIRST {
            self.ring(Doorbell::Signal, [u64::from(signal), address, rip, 0]);
            return;
        }
        self.end_process(pid, Ending::Killed(signal));
    }

    /// Process `pid` is to end: its threads end as soon as they leave pico.
    pub(crate) fn end_process(&mut self, pid: u32, ending: Ending) {
        let Ok(record) = self.processes.get_mut(pid) else { return };
        record.ending.get_or_insert(ending);
        self.kill_threads(pid, None);
    }

    /// All threads of process `pid` but `spared` end as soon as they leave pico.
    pub(crate) fn kill_threads(&mut self, pid: u32, spared: Option<u32>) {
        let own = self.threads.tid();
        if pid == self.pid() && spared != Some(own) {
            self.process.signals.own.kill();
        }
        let mut waiting = alloc::vec::Vec::new();
        for (tid, thread) in self.threads.iter_mut() {
            if thread.process == pid && Some(tid) != spared && tid != own {
                thread.signals.kill();
                waiting.push(tid);
            }
        }
        waiting.into_iter().for_each(|tid| self.threads.wake(tid));
    }

    /// Ends the running thread if it was killed. Does not return then.
    pub(crate) fn end_if_killed(&mut self) {
        if self.process.signals.own.is_killed() {
            self.end_thread(0);
        }
    }

    /// The last thread of the current process has ended; `status` is what it gave to exit(2). Another process is the
    /// current one afterwards.
    pub(crate) fn finish_process(&mut self, status: u32) {
        let pid = self.pid();
        let endangered = self.endangered_groups(pid);
        self.end_session();
        self.locks.forget_process(pid);
        drop(core::mem::take(&mut self.fds));
        self.reclaim_files();
        self.settle();
        self.settle_watches();
        self.account();
        let busy = self.process.busy;
        let record = self.processes.own_mut();
        let ending = record.ending.unwrap_or(Ending::Exited(status));
        record.ended = Some(News { change: Change::Ended(ending), busy: busy + record.children_busy });
        record.change = None;
        if let Some(pidfd) = &record.pidfd {
            pidfd.note_end();
        }
        let (parent, space) = (record.parent, record.space);
        self.return_loan(pid);
        self.processes.spaces.leave(space);
        self.enter_process(parent);
        self.orphan_children(pid);
        self.rouse_orphans(&endangered);
        self.tell_parent(pid);
        self.threads.note_change();
    }

    /// Who becomes the parent of the children of `pid`: its nearest ancestor that adopts, or the first process.
    fn adopter_for(&self, pid: u32) -> u32 {
        let mut at = pid;
        while let Ok(record) = self.processes.get(at) {
            at = record.parent;
            if self.processes.get(at).is_ok_and(|record| record.adopts && record.ended.is_none()) {
                return at;
            }
        }
        FIRST
    }

    /// The children of `pid`, which has ended, get another parent.
    fn orphan_children(&mut self, pid: u32) {
        let adopter = self.adopter_for(pid);
        for child in self.processes.select(|_, record| record.parent == pid) {
            let death_signal = self.view(child).map_or(0, |view| view.process.parent_death_signal);
            if let Ok(record) = self.processes.get_mut(child) {
                record.parent = adopter;
                record.exit_signal = linux::SIGCHLD;
                if record.ended.is_some() {
                    self.tell_parent(child);
                } else if death_signal != 0 {
                    // It may not care.
                    let _ = self.send_to(child, Info::from_process(death_signal, SI_USER, pid));
                }
            }
        }
    }

    /// Tells the parent of `pid` that it has ended. A parent that does not want to know never will.
    fn tell_parent(&mut self, pid: u32) {
        let Ok(record) = self.processes.get(pid) else { return };
        let (parent, signal, Some(ended)) = (record.parent, record.exit_signal, record.ended) else { return };
        let action = self.signals_of(parent).and_then(|signals| signals.action(linux::SIGCHLD));
        let is_unwanted = signal == linux::SIGCHLD && action.is_ok_and(|action| action.disowns_children());
        if signal != 0 {
            // The parent lives, or the first process would be it.
            let _ = self.send_to(parent, Info::of_child(signal, pid, ended));
        }
        if is_unwanted {
            self.bury(pid);
        }
        self.threads.wake_parents(parent);
    }

    /// Nobody will ask about `pid`, which has ended.
    pub(crate) fn bury(&mut self, pid: u32) {
        self.processes.remove(pid);
        self.threads.forget(pid);
    }
}
