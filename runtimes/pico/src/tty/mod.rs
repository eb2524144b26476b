//! Terminals: pseudo terminals (pty(7)), and what all terminals have to do with sessions and job control.
//!
//! ```text
//!            master                                   slave
//!  write --> [ input: lines, echo, keys ] ----------> read
//!                 | echo     | SIGINT, SIGTSTP, ... to the foreground group
//!  read  <-- [ output: OPOST ] <--------------------- write
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`settings`] | what `struct termios` says, and how a program reads and writes it |
//! | [`input`], [`output`] | the line discipline |
//! | [`terminal`] | a pseudo terminal: both ways, who has it open, what is told in packets |
//! | [`ends`] | master and slave as open files |
//! | [`jobs`] | whose terminal it is, and who may use it |

pub mod ends;
pub mod input;
pub mod jobs;
pub mod output;
pub mod settings;
pub mod terminal;
#[cfg(test)]
mod tests;

use crate::errno::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use ends::End;
use jobs::{Due, Jobs};
use terminal::Terminal;

/// Most pseudo terminals at once; then `ENOSPC`.
pub const TERMINALS_MAX: u32 = 64;

/// All terminals.
#[derive(Default)]
pub struct Terminals {
    by_number: BTreeMap<u32, Weak<Terminal>>,
    /// Those that have signals to send.
    pub due: Rc<Due>,
    /// The terminal that the host offers, if it does.
    pub console: Option<Rc<Jobs>>,
}

impl Terminals {
    /// A new pseudo terminal: its master.
    pub fn open(&mut self, owner: u32) -> Result<End> {
        self.by_number.retain(|_, terminal| terminal.strong_count() > 0);
        let free = (0..TERMINALS_MAX).find(|number| !self.by_number.contains_key(number));
        let number = free.ok_or(Errno::ENOSPC)?;
        let terminal = Rc::new(Terminal::new(number, owner, self.due.clone()));
        self.by_number.insert(number, Rc::downgrade(&terminal));
        Ok(End::master(terminal))
    }

    /// The pseudo terminal `number`, if its master is open.
    pub fn get(&self, number: u32) -> Option<Rc<Terminal>> {
        let terminal = self.by_number.get(&number)?.upgrade()?;
        (!terminal.is_hung_up()).then_some(terminal)
    }

    /// The numbers of all whose master is open.
    pub fn numbers(&self) -> Vec<u32> {
        self.by_number.keys().copied().filter(|&number| self.get(number).is_some()).collect()
    }
}
