// What the processor does about protections: reads, writes and executes where that is allowed and where not, and tells which
// signal came, why, and where. Also what system calls say of such memory.
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
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
static sigjmp_buf back;
static siginfo_t last;
static const char text_constant[] = "constant";
static char data[3 * 4096] __attribute__((aligned(4096)));

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    last = *info;
    siglongjmp(back, 1);
}

static void tell(const char *what, const void *at) {
    printf("%s: %s code %d, address %s\n", what, last.si_signo == SIGSEGV ? "SIGSEGV" : last.si_signo == SIGBUS ? "SIGBUS" : "other",
           last.si_code, last.si_addr == at ? "right" : "wrong");
}

static void reads(const char *what, const volatile char *at) {
    if (sigsetjmp(back, 1) == 0) (void)*at, printf("%s: read\n", what);
    else tell(what, (const void *)at);
}

static void writes(const char *what, volatile char *at) {
    if (sigsetjmp(back, 1) == 0) *at = 0xc3, printf("%s: written\n", what);
    else tell(what, (const void *)at);
}

static void runs(const char *what, char *at) {
    if (sigsetjmp(back, 1) == 0) ((void (*)(void))at)(), printf("%s: executed\n", what);
    else tell(what, at);
}

static void touch(const char *what, char *at) {
    printf("-- %s\n", what);
    reads("  read", at), writes("  write", at);
}

static void protect(char *at, size_t len, int prot) {
    if (mprotect(at, len, prot)) printf("mprotect: %s\n", strerror(errno));
}

static char *map(size_t len, int prot) { return mmap(0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

static void part_of_a_mapping(void) {
    char *at = map(8 * PAGE, PROT_READ | PROT_WRITE);
    memset(at, 7, 8 * PAGE);
    protect(at + 2 * PAGE, PAGE, PROT_NONE), protect(at + 4 * PAGE, PAGE, PROT_READ);
    touch("before", at + PAGE), touch("none", at + 2 * PAGE + 5), touch("after", at + 3 * PAGE), touch("read-only", at + 4 * PAGE);
    int zero = open("/dev/zero", O_RDONLY), pipes[2];
    if (pipe(pipes)) exit(1);
    ssize_t written = write(pipes[1], at + 2 * PAGE, 8);
    printf("write from none: %zd %s\n", written, strerror(errno));
    ssize_t got = read(zero, at + 4 * PAGE, 8);
    printf("read into read-only: %zd %s\n", got, strerror(errno));
    protect(at + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE), protect(at + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE);
    printf("contents %d %d %d\n", at[2 * PAGE], at[2 * PAGE + 5], at[4 * PAGE + 1]);
    touch("opened", at + 2 * PAGE);
    protect(at, 8 * PAGE, PROT_READ);
    touch("all read-only", at + 7 * PAGE);
    printf("dontneed %d\n", madvise(at + 6 * PAGE, PAGE, MADV_DONTNEED));
    printf("given back %d\n", at[6 * PAGE]);
    char *moved = mremap(at, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
    touch("moved read-only", moved + 15 * PAGE);
    printf("moved contents %d\n", moved[7 * PAGE]);
    munmap(moved, 16 * PAGE);
    char *again = map(16 * PAGE, PROT_READ | PROT_WRITE);
    for (size_t page = 0; page < 16; page++) again[page * PAGE]++;
    printf("memory again %d\n", again[9 * PAGE]);
    close(zero), close(pipes[0]), close(pipes[1]);
}

static void heap(void) {
    char *at = sbrk(16 * PAGE);
    at = (char *)(((uintptr_t)at + PAGE - 1) & ~(PAGE - 1));
    at[PAGE] = 1;
    protect(at + PAGE, PAGE, PROT_NONE);
    touch("heap none", at + PAGE + 9);
    protect(at + PAGE, PAGE, PROT_READ);
    touch("heap read-only", at + PAGE + 9);
    protect(at + PAGE, PAGE, PROT_READ | PROT_WRITE);
    touch("heap", at + PAGE + 9);
    protect(data + PAGE, PAGE, PROT_READ);
    touch("data before", data), touch("data read-only", data + PAGE), touch("data after", data + 2 * PAGE);
    protect(data + PAGE, PAGE, PROT_READ | PROT_WRITE);
}

static void code(void) {
    char *at = map(2 * PAGE, PROT_READ | PROT_WRITE);
    at[0] = at[PAGE] = (char)0xc3;
    for (int round = 0; round < 3; round++) {
        protect(at, PAGE, PROT_READ | PROT_EXEC);
        runs("executable", at), writes("executable", at);
        protect(at, PAGE, PROT_READ | PROT_WRITE);
        runs("writable", at), writes("writable", at);
    }
    char *both = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    writes("all", both), runs("all", both);
    protect(both, PAGE, PROT_READ);
    runs("read-only", both), writes("read-only", both);
    writes("text", (char *)(uintptr_t)&touch), writes("constant", (char *)text_constant);
}

static void fixed(void) {
    char *at = map(4 * PAGE, PROT_READ | PROT_WRITE);
    at[PAGE] = 1;
    mmap(at + PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    touch("guard over memory", at + PAGE);
    mmap(at + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    touch("zeros", at + 2 * PAGE);
    touch("behind", at + 3 * PAGE);
    protect(at + PAGE, PAGE, PROT_READ | PROT_WRITE);
    touch("no guard", at + PAGE);
    // What is mapped before a hole is protected.
    munmap(at + 3 * PAGE, PAGE);
    protect(at, 4 * PAGE, PROT_READ);
    writes("before a hole", at);
}

static void file(void) {
    int fd = open("/proc/self/exe", O_RDONLY);
    char *at = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    touch("file", at + 3);
    protect(at, PAGE, PROT_READ | PROT_WRITE);
    touch("file, writable", at + 3);
    protect(at, PAGE, PROT_NONE);
    touch("file, none", at + 3);
    close(fd);
}

// Protections of a child are its own.
static void child(void) {
    char *at = map(4 * PAGE, PROT_READ | PROT_WRITE);
    at[0] = 1;
    protect(at, PAGE, PROT_READ), protect(at + PAGE, PAGE, PROT_NONE);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        touch("child, read-only", at), touch("child, none", at + PAGE), touch("child, data", data);
        protect(at, 2 * PAGE, PROT_READ | PROT_WRITE);
        touch("child, opened", at + PAGE);
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("child: %d\n", status);
    touch("parent, read-only", at), touch("parent, none", at + PAGE);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0), sigaction(SIGBUS, &action, 0);
    part_of_a_mapping(), heap(), code(), fixed(), file(), child();
    return 0;
}
