//! Programs that fail, in every way we could think of: each ends with the right reason, none hangs or harms the host.

mod common;

use abi::mailbox::Doorbell;
use common::{End, Guest, Outcome, Programs};
use std::time::Duration;

/// Runs the body of a C `main` in a guest.
fn run(body: &str) -> Outcome {
    run_with(body, &["-static"], 64)
}

fn run_with(body: &str, flags: &[&str], memory_mib: u64) -> Outcome {
    run_in(Guest::new().with_memory(memory_mib), body, flags)
}

fn run_in(guest: Guest, body: &str, flags: &[&str]) -> Outcome {
    let text = format!(
        "#define _GNU_SOURCE\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
         #include <unistd.h>\n#include <sys/mman.h>\n#include <sys/syscall.h>\n\
         int main(int argc, char **argv) {{ {body} }}\n"
    );
    let programs = Programs::new();
    let program = programs.compile_text("fails", &text, flags);
    guest.with_file("/bin/fails", &program).run(&["/bin/fails", "x"])
}

#[test]
fn exit_statuses_are_told() {
    run("return 0;").exited(0);
    run("exit(300);").exited(300 & 0xff);
    run("_exit(-1);").exited(255);
}

#[test]
fn a_program_that_loads_tables_of_its_own_ends_its_vm() {
    // What pico does to go from process to process, with a root that leads nowhere. What becomes of it is the processor's to say.
    for root in ["$0", "$0x5000", "$-1"] {
        let wish = format!("mov {root},%%rax; lea 1f(%%rip),%%rcx; int3; 1:");
        let outcome = run(&format!("__asm__ volatile(\"{wish}\" ::: \"rax\", \"rcx\"); return 1;"));
        let contained = [Doorbell::Signal, Doorbell::Panic];
        let ended = match &outcome.end {
            End::Doorbell(doorbell, ..) => contained.contains(doorbell),
            end => matches!(end, End::Exit(_)),
        };
        assert!(ended, "{outcome:?}");
    }
}

#[test]
fn exceptions_kill_with_the_signal_linux_uses() {
    let cases = [
        ("*(volatile int *)0 = 1;", 11),
        ("*(volatile int *)0x500000000000 = 1;", 11),
        ("*(volatile int *)0x8000000000000000ul = 1;", 11),
        ("((void (*)(void))0)();", 11),
        ("__asm__ volatile(\"ud2\");", 4),
        ("__asm__ volatile(\"xor %edx,%edx; mov $1,%eax; xor %ecx,%ecx; div %ecx\");", 8),
        ("__asm__ volatile(\"int3\");", 5),
        ("__asm__ volatile(\"hlt\");", 11),
        ("__asm__ volatile(\"cli\");", 11),
        ("__asm__ volatile(\"mov %cr3,%rax\");", 11),
        ("__asm__ volatile(\"mov %rax,%cr0\");", 11),
        ("__asm__ volatile(\"mov $0x10,%ecx; rdmsr\");", 11),
        ("__asm__ volatile(\"pushf; orl $0x100,(%rsp); popf; nop; nop\");", 5),
        ("abort();", 6),
        ("raise(15);", 15),
        ("kill(getpid(), 9);", 9),
        ("raise(40);", 40),
    ];
    for (body, signal) in cases {
        let outcome = run(&format!("int raise(int); int kill(int, int); {body} return 1;"));
        assert_eq!(
            outcome.end,
            End::Doorbell(Doorbell::Signal, signal, String::new()),
            "{body}: {outcome:#?}"
        );
    }
}

#[test]
fn an_endless_recursion_faults_at_the_end_of_its_stack() {
    let body = "char *deep(char *p, int n) { char a[4096]; memset(a, n, 4096); return deep(a, n + 1) + (p - a); } \
                return deep(argv[0], 0) == 0;";
    // GCC nests functions; without optimisation the recursion stays one.
    run_with(body, &["-static-pie", "-O0"], 64).killed(11);
}

#[test]
fn other_ports_are_out_of_reach() {
    for body in ["__asm__ volatile(\"outb %al,$0x80\");", "__asm__ volatile(\"in $0x53,%al\");"] {
        let outcome = run(body);
        let stopped = matches!(outcome.end, End::Exit(_) | End::Doorbell(Doorbell::Signal, 11, _));
        assert!(stopped, "{body}: {outcome:#?}");
    }
}

#[test]
fn memory_beyond_the_limit_is_refused_and_told() {
    let body = "size_t n = 0; while (malloc(1 << 20)) n++; printf(\"%zu\\n\", n); return 3;";
    let outcome = run_with(body, &["-static"], 32).exited(3);
    assert!(outcome.memory_refused);
    let mib: u64 = outcome.out().trim().parse().expect("a number");
    assert!((20..32).contains(&mib), "{mib} MiB of 32");
}

#[test]
fn memory_that_runs_out_in_reservations_is_enomem_and_the_program_goes_on() {
    let body = r#"
        size_t gib = 1ul << 30, page = 4096, mib = 1 << 20;
        char *cage = mmap(0, 256 * gib, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        printf("%d ", mprotect(cage, gib, PROT_READ | PROT_WRITE));
        printf("%d ", mmap(0, gib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
        size_t used = 0;
        while (madvise(cage + used, mib, 23) == 0) used += mib;
        printf("%d ", used >= 20 * mib && used < 32 * mib);
        printf("%d ", mmap(0, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
        printf("%d ", malloc(4 * mib) == 0);
        printf("%d ", mlock(cage + used, 4 * mib));
        printf("%d ", mmap(cage + 9 * gib, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
        madvise(cage, used, MADV_DONTNEED);
        char *heap = malloc(4 * mib);
        memset(heap, 1, 4 * mib);
        memset(cage, 1, 8 * mib);
        printf("%d\n", heap[4 * mib - 1] + cage[8 * mib - 1]);
        return 3;"#;
    let outcome = run_with(body, &["-static"], 32).exited(3);
    assert_eq!(outcome.out(), "0 1 1 1 1 -1 1 2\n");
    assert!(outcome.memory_refused);
    // As by Linux, which promises what it may not have.
    let touch = "char *p = mmap(0, 1ul << 36, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); \
                 for (size_t i = 0;; i += 4096) p[i] = 1;";
    assert!(run_with(touch, &["-static"], 32).killed(9).memory_refused);
}

#[test]
fn a_program_that_writes_all_over_itself_and_pico_is_contained() {
    let bodies = [
        "memset((void *)0x200000, 0xcc, 64 << 20);",
        "memset((void *)0x700000100000, 0xcc, 7 << 20);",
        "memset((void *)0x700000000000, 0, 0x100000); *(volatile int *)0 = 1;",
        "memset((void *)0x700000050000, 0xff, 0x80000);",
        "memset((void *)0x710000000000, 0xff, 32 << 20);",
        "memset((void *)0x743a1d0e8000, 0xff, 4096);",
        "for (int i = 1; i < 224; i++) ((uint64_t *)0x743a1d0e8000)[i] = 0x743a1d0e8000ul + i; *(char *)0xc000000000 = 1;",
        "memset((void *)0x720000000000, 0xff, 4096);",
        "for (uint64_t *p = (void *)0x700000130000; p < (uint64_t *)0x700000800000; p++) *p = rand();",
        "__asm__ volatile(\"mov $0x1234,%rsp; push %rax\");",
        "__asm__ volatile(\"mov $0x700000100000,%rax; jmp *%rax\");",
    ];
    for body in bodies {
        let mut guest = Guest::new();
        // Some destroy the exception handlers: they fault for ever, and the host must end that.
        guest.time_limit = Duration::from_secs(3);
        let outcome = run_in(guest, &format!("{body} puts(\"went on\"); return 9;"), &["-static"]);
        assert_ne!(outcome.end, End::Stuck, "{body}: {outcome:#?}");
        println!("{body} -> {:?}", outcome.end);
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let programs = Programs::new();
    let good = programs.compile_text("good", "int main(void) { return 5; }", &["-static"]);
    let mut arm = std::fs::read(&good).expect("just built");
    arm[18] = 183;
    let mut guest = Guest::new().with_file("/bin/good", &good);
    for (name, bytes, mode) in [
        ("arm", arm.clone(), 0o755),
        ("cut", arm[..60].to_vec(), 0o755),
        ("text", b"just text".to_vec(), 0o755),
        ("script", b"#!/bin/good\n".to_vec(), 0o755),
        ("orphan", b"#!/bin/nothing\n".to_vec(), 0o755),
        ("plain", std::fs::read(&good).expect("just built"), 0o644),
    ] {
        guest.tree.add_file(format!("bin/{name}"), bytes, mode).expect("free names");
    }
    let cases = [
        ("/bin/script", 5, ""),
        ("/bin/arm", 126, "built for aarch64"),
        ("/bin/cut", 126, "cut off"),
        ("/bin/text", 126, "neither an ELF program nor a script"),
        ("/bin/orphan", 126, "its interpreter /bin/nothing: not found"),
        ("/bin/plain", 126, "not executable"),
        ("/bin/none", 127, "not found"),
        ("/bin", 126, "not executable"),
    ];
    for (path, status, text) in cases {
        let outcome = guest.run(&[path]).exited(status);
        assert!(outcome.pico.contains(text), "{path}: {:?}", outcome.pico);
    }
}

#[test]
fn logs_of_any_size_and_encoding_arrive_whole() {
    let body = "char *p = malloc(3000000); for (int i = 0; i < 3000000; i++) p[i] = i * 7; \
                size_t n = 0; while (n < 3000000) n += write(1, p + n, 3000000 - n); \
                for (int i = 0; i < 5000; i++) write(2, \"\\xff\\0line\\n\", 7); return 0;";
    let outcome = run(body).exited(0);
    assert!(outcome.stdout.len() == 3_000_000);
    assert!(outcome.stdout.iter().enumerate().all(|(i, &byte)| usize::from(byte) == i * 7 % 256));
    assert_eq!(outcome.stderr, b"\xff\0line\n".repeat(5000));
}
