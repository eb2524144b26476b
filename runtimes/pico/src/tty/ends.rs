//! Both ends of a pseudo terminal as open files.

use super::settings::Termios;
use super::terminal::{Output, Terminal};
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::fs::device::Device;
use crate::fs::mounts::DEV_DEVICES;
use crate::kernel::Kernel;
use crate::poll::earlier;
use alloc::rc::Rc;
use core::any::Any;
use linux_raw_sys::general::{SIGTTIN, SIGTTOU, TOSTOP, stat as Stat};
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};

/// Which end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who made the terminal, and is its keyboard and its screen.
    Master,
    /// The terminal as programs have it.
    Slave,
}

/// One end.
pub struct End {
    /// The terminal.
    pub terminal: Rc<Terminal>,
    /// Which end.
    pub side: Side,
    stat: Stat,
}

impl End {
    /// The master of `terminal`, which has none yet.
    pub fn master(terminal: Rc<Terminal>) -> Self {
        let stat = Device::Ptmx.attributes(DEV_DEVICES).to_stat();
        Self { terminal, side: Side::Master, stat }
    }

    /// Opens `terminal` as a slave; `stat` is what stat(2) tells. `EIO` if it is locked or has no master any more.
    pub fn slave(terminal: Rc<Terminal>, stat: Stat) -> Result<Self> {
        if terminal.locked.get() || terminal.is_hung_up() {
            return Err(Errno::EIO);
        }
        terminal.enter();
        Ok(Self { terminal, side: Side::Slave, stat })
    }

    /// Reads what was printed.
    fn read_as_master(&self, buf: &mut [u8]) -> Result<usize> {
        match self.terminal.take_output(buf) {
            Output::Bytes(count) => Ok(count),
            Output::Closed => Err(Errno::EIO),
            Output::None => Err(Errno::EAGAIN),
        }
    }

    /// Reads what was typed, as the settings say; waits if `waits`.
    fn read_as_slave(&self, kernel: &mut Kernel, buf: &mut [u8], waits: bool) -> Result<usize> {
        let terminal = &self.terminal;
        kernel.check_foreground(&terminal.jobs, SIGTTIN)?;
        let settings = terminal.settings();
        let (mut least, time) = settings.raw_limits();
        let (mut between, mut deadline) = (None, None);
        match (settings.is_canonical(), least) {
            (true, _) => least = 1,
            (false, 0) => {
                deadline = Some(kernel.now().saturating_add(time));
                least = 1;
            }
            (false, _) => between = Some(time).filter(|&time| time > 0),
        }
        let mut count = 0;
        loop {
            if terminal.has_input(1) {
                count += terminal.take_input(&mut buf[count..]);
                kernel.threads.note_change();
                if settings.is_canonical() || count >= least || count == buf.len() {
                    return Ok(count);
                }
                deadline = between.map(|time| kernel.now().saturating_add(time)).or(deadline);
                continue;
            }
            let is_over = deadline.is_some_and(|deadline| deadline <= kernel.now());
            if terminal.is_hung_up() || is_over {
                return Ok(count);
            }
            let waited = if waits {
                kernel.wait_interruptibly(earlier(deadline, None), false)
            } else {
                Err(Errno::EAGAIN)
            };
            match waited {
                Ok(()) => {}
                Err(_) if count > 0 => return Ok(count),
                Err(errno) => {
                    kernel.process.restartable = errno == Errno::EINTR;
                    return Err(errno);
                }
            }
        }
    }
    fn ready_as_master(&self) -> Ready {
        let mut ready = Ready::empty();
        ready.set(Ready::IN, self.terminal.has_output());
        ready.set(Ready::OUT, self.terminal.takes());
        ready.set(Ready::HUP, self.terminal.is_left());
        ready
    }

    fn ready_as_slave(&self) -> Ready {
        if self.terminal.is_hung_up() {
            return Ready::IN | Ready::OUT | Ready::ERR | Ready::HUP;
        }
        let (least, time) = self.terminal.settings().raw_limits();
        let least = if time == 0 { least.max(1) } else { 1 };
        let mut ready = Ready::empty();
        ready.set(Ready::IN, self.terminal.has_input(least));
        ready.set(Ready::OUT, self.terminal.prints());
        ready
    }
}

impl File for End {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        match self.side {
            Side::Master => self.read_as_master(buf),
            // Whether the process may read at all only the kernel knows.
            Side::Slave => Err(Errno::EAGAIN),
        }
    }

    fn read_of_kernel(&self, kernel: &mut Kernel, buf: &mut [u8], waits: bool) -> Result<usize> {
        match self.side {
            Side::Master => Err(Errno::EAGAIN),
            Side::Slave if self.terminal.is_hung_up() => Ok(0),
            Side::Slave => self.read_as_slave(kernel, buf, waits),
        }
    }

    fn prepare_write(&self, kernel: &mut Kernel, _offset: u64, len: usize) -> Result<usize> {
        let terminal = &self.terminal;
        if self.side == Side::Slave && terminal.settings().has(TOSTOP) && !terminal.is_hung_up() {
            kernel.check_foreground(&terminal.jobs, SIGTTOU)?;
        }
        Ok(len)
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        match self.side {
            Side::Master => self.terminal.receive(buf),
            Side::Slave => self.terminal.print(buf),
        }
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.stat)
    }

    fn ready(&self) -> Ready {
        match self.side {
            Side::Master => self.ready_as_master(),
            Side::Slave => self.ready_as_slave(),
        }
    }

    fn activity(&self) -> u64 {
        self.terminal.activity()
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn wakes_at(&self) -> Option<u64> {
        (self.side == Side::Master && self.terminal.was_cut_short()).then_some(0)
    }

    fn is_terminal(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<()> {
        Err(Errno::EINVAL)
    }

    fn ioctl(&self, command: u32, _argument: u64) -> Result<u64> {
        match (command, self.side) {
            (_, Side::Slave) if self.terminal.is_hung_up() => Err(Errno::EIO),
            (FIONREAD, Side::Master) => Ok(self.terminal.printed() as u64),
            (FIONREAD, Side::Slave) => Ok(self.terminal.readable() as u64),
            (TIOCOUTQ, _) => Ok(0),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for End {
    fn drop(&mut self) {
        match self.side {
            Side::Master => self.terminal.hang_up(),
            Side::Slave => self.terminal.leave(),
        }
    }
}
