//! What a process wants to know about its children.

use super::{Ended, Record};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::thread::Waiting;
use linux_raw_sys::general::SIGCHLD;

/// Which children are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All.
    Any,
    /// One.
    Pid(u32),
    /// Those of a process group.
    Group(u32),
}

/// Which of those, by the signal they send at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// `SIGCHLD`.
    Ordinary,
    /// Any other, or none (`__WCLONE`).
    Clones,
    /// Whichever (`__WALL`).
    All,
}

/// A question about children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which children.
    pub selector: Selector,
    /// Which of those.
    pub kin: Kin,
    /// Whether the answer is wanted at once (`WNOHANG`).
    pub at_once: bool,
    /// Whether the child is to stay what it is (`WNOWAIT`).
    pub keep: bool,
    /// Whether the end of a child is an answer (`WEXITED`).
    pub ends: bool,
}

impl Question {
    fn concerns(&self, pid: u32, record: &Record) -> bool {
        let is_selected = match self.selector {
            Selector::Any => true,
            Selector::Pid(wanted) => pid == wanted,
            Selector::Group(group) => record.group == group,
        };
        // One that has ended will never do anything else.
        is_selected
            && (self.ends || record.ended.is_none())
            && match self.kin {
                Kin::All => true,
                Kin::Ordinary => record.exit_signal == SIGCHLD,
                Kin::Clones => record.exit_signal != SIGCHLD,
            }
    }
}

impl Kernel {
    /// Waits until a child has ended. Nothing: none has so far, and the answer was wanted at once.
    pub(crate) fn wait_for_child(&mut self, question: &Question) -> Result<Option<(u32, Ended)>> {
        loop {
            if let Some(answer) = self.ended_child(question)? {
                if !question.keep {
                    self.processes.own_mut().children_busy += answer.1.busy;
                    self.bury(answer.0);
                }
                return Ok(Some(answer));
            }
            if question.at_once {
                return Ok(None);
            }
            self.expire_alarm();
            if self.process.signals.is_due() {
                self.process.restartable = true;
                return Err(Errno::EINTR);
            }
            self.suspend(Waiting { for_children: true, ..Waiting::default() });
        }
    }

    /// The first child that has ended; `ECHILD` if there is none the question is about.
    fn ended_child(&self, question: &Question) -> Result<Option<(u32, Ended)>> {
        let own = self.pid();
        let children = self.processes.iter().filter(|(_, record)| record.parent == own);
        let mut concerned = children.filter(|&(pid, record)| question.concerns(pid, record)).peekable();
        if concerned.peek().is_none() {
            return Err(Errno::ECHILD);
        }
        let mut ended = concerned.filter_map(|(pid, record)| record.ended.map(|ended| (pid, ended)));
        Ok(ended.next())
    }
}
