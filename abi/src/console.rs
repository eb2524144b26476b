//! The console: what host and guest exchange about the standard streams of a program that has some
//! ([`crate::boot::Contract::Program`]). It is part of the mailbox header; elsewhere it is all zeros.
//!
//! Output goes through the log area; every `write` ends with `Doorbell::Log`, so that nothing waits in the guest and a
//! slow reader slows the program down. Input is asked for with `Doorbell::Sleep` and comes into the request area.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of input the host hands over at once.
pub const INPUT_MAX: usize = 64 << 10;

/// `Console::input`: there is none yet.
pub const INPUT_NONE: u32 = 0;
/// `Console::input`: `input_len` bytes are in the request area.
pub const INPUT_DATA: u32 = 1;
/// `Console::input`: the end of the input. On a terminal more can follow.
pub const INPUT_END: u32 = 2;
/// `Console::input`: it cannot be read; `input_len` is the error number.
pub const INPUT_ERROR: u32 = 3;

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
}

const _: () = assert!(size_of::<Console>() == 32);
