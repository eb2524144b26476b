//! ioctl(2) on a terminal. The terminal is the caller's, in the mode it was in: lines, with echo.

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::FIRST;
use linux_raw_sys::ioctl;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct termios` of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    discipline: u8,
    characters: [u8; 19],
}

/// What `stty sane` gives.
const SANE: Settings = Settings {
    // ICRNL, IXON, IUTF8.
    input: 0x4500,
    // OPOST, ONLCR.
    output: 0x5,
    // 38400 baud, 8 bits, CREAD.
    control: 0xbf,
    // ISIG, ICANON, ECHO, ECHOE, ECHOK, ECHOCTL, ECHOKE, IEXTEN.
    local: 0x8a3b,
    discipline: 0,
    characters: [0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0],
};

/// Serves `command`. Settings other than those that are cannot be had: `EINVAL`.
pub(super) fn control(kernel: &mut Kernel, command: u32, argument: u64) -> Result<u64> {
    match command {
        ioctl::TCGETS => kernel.mm.write(argument, &SANE).map(|()| 0),
        ioctl::TCSETS | ioctl::TCSETSW | ioctl::TCSETSF => {
            let wanted: Settings = kernel.mm.read(argument)?;
            if wanted == SANE { Ok(0) } else { Err(Errno::EINVAL) }
        }
        ioctl::TIOCGWINSZ => {
            let (rows, columns) = kernel.console.as_ref().ok_or(Errno::ENOTTY)?.size();
            kernel.mm.write(argument, &[rows, columns, 0, 0]).map(|()| 0)
        }
        // It is the terminal of the first session, for ever.
        ioctl::TIOCGPGRP | ioctl::TIOCGSID | ioctl::TIOCSPGRP if kernel.processes.own().session != FIRST => {
            Err(Errno::ENOTTY)
        }
        ioctl::TIOCGPGRP => kernel.mm.write(argument, &kernel.processes.foreground).map(|()| 0),
        ioctl::TIOCGSID => kernel.mm.write(argument, &FIRST).map(|()| 0),
        ioctl::TIOCSPGRP => {
            let group: i32 = kernel.mm.read(argument)?;
            let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
            let is_there =
                kernel.processes.iter().any(|(_, record)| record.group == group && record.session == FIRST);
            if !is_there {
                return Err(Errno::EPERM);
            }
            kernel.processes.foreground = group;
            Ok(0)
        }
        _ => Err(Errno::ENOTTY),
    }
}
