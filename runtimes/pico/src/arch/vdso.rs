//! The vDSO: the clocks and `getcpu` without a trap (vdso(7)).
//!
//! `AT_SYSINFO_EHDR` leads the program's C library to a small shared object in pico's own image. Its functions call
//! pico directly: program and pico share ring and address space, so that is a plain call on the program's stack,
//! where the trap through `syscall` would be two exits on `kvm_pvm`. The object is what Linux offers: the same names,
//! version `LINUX_2.6`, found through `DT_HASH`, `DT_VERSYM` and `DT_VERDEF` (System V ABI, "Dynamic Linking"; Linux
//! Standard Base, "Symbol Versioning").

use crate::clock::SECOND;
use crate::syscall::time::elapsing_clock;
use crate::syscall::{Args, dispatch};
use core::arch::global_asm;
use linux_raw_sys::general as linux;

global_asm!(
    // A symbol of the table: a global function at `label`.
    ".macro VDSO_SYMBOL name, label",
    ".long \\name - pico_vdso_strings",
    ".byte 0x12, 0",
    ".short 1",
    ".quad \\label - pico_vdso_start, 10",
    ".endm",
    // A function: the number of its system call is the fourth argument.
    ".macro VDSO_FUNCTION label, number",
    ".balign 16",
    "\\label:",
    "mov ecx, \\number",
    "jmp pico_vdso_serve",
    ".endm",
    ".section .vdso, \"ax\"",
    ".balign 4096",
    ".globl pico_vdso_start",
    "pico_vdso_start:",
    // ELF header: a shared object for x86-64 with two program headers.
    ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0",
    ".short 3, 62",
    ".long 1",
    ".quad 0, 64, 0",
    ".long 0",
    ".short 64, 56, 2, 64, 0, 0",
    // PT_LOAD, readable and executable; PT_DYNAMIC.
    ".long 1, 5",
    ".quad 0, 0, 0, pico_vdso_end - pico_vdso_start, pico_vdso_end - pico_vdso_start, 4096",
    ".long 2, 4",
    ".quad pico_vdso_dynamic - pico_vdso_start, pico_vdso_dynamic - pico_vdso_start",
    ".quad pico_vdso_dynamic - pico_vdso_start",
    ".quad pico_vdso_dynamic_end - pico_vdso_dynamic, pico_vdso_dynamic_end - pico_vdso_dynamic, 8",
    ".balign 8",
    "pico_vdso_dynamic:",
    // DT_SONAME, DT_HASH, DT_STRTAB, DT_STRSZ, DT_SYMTAB, DT_SYMENT, DT_VERSYM, DT_VERDEF, DT_VERDEFNUM, DT_NULL.
    ".quad 14, pico_vdso_soname - pico_vdso_strings",
    ".quad 4, pico_vdso_hash - pico_vdso_start",
    ".quad 5, pico_vdso_strings - pico_vdso_start",
    ".quad 10, pico_vdso_strings_end - pico_vdso_strings",
    ".quad 6, pico_vdso_symbols - pico_vdso_start",
    ".quad 11, 24",
    ".quad 0x6ffffff0, pico_vdso_versions - pico_vdso_start",
    ".quad 0x6ffffffc, pico_vdso_definitions - pico_vdso_start",
    ".quad 0x6ffffffd, 2",
    ".quad 0, 0",
    "pico_vdso_dynamic_end:",
    "pico_vdso_symbols:",
    ".zero 24",
    "VDSO_SYMBOL pico_vdso_name_1, pico_vdso_clock_gettime",
    "VDSO_SYMBOL pico_vdso_name_2, pico_vdso_gettimeofday",
    "VDSO_SYMBOL pico_vdso_name_3, pico_vdso_time",
    "VDSO_SYMBOL pico_vdso_name_4, pico_vdso_clock_getres",
    "VDSO_SYMBOL pico_vdso_name_5, pico_vdso_getcpu",
    // One bucket, which chains all five symbols.
    "pico_vdso_hash:",
    ".long 1, 6, 1, 0, 2, 3, 4, 5, 0",
    "pico_vdso_versions:",
    ".short 0, 2, 2, 2, 2, 2",
    ".balign 8",
    // The object itself, and the one version.
    "pico_vdso_definitions:",
    ".short 1, 1, 1, 1",
    ".long {soname_hash}, 20, 28, pico_vdso_soname - pico_vdso_strings, 0",
    ".short 1, 0, 2, 1",
    ".long {version_hash}, 20, 0, pico_vdso_version - pico_vdso_strings, 0",
    "pico_vdso_strings: .byte 0",
    "pico_vdso_name_1: .asciz \"__vdso_clock_gettime\"",
    "pico_vdso_name_2: .asciz \"__vdso_gettimeofday\"",
    "pico_vdso_name_3: .asciz \"__vdso_time\"",
    "pico_vdso_name_4: .asciz \"__vdso_clock_getres\"",
    "pico_vdso_name_5: .asciz \"__vdso_getcpu\"",
    "pico_vdso_soname: .asciz \"linux-vdso.so.1\"",
    "pico_vdso_version: .asciz \"LINUX_2.6\"",
    "pico_vdso_strings_end:",
    "VDSO_FUNCTION pico_vdso_clock_gettime, {clock_gettime}",
    "VDSO_FUNCTION pico_vdso_gettimeofday, {gettimeofday}",
    "VDSO_FUNCTION pico_vdso_time, {time}",
    "VDSO_FUNCTION pico_vdso_clock_getres, {clock_getres}",
    "VDSO_FUNCTION pico_vdso_getcpu, {getcpu}",
    // On the thread's stack of pico: the program's may have no memory behind it yet, and pico takes no faults.
    ".balign 16",
    "pico_vdso_serve:",
    "mov r8, rsp",
    "mov rsp, [rip + pico_syscall_frame + 24]",
    "push r8",
    "push rdi",
    "push rsi",
    "push rcx",
    "call {serve}",
    "pop rcx",
    "pop rsi",
    "pop rdi",
    "pop rsp",
    "test rdx, rdx",
    "jnz 2f",
    "ret",
    // A time is stored here, as part of the program: a fault is the program's.
    "2: btr rdx, {is_time}",
    "jnc 3f",
    "mov [rsi], rax",
    "mov [rsi + 8], rdx",
    "xor eax, eax",
    "ret",
    "3: mov eax, ecx",
    "syscall",
    "ret",
    "pico_vdso_end:",
    ".text",
    serve = sym serve,
    is_time = const IS_TIME,
    soname_hash = const elf_hash(b"linux-vdso.so.1"),
    version_hash = const elf_hash(b"LINUX_2.6"),
    clock_gettime = const linux::__NR_clock_gettime,
    gettimeofday = const linux::__NR_gettimeofday,
    time = const linux::__NR_time,
    clock_getres = const linux::__NR_clock_getres,
    getcpu = const linux::__NR_getcpu,
);

unsafe extern "C" {
    static pico_vdso_start: u8;
    static pico_vdso_end: u8;
}

/// Whether `rip` is in one of its functions, which run as part of the program.
pub(super) fn holds(rip: u64) -> bool {
    (start()..(&raw const pico_vdso_end).addr() as u64).contains(&rip)
}

/// Where the object lies.
pub(super) fn start() -> u64 {
    (&raw const pico_vdso_start).addr() as u64
}

/// The hash of a name (System V ABI, "Hash Table").
const fn elf_hash(name: &[u8]) -> u32 {
    let (mut hash, mut at) = (0_u32, 0);
    while at < name.len() {
        hash = (hash << 4).wrapping_add(name[at] as u32);
        let high = hash & 0xf000_0000;
        hash = (hash ^ (high >> 24)) & !high;
        at += 1;
    }
    hash
}

const _: () = assert!(elf_hash(b"LINUX_2.6") == 0x3ae_75f6, "the value every C library has built in");

/// What a call says: its result, or a time to be stored, or that it has to be made as a system call.
#[repr(C)]
struct Served {
    /// The result, or the seconds.
    result: u64,
    /// [`DONE`], [`TRAP`], or the nanoseconds with the bit [`IS_TIME`].
    what: u64,
}

const DONE: u64 = 0;
const TRAP: u64 = 1;
const IS_TIME: u32 = 32;

/// One of the calls above. All of them only look at a clock and write a few bytes.
extern "C" fn serve(first: u64, second: u64, third: u64, number: u64) -> Served {
    let kernel = super::kernel();
    let is_turn_over = !kernel.threads.is_alone()
        && (kernel.is_time_to_look() || kernel.threads.are_others_due() && kernel.is_slice_over());
    if kernel.is_alarm_due() || is_turn_over {
        // A signal may be due, of another process or from outside, too, or it is another thread's turn: only a real system call
        // sees to that.
        return Served { result: 0, what: TRAP };
    }
    let args = Args([first, second, third, 0, 0, 0]);
    if number == u64::from(linux::__NR_clock_gettime)
        && let Some(ns) = elapsing_clock(kernel, args.uint(0))
    {
        return Served { result: ns / SECOND, what: ns % SECOND | 1 << IS_TIME };
    }
    Served { result: dispatch(kernel, number, &args), what: DONE }
}
