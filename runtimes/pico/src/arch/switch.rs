//! From the stack of one thread to that of another.
//!
//! What a thread leaves behind on its stack of pico while it does not run:
//!
//! ```text
//! rsp, 64-aligned   xsave area            x87, SSE, AVX, AVX-512: what the program may have in use beyond what
//!                                         every entry saves
//! + XSTATE_SIZE     address of:           rbx, rbp, r12 to r15 as the compiler wants them back, return address
//! ```

use super::address;
use super::entry::{pico_return_all, pico_stack_top, pico_syscall_frame};
use crate::kernel::Kernel;
use crate::process::{Registers, XSTATE_MASK, XSTATE_SIZE};
use crate::thread::Context;
use core::arch::naked_asm;
use core::ptr::with_exposed_provenance_mut;

/// Bytes behind the xsave area, which keep the stack aligned; the first 8 are in use.
const LINK: usize = 64;
/// Words the first switch to a thread takes from its stack: the callee-saved registers and the return address.
const WORDS: usize = 7;

/// Where a thread that exits leaves what nobody will need.
static mut DISCARDED: Context = Context { rsp: 0, stack_top: 0, fs_base: 0, gs_base: 0 };

/// Saves the state of the running thread, its address at `save`, and goes on with the state at `load`. `kernel` is
/// not used here: it tells the compiler that others use it before this returns.
#[unsafe(naked)]
extern "C" fn exchange(save: *mut u64, load: u64, kernel: *mut Kernel) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rcx, rsp",
        "sub rsp, {frame}",
        "and rsp, -64",
        "mov [rsp + {size}], rcx",
        // The header of the area: xsave writes a part of it, xrstor wants the rest to be 0.
        "xor eax, eax",
        ".irp n, 0,1,2,3,4,5,6,7",
        "mov [rsp + 512 + 8 * \\n], rax",
        ".endr",
        "mov eax, {mask}",
        "xor edx, edx",
        "xsave64 [rsp]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "xrstor64 [rsp]",
        "mov rsp, [rsp + {size}]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        frame = const XSTATE_SIZE + LINK,
        size = const XSTATE_SIZE,
        mask = const XSTATE_MASK,
    )
}

/// [`crate::platform::Platform::switcher`]
pub(super) fn switch(kernel: &mut Kernel, from: u32, to: u32) {
    let save = match kernel.threads.context(from) {
        Some(context) => &raw mut context.rsp,
        // SAFETY: only the address is taken; what is written there is never read.
        None => unsafe { &raw mut DISCARDED.rsp },
    };
    let Some(&mut Context { rsp, stack_top, .. }) = kernel.threads.context(to) else {
        super::die(format_args!("thread {to} is to run, but there is none"));
    };
    let top = if stack_top == 0 { (&raw const pico_stack_top).addr() as u64 } else { stack_top };
    // SAFETY: the word that says where system calls find their stack; only pico's entry reads it.
    unsafe { (&raw mut pico_syscall_frame[3]).write_volatile(top) };
    exchange(save, rsp, kernel);
}

/// [`crate::platform::Platform::prepare`]
pub(super) fn prepare(stack: &mut [u8], registers: &Registers) -> u64 {
    let top = stack.as_ptr_range().end.expose_provenance() as u64;
    let registers_at = top - size_of::<Registers>() as u64;
    let words_at = registers_at - 8 * WORDS as u64;
    let area_at = (words_at - (XSTATE_SIZE + LINK) as u64) & !63;
    let resume = (pico_return_all as *const ()).expose_provenance() as u64;
    let at = |address_of: u64| with_exposed_provenance_mut::<u64>(address(address_of));
    // SAFETY: all of it lies in `stack`, which is larger, aligned to a page, and used by nobody yet.
    unsafe {
        at(registers_at).cast::<Registers>().write(*registers);
        at(words_at).write_bytes(0, WORDS);
        at(words_at + 8 * (WORDS as u64 - 1)).write(resume);
        at(area_at).cast::<u8>().write_bytes(0, XSTATE_SIZE);
        at(area_at + XSTATE_SIZE as u64).write(words_at);
        let area = core::slice::from_raw_parts_mut(at(area_at).cast::<u8>(), XSTATE_SIZE);
        crate::platform::Platform::save_xstate(&super::machine::Machine, area);
    }
    area_at
}
