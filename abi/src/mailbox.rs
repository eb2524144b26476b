//! The mailbox: memory shared between one VM and its host thread.
//!
//! ```text
//! offset            bytes          who writes   what
//! 0                 one page       both         Header
//! REFUSALS          one page       guest        what was refused, and how often: `crate::refusal`
//! LOG               LOG_SIZE       guest        log records
//! REQUEST           REQUEST_MAX    host         the request
//! RESPONSE          RESPONSE_MAX   guest        the response
//! ```
//!
//! The host treats every byte as hostile: it copies a value once, checks it, then uses the copy.

use crate::console::Console;
use crate::identity::Identity;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Offset of the log area.
pub const LOG: u64 = 0x1_0000;
/// Bytes of the log area.
pub const LOG_SIZE: u64 = 0x4_0000;
/// Offset of the request area.
pub const REQUEST: u64 = 0x10_0000;
/// Most bytes of a request.
pub const REQUEST_MAX: u64 = 16 << 20;
/// Offset of the response area.
pub const RESPONSE: u64 = REQUEST + REQUEST_MAX;
/// Most bytes of a response, or of a part of one.
pub const RESPONSE_MAX: u64 = 16 << 20;
/// Most entries of a list for [`crate::boot::KernelHeader::prefault`]. The list lies at the start of the request area.
pub const PREFAULT_MAX: usize = 2048;
/// Bytes of the mailbox slot.
pub const MAILBOX_SIZE: u64 = (RESPONSE + RESPONSE_MAX).next_multiple_of(crate::layout::HUGE);

/// Why the guest rang the doorbell: `Header::doorbell`. `args` are `Header::args`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Doorbell {
    /// The program waits for its next request. The parent is captured here; a fork resumes from here.
    Ready = 1,
    /// `response_len` bytes of response are in place: all of it, or what is left of it after [`Doorbell::Part`]s. Nothing after
    /// this is part of the invocation.
    Response = 2,
    /// The log area is full. The host takes `log_len` bytes, sets it to 0 and resumes the guest.
    Log = 3,
    /// Nothing to do until `args[0]`, an absolute monotonic time in ns (`u64::MAX`: for ever). The host waits, then resumes.
    /// With `args[1]` not 0 it also ends when there is input, if there can be some: [`crate::console`].
    Sleep = 4,
    /// The program ended: `args[0]` is its exit status (0 to 255).
    Exit = 5,
    /// A signal killed the program: `args[0]` signal number, `args[1]` fault address, `args[2]` instruction address.
    Signal = 6,
    /// pico itself failed; `detail` says how.
    Panic = 7,
    /// The response is longer than [`RESPONSE_MAX`].
    ResponseTooLarge = 8,
    /// The next `response_len` bytes of a response that goes on: HTTP, and the first part has the whole head; or
    /// [`crate::runtime_api::Kind::Chunks`]. The host takes them
    /// and resumes the guest, whose response area is empty then. With `args[0]` not 0 only the end can follow: a connection that
    /// was upgraded is closed in this direction.
    Part = 9,
    /// The settings of the terminal are asked for, or set: `args` are a [`crate::console::SettingsRequest`]. The host answers in
    /// [`Console::settings`] and resumes the guest. Contract `Program` only.
    Terminal = 10,
}

impl Doorbell {
    /// The doorbell with this number.
    pub const fn from_u32(value: u32) -> Option<Self> {
        Some(match value {
            1 => Self::Ready,
            2 => Self::Response,
            3 => Self::Log,
            4 => Self::Sleep,
            5 => Self::Exit,
            6 => Self::Signal,
            7 => Self::Panic,
            8 => Self::ResponseTooLarge,
            9 => Self::Part,
            10 => Self::Terminal,
            _ => return None,
        })
    }
}

/// Bytes of `Header::detail`.
pub const DETAIL_MAX: usize = 512;

/// First page of the mailbox.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Host: who this fork is.
    pub identity: Identity,
    /// Host: bytes in the request area.
    pub request_len: u64,
    /// Guest: a [`Doorbell`].
    pub doorbell: u32,
    /// Guest: not 0 if memory was refused to the program since it was resumed.
    pub memory_refused: u32,
    /// Guest: arguments of the doorbell.
    pub args: [u64; 4],
    /// Guest: bytes in the response area.
    pub response_len: u64,
    /// Guest: bytes in the log area.
    pub log_len: u64,
    /// Guest: bytes of program memory in use at the doorbell (what its mappings add up to).
    pub memory_used: u64,
    /// Guest: bytes in `detail`.
    pub detail_len: u32,
    /// Guest: [`crate::VERSION`], written at boot.
    pub version: u32,
    /// Guest: where its kernel takes a tick; 0 while it wants none. See [`Header::tick_rip`].
    pub tick_entry: u64,
    /// Host: a running guest with a `tick_entry` is interrupted now and then, unless its kernel runs. It goes on at
    /// `tick_entry` in ring 3, with all registers as they were but `rip`, which is here.
    pub tick_rip: u64,
    /// Guest: text for [`Doorbell::Panic`], UTF-8.
    pub detail: [u8; DETAIL_MAX],
    /// Both: the standard streams of a program that has some.
    pub console: Console,
}

/// One log record: this, then `len` bytes, padded to a multiple of 4.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LogRecord {
    /// 1 standard output, 2 standard error, 3 pico itself.
    pub stream: u32,
    /// Bytes of text that follow.
    pub len: u32,
}

const _: () = assert!(size_of::<Header>() == 80 + 8 + 8 + 32 + 8 + 8 + 8 + 8 + 16 + DETAIL_MAX + 72);
const _: () = assert!(LOG + LOG_SIZE <= REQUEST);
const _: () = assert!(8 * PREFAULT_MAX as u64 <= REQUEST_MAX);
const _: () = assert!(MAILBOX_SIZE.is_multiple_of(crate::layout::HUGE));
