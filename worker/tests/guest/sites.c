// System-call sites of every shape, called again and again: rewritten or not, they do what they do on Linux.
#define _GNU_SOURCE
#include "every_register.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define TEXT(x) #x
#define NUMBER(x) TEXT(x)
#define FUNCTION(name, body) \
    __asm__(".text\n.balign 16\n.globl " #name "\n.type " #name ", @function\n" #name ":\n.cfi_startproc\n" body \
            "\nret\n.cfi_endproc\n.size " #name ", .-" #name "\n.balign 16, 0x90\n"); \
    extern long name()

FUNCTION(near, "mov $" NUMBER(SYS_getpid) ", %eax\nnear_call: syscall\nnear_end:");
FUNCTION(wide, "mov $" NUMBER(SYS_getpid) ", %rax\nsyscall");
FUNCTION(between, "mov $" NUMBER(SYS_dup) ", %eax\nxor %edi, %edi\ndec %edi\nsyscall");
FUNCTION(stack, "mov %rdi, -16(%rsp)\nmov %rsi, %rax\nmovq -16(%rsp), %rdi\nmov $7, %esi\nsyscall");
FUNCTION(short_read, "xor %eax, %eax\nshort_call: syscall\nshort_end:");
FUNCTION(register_number, "mov %edi, %eax\nsyscall");
// Reads memory between number and call: may fault, must not move.
FUNCTION(faulting, "mov $" NUMBER(SYS_dup) ", %eax\nmov (%rdi), %edi\nsyscall");
// The number is an operand of something that only looks like `mov $number, %eax`.
FUNCTION(disguised, "mov $" NUMBER(SYS_getpid) ", %eax\nmov $" NUMBER(SYS_getpid) ", %r8d\nsyscall\nsub %r8, %rax");
FUNCTION(displaced, "push %rbp\nmov %rsp, %rbp\nsub $128, %rsp\nmov $" NUMBER(SYS_getpid) ", %eax\nmovl $" NUMBER(SYS_getpid)
         ", -0x48(%rbp)\nsyscall\nmov -0x48(%rbp), %eax\nleave");
// A loop that enters between number and call, and one that enters at the call.
FUNCTION(entered, "xor %r8d, %r8d\nmov $" NUMBER(SYS_getpid) ", %eax\n1: xor %edi, %edi\nsyscall\nadd %rax, %r8\n"
         "test %rsi, %rsi\nje 2f\ndec %rsi\nmov %rsi, %rdx\nmov $" NUMBER(SYS_getuid) ", %al\nmovzbl %al, %eax\njmp 1b\n2: mov %r8, %rax");
FUNCTION(at_call, "mov %rdi, %rax\njmp near_call");
// Sites across the end of a page: in the number, between both, in the call.
#define EDGE(name, before) \
    __asm__(".text\n.balign 4096\n.fill 4096 - 16, 1, 0x90\n.fill " #before ", 1, 0x90\n"); \
    __asm__(".globl " #name "\n" #name ":\n.cfi_startproc\nmov $" NUMBER(SYS_getpid) ", %eax\nsyscall\nret\n.cfi_endproc\n.size " #name ", .-" #name "\n"); \
    extern long name()
EDGE(edge_number, 13);
EDGE(edge_between, 11);
EDGE(edge_call, 10);

extern char near_end[], short_end[], near_call[];
static void *behind;
static uint64_t call_rcx, call_r11, call_flags;
__asm__(".text\n.balign 16\ncarry:\n.cfi_startproc\n"
        "mov $" NUMBER(SYS_getpid) ", %eax\nsyscall\ncarry_end: ret\n.cfi_endproc\n.balign 16\n");
extern char carry_end[];

static int sum_of_bytes(const void *at, int n) { int s = 0; for (int i = 0; i < n; i++) s += ((const uint8_t *)at)[i]; return s; }

// General registers, red zone, flags, vector registers through a rewritten site.
KEEP static uint64_t rcx, r11;
static int preserved(uint64_t set) {
    KEEP static uint64_t set_flags;
    set_flags = set;
    forget_values();
    __asm__ volatile(
        FILL_ALL
        "movq $0x1234567,-112(%%rsp)\n"
        "pushf; pop %%rax; or set_flags.%=(%%rip), %%rax; push %%rax; popf\n"
        "call carry\n"
        "mov %%rcx, rcx(%%rip); mov %%r11, r11(%%rip)\n"
        "pushf; pop flags(%%rip)\n"
        "pushf; andq $~0x40400, (%%rsp); popf\n"
        "mov -112(%%rsp),%%rcx; mov %%rcx, red(%%rip)\n"
        TAKE_ALL
        ".local set_flags.%=\n.set set_flags.%=, %c0\n"
        :: "i"(&set_flags)
        : ALL_REGISTERS);
    return are_preserved() && rcx == (uint64_t)carry_end && (r11 & 0x40cd5) == (flags & 0x40cd5) && (flags & set) == set;
}

// A signal at a site, and the restart of a call.
static int pipes[2];
static volatile int hits;
static uint64_t seen_rip;
static char *site_end; // of the read that is made
static int restarts;   // whether it is made again
static int too_early;  // alarms that may be repeated because the read was not there yet
static void come_again(void) { setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 20000}}, 0); }
static void handler(int s, siginfo_t *i, void *c) {
    seen_rip = ((ucontext_t *)c)->uc_mcontext.gregs[REG_RIP];
    int at_site = seen_rip == (uint64_t)site_end || restarts && seen_rip == (uint64_t)site_end - 2;
    if (s == SIGALRM && !at_site && too_early-- > 0) {
        come_again();
        return;
    }
    hits++;
    if (s == SIGALRM) write(pipes[1], "restarted", 9);
}
static void on(int s, int more) {
    struct sigaction a = {.sa_flags = SA_SIGINFO | more};
    a.sa_sigaction = handler;
    sigaction(s, &a, 0);
}
FUNCTION(kill_site, "mov $" NUMBER(SYS_kill) ", %eax\nsyscall\nkill_end:");
FUNCTION(near_read, "mov $" NUMBER(SYS_read) ", %eax\nsyscall\nnear_read_end:");
extern char kill_end[], near_read_end[];

static void signals(void) {
    on(SIGUSR1, 0);
    on(SIGALRM, SA_RESTART), restarts = 1;
    for (int i = 0; i < 3; i++) {
        long r = kill_site(getpid(), SIGUSR1);
        printf("kill %ld, hits %d, at the call's end %d\n", r, hits, seen_rip == (uint64_t)kill_end);
    }
    long (*reads[])() = {near_read, short_read};
    char *ends[] = {near_read_end, short_end};
    for (int i = 0; i < 4; i++) {
        char buf[16] = "";
        site_end = ends[i % 2], too_early = 50;
        come_again();
        long n = reads[i % 2](pipes[0], buf, 9);
        printf("read %ld %s, hits %d, at the call %d\n", n, buf, hits, seen_rip == (uint64_t)ends[i % 2] - 2);
    }
    on(SIGALRM, 0), restarts = 0;
    for (int i = 0; i < 2; i++) {
        char buf[16] = "";
        site_end = ends[i % 2], too_early = 50;
        come_again();
        long n = reads[i % 2](pipes[0], buf, 9);
        printf("interrupted %ld, at the call's end %d, ", n, seen_rip == (uint64_t)ends[i % 2]);
        printf("then %ld\n", reads[i % 2](pipes[0], buf, 9));
    }
}

static uint8_t *file;
static size_t file_size;
static void read_file(const char *name) {
    struct stat s;
    int fd = open(name, O_RDONLY);
    fstat(fd, &s);
    file_size = s.st_size;
    file = malloc(file_size);
    for (size_t at = 0; at < file_size;) at += read(fd, file + at, file_size - at);
    close(fd);
}

// The program's file mapped a second time as text, called, moved, called, made writable, changed, called.
typedef long (*call)();
static void move_text(const char *name) {
    extern char __executable_start[];
    size_t offset = (char *)near - __executable_start, size = (file_size + 4095) & ~4095ul;
    int fd = open(name, O_RDONLY);
    char *text = mmap(0, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    int pid = getpid(), ok = 1;
    for (int i = 0; i < 3; i++) ok &= ((call)(text + offset))() == pid;
    char *room = mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    text = mremap(text, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    for (int i = 0; i < 3; i++) ok &= ((call)(text + offset))() == pid;
    printf("moved text %d\n", ok);
    mprotect(text, size, PROT_READ | PROT_WRITE | PROT_EXEC);
    printf("as in the file once it can be written %d\n", !memcmp(text + offset, file + offset, 8));
    text[offset + 1] = SYS_getppid;
    printf("changed text %d\n", ((call)(text + offset))() == getppid());
    text[offset + 1] = SYS_getpid;
    mprotect(text, size, PROT_READ | PROT_EXEC);
    for (int i = 0; i < 3; i++) ok &= ((call)(text + offset))() == pid;
    // Something else in its place.
    mmap(text, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memcpy(text + offset, file + offset, 8);
    for (int i = 0; i < 3; i++) ok &= ((call)(text + offset))() == pid;
    munmap(text, size);
    text = mmap(text, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
    for (int i = 0; i < 3; i++) ok &= ((call)(text + offset))() == pid;
    printf("replaced text %d\n", ok);
    // Only a page of it, without the header, at another address.
    size_t page = offset & ~4095ul;
    char *part = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, page);
    for (int i = 0; i < 3; i++) ok &= ((call)(part + offset - page))() == pid;
    printf("a part %d\n", ok);
    close(fd);
}

// Code the program writes: never rewritten, so that it can change any byte of it.
static void generated(char *code, const char *what) {
    static const uint8_t site[] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3};
    int ok = 1;
    for (int i = 0; i < 5; i++) {
        memcpy(code, site, sizeof site);
        ok &= ((call)code)() == getpid();
        ok &= !memcmp(code, site, sizeof site);
        code[1] = SYS_getppid;
        ok &= ((call)code)() == getppid();
    }
    printf("%s %d\n", what, ok);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    int pid = getpid(), ok = 1;
    pipe(pipes);
    choose_values();
    for (int i = 0; i < 4; i++) {
        ok &= near() == pid && wide() == pid && register_number(SYS_getpid) == pid;
        ok &= between() == -EBADF && faulting(&(int){-1}) == -EBADF;
        ok &= disguised() == pid - SYS_getpid && displaced() == SYS_getpid;
        ok &= entered(0, 3) == pid + 3 * (long)getuid() && at_call(SYS_getpid) == pid && at_call(SYS_getppid) == getppid();
        ok &= edge_number() == pid && edge_between() == pid && edge_call() == pid;
        ok &= stack(-1, SYS_dup2) == -EBADF;
        char c = 0;
        write(pipes[1], "x", 1);
        ok &= short_read(pipes[0], &c, 1) == 1 && c == 'x';
        printf("shapes %d\n", ok);
        printf("preserved %d %d %d %d\n", preserved(0), preserved(1), preserved(0x400), preserved(0x40000));
    }
    signals();
    read_file(argv[0]);
    move_text(argv[0]);
    generated(mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "private");
    generated(mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0), "shared");
    char scratch[] = "/tmp/spore-sites-XXXXXX";
    int shared = mkstemp(scratch);
    ftruncate(shared, 4096);
    generated(mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, shared, 0), "shared file");
    unlink(scratch);
    for (int i = 0; i < 3; i++) ok &= near() == pid && short_read(-1, 0, 0) == -EBADF;
    printf("still %d\n", ok);
    // For the test's eyes only: what Linux does not have.
    char counts[200] = "";
    int fd = open("/proc/spore/system_calls", O_RDONLY);
    if (fd >= 0) read(fd, counts, sizeof counts - 1);
    fprintf(stderr, "%snear %x\nshort %x\nwide %x\nbetween %x\ndisguised %x\nfaulting %x\n", counts, *(uint8_t *)near, *(uint8_t *)short_read,
            *(uint8_t *)wide, *(uint8_t *)between, *((uint8_t *)disguised + 5), *(uint8_t *)faulting);
    return !ok;
}
