// Address space that is reserved and used in parts, as language runtimes do, with guard pages that fault.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define MIB (1ul << 20)
#define GIB (1ul << 30)

static sigjmp_buf back;
static volatile uintptr_t fault_address;
static volatile int fault_code;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    fault_address = (uintptr_t)info->si_addr;
    fault_code = info->si_code;
    siglongjmp(back, 1);
}

// Touches a byte; prints what came of it.
static void touch(const char *what, volatile char *at, int write) {
    if (sigsetjmp(back, 1) == 0) {
        char found = *at;
        if (write) *at = found + 1;
        printf("%s: %d\n", what, *at);
    } else {
        const char *code = fault_code == SEGV_MAPERR ? "MAPERR" : fault_code == SEGV_ACCERR ? "ACCERR" : "?";
        printf("%s: fault %s at the address: %d\n", what, code, fault_address == (uintptr_t)at);
    }
}

static char *reserve(void *hint, size_t len, int flags) {
    char *at = mmap(hint, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (at == MAP_FAILED) printf("reserving %zu: %s\n", len, strerror(errno));
    return at;
}

static void reservation(void) {
    char *at = reserve(0, 1024 * GIB, MAP_NORESERVE);
    touch("reserved", at + 5 * GIB, 1);
    printf("commit %d\n", mprotect(at + 5 * GIB, 3 * PAGE, PROT_READ | PROT_WRITE));
    touch("committed", at + 5 * GIB + 17, 1);
    touch("committed again", at + 5 * GIB + 17, 1);
    touch("last committed", at + 5 * GIB + 3 * PAGE - 1, 1);
    touch("behind", at + 5 * GIB + 3 * PAGE, 0);
    printf("dontneed %d\n", madvise(at + 5 * GIB, PAGE, MADV_DONTNEED));
    touch("given back", at + 5 * GIB + 17, 1);
    printf("close %d\n", mprotect(at + 5 * GIB, PAGE, PROT_NONE));
    touch("closed", at + 5 * GIB + 17, 0);
    printf("open %d\n", mprotect(at + 5 * GIB, PAGE, PROT_READ));
    touch("kept", at + 5 * GIB + 17, 0);
    touch("read only", at + 5 * GIB + 17, 1);
    char *fixed = mmap(at + GIB, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("fixed inside %d\n", fixed == at + GIB);
    memset(fixed, 7, 2 * MIB);
    touch("fixed", fixed + MIB, 1);
    printf("not over it %d\n",
           mmap(fixed, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    printf("unmap %d\n", munmap(at, 1024 * GIB));
    touch("unmapped", fixed + MIB, 0);
    touch("null", 0, 1);
}

// As Go starts: an arena at a fixed hint, bitmaps far larger than memory, parts of them used.
static void arenas(void) {
    char *arena = reserve((void *)0xc000000000, 64 * MIB, 0);
    printf("arena where wanted %d\n", arena == (char *)0xc000000000);
    void *ready = mmap(arena, 64 * MIB, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    printf("arena %d\n", ready == arena);
    char *maps[5];
    for (int i = 0; i < 5; i++) maps[i] = reserve(0, 512 * MIB, 0);
    for (int i = 0; i < 5; i++) {
        char *part = maps[i] + i * 100 * MIB;
        void *use = mmap(part, MIB, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
        printf("%d", use == part && part[5 * PAGE] == 0);
        part[5 * PAGE] = i;
    }
    long sum = 0;
    for (size_t i = 0; i < 4 * MIB; i += 64) arena[i] = i;
    for (size_t i = 0; i < 4 * MIB; i += 64) sum += arena[i];
    for (int i = 0; i < 5; i++) sum += maps[i][i * 100 * MIB + 5 * PAGE];
    printf("\nsum %ld\n", sum);
    printf("huge %d nohuge %d\n", madvise(arena, 4 * MIB, MADV_HUGEPAGE) == 0, madvise(arena, 4 * MIB, MADV_NOHUGEPAGE) == 0);
}

// As V8 starts: a cage aligned to its size, cut out of twice as much.
static void cage(void) {
    char *at = reserve(0, 8 * GIB, MAP_NORESERVE);
    char *aligned = (char *)(((uintptr_t)at + 4 * GIB - 1) & ~(4 * GIB - 1));
    if (aligned > at) munmap(at, aligned - at);
    char *end = at + 8 * GIB, *cage_end = aligned + 4 * GIB;
    if (end > cage_end) munmap(cage_end, end - cage_end);
    mprotect(aligned, 256 * PAGE, PROT_READ | PROT_WRITE);
    unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
    memcpy(aligned + PAGE, code, sizeof code);
    printf("to execute %d\n", mprotect(aligned + PAGE, PAGE, PROT_READ | PROT_EXEC));
    printf("runs %d\n", ((int (*)(void))(aligned + PAGE))());
    touch("code", aligned + PAGE + 1, 1);
    printf("to write %d\n", mprotect(aligned + PAGE, PAGE, PROT_READ | PROT_WRITE));
    aligned[PAGE + 1] = 43;
    if (sigsetjmp(back, 1) == 0) printf("ran %d\n", ((int (*)(void))(aligned + PAGE))());
    else printf("data does not run: %d %d\n", fault_code == SEGV_ACCERR, fault_address == (uintptr_t)aligned + PAGE);
    mprotect(aligned + PAGE, PAGE, PROT_READ | PROT_EXEC);
    printf("runs %d\n", ((int (*)(void))(aligned + PAGE))());
    munmap(aligned, 4 * GIB);
}

static int depth(volatile char *previous, int left) {
    volatile char here[512];
    here[0] = previous ? previous[0] : 0;
    return left ? depth(here, left - 1) + here[0] : here[0];
}

// Runs on a stack with a guard page, as threads do, until the guard is hit.
static void overflow(void) {
    char *stack = reserve(0, 256 * 1024, MAP_STACK);
    mprotect(stack + PAGE, 256 * 1024 - PAGE, PROT_READ | PROT_WRITE);
    char *top = stack + 256 * 1024 - 64;
    static int result;
    __asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; mov $0, %%edi; mov $100, %%esi; call *%2; mov %%rbx, %%rsp; mov %%eax, %0"
                     : "=m"(result) : "r"(top), "r"(depth)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
    printf("a stack of one's own %d\n", result);
    if (sigsetjmp(back, 1) == 0) {
        __asm__ volatile("mov %0, %%rsp; mov $0, %%edi; mov $100000, %%esi; call *%1" : : "r"(top), "r"(depth) : "memory");
    } else {
        printf("overflow in the guard %d\n", fault_address >= (uintptr_t)stack && fault_address < (uintptr_t)stack + PAGE);
    }
    munmap(stack, 256 * 1024);
}

// The kernel reads and writes memory nobody touched.
static void by_kernel(void) {
    char *at = mmap(0, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int ends[2];
    printf("pipe %d", pipe(ends));
    printf(" write %zd", write(ends[1], at + 10 * MIB - 3, 100));
    memset(at + 20 * MIB, 'x', 100);
    printf(" read %zd", read(ends[0], at + 20 * MIB, 200));
    printf(" %d\n", at[20 * MIB + 50] == 0 && at[20 * MIB + 99] == 0 && at[20 * MIB + 100] == 0);
    mprotect(at, PAGE, PROT_NONE);
    int written = write(ends[1], at, 1);
    printf("closed to the kernel %d %s\n", written, strerror(errno));
    mprotect(at, PAGE, PROT_READ);
    written = write(ends[1], at, 1);
    int taken = read(ends[0], at, 1);
    printf("half open %d %d %s\n", written, taken, strerror(errno));
    unsigned char resident[4] = {9, 9, 9, 9};
    at[30 * MIB] = 1;
    madvise(at + 30 * MIB, 64 * PAGE, MADV_DONTNEED);
    printf("mincore %d", mincore(at + 30 * MIB, 2 * PAGE, resident));
    printf(" %d%d", resident[0], resident[1]);
    printf(" populate %d", madvise(at + 30 * MIB, 2 * PAGE, 23 /* MADV_POPULATE_WRITE */));
    printf(" %d", mincore(at + 30 * MIB, 2 * PAGE, resident));
    printf(" %d%d%d\n", resident[0], resident[1], resident[2]);
    munmap(at, 64 * MIB);
}

static void moves(void) {
    char *at = reserve(0, GIB, 0);
    mprotect(at, 16 * PAGE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 16; i++) at[i * PAGE] = i;
    char *there = reserve(0, GIB, 0);
    char *moved = mremap(at, 8 * PAGE, 32 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, there + PAGE);
    printf("moved %d", moved == there + PAGE);
    for (int i = 0; i < 8; i++) printf(" %d", moved[i * PAGE]);
    printf(" %d\n", moved[20 * PAGE]);
    touch("moved away", at, 0);
    touch("stayed", at + 9 * PAGE, 0);
    char *plain = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    plain[PAGE] = 77;
    moved = mremap(plain, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, there + 100 * PAGE);
    printf("into a reservation %d %d\n", moved == there + 100 * PAGE, moved[PAGE]);
    char *place = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    moved = mremap(there + 100 * PAGE, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    printf("out of it %d %d %d\n", moved == place, moved[PAGE], moved[6 * PAGE]);
    munmap(at, GIB);
    munmap(there, GIB);
}

static void files(void) {
    char name[] = "/tmp/reservationsXXXXXX";
    int fd = mkstemp(name);
    char text[3 * PAGE];
    for (size_t i = 0; i < sizeof text; i++) text[i] = i / PAGE + 1;
    printf("file %d\n", write(fd, text, sizeof text) == (ssize_t)sizeof text);
    char *at = reserve(0, 64 * MIB, 0);
    char *view = mmap(at + MIB, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
    printf("a file in a reservation %d: %d %d\n", view == at + MIB, view[0], view[PAGE]);
    touch("its page", view, 1);
    touch("behind it", view + 2 * PAGE, 0);
    close(fd);
    unlink(name);
    munmap(at, 64 * MIB);
}

// One file seen at several addresses: a ring that continues in itself, and code that is written elsewhere.
static void views(void) {
    int fd = memfd_create("views", 0);
    printf("size %d\n", ftruncate(fd, 4 * PAGE));
    char *ring = reserve(0, 8 * PAGE, 0);
    for (int half = 0; half < 2; half++) {
        void *at = ring + half * 4 * PAGE;
        printf("half %d\n", mmap(at, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == at);
    }
    memcpy(ring + 4 * PAGE - 3, "around", 6);
    char text[4] = "";
    printf("%.3s %zd %.3s\n", ring, pread(fd, text, 3, 4 * PAGE - 3), text);
    char *whole = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *part = mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
    whole[PAGE + 7] = 'w';
    printf("%c %c\n", part[7], ring[5 * PAGE + 7]);
    touch("a part to read", part + 7, 1);
    unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
    char *run = reserve(0, 2 * PAGE, 0);
    printf("run %d\n", mmap(run, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 2 * PAGE) == run);
    memcpy(ring + 2 * PAGE, code, sizeof code);
    printf("runs %d\n", ((int (*)(void))run)());
    touch("code", run + 1, 1);
    ring[2 * PAGE + 1] = 43;
    printf("runs %d\n", ((int (*)(void))run)());
    close(fd);
    void *over = mmap(ring, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("over it %d %d %c\n", over == ring, ring[0], ring[PAGE + 7]);
    munmap(run, 2 * PAGE);
    munmap(ring, 8 * PAGE);
    printf("still %c\n", part[7]);
    munmap(part, 2 * PAGE);
    munmap(whole, 4 * PAGE);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    static char alt[64 * 1024];
    stack_t stack = {.ss_sp = alt, .ss_size = sizeof alt};
    sigaltstack(&stack, 0);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, 0);
    reservation();
    arenas();
    cage();
    overflow();
    by_kernel();
    moves();
    files();
    views();
    return 0;
}
