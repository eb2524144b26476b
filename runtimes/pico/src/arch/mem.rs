//! The functions the compiler calls to move memory. Short pieces, which are most, go through registers, all loads before
//! all stores; for long ones string instructions are fast on every processor of interest. Unlike loops in Rust, none of this
//! can be turned by the compiler into calls of itself.

use core::arch::naked_asm;

/// memcpy(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memcpy(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 64",
        "jbe {short}",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        short = sym move_short,
    )
}

/// memmove(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memmove(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 64",
        "jbe {short}",
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
        short = sym move_short,
    )
}

/// Moves at most 64 bytes, which may overlap: the ends of what there is, once or twice, meet in the middle. Keeps rax.
#[unsafe(naked)]
extern "C" fn move_short() {
    naked_asm!(
        "cmp edx, 16",
        "jb 3f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "cmp edx, 32",
        "jbe 2f",
        "movups xmm2, [rsi + 16]",
        "movups xmm3, [rsi + rdx - 32]",
        "movups [rdi + 16], xmm2",
        "movups [rdi + rdx - 32], xmm3",
        "2: movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "3: cmp edx, 8",
        "jb 4f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "4: cmp edx, 4",
        "jb 5f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "5: test edx, edx",
        "jz 6f",
        "mov r9, rdx",
        "shr r9, 1",
        "movzx ecx, byte ptr [rsi]",
        "movzx r8d, byte ptr [rsi + r9]",
        "movzx r10d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], cl",
        "mov [rdi + r9], r8b",
        "mov [rdi + rdx - 1], r10b",
        "6: ret",
    )
}

/// memset(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memset(target: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!(
        "cmp rdx, 64",
        "jbe 2f",
        "mov r8, rdi",
        "mov eax, esi",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret",
        "2: mov rax, rdi",
        "movzx esi, sil",
        "mov rcx, 0x0101010101010101",
        "imul rsi, rcx",
        "cmp edx, 16",
        "jb 3f",
        "movq xmm0, rsi",
        "punpcklqdq xmm0, xmm0",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm0",
        "cmp edx, 32",
        "jbe 6f",
        "movups [rdi + 16], xmm0",
        "movups [rdi + rdx - 32], xmm0",
        "ret",
        "3: cmp edx, 8",
        "jb 4f",
        "mov [rdi], rsi",
        "mov [rdi + rdx - 8], rsi",
        "ret",
        "4: cmp edx, 4",
        "jb 5f",
        "mov [rdi], esi",
        "mov [rdi + rdx - 4], esi",
        "ret",
        "5: test edx, edx",
        "jz 6f",
        "mov rcx, rdx",
        "shr rcx, 1",
        "mov [rdi], sil",
        "mov [rdi + rcx], sil",
        "mov [rdi + rdx - 1], sil",
        "6: ret",
    )
}

/// memcmp(3)
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    naked_asm!(
        "2: cmp rdx, 8",
        "jb 4f",
        "mov rcx, [rdi]",
        "mov r8, [rsi]",
        "cmp rcx, r8",
        "jne 3f",
        "add rdi, 8",
        "add rsi, 8",
        "sub rdx, 8",
        "jmp 2b",
        // The first byte decides: as numbers of the other byte order.
        "3: bswap rcx",
        "bswap r8",
        "cmp rcx, r8",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "4: xor eax, eax",
        "test edx, edx",
        "jz 5f",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jnz 5f",
        "inc rdi",
        "inc rsi",
        "dec rdx",
        "jmp 4b",
        "5: ret",
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
