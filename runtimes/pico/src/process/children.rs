//! What a process wants to know about its children.

use super::{Change, News, Record};
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
    /// Whether that it has stopped is one (`WSTOPPED`).
    pub stops: bool,
    /// Whether that it goes on is one (`WCONTINUED`).
    pub continues: bool,
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

    /// The answer that the process of `record` is, which the question concerns.
    fn answer(&self, record: &Record) -> Option<News> {
        let busy = record.stored.as_ref().map_or(0, |stored| stored.process.busy);
        let wanted = |change: &Change| match change {
            Change::Ended(_) => self.ends,
            Change::Stopped(_) => self.stops,
            Change::Continued => self.continues,
        };
        let change = record.change.filter(wanted).map(|change| News { change, busy });
        record.ended.filter(|_| self.ends).or(change)
    }
}

impl Kernel {
    /// Waits until a child has become what is asked for. Nothing: none has so far, and the answer was wanted at once.
    pub(crate) fn wait_for_child(&mut self, question: &Question) -> Result<Option<(u32, News)>> {
        loop {
            if let Some((pid, news)) = self.news_of_child(question)? {
                if !question.keep {
                    self.take_news(pid, news);
                }
                return Ok(Some((pid, news)));
            }
            if question.at_once {
                return Ok(None);
            }
            self.expire_alarm();
            if self.process.signals.is_due() {
                if self.is_interrupted() {
                    self.process.restartable = true;
                    return Err(Errno::EINTR);
                }
                // It was only stopped and continued.
                continue;
            }
            self.suspend(Waiting { for_children: true, ..Waiting::default() });
        }
    }

    /// Nobody else is to be told `news` of the child `pid`.
    fn take_news(&mut self, pid: u32, news: News) {
        if matches!(news.change, Change::Ended(_)) {
            self.processes.own_mut().children_busy += news.busy;
            self.bury(pid);
        } else if let Ok(record) = self.processes.get_mut(pid) {
            record.change = None;
        }
    }

    /// The first child that is an answer; `ECHILD` if there is none the question is about.
    fn news_of_child(&self, question: &Question) -> Result<Option<(u32, News)>> {
        let own = self.pid();
        let children = self.processes.iter().filter(|(_, record)| record.parent == own);
        let mut concerned = children.filter(|&(pid, record)| question.concerns(pid, record)).peekable();
        if concerned.peek().is_none() {
            return Err(Errno::ECHILD);
        }
        Ok(concerned.find_map(|(pid, record)| question.answer(record).map(|news| (pid, news))))
    }
}
