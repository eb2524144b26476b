//! A pseudo terminal.

use super::input::{Discipline, Key};
use super::jobs::{Due, Jobs};
use super::settings::Termios;
use crate::errno::{Errno, Result};
use abi::console::Settings;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general as c;

/// Rows, columns, and pixels both ways: `struct winsize`.
pub type Size = [u16; 4];

/// A pseudo terminal: what master and slaves share.
pub struct Terminal {
    /// Its name is `/dev/pts/NUMBER`.
    pub number: u32,
    /// The user who opened the master.
    pub owner: u32,
    /// Whose it is.
    pub jobs: Rc<Jobs>,
    discipline: RefCell<Discipline>,
    /// Rows and columns.
    pub size: Cell<Size>,
    /// The slave cannot be opened (`TIOCSPTLCK`).
    pub locked: Cell<bool>,
    /// Output stands still: `VSTOP`, `TCOOFF`.
    stopped: Cell<bool>,
    /// The program has stopped it: no key starts it again.
    held: Cell<bool>,
    /// What the master is told in packets, if it wants to be (`TIOCPKT`).
    packets: Cell<Option<u8>>,
    slaves: Cell<u32>,
    /// The slave was open, and is not any more.
    left: Cell<bool>,
    hung_up: Cell<bool>,
    cut_short: Cell<bool>,
    /// Changes with whatever a master or slave may wait for.
    activity: Cell<u64>,
    due: Rc<Due>,
}

/// Most bytes of a line that are looked at for what is typed in one go.
const WORK_MAX: usize = 64 << 10;

/// What a master finds.
pub enum Output {
    /// So many bytes.
    Bytes(usize),
    /// Nothing, and the slave is closed.
    Closed,
    /// Nothing yet.
    None,
}

impl Terminal {
    /// Pseudo terminal `number`, locked.
    pub fn new(number: u32, owner: u32, due: Rc<Due>) -> Self {
        Self {
            number,
            owner,
            jobs: Rc::new(Jobs::new(Some(number))),
            discipline: RefCell::default(),
            size: Cell::default(),
            locked: Cell::new(true),
            stopped: Cell::new(false),
            held: Cell::new(false),
            packets: Cell::new(None),
            slaves: Cell::new(0),
            left: Cell::new(false),
            hung_up: Cell::new(false),
            cut_short: Cell::new(false),
            activity: Cell::new(0),
            due,
        }
    }

    fn bump(&self) {
        self.activity.set(self.activity.get() + 1);
    }

    /// Changes with whatever a master or slave may wait for.
    pub fn activity(&self) -> u64 {
        self.activity.get()
    }

    /// The master is closed.
    pub fn is_hung_up(&self) -> bool {
        self.hung_up.get()
    }

    /// The slave was open, and is not any more.
    pub fn is_left(&self) -> bool {
        self.left.get()
    }

    /// A slave is opened.
    pub fn enter(&self) {
        self.slaves.set(self.slaves.get() + 1);
        self.left.set(false);
    }

    /// A slave is closed.
    pub fn leave(&self) {
        self.slaves.set(self.slaves.get().saturating_sub(1));
        if self.slaves.get() == 0 {
            self.left.set(true);
            self.bump();
        }
    }

    /// The master is closed: the slaves are at their end, and the session is told.
    pub fn hang_up(&self) {
        self.hung_up.set(true);
        self.discipline.borrow_mut().clear();
        self.discipline.borrow_mut().output.clear();
        self.due.hang_up(&self.jobs);
        self.bump();
    }

    /// What is set.
    pub fn settings(&self) -> Settings {
        *self.discipline.borrow().settings()
    }

    /// Sets it, and drops what was typed if that is wanted.
    pub fn set(&self, settings: Settings, flushes: bool) {
        let before = self.settings();
        if flushes {
            self.clear_input();
        }
        self.discipline.borrow_mut().set(settings);
        let flow = |settings: &Settings| {
            settings.input & c::IXON != 0 && settings.is(c::VSTART, 0x11) && settings.is(c::VSTOP, 0x13)
        };
        if flow(&before) != flow(&settings) {
            self.tell(if flow(&settings) { c::TIOCPKT_DOSTOP } else { c::TIOCPKT_NOSTOP }, 0);
        }
        if settings.input & c::IXON == 0 {
            self.start();
        }
        self.bump();
    }

    /// The master is to be told `news`; `instead` is not news any more.
    fn tell(&self, news: u32, instead: u32) {
        let bits = |bits: u32| u8::try_from(bits).expect("all of TIOCPKT_* fit a byte");
        self.packets.set(self.packets.get().map(|told| told & !bits(instead) | bits(news)));
    }

    /// Output stands still.
    pub fn stop(&self) {
        if !self.stopped.replace(true) {
            self.tell(c::TIOCPKT_STOP, c::TIOCPKT_START);
            self.bump();
        }
    }

    /// Output goes on.
    pub fn start(&self) {
        if !self.held.get() && self.stopped.replace(false) {
            self.tell(c::TIOCPKT_START, c::TIOCPKT_STOP);
            self.bump();
        }
    }

    /// The program stops output, or lets it go on.
    pub fn hold(&self, held: bool) {
        if self.held.replace(held) == held {
            return;
        }
        if held { self.stop() } else { self.start() }
    }

    /// Drops what was typed.
    pub fn clear_input(&self) {
        self.discipline.borrow_mut().clear();
        self.tell(c::TIOCPKT_FLUSHREAD, 0);
        self.bump();
    }

    /// What waits for the master is dropped.
    pub fn clear_output(&self) {
        self.discipline.borrow_mut().output.clear();
        self.bump();
    }

    /// As Linux, which has handed output over long before anybody can drop it.
    pub fn tell_of_dropped_output(&self) {
        self.tell(c::TIOCPKT_FLUSHWRITE, 0);
    }

    /// Whether the master is told in packets.
    pub fn has_packets(&self) -> bool {
        self.packets.get().is_some()
    }

    /// Sets whether it is.
    pub fn set_packets(&self, on: bool) {
        if on != self.has_packets() {
            self.packets.set(on.then_some(0));
        }
    }

    /// Sends `signal` to the foreground as soon as possible.
    pub fn signal(&self, signal: u32) {
        self.due.signal(&self.jobs, signal);
    }

    /// Bytes are typed: how many were taken. `EAGAIN`: none, there is no room. Not all are if that takes long: who waits goes
    /// on at once, after others had their turn.
    pub fn receive(&self, bytes: &[u8]) -> Result<usize> {
        let (mut count, mut work) = (0, 0);
        for &byte in bytes {
            if !self.discipline.borrow().takes() {
                break;
            }
            if work >= WORK_MAX {
                self.cut_short.set(true);
                break;
            }
            work += self.discipline.borrow().work_for(byte);
            count += 1;
            let key = self.discipline.borrow_mut().receive(byte);
            self.act(key);
        }
        self.bump();
        if count == 0 && !bytes.is_empty() { Err(Errno::EAGAIN) } else { Ok(count) }
    }

    /// Whether the last bytes were not taken although there is room. Asked once.
    pub fn was_cut_short(&self) -> bool {
        self.cut_short.take()
    }

    fn act(&self, key: Option<Key>) {
        match key {
            None => {
                let settings = self.settings();
                if self.stopped.get() && settings.input & c::IXON != 0 && settings.input & c::IXANY != 0 {
                    self.start();
                }
            }
            Some(Key::Stop) => self.stop(),
            Some(Key::Start) => self.start(),
            Some(Key::Signal(signal)) => {
                if !self.settings().has(c::NOFLSH) {
                    self.tell(c::TIOCPKT_FLUSHREAD | c::TIOCPKT_FLUSHWRITE, 0);
                }
                self.signal(signal);
                if self.settings().input & c::IXON != 0 {
                    self.start();
                }
            }
        }
    }

    /// Whether a byte that is typed need not wait.
    pub fn takes(&self) -> bool {
        self.discipline.borrow().takes()
    }

    /// Whether a read by the program finds `least` bytes, or a line.
    pub fn has_input(&self, least: usize) -> bool {
        self.discipline.borrow().has_input(least)
    }

    /// Bytes the program can read.
    pub fn readable(&self) -> usize {
        self.discipline.borrow().readable()
    }

    /// Takes bytes for the program.
    pub fn take_input(&self, buf: &mut [u8]) -> usize {
        let count = self.discipline.borrow_mut().take(buf);
        self.bump();
        count
    }

    /// The program writes: how many bytes were taken. `EAGAIN`: none, there is no room; `EIO`: nobody will read it.
    pub fn print(&self, bytes: &[u8]) -> Result<usize> {
        if self.is_hung_up() {
            return Err(Errno::EIO);
        }
        if self.stopped.get() && !bytes.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let mut discipline = self.discipline.borrow_mut();
        let settings = *discipline.settings();
        let count = bytes.iter().take_while(|&&byte| discipline.output.put(&settings, byte)).count();
        self.bump();
        if count == 0 && !bytes.is_empty() { Err(Errno::EAGAIN) } else { Ok(count) }
    }

    /// Whether the program can write. As in Linux, not only one byte.
    pub fn prints(&self) -> bool {
        self.is_hung_up() || (!self.stopped.get() && self.discipline.borrow().output.room() >= 256)
    }

    /// Bytes for the master, without what is told in packets.
    pub fn printed(&self) -> usize {
        self.discipline.borrow().output.waiting()
    }

    /// Whether the master finds something.
    pub fn has_output(&self) -> bool {
        self.printed() > 0 || self.packets.get().is_some_and(|news| news != 0)
    }

    /// Takes bytes for the master; those of packets begin with what is told.
    pub fn take_output(&self, buf: &mut [u8]) -> Output {
        let Some((head, rest)) = buf.split_first_mut() else { return Output::Bytes(0) };
        if let Some(news) = self.packets.get().filter(|&news| news != 0) {
            *head = news;
            self.packets.set(Some(0));
            return Output::Bytes(1);
        }
        if self.printed() == 0 {
            return if self.is_left() { Output::Closed } else { Output::None };
        }
        self.bump();
        let mut discipline = self.discipline.borrow_mut();
        if self.has_packets() {
            *head = 0;
            Output::Bytes(1 + discipline.output.take(rest))
        } else {
            Output::Bytes(discipline.output.take(buf))
        }
    }
}
