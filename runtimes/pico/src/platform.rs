//! The machine below pico, as a trait: the guest has one implementation (`arch`), tests have another.

use abi::identity::Identity;
use abi::mailbox::Doorbell;

/// What pico needs from the machine.
pub trait Platform {
    /// Rings the doorbell and returns when the host resumes the VM. `Response`, `Exit`, `Signal`, `Panic` and
    /// `ResponseTooLarge` are final: the host does not resume after them.
    fn ring(&self, doorbell: Doorbell, args: [u64; 4]);
    /// The time-stamp counter.
    fn tsc(&self) -> u64;
    /// The identity the host wrote before it (re)entered this VM.
    fn identity(&self) -> Identity;
    /// The request the host wrote; `request_len` bytes of it.
    fn request(&self) -> &'static [u8];
    /// The response area, `RESPONSE_MAX` bytes.
    fn response(&self) -> &'static mut [u8];
    /// Says how long the response is.
    fn set_response_len(&self, len: u64);
    /// Appends one log record; rings `Doorbell::Log` when the area is full. `stream`: 1 stdout, 2 stderr, 3 pico.
    fn log(&self, stream: u32, text: &[u8]);
    /// Counts one refused system call, by number.
    fn count_unsupported(&self, number: u64);
    /// Notes that memory was refused to the program.
    fn memory_refused(&self);
    /// Sets the program's thread pointer (`wrfsbase`).
    fn set_fs_base(&self, base: u64);
    /// The program's thread pointer.
    fn fs_base(&self) -> u64;
}
