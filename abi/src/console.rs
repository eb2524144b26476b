//! The console: what host and guest exchange about the standard streams of a program that has some
//! ([`crate::boot::Contract::Program`]), and about a request whose end has not come yet. It is part of the mailbox header;
//! elsewhere it is all zeros.
//!
//! Output goes through the log area; every `write` ends with `Doorbell::Log`, so that nothing waits in the guest and a
//! slow reader slows the program down. Input is asked for with `Doorbell::Sleep` and comes into the request area.
//!
//! When a fork is entered, `input` says whether more of its request follows what is in the request area
//! ([`INPUT_BODY`], [`INPUT_CONNECTION`]). That is asked for like a program's input, once nothing unread is left.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of input the host hands over at once.
pub const INPUT_MAX: usize = 64 << 10;

/// Most bytes of a request that goes on the host hands over at once.
pub const STREAM_MAX: usize = 256 << 10;

/// `Console::input`: there is none yet.
pub const INPUT_NONE: u32 = 0;
/// `Console::input`: `input_len` bytes are in the request area.
pub const INPUT_DATA: u32 = 1;
/// `Console::input`: the end of the input. On a terminal more can follow.
pub const INPUT_END: u32 = 2;
/// `Console::input`: it cannot be read; `input_len` is the error number.
pub const INPUT_ERROR: u32 = 3;
/// `Console::input` of a fork that is entered: the body of its request goes on. After its end nothing follows.
pub const INPUT_BODY: u32 = 4;
/// `Console::input` of a fork that is entered: its request asks for another protocol. What the client sends after a response
/// with status 101 follows; its end is the end of the connection.
pub const INPUT_CONNECTION: u32 = 5;

/// What [`crate::mailbox::Doorbell::Terminal`] asks for: the settings as they are.
pub const SETTINGS_GET: u8 = 0;
/// The same: settings that take effect at once.
pub const SETTINGS_NOW: u8 = 1;
/// The same: once what was written has been seen.
pub const SETTINGS_DRAIN: u8 = 2;
/// The same, and what was typed is dropped.
pub const SETTINGS_FLUSH: u8 = 3;

/// Settings of a terminal: `struct termios` of Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// `c_iflag`
    pub input: u32,
    /// `c_oflag`
    pub output: u32,
    /// `c_cflag`
    pub control: u32,
    /// `c_lflag`
    pub local: u32,
    /// `c_line`
    pub discipline: u8,
    /// `c_cc`
    pub characters: [u8; 19],
}

const _: () = assert!(size_of::<Settings>() == 36);

/// Arguments of [`crate::mailbox::Doorbell::Terminal`]. A guest does not choose `c_cflag` and `c_line`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct SettingsRequest {
    /// `c_iflag`
    pub input: u32,
    /// `c_oflag`
    pub output: u32,
    /// `c_lflag`
    pub local: u32,
    /// `SETTINGS_*`
    pub action: u8,
    /// `c_cc`
    pub characters: [u8; 19],
}

impl SettingsRequest {
    /// What the doorbell is rung with.
    pub fn encode(self) -> [u64; 4] {
        zerocopy::transmute!(self)
    }

    /// What the doorbell was rung with.
    pub fn decode(args: [u64; 4]) -> Self {
        zerocopy::transmute!(args)
    }
}

/// The console's part of the mailbox header. The host writes to it while the VM is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Console {
    /// Signals for the program: bit `n - 1` is signal `n`. The guest takes all with one exchange.
    pub signals: u64,
    /// `INPUT_*`. The guest sets it to [`INPUT_NONE`] once it has taken note.
    pub input: u32,
    /// Bytes of input, or an error number.
    pub input_len: u32,
    /// Error numbers of the last writes to standard output and standard error; 0 if all went well.
    pub output_errors: [u32; 2],
    /// Bit `n`: descriptor `n` is a terminal.
    pub terminals: u32,
    /// Size of the terminal: rows.
    pub rows: u16,
    /// Size of the terminal: columns.
    pub columns: u16,
    /// Settings of the terminal, after [`crate::mailbox::Doorbell::Terminal`].
    pub settings: Settings,
    /// Error number of the last one of those; 0 if all went well.
    pub settings_error: u32,
}

const _: () = assert!(size_of::<Console>() == 72);
