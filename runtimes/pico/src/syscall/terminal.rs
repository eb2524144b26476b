//! Opening terminals, and ioctl(2) on them: ioctl_tty(2).

use super::Args;
use crate::errno::{Errno, Result};
use crate::file::{Descriptor, File, OpenFile};
use crate::fs::console::Stream;
use crate::fs::device::Device;
use crate::fs::{Location, Node};
use crate::kernel::Kernel;
use crate::tty::ends::{End, Side};
use crate::tty::jobs::Jobs;
use crate::tty::settings::{self, sets};
use crate::tty::terminal::{Size, Terminal};
use alloc::format;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl;

/// Opens the terminal at `location`, if there is one.
pub(super) fn open(kernel: &mut Kernel, location: &Location, flags: u32) -> Result<Option<Rc<dyn File>>> {
    match &location.node {
        Node::Device(Device::Ptmx) => {
            let owner = kernel.process.ids.user.effective;
            Ok(Some(Rc::new(kernel.terminals.open(owner)?)))
        }
        Node::Terminal(terminal) => {
            let slave = End::slave(terminal.clone(), location.stat()?)?;
            let reads = flags & linux::O_ACCMODE != linux::O_WRONLY;
            if flags & linux::O_NOCTTY == 0 && reads {
                // Who leads no session, or has a terminal, only opens it.
                let _ = kernel.take_terminal(&terminal.jobs, false);
            }
            Ok(Some(Rc::new(slave)))
        }
        _ => Ok(None),
    }
}

impl Kernel {
    /// The controlling terminal of the current process, as `/dev/tty`: `stat` is what stat(2) tells.
    pub(crate) fn own_terminal(&self, stat: linux::stat) -> Result<Rc<dyn File>> {
        let jobs = self.processes.own().terminal.as_ref().ok_or(Errno::ENXIO)?;
        match jobs.number {
            Some(number) => {
                let terminal = self.terminals.get(number).ok_or(Errno::EIO)?;
                Ok(Rc::new(End::slave(terminal, stat)?))
            }
            None => self.console.as_ref().and_then(|console| console.terminal()).ok_or(Errno::ENXIO),
        }
    }
}

/// Serves the command in `args` on the terminal `open`.
pub(super) fn control(kernel: &mut Kernel, open: &OpenFile, args: &Args) -> Result<u64> {
    let (command, argument) = (args.uint(1), args.raw(2));
    let file = open.file.as_any();
    match file.downcast_ref() {
        Some(End { terminal, side: Side::Master, .. }) => {
            match of_master(kernel, terminal, command, argument)? {
                Some(result) => Ok(result),
                None => of_pty(kernel, terminal, command, argument, true),
            }
        }
        Some(End { terminal, .. }) if terminal.is_hung_up() => {
            Err(if command == ioctl::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO })
        }
        Some(End { terminal, .. }) => of_pty(kernel, terminal, command, argument, false),
        None if file.is::<Stream>() => of_console(kernel, command, argument),
        None => Err(Errno::ENOTTY),
    }
}

/// What only masters know.
fn of_master(
    kernel: &mut Kernel,
    terminal: &Rc<Terminal>,
    command: u32,
    argument: u64,
) -> Result<Option<u64>> {
    match command {
        ioctl::TIOCGPTN => kernel.mm.write(argument, &terminal.number)?,
        ioctl::TIOCSPTLCK => terminal.locked.set(kernel.mm.read::<u32>(argument)? != 0),
        ioctl::TIOCGPTLCK => kernel.mm.write(argument, &u32::from(terminal.locked.get()))?,
        ioctl::TIOCPKT => terminal.set_packets(kernel.mm.read::<u32>(argument)? != 0),
        ioctl::TIOCGPKT => kernel.mm.write(argument, &u32::from(terminal.has_packets()))?,
        ioctl::TIOCGPTPEER => return open_peer(kernel, terminal, argument).map(Some),
        ioctl::TCFLSH => {
            if argument_of_flush(argument)?.0 {
                terminal.clear_output();
            }
        }
        // Nobody stops what a master types.
        ioctl::TCXONC => return Err(Errno::ENOTTY),
        _ => return Ok(None),
    }
    Ok(Some(0))
}

/// `TIOCGPTPEER`: the slave, even if it has no name here.
fn open_peer(kernel: &mut Kernel, terminal: &Rc<Terminal>, flags: u64) -> Result<u64> {
    const KNOWN: u32 = linux::O_ACCMODE | linux::O_NOCTTY | linux::O_CLOEXEC | linux::O_NONBLOCK;
    // As on Linux, other flags are not looked at.
    let flags = u32::try_from(flags & u64::from(KNOWN)).map_err(|_| Errno::EINVAL)?;
    let location = Location::new(Node::Terminal(terminal.clone()), b"");
    if !kernel.fds.has_room() {
        return Err(Errno::EMFILE);
    }
    let file = open(kernel, &location, flags)?.ok_or(Errno::EIO)?;
    let kept = flags & (linux::O_ACCMODE | linux::O_NONBLOCK) | linux::O_LARGEFILE;
    let path = format!("/dev/pts/{}", terminal.number);
    let open = Rc::new(OpenFile::new(file, kept, path));
    kernel.fds.insert(Descriptor { open, close_on_exec: flags & linux::O_CLOEXEC != 0 }, 0)
}

/// Which queues `TCFLSH` means: input, output.
fn argument_of_flush(argument: u64) -> Result<(bool, bool)> {
    match u32::try_from(argument) {
        Ok(linux::TCIFLUSH) => Ok((true, false)),
        Ok(linux::TCOFLUSH) => Ok((false, true)),
        Ok(linux::TCIOFLUSH) => Ok((true, true)),
        _ => Err(Errno::EINVAL),
    }
}

/// What both ends of a pseudo terminal know.
fn of_pty(
    kernel: &mut Kernel,
    terminal: &Terminal,
    command: u32,
    argument: u64,
    is_master: bool,
) -> Result<u64> {
    let before = terminal.settings();
    if let Some(flushes) = sets(command) {
        kernel.check_foreground(&terminal.jobs, linux::SIGTTOU)?;
        terminal.set(settings::read(kernel, command, argument, &before)?, flushes);
        return Ok(0);
    }
    match command {
        ioctl::TCGETS | ioctl::TCGETS2 => settings::write(kernel, command, argument, &before),
        ioctl::TIOCGWINSZ => kernel.mm.write(argument, &terminal.size.get()).map(|()| 0),
        ioctl::TIOCSWINSZ => {
            let size: Size = kernel.mm.read(argument)?;
            if terminal.size.replace(size) != size {
                terminal.signal(linux::SIGWINCH);
            }
            Ok(0)
        }
        ioctl::TCSBRK | ioctl::TCSBRKP => {
            kernel.check_foreground(&terminal.jobs, linux::SIGTTOU)?;
            // What was written has arrived; there is no line to break.
            Ok(0)
        }
        ioctl::TCFLSH => {
            kernel.check_foreground(&terminal.jobs, linux::SIGTTOU)?;
            let (input, output) = argument_of_flush(argument)?;
            if input {
                terminal.clear_input();
            }
            if output {
                terminal.tell_of_dropped_output();
            }
            Ok(0)
        }
        ioctl::TCXONC => control_flow(kernel, terminal, argument),
        ioctl::TIOCGETD => kernel.mm.write(argument, &0u32).map(|()| 0),
        ioctl::TIOCOUTQ => kernel.mm.write(argument, &0u32).map(|()| 0),
        ioctl::TIOCSTI => {
            let byte: u8 = kernel.mm.read(argument)?;
            // As on Linux, what finds no place is lost.
            let _ = terminal.receive(&[byte]);
            Ok(0)
        }
        _ => of_session(kernel, &terminal.jobs, command, argument, is_master),
    }
}

/// `TCXONC`: output stops or goes on, or the other end is to do that.
fn control_flow(kernel: &mut Kernel, terminal: &Terminal, argument: u64) -> Result<u64> {
    kernel.check_foreground(&terminal.jobs, linux::SIGTTOU)?;
    let characters = terminal.settings().characters;
    let send = |index: u32| match characters[index as usize] {
        0 => {}
        // What finds no room is lost, as on a line that is not ready.
        byte => _ = terminal.print(&[byte]),
    };
    match u32::try_from(argument) {
        Ok(linux::TCOOFF) => terminal.hold(true),
        Ok(linux::TCOON) => terminal.hold(false),
        Ok(linux::TCIOFF) => send(linux::VSTOP),
        Ok(linux::TCION) => send(linux::VSTART),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Whose terminal it is. A master may ask about any.
fn of_session(
    kernel: &mut Kernel,
    jobs: &Rc<Jobs>,
    command: u32,
    argument: u64,
    is_master: bool,
) -> Result<u64> {
    let own = kernel.processes.own();
    let is_own = own.terminal.as_ref().is_some_and(|terminal| Rc::ptr_eq(terminal, jobs));
    match command {
        ioctl::TIOCGPGRP | ioctl::TIOCGSID if !is_own && !is_master => Err(Errno::ENOTTY),
        ioctl::TIOCGPGRP => kernel.mm.write(argument, &jobs.foreground.get()).map(|()| 0),
        ioctl::TIOCGSID if jobs.session.get() == 0 => Err(Errno::ENOTTY),
        ioctl::TIOCGSID => kernel.mm.write(argument, &jobs.session.get()).map(|()| 0),
        ioctl::TIOCSPGRP => set_foreground(kernel, jobs, argument, is_own),
        ioctl::TIOCSCTTY => kernel.take_terminal(jobs, argument == 1).map(|()| 0),
        ioctl::TIOCNOTTY if !is_own => Err(Errno::ENOTTY),
        ioctl::TIOCNOTTY => {
            kernel.give_up_terminal();
            Ok(0)
        }
        _ => Err(Errno::ENOTTY),
    }
}

fn set_foreground(kernel: &mut Kernel, jobs: &Rc<Jobs>, argument: u64, is_own: bool) -> Result<u64> {
    kernel.check_foreground(jobs, linux::SIGTTOU).map_err(|errno| match errno {
        Errno::EIO => Errno::ENOTTY,
        errno => errno,
    })?;
    let group: i32 = kernel.mm.read(argument)?;
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let session = kernel.processes.own().session;
    if !is_own || jobs.session.get() != session {
        return Err(Errno::ENOTTY);
    }
    if !kernel.processes.is_in_use(group) {
        return Err(Errno::ESRCH);
    }
    let member = kernel.processes.iter().find(|(_, record)| record.group == group);
    let member = member.map(|(_, record)| record).or_else(|| kernel.processes.get(group).ok());
    if member.is_none_or(|record| record.session != session) {
        return Err(Errno::EPERM);
    }
    jobs.foreground.set(group);
    Ok(0)
}

/// The terminal that the host offers: it does itself what is set.
fn of_console(kernel: &mut Kernel, command: u32, argument: u64) -> Result<u64> {
    let console = kernel.console.clone().ok_or(Errno::ENOTTY)?;
    let jobs = kernel.terminals.console.clone().ok_or(Errno::ENOTTY)?;
    if let Some(flushes) = sets(command) {
        kernel.check_foreground(&jobs, linux::SIGTTOU)?;
        let wanted = settings::read(kernel, command, argument, &settings::SANE)?;
        let drains = matches!(command, ioctl::TCSETSW | ioctl::TCSETSW2);
        return console.set(&wanted, drains, flushes).map(|()| 0);
    }
    match command {
        ioctl::TCGETS | ioctl::TCGETS2 => settings::write(kernel, command, argument, &console.settings()?),
        ioctl::TIOCGWINSZ => {
            let (rows, columns) = console.size();
            kernel.mm.write(argument, &[rows, columns, 0, 0]).map(|()| 0)
        }
        // What was written was passed on; there is no line to break.
        ioctl::TCSBRK | ioctl::TCSBRKP => Ok(0),
        ioctl::TCFLSH => {
            kernel.check_foreground(&jobs, linux::SIGTTOU)?;
            if argument_of_flush(argument)?.0 {
                console.set(&console.settings()?, false, true)?;
            }
            Ok(0)
        }
        _ => of_session(kernel, &jobs, command, argument, false),
    }
}
