//! Exceptions: stubs that run in ring 0 and do next to nothing, and the handler in ring 3.
//!
//! Ring 0 code is emulated on some hosts, several us for each instruction, so a stub notes vector, error code, `rax` and `cr2`,
//! and `iretq` leads to ring 3. The processor starts each exception at the top of the ring 0 stack, so the
//! handler finds the frame at a fixed place. An `int3` with the address behind it in `rcx` makes its stub load CR3 from `rax`
//! instead: each switch from process to process is one. A program that does so by itself ends its VM.

use super::entry::{pico_image_end, pico_image_start};
use crate::process::{PAGE_FAULT, Registers, fault_signal};
use abi::layout::selector;
use core::arch::global_asm;

global_asm!(
    ".text",
    ".macro PICO_EXCEPTION vector",
    // 8, 10 to 14, 17, 21, 29 and 30 push an error code themselves.
    ".if !(({with_code} >> \\vector) & 1)",
    "push 0",
    ".endif",
    "push \\vector",
    "mov [rip + pico_fault_rax], rax",
    "mov rax, cr2",
    "mov [rip + pico_fault_cr2], rax",
    "lea rsp, [rip + pico_fault_frame]",
    "iretq",
    ".endm",
    ".balign 64",
    "pico_exception_stubs:",
    ".set pico_vector, 0",
    ".rept {vectors}",
    ".balign 32",
    ".if pico_vector == 3",
    // pico's own `int3` is a wish, all others are breakpoints.
    "cmp [rsp], rcx",
    "jne pico_breakpoint",
    "mov cr3, rax",
    "iretq",
    ".else",
    "PICO_EXCEPTION pico_vector",
    ".endif",
    ".set pico_vector, pico_vector + 1",
    ".endr",
    ".balign 32",
    "pico_breakpoint: PICO_EXCEPTION 3",
    ".section .data.entry, \"aw\"",
    ".balign 16",
    "pico_fault_frame: .quad pico_fault_entry, {code}, 2, pico_fault_stack_top, {data}",
    "pico_fault_rax: .quad 0",
    "pico_fault_cr2: .quad 0",
    ".text",
    "pico_fault_entry:",
    "cld",
    "sub rsp, 416",
    "PICO_SAVE",
    "mov rax, [rip + pico_fault_rax]",
    "mov [rsp], rax",
    "mov rax, [rip + pico_ring0_stack_top - 40]",
    "mov [rsp + 128], rax",
    "mov rax, [rip + pico_ring0_stack_top - 24]",
    "mov [rsp + 136], rax",
    "mov rax, [rip + pico_ring0_stack_top - 16]",
    "mov [rsp + 56], rax",
    "mov rdi, rsp",
    "mov rsi, [rip + pico_ring0_stack_top - 56]",
    "mov rdx, [rip + pico_ring0_stack_top - 48]",
    "mov rcx, [rip + pico_fault_cr2]",
    "call {fault}",
    "jmp pico_return_all",
    vectors = const abi::boot::EXCEPTIONS,
    with_code = const 0x6022_7d00u32,
    code = const selector::USER_CODE,
    data = const selector::USER_DATA,
    fault = sym pico_fault,
);

/// The vector of a single step, and the flag that asks for steps.
const DEBUG: u64 = 1;
const TRAP_FLAG: u64 = 1 << 8;

/// In the error code of a page fault: the page is there, and was written to.
const WRITE_OF_PRESENT: u64 = 3;

/// Whether pico itself was at `rip`. Beside its image there is no code: who is there is a program that went astray.
fn is_picos(rip: u64) -> bool {
    let [start, end] = [&raw const pico_image_start, &raw const pico_image_end].map(|at| at.addr() as u64);
    (start..end).contains(&rip) && !super::vdso::holds(rip)
}

/// An exception of the program, or of pico itself. `registers` is the state at the fault; on return it is resumed.
extern "C" fn pico_fault(registers: &mut Registers, vector: u64, code: u64, cr2: u64) {
    let in_pico = is_picos(registers.rip);
    if vector == DEBUG && in_pico {
        // A program that single-steps called pico without a trap: not a step of its own.
        registers.rflags &= !TRAP_FLAG;
        return;
    }
    if super::enter_fault() {
        super::die(format_args!("exception {vector} at {:#x} inside the exception handler", registers.rip));
    }
    if in_pico && vector == PAGE_FAULT && code & WRITE_OF_PRESENT == WRITE_OF_PRESENT && super::own_page(cr2)
    {
        super::leave_fault();
        return;
    }
    if in_pico && vector == PAGE_FAULT && super::open_page(cr2) {
        super::leave_fault();
        return;
    }
    if in_pico {
        let (rip, rsp) = (registers.rip, registers.rsp);
        super::die(format_args!(
            "exception {vector} (code {code:#x}) in pico at {rip:#x}, cr2 {cr2:#x}, rsp {rsp:#x}"
        ));
    }
    if vector == PAGE_FAULT {
        super::kernel().page_fault(registers, code, cr2);
    } else {
        super::kernel().fault(registers, &fault_signal(vector, code, cr2));
    }
    super::leave_fault();
    // A process that ends does so outside of the handler, which the next exception needs.
    super::kernel().end_if_killed();
}
