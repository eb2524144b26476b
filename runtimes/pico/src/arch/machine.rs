//! The machine: doorbell, mailbox, time-stamp counter, thread pointers.

use super::address;
use crate::platform::{Function, Platform, Switch};
use crate::process::{Registers, XSTATE_MASK, XSTATE_SIZE};
use abi::console::{Console, INPUT_NONE, STREAM_MAX};
use abi::identity::Identity;
use abi::layout::{DOORBELL_PORT, MAILBOX_VA};
use abi::mailbox::{
    DETAIL_MAX, Doorbell, Header, LOG, LOG_SIZE, LogRecord, REQUEST, REQUEST_MAX, RESPONSE, RESPONSE_MAX,
};
use abi::refusal::{REFUSALS, Refusal, Refusals};
use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU64, Ordering};

/// The one machine there is. It has no state of its own: all of it is in the mailbox and the processor.
pub(super) struct Machine;

/// A pointer into the mailbox.
fn mailbox<T>(offset: u64) -> *mut T {
    with_exposed_provenance_mut(address(MAILBOX_VA + offset))
}

/// Reads or writes a field of the mailbox header; the host writes some of them while the VM is stopped.
macro_rules! header {
    ($($field:ident).+) => {
        // SAFETY: the mailbox is mapped for ever and aligned; the field is plain data.
        unsafe { (&raw const (*mailbox::<Header>(0)).$($field).+).read_volatile() }
    };
    ($($field:ident).+ = $value:expr) => {{
        let value = $value;
        // SAFETY: as above; only pico writes while the VM runs.
        unsafe { (&raw mut (*mailbox::<Header>(0)).$($field).+).write_volatile(value) }
    }};
}

/// Leaves the VM. The host resumes a fork behind the `out` with the registers of its parent, so everything the
/// caller keeps is on the stack; `rcx` tells the host where that is.
#[unsafe(naked)]
extern "C" fn leave() {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "lea rcx, [rip + 2f]",
        "out {port}, al",
        "2:",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        port = const DOORBELL_PORT,
    )
}

/// Whether the host ends the VM after this doorbell.
fn is_final(doorbell: Doorbell) -> bool {
    match doorbell {
        Doorbell::Ready | Doorbell::Log | Doorbell::Sleep | Doorbell::Part | Doorbell::Terminal => false,
        Doorbell::Response
        | Doorbell::Exit
        | Doorbell::Signal
        | Doorbell::Panic
        | Doorbell::ResponseTooLarge => true,
    }
}

impl Machine {
    /// Where the program was when the host made pico take a tick.
    pub(super) fn tick_rip(&self) -> u64 {
        header!(tick_rip)
    }

    /// Says which contract this pico was built for.
    pub(super) fn announce(&self) {
        header!(version = abi::VERSION);
    }

    /// Appends one record that fits into an empty log area.
    fn append(&self, stream: u32, text: &[u8]) {
        let size = (size_of::<LogRecord>() + text.len()).next_multiple_of(4) as u64;
        if header!(log_len).saturating_add(size) > LOG_SIZE {
            self.ring(Doorbell::Log, [0; 4]);
            header!(log_len = 0);
        }
        let used = header!(log_len);
        let record = LogRecord { stream, len: u32::try_from(text.len()).unwrap_or(u32::MAX) };
        // SAFETY: header and text end inside the log area, which only pico writes while the VM runs.
        unsafe {
            mailbox::<LogRecord>(LOG + used).write(record);
            let target = mailbox::<u8>(LOG + used + size_of::<LogRecord>() as u64);
            core::ptr::copy_nonoverlapping(text.as_ptr(), target, text.len());
        }
        header!(log_len = used + size);
    }
}

impl Platform for Machine {
    fn ring(&self, doorbell: Doorbell, args: [u64; 4]) {
        header!(args = args);
        loop {
            header!(doorbell = doorbell as u32);
            leave();
            if !is_final(doorbell) {
                return;
            }
        }
    }

    fn tsc(&self) -> u64 {
        // SAFETY: the counter can always be read.
        unsafe { core::arch::x86_64::_rdtsc() }
    }

    fn identity(&self) -> Identity {
        header!(identity)
    }

    fn request(&self) -> &'static [u8] {
        let len = address(header!(request_len).min(REQUEST_MAX));
        // SAFETY: inside the request area; the host does not write while the VM runs.
        unsafe { core::slice::from_raw_parts(mailbox(REQUEST), len) }
    }

    fn function(&self) -> Function {
        super::boot::function()
    }

    fn response(&self) -> &'static mut [u8] {
        // SAFETY: the response area; the kernel holds one such slice at a time.
        unsafe { core::slice::from_raw_parts_mut(mailbox(RESPONSE), address(RESPONSE_MAX)) }
    }

    fn set_response_len(&self, len: u64) {
        header!(response_len = len);
    }

    fn log(&self, stream: u32, text: &[u8]) {
        for part in text.chunks(address(LOG_SIZE) / 2) {
            self.append(stream, part);
        }
    }

    fn console(&self) -> Console {
        header!(console)
    }

    fn take_signals(&self) -> u64 {
        let at = offset_of!(Header, console) + offset_of!(Console, signals);
        // SAFETY: an aligned word of the mailbox, mapped for ever. One instruction takes it, so that a host that stops the
        // VM at any moment and adds a signal never loses it.
        unsafe { AtomicU64::from_ptr(mailbox(at as u64)) }.swap(0, Ordering::Relaxed)
    }

    fn clear_input(&self) {
        header!(console.input = INPUT_NONE);
    }

    fn input(&self, len: usize) -> &'static [u8] {
        // SAFETY: inside the request area; the host writes there only when it is asked for more.
        unsafe { core::slice::from_raw_parts(mailbox(REQUEST), len.min(STREAM_MAX)) }
    }

    fn count_refusal(&self, what: &Refusal) {
        // SAFETY: a page of the mailbox, mapped for ever and aligned, in which any bytes are valid; the host reads it
        // only while the VM is stopped, and nothing else in pico refers to it.
        unsafe { &mut *mailbox::<Refusals>(REFUSALS) }.count(what);
    }

    fn memory_refused(&self) {
        header!(memory_refused = 1);
    }

    fn is_short(&self) -> bool {
        super::heap::is_short()
    }

    fn set_memory_used(&self, bytes: u64) {
        header!(memory_used = bytes);
    }

    fn set_detail(&self, text: &str) {
        let text = &text.as_bytes()[..text.floor_char_boundary(DETAIL_MAX)];
        let mut detail = [0; DETAIL_MAX];
        detail[..text.len()].copy_from_slice(text);
        header!(detail = detail);
        header!(detail_len = u32::try_from(text.len()).unwrap_or(0));
    }

    fn set_fs_base(&self, base: u64) {
        // SAFETY: pico itself has no use for the register.
        unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags)) };
    }

    fn fs_base(&self) -> u64 {
        let base;
        // SAFETY: reads a register.
        unsafe { asm!("rdfsbase {}", out(reg) base, options(nostack, preserves_flags)) };
        base
    }

    fn set_gs_base(&self, base: u64) {
        // SAFETY: pico itself has no use for the register.
        unsafe { asm!("wrgsbase {}", in(reg) base, options(nostack, preserves_flags)) };
    }

    fn gs_base(&self) -> u64 {
        let base;
        // SAFETY: reads a register.
        unsafe { asm!("rdgsbase {}", out(reg) base, options(nostack, preserves_flags)) };
        base
    }

    fn save_xstate(&self, area: &mut [u8]) {
        assert!(area.len() == XSTATE_SIZE && area.as_ptr().addr().is_multiple_of(64), "an xsave area");
        // SAFETY: the area is large enough for the components of the mask, and aligned.
        unsafe {
            asm!("xsave64 [{}]", in(reg) area.as_mut_ptr(), in("eax") XSTATE_MASK, in("edx") 0, options(nostack))
        };
    }

    fn restore_xstate(&self, area: &[u8]) {
        assert!(area.len() == XSTATE_SIZE && area.as_ptr().addr().is_multiple_of(64), "an xsave area");
        // SAFETY: as above; the caller cleared what would fault. The compiler's own use of `xmm` is declared.
        unsafe {
            asm!("xrstor64 [{}]", in(reg) area.as_ptr(), in("eax") XSTATE_MASK, in("edx") 0,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _, options(nostack));
        }
    }

    fn set_ticks(&self, wanted: bool) {
        header!(tick_entry = if wanted { super::entry::tick_entry() } else { 0 });
    }

    fn prepare(&self, stack: &mut [u8], registers: &Registers) -> u64 {
        super::switch::prepare(stack, registers)
    }

    fn switcher(&self) -> Switch {
        super::switch::switch
    }
}
