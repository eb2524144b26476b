//! What can be set about a terminal: termios(3).

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use abi::console::Settings;
use linux_raw_sys::general as c;
use linux_raw_sys::ioctl;

/// Settings of a new terminal.
pub const SANE: Settings = Settings {
    input: c::ICRNL | c::IXON,
    output: c::OPOST | c::ONLCR,
    control: c::B38400 | c::CS8 | c::CREAD,
    local: c::ISIG | c::ICANON | c::ECHO | c::ECHOE | c::ECHOK | c::ECHOCTL | c::ECHOKE | c::IEXTEN,
    discipline: 0,
    characters: [0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0],
};

/// Bits per second for the codes of `CBAUD`.
const SPEEDS: [(u32, u32); 31] = [
    (c::B0, 0),
    (c::B50, 50),
    (c::B75, 75),
    (c::B110, 110),
    (c::B134, 134),
    (c::B150, 150),
    (c::B200, 200),
    (c::B300, 300),
    (c::B600, 600),
    (c::B1200, 1200),
    (c::B1800, 1800),
    (c::B2400, 2400),
    (c::B4800, 4800),
    (c::B9600, 9600),
    (c::B19200, 19200),
    (c::B38400, 38400),
    (c::B57600, 57600),
    (c::B115200, 115_200),
    (c::B230400, 230_400),
    (c::B460800, 460_800),
    (c::B500000, 500_000),
    (c::B576000, 576_000),
    (c::B921600, 921_600),
    (c::B1000000, 1_000_000),
    (c::B1152000, 1_152_000),
    (c::B1500000, 1_500_000),
    (c::B2000000, 2_000_000),
    (c::B2500000, 2_500_000),
    (c::B3000000, 3_000_000),
    (c::B3500000, 3_500_000),
    (c::B4000000, 4_000_000),
];

/// What settings say.
pub trait Termios {
    /// Whether `flag` of `c_lflag` is set.
    fn has(&self, flag: u32) -> bool;
    /// Whether `byte` is the special character at `index`; 0 is none.
    fn is(&self, index: u32, byte: u8) -> bool;
    /// `VMIN` and `VTIME`, the latter in ns.
    fn raw_limits(&self) -> (usize, u64);

    /// Whether lines are read, not bytes.
    fn is_canonical(&self) -> bool {
        self.has(c::ICANON)
    }
}

impl Termios for Settings {
    fn has(&self, flag: u32) -> bool {
        self.local & flag != 0
    }

    fn is(&self, index: u32, byte: u8) -> bool {
        byte != 0 && self.characters[index as usize] == byte
    }

    fn raw_limits(&self) -> (usize, u64) {
        let [least, time] = [c::VMIN, c::VTIME].map(|index| self.characters[index as usize]);
        (least.into(), u64::from(time) * 100_000_000)
    }
}

/// Bits per second.
fn speed(settings: &Settings) -> u32 {
    let code = settings.control & c::CBAUD;
    SPEEDS.iter().find(|(known, _)| *known == code).map_or(38400, |&(_, speed)| speed)
}

/// Writes `settings` to `argument` as `command` (one that gets settings) wants them.
pub fn write(kernel: &Kernel, command: u32, argument: u64, settings: &Settings) -> Result<u64> {
    kernel.mm.write(argument, settings)?;
    if command == ioctl::TCGETS2 {
        let speed = speed(settings);
        kernel.mm.write(argument + size_of::<Settings>() as u64, &[speed, speed])?;
    }
    Ok(0)
}

/// Reads settings from `argument` as `command` (one that sets them) has them. Speeds of the program's choice (`BOTHER`)
/// are those that they were: a pseudo terminal has none.
pub fn read(kernel: &Kernel, command: u32, argument: u64, before: &Settings) -> Result<Settings> {
    let mut settings: Settings = kernel.mm.read(argument)?;
    let has_speeds = matches!(command, ioctl::TCSETS2 | ioctl::TCSETSW2 | ioctl::TCSETSF2);
    if has_speeds {
        kernel
            .mm
            .read::<[u32; 2]>(argument.checked_add(size_of::<Settings>() as u64).ok_or(Errno::EFAULT)?)?;
    }
    if settings.control & c::CBAUD == c::BOTHER {
        settings.control = settings.control & !c::CBAUD | before.control & c::CBAUD;
    }
    // All bytes have eight bits.
    settings.control = settings.control & !(c::CSIZE | c::PARENB) | c::CS8 | c::CREAD;
    Ok(settings)
}

/// Whether `command` sets settings, and if so whether input is dropped then.
pub fn sets(command: u32) -> Option<bool> {
    match command {
        ioctl::TCSETS | ioctl::TCSETSW | ioctl::TCSETS2 | ioctl::TCSETSW2 => Some(false),
        ioctl::TCSETSF | ioctl::TCSETSF2 => Some(true),
        _ => None,
    }
}
