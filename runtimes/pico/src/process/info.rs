//! What is told with a signal.

use super::{Change, Ending, News};
use linux_raw_sys::general as linux;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The part of `siginfo_t` that is used, 128 bytes in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Info {
    /// Number.
    pub signal: u32,
    /// `si_errno`
    pub errno: i32,
    /// `si_code`
    pub code: i32,
    /// Zero.
    pub reserved: u32,
    /// The union: for faults the address, otherwise pid, uid and value.
    pub fields: [u64; 14],
}

impl Info {
    /// A signal nobody sent: the kernel's.
    pub fn sent(signal: u32, code: i32) -> Self {
        Self { signal, errno: 0, code, reserved: 0, fields: [0; 14] }
    }

    /// A signal that process `pid` sent.
    pub fn from_process(signal: u32, code: i32, pid: u32) -> Self {
        let mut info = Self::sent(signal, code);
        info.fields[0] = pid.into();
        info
    }

    /// What timer `id` sends, which went off `overrun` times more without a signal of its own.
    pub fn of_timer(signal: u32, id: u32, overrun: u64, value: u64) -> Self {
        let mut info = Self::sent(signal, SI_TIMER);
        info.set_timer(id, overrun);
        info.fields[1] = value;
        info
    }

    /// The same for what it says of the timer.
    pub fn set_timer(&mut self, id: u32, overrun: u64) {
        self.fields[0] = u64::from(id) | overrun << 32;
    }

    /// The timer that sent it, and the overrun.
    pub fn timer(&self) -> Option<(u32, u64)> {
        let [low, high] = [self.fields[0] & u64::from(u32::MAX), self.fields[0] >> 32];
        (self.code == SI_TIMER).then(|| Some((u32::try_from(low).ok()?, high))).flatten()
    }

    /// What has become of the child `pid`, as its parent is told.
    pub fn of_child(signal: u32, pid: u32, news: News) -> Self {
        let (code, status) = match news.change {
            Change::Ended(Ending::Exited(status)) => (linux::CLD_EXITED, status),
            Change::Ended(Ending::Killed(signal)) => (linux::CLD_KILLED, signal),
            Change::Stopped(signal) => (linux::CLD_STOPPED, signal),
            Change::Continued => (linux::CLD_CONTINUED, linux::SIGCONT),
        };
        let mut info = Self::from_process(signal, code.cast_signed(), pid);
        info.fields[1] = status.into();
        info.fields[2] = news.busy / (crate::clock::SECOND / crate::exec::TICKS);
        info
    }
}

/// An exception as the program gets to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Number of the signal.
    pub signal: u32,
    /// `si_code`.
    pub code: i32,
    /// Exception vector.
    pub vector: u64,
    /// Error code the processor pushed.
    pub error: u64,
    /// `cr2` for page faults, else 0.
    pub address: u64,
}

/// What the processor says of floating-point exceptions: which have happened, and which the program does not want to
/// hear of. One bit each: invalid, denormal, divide, overflow, underflow, precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FloatExceptions {
    /// Those that have happened since the flags were cleared.
    pub(super) raised: u32,
    /// Those that are masked.
    pub(super) masked: u32,
}

impl FloatExceptions {
    /// From the control and status words of the x87.
    pub(super) fn of_x87(control: u16, status: u16) -> Self {
        Self { raised: status.into(), masked: control.into() }
    }

    /// From `mxcsr`.
    pub(super) fn of_sse(mxcsr: u32) -> Self {
        Self { raised: mxcsr, masked: mxcsr >> 7 }
    }

    /// `si_code`, as Linux chooses it if there are several; `None` if there is none.
    fn code(self) -> Option<u32> {
        let codes = [
            (0x01, linux::FPE_FLTINV),
            (0x04, linux::FPE_FLTDIV),
            (0x08, linux::FPE_FLTOVF),
            (0x12, linux::FPE_FLTUND),
            (0x20, linux::FPE_FLTRES),
        ];
        let wanted = self.raised & !self.masked;
        codes.into_iter().find(|(bits, _)| wanted & bits != 0).map(|(_, code)| code)
    }
}

/// Vectors of the exceptions of the x87 and of SSE.
pub(super) const X87_EXCEPTION: u64 = 16;
/// See [`X87_EXCEPTION`].
pub(super) const SSE_EXCEPTION: u64 = 19;

impl Fault {
    /// What a handler is told. `rip`: the instruction; `exceptions`: what floating-point exceptions there are, if it is one.
    pub(super) fn info(&self, rip: u64, exceptions: FloatExceptions) -> Info {
        let (code, address) = match self.vector {
            0 | 1 | 6 => (self.code, rip),
            X87_EXCEPTION | SSE_EXCEPTION => (exceptions.code().map_or(self.code, u32::cast_signed), rip),
            _ => (self.code, self.address),
        };
        let mut info = Info::sent(self.signal, code);
        info.fields[0] = address;
        info
    }
}

/// The signal for exception `vector` with error code `error`; `cr2` is the address of a page fault. Which floating-point
/// exception it is says [`Fault::info`].
pub fn fault_signal(vector: u64, error: u64, cr2: u64) -> Fault {
    let (signal, code) = match vector {
        0 => (linux::SIGFPE, linux::FPE_INTDIV),
        1 => (linux::SIGTRAP, linux::TRAP_TRACE),
        3 => (linux::SIGTRAP, SI_KERNEL),
        6 => (linux::SIGILL, linux::ILL_ILLOPN),
        12 => (linux::SIGBUS, SI_KERNEL),
        14 => (linux::SIGSEGV, linux::SEGV_MAPERR),
        X87_EXCEPTION | SSE_EXCEPTION => (linux::SIGFPE, linux::FPE_FLTINV),
        17 => (linux::SIGBUS, linux::BUS_ADRALN),
        _ => (linux::SIGSEGV, SI_KERNEL),
    };
    let address = if vector == 14 { cr2 } else { 0 };
    Fault { signal, code: code.cast_signed(), vector, error, address }
}

const SI_KERNEL: u32 = 0x80;
/// `si_code` of what a timer sends.
const SI_TIMER: i32 = -2;
