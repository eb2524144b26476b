//! Files that signal: whoever owns one gets `SIGURG` for urgent data and, with `O_ASYNC`, `SIGIO` when there is something new.

use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Ready};
use crate::kernel::Kernel;
use crate::process::Info;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::{FASYNC as O_ASYNC, SIGIO, SIGURG};

/// `si_code` of what the kernel sends.
const SI_KERNEL: i32 = 0x80;

/// A file that has, or had, an owner.
struct Driven {
    open: Weak<OpenFile>,
    /// A process, or a process group if negative; 0: nobody.
    owner: i32,
    /// The file's activity when it was looked at last.
    seen: u64,
    /// How much urgent data there had been then.
    urgencies: u64,
}

/// All of them: as many as are open at most.
#[derive(Default)]
pub struct SignalDriven(Vec<Driven>);

impl SignalDriven {
    fn entry(&mut self, open: &Rc<OpenFile>) -> &mut Driven {
        self.0.retain(|driven| driven.open.strong_count() > 0);
        let found = self.0.iter().position(|driven| driven.open.as_ptr() == Rc::as_ptr(open));
        let index = found.unwrap_or_else(|| {
            let (seen, urgencies) = (open.file.activity(), open.file.urgencies());
            self.0.push(Driven { open: Rc::downgrade(open), owner: 0, seen, urgencies });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// Who owns `open`.
    pub fn owner(&self, open: &Rc<OpenFile>) -> i32 {
        let mut found = self.0.iter().filter(|driven| driven.open.as_ptr() == Rc::as_ptr(open));
        found.next().map_or(0, |driven| driven.owner)
    }

    /// Whether no file ever was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Kernel {
    /// `owner`, a process or a group if negative, gets the signals of `open`.
    pub(crate) fn own_file(&mut self, open: &Rc<OpenFile>, owner: i32) -> Result<()> {
        let id = owner.unsigned_abs();
        let exists = match owner {
            0 => true,
            1.. => self.processes.get(id).is_ok(),
            _ => !self.processes.select(|_, record| record.group == id).is_empty(),
        };
        if !exists {
            return Err(Errno::ESRCH);
        }
        self.signal_driven.entry(open).owner = owner;
        Ok(())
    }

    /// Sets or clears `O_ASYNC`.
    pub(crate) fn drive_by_signals(&mut self, open: &Rc<OpenFile>, on: bool) {
        let rest = open.flags.get() & !O_ASYNC;
        open.flags.set(if on { rest | O_ASYNC } else { rest });
        self.signal_driven.entry(open).seen = open.file.activity();
    }

    /// Sends the signals of files that have something new.
    #[cold]
    pub(crate) fn signal_owners(&mut self) {
        let mut owners = Vec::new();
        for driven in &mut self.signal_driven.0 {
            let Some(open) = driven.open.upgrade() else { continue };
            let urgencies = open.file.urgencies();
            if core::mem::replace(&mut driven.urgencies, urgencies) != urgencies {
                owners.push((driven.owner, SIGURG));
            }
            let activity = open.file.activity();
            let is_new = core::mem::replace(&mut driven.seen, activity) != activity;
            let is_ready = open.file.ready().intersects(Ready::IN | Ready::OUT | Ready::HUP | Ready::ERR);
            if is_new && is_ready && open.flags.get() & O_ASYNC != 0 {
                owners.push((driven.owner, SIGIO));
            }
        }
        for (owner, signal) in owners {
            let info = Info::sent(signal, SI_KERNEL);
            let id = owner.unsigned_abs();
            let targets = self
                .processes
                .select(|pid, record| if owner > 0 { pid == id } else { owner < 0 && record.group == id });
            for pid in targets {
                // Who has ended meanwhile needs no signal.
                let _ = self.send_to(pid, info);
            }
        }
    }
}
