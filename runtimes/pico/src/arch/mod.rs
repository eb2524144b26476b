//! The unsafe floor of the guest: entry and exit, exceptions, the heap. Only in the kernel build.

mod boot;
mod entry;
mod exceptions;
mod heap;
mod machine;
mod mem;
mod paging;
mod switch;
mod vdso;

use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::process::Registers;
use abi::mailbox::Doorbell;
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};
use machine::Machine;

/// A number as an address or a size.
#[expect(clippy::cast_possible_truncation, reason = "the only target has 64-bit addresses")]
const fn address(value: u64) -> usize {
    value as usize
}

/// A place only the one processor touches.
struct Global<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: the VM has one processor; ticks find the program, never pico; exceptions that happen in pico end the VM.
unsafe impl<T> Sync for Global<T> {}

static KERNEL: Global<Kernel> = Global(UnsafeCell::new(MaybeUninit::uninit()));
static IN_FAULT: AtomicBool = AtomicBool::new(false);

/// The kernel. Only called from the outermost frame of an entry into pico. Every thread can have one such frame; all but
/// the running thread's have lent their reference to `switch`, which returns when it is theirs again.
fn kernel() -> &'static mut Kernel {
    // SAFETY: `boot` put the kernel there before the first program instruction, the only source of entries.
    unsafe { (*KERNEL.0.get()).assume_init_mut() }
}

/// Puts the kernel in its place.
fn set_kernel(kernel: Kernel) -> &'static mut Kernel {
    // SAFETY: called once, by `boot`, before anybody asks for it.
    unsafe { (*KERNEL.0.get()).write(kernel) }
}

/// A system call of the program. Returns whether all registers changed.
extern "C" fn pico_syscall(registers: &mut Registers) -> bool {
    kernel().system_call(registers)
}

/// A tick: the host interrupted the program, whose registers these are but for `rip`.
extern "C" fn pico_tick(registers: &mut Registers) {
    registers.rip = Machine.tick_rip();
    kernel().tick(registers);
}

/// Makes the program's page at `addr` its own again so that pico can write to it. A system call that waited may hold memory
/// that another thread's fork(2) has made copy on write meanwhile. False: the page cannot be written to.
fn own_page(addr: u64) -> bool {
    // SAFETY: as `kernel`, but shared: what was interrupted writes to the program's memory and has no part of the map of
    // memory borrowed, which would be noticed.
    let kernel = unsafe { (*KERNEL.0.get()).assume_init_ref() };
    kernel.mm.make_writable(addr)
}

/// pico itself touched `addr` and was refused: the page is opened, if the program has closed it since pico looked.
fn open_page(addr: u64) -> bool {
    // SAFETY: as above.
    let kernel = unsafe { (*KERNEL.0.get()).assume_init_ref() };
    kernel.mm.open_for_pico(addr)
}

/// Notes that the exception handler runs; true if it already did.
fn enter_fault() -> bool {
    IN_FAULT.swap(true, Ordering::Relaxed)
}

/// The exception handler is done.
fn leave_fault() {
    IN_FAULT.store(false, Ordering::Relaxed);
}

/// Text of limited length, for failures that must not allocate.
struct Detail {
    text: [u8; 512],
    len: usize,
}

impl Write for Detail {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.text.len() - self.len;
        let text = &text[..text.floor_char_boundary(room)];
        self.text[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// Ends the VM because pico itself failed. Allocates nothing.
pub fn die(what: core::fmt::Arguments<'_>) -> ! {
    let mut detail = Detail { text: [0; 512], len: 0 };
    if detail.write_fmt(what).is_err() {
        detail.len = 0;
    }
    Machine.set_detail(core::str::from_utf8(&detail.text[..detail.len]).unwrap_or("pico failed"));
    loop {
        Machine.ring(Doorbell::Panic, [0; 4]);
    }
}
