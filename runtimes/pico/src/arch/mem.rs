//! The functions the compiler calls to move memory. String instructions are fast on every processor of interest
//! and, unlike loops, cannot be turned by the compiler into calls of themselves.

use core::arch::naked_asm;

/// memcpy(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memcpy(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    naked_asm!("mov rax, rdi", "mov rcx, rdx", "rep movsb", "ret")
}

/// memmove(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memmove(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "mov rcx, rdx",
        "mov r8, rdi",
        "sub r8, rsi",
        "cmp r8, rdx",
        "jb 2f",
        "rep movsb",
        "ret",
        "2:",
        "lea rdi, [rdi + rdx - 1]",
        "lea rsi, [rsi + rdx - 1]",
        "std",
        "rep movsb",
        "cld",
        "ret",
    )
}

/// memset(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memset(target: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!("mov r8, rdi", "mov eax, esi", "mov rcx, rdx", "rep stosb", "mov rax, r8", "ret")
}

/// memcmp(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    naked_asm!(
        "xor eax, eax",
        "mov rcx, rdx",
        "cmp eax, eax",
        "repe cmpsb",
        "je 2f",
        "movzx eax, byte ptr [rdi - 1]",
        "movzx ecx, byte ptr [rsi - 1]",
        "sub eax, ecx",
        "2:",
        "ret",
    )
}

/// bcmp(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// Named by the precompiled standard crates. Panics abort, so nothing is ever unwound.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    super::die(format_args!("an unwinding panic; pico is built with panic=abort"))
}
