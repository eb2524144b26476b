//! The machine below pico, as a trait: the guest has one implementation (`arch`), tests have another.

#[cfg(test)]
pub mod fake;

use crate::kernel::Kernel;
use crate::process::Registers;
use abi::console::Console;
use abi::identity::Identity;
use abi::mailbox::Doorbell;
use abi::refusal::Refusal;

/// Goes on with another thread. See [`Platform::switcher`].
pub type Switch = fn(kernel: &mut Kernel, from: u32, to: u32);

/// What a function has that its runtime parent had not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Function {
    /// Bytes of program memory, at least as many as before.
    pub memory: u64,
    /// The package image; empty if there is none.
    pub package: &'static [u8],
}

/// What pico needs from the machine.
pub trait Platform {
    /// Rings the doorbell and returns when the host resumes the VM. `Response`, `Exit`, `Signal`, `Panic` and
    /// `ResponseTooLarge` are final: the host does not resume after them. Use [`crate::kernel::Kernel::ring`].
    fn ring(&self, doorbell: Doorbell, args: [u64; 4]);
    /// The time-stamp counter.
    fn tsc(&self) -> u64;
    /// The identity the host wrote before it (re)entered this VM.
    fn identity(&self) -> Identity;
    /// The request the host wrote; `request_len` bytes of it.
    fn request(&self) -> &'static [u8];
    /// What the host wrote for the function a fork of a runtime parent becomes.
    fn function(&self) -> Function;
    /// The response area, `RESPONSE_MAX` bytes.
    fn response(&self) -> &'static mut [u8];
    /// Says how long the response is.
    fn set_response_len(&self, len: u64);
    /// Appends one log record; rings `Doorbell::Log` when the area is full. `stream`: 1 stdout, 2 stderr, 3 pico.
    fn log(&self, stream: u32, text: &[u8]);
    /// What the host says about the standard streams (contract `Program`).
    fn console(&self) -> Console;
    /// Takes the signals the host has for the program: bit `n - 1` is signal `n`.
    fn take_signals(&self) -> u64;
    /// Notes that the input which [`Platform::console`] tells of has been seen. Its bytes are those of
    /// [`Platform::input`], and stay until the doorbell is rung for more.
    fn clear_input(&self);
    /// The first `len` bytes of input.
    fn input(&self, len: usize) -> &'static [u8];
    /// Counts something that was refused because pico does not have it.
    fn count_refusal(&self, what: &Refusal);
    /// Notes that memory was refused to the program.
    fn memory_refused(&self);
    /// Whether pico's own memory is nearly used up.
    fn is_short(&self) -> bool;
    /// Says how many bytes of program memory are in use.
    fn set_memory_used(&self, bytes: u64);
    /// Sets the text that goes with `Doorbell::Panic`, cut to `DETAIL_MAX`.
    fn set_detail(&self, text: &str);
    /// Sets the program's thread pointer (`wrfsbase`).
    fn set_fs_base(&self, base: u64);
    /// The program's thread pointer.
    fn fs_base(&self) -> u64;
    /// Sets the program's second thread pointer (`wrgsbase`).
    fn set_gs_base(&self, base: u64);
    /// The program's second thread pointer.
    fn gs_base(&self) -> u64;
    /// Saves the vector state (`xsave`, standard format) into 64-byte aligned, zeroed `area` of
    /// [`crate::process::XSTATE_SIZE`] bytes. The part every entry saves (`xmm`, `mxcsr`) is pico's own, not the program's.
    fn save_xstate(&self, area: &mut [u8]);
    /// Restores what `save_xstate` saved. Components that are not present in `area` are as after a reset.
    fn restore_xstate(&self, area: &[u8]);
    /// Says whether the program is to be interrupted now and then ([`Kernel::tick`]), so that one thread cannot keep the
    /// processor for itself.
    fn set_ticks(&self, wanted: bool);
    /// Makes `stack` that of a thread that has not run yet: when it is switched to, the program goes on with `registers`
    /// and with the vector state of now. Returns what goes into [`crate::thread::Context::rsp`].
    fn prepare(&self, stack: &mut [u8], registers: &Registers) -> u64;
    /// The function that puts thread `from` aside and goes on with `to`, on the stack of `to`. It returns when another
    /// thread switches back to `from`, and has by then lent the kernel to all that ran in between.
    fn switcher(&self) -> Switch;
}
