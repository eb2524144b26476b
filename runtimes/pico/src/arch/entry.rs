//! The assembly: image header, entry, the system-call stub and its ring 3 handler, and the way back.
//!
//! `syscall` jumps to the stub, which runs in ring 0 on VMX and SVM and in ring 3 on `kvm_pvm`: it uses only
//! what works at both, and `iretq` to the handler, which always runs in ring 3 on a stack of pico's: the thread's own. The handler
//! saves the program's registers as [`crate::process::Registers`], calls [`super::pico_syscall`] and restores
//! them. A system call that replaced the registers (a signal, `rt_sigreturn`) goes back by `iretq`, all others by a
//! jump with `rcx` and `r11` holding the return address and the flags, as after a real `sysret`.

use abi::layout::selector;
use core::arch::global_asm;

/// Bytes of pico's stack.
pub(super) const STACK_SIZE: usize = 128 << 10;
/// Bytes of the stack for exceptions of the program, in ring 3.
pub(super) const FAULT_STACK_SIZE: usize = 32 << 10;
/// Bytes of the ring 0 stack, on which the processor pushes exception frames.
pub(super) const RING0_STACK_SIZE: usize = 4 << 10;

global_asm!(
    ".section .header, \"a\"",
    ".ascii \"sporepic\"",
    ".long {version}, 0",
    ".quad pico_entry, pico_stack_top, pico_syscall_stub, pico_ring0_stack_top, pico_exception_stubs, 32, pico_prefault",
    ".section .bss.stacks, \"aw\", @nobits",
    ".balign 4096",
    ".skip {stack}",
    ".globl pico_stack_top",
    "pico_stack_top:",
    ".skip {fault_stack}",
    "pico_fault_stack_top:",
    ".skip {ring0_stack}",
    "pico_ring0_stack_top:",
    ".section .data.entry, \"aw\"",
    ".balign 64",
    ".globl pico_syscall_frame",
    "pico_syscall_frame:",
    ".quad pico_syscall_entry, {code}, 2, pico_stack_top, {data}",
    "pico_program_rsp: .quad 0",
    ".text",
    ".globl pico_entry",
    "pico_entry:",
    "cld",
    "xor ebp, ebp",
    "call {start}",
    "ud2",
    ".balign 64",
    "pico_syscall_stub:",
    "mov [rip + pico_program_rsp], rsp",
    "lea rsp, [rip + pico_syscall_frame]",
    "iretq",
    // Touches the rsi pages listed at rdi (`abi::boot::KernelHeader::prefault`). The host never resumes it.
    ".balign 64",
    "pico_prefault:",
    "test rsi, rsi",
    "jz 4f",
    "2: mov rax, [rdi]",
    "add rdi, 8",
    "btr rax, 0",
    "jc 3f",
    "btr rax, 1",
    "jc 5f",
    "movzx ecx, byte ptr [rax]",
    "dec rsi",
    "jnz 2b",
    "jmp 4f",
    "5: mov rcx, [rdi]",
    "add rdi, 8",
    "mov [rax], rcx",
    "sub rsi, 2",
    "jnz 2b",
    "jmp 4f",
    "3: lock or byte ptr [rax], 0",
    "dec rsi",
    "jnz 2b",
    "4: out {port}, al",
    "jmp 4b",
    version = const abi::VERSION,
    port = const abi::layout::DOORBELL_PORT,
    stack = const STACK_SIZE,
    fault_stack = const FAULT_STACK_SIZE,
    ring0_stack = const RING0_STACK_SIZE,
    code = const selector::USER_CODE,
    data = const selector::USER_DATA,
    start = sym super::boot::pico_start,
);

global_asm!(
    // Saves everything but rax, rip, rflags and rsp into the Registers at rsp.
    ".macro PICO_SAVE",
    "mov [rsp + 8], rbx",
    "mov [rsp + 16], rcx",
    "mov [rsp + 24], rdx",
    "mov [rsp + 32], rsi",
    "mov [rsp + 40], rdi",
    "mov [rsp + 48], rbp",
    "mov [rsp + 64], r8",
    "mov [rsp + 72], r9",
    "mov [rsp + 80], r10",
    "mov [rsp + 88], r11",
    "mov [rsp + 96], r12",
    "mov [rsp + 104], r13",
    "mov [rsp + 112], r14",
    "mov [rsp + 120], r15",
    "stmxcsr [rsp + 144]",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps [rsp + 160 + 16 * \\n], xmm\\n",
    ".endr",
    ".endm",
    // Restores everything but rcx, r11, rip, rflags and rsp from the Registers at rsp.
    ".macro PICO_RESTORE",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps xmm\\n, [rsp + 160 + 16 * \\n]",
    ".endr",
    "ldmxcsr [rsp + 144]",
    "mov rax, [rsp]",
    "mov rbx, [rsp + 8]",
    "mov rdx, [rsp + 24]",
    "mov rsi, [rsp + 32]",
    "mov rdi, [rsp + 40]",
    "mov rbp, [rsp + 48]",
    "mov r8, [rsp + 64]",
    "mov r9, [rsp + 72]",
    "mov r10, [rsp + 80]",
    "mov r12, [rsp + 96]",
    "mov r13, [rsp + 104]",
    "mov r14, [rsp + 112]",
    "mov r15, [rsp + 120]",
    ".endm",
    ".text",
    ".balign 64",
    // Where a rewritten system call arrives: as behind the stub, with the flags as the stub's `iretq` sets them.
    // Only rcx and r11 may change, as by `syscall`.
    ".globl pico_fast_entry",
    "pico_fast_entry:",
    "mov [rip + pico_program_rsp], rsp",
    "mov rsp, [rip + pico_syscall_frame + 24]",
    "pushfq",
    "pop r11",
    "push 2",
    "popfq",
    "pico_syscall_entry:",
    "sub rsp, 416",
    "mov [rsp], rax",
    "PICO_SAVE",
    "mov [rsp + 128], rcx",
    "mov [rsp + 136], r11",
    "mov rax, [rip + pico_program_rsp]",
    "mov [rsp + 56], rax",
    "mov rdi, rsp",
    "call {syscall}",
    "test al, al",
    "jnz pico_return_all",
    "PICO_RESTORE",
    "mov rcx, [rsp + 128]",
    "mov r11, [rsp + 136]",
    "push r11",
    "popfq",
    "mov rsp, [rsp + 56]",
    "jmp rcx",
    // Where the host sends the program for a tick, at any instruction: nothing but rip has changed.
    ".globl pico_tick_entry",
    "pico_tick_entry:",
    "mov [rip + pico_program_rsp], rsp",
    "mov rsp, [rip + pico_syscall_frame + 24]",
    "lea rsp, [rsp - 416]",
    "pushfq",
    "pop qword ptr [rsp + 136]",
    "push 2",
    "popfq",
    "mov [rsp], rax",
    "PICO_SAVE",
    "mov rax, [rip + pico_program_rsp]",
    "mov [rsp + 56], rax",
    "mov rdi, rsp",
    "call {tick}",
    "jmp pico_return_all",
    // Goes to the program with all of the Registers at rsp.
    ".globl pico_return_all",
    "pico_return_all:",
    "mov rax, {data}",
    "push rax",
    "push qword ptr [rsp + 8 + 56]",
    "push qword ptr [rsp + 16 + 136]",
    "mov rax, {code}",
    "push rax",
    "push qword ptr [rsp + 32 + 128]",
    "add rsp, 40",
    "PICO_RESTORE",
    "mov rcx, [rsp + 16]",
    "mov r11, [rsp + 88]",
    "lea rsp, [rsp - 40]",
    "iretq",
    // Goes to the program with the Registers at rdi.
    ".globl pico_resume",
    "pico_resume:",
    "mov rsp, rdi",
    "jmp pico_return_all",
    syscall = sym super::pico_syscall,
    tick = sym super::pico_tick,
    code = const selector::USER_CODE,
    data = const selector::USER_DATA,
);

unsafe extern "C" {
    /// First byte of the image.
    pub(super) static pico_image_start: u8;
    /// First byte behind the image: the heap starts here.
    pub(super) static pico_image_end: u8;
    /// Where a rewritten system call arrives.
    static pico_fast_entry: u8;
    /// Where a tick arrives.
    static pico_tick_entry: u8;
    /// The top of the first thread's stack.
    pub(super) static pico_stack_top: u8;
    /// What the stub's `iretq` takes; the fourth word is the top of the running thread's stack.
    pub(super) static mut pico_syscall_frame: [u64; 5];
    /// Goes to the program with the registers at `rsp`. Only jumped to.
    pub(super) fn pico_return_all() -> !;
    /// Goes to the program with `registers`, which lie on a stack of pico's with 64 free bytes below.
    pub(super) fn pico_resume(registers: *const crate::process::Registers) -> !;
}

/// The address of the entry for rewritten system calls.
pub(super) fn fast_entry() -> u64 {
    (&raw const pico_fast_entry).addr() as u64
}

/// The address of the entry for ticks.
pub(super) fn tick_entry() -> u64 {
    (&raw const pico_tick_entry).addr() as u64
}
