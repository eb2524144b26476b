// A program whose heap is a reservation; it changes what is mapped there before it is captured, while it becomes a
// function, and in every request.
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define HEAP ((char *)0xc000000000)

static sigjmp_buf back;
static char text[4096];
static int length;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    siglongjmp(back, 1);
}

// Counts the byte at a page up and tells it, or that it faults.
static void count(const char *name, size_t page) {
    volatile char *at = HEAP + page * PAGE;
    if (sigsetjmp(back, 1) == 0) length += snprintf(text + length, sizeof text - length, "%s=%d ", name, ++*at);
    else length += snprintf(text + length, sizeof text - length, "%s=fault ", name);
}

static void protect(size_t page, size_t pages, int prot) {
    if (mprotect(HEAP + page * PAGE, pages * PAGE, prot)) length += sprintf(text + length, "mprotect failed ");
}

static void work(void) {
    length = 0;
    count("runtime", 0);
    count("function", 1000);
    count("new", 2000);
    count("far", 200000);
    // Closed so far, opened now, and the other way round.
    count("closed", 100);
    protect(100, 1, PROT_READ | PROT_WRITE);
    count("opened", 100);
    count("open", 101);
    protect(101, 1, PROT_NONE);
    count("closing", 101);
    // Given back, unmapped, moved.
    count("full", 102);
    madvise(HEAP + 102 * PAGE, PAGE, MADV_DONTNEED);
    count("empty", 102);
    count("mapped", 103);
    munmap(HEAP + 103 * PAGE, PAGE);
    count("unmapped", 103);
    mremap(HEAP + 104 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, HEAP + 3000 * PAGE);
    count("moved", 3000);
    count("away", 104);
    for (size_t page = 4000; page < 4100; page++) HEAP[page * PAGE]++;
}

static int receive(int fd, char *request, size_t size) {
    ssize_t n = read(fd, request, size - 1);
    request[n > 0 ? n : 0] = 0;
    return n;
}

int main(void) {
    char request[4096];
    static char alt[64 * 1024];
    stack_t stack = {.ss_sp = alt, .ss_size = sizeof alt};
    sigaltstack(&stack, 0);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, 0);
    if (mmap(HEAP, 1ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != HEAP) return 2;
    protect(0, 1ul << 18, PROT_READ | PROT_WRITE);
    protect(100, 1, PROT_NONE);
    count("", 0), count("", 101), count("", 102), count("", 103), count("", 104);
    int fd = open("/dev/invocation", O_RDWR);
    for (;;) {
        if (receive(fd, request, sizeof request) <= 0) return 3;
        if (strncmp(request, "become", 6) == 0) {
            count("", 0), count("", 1000), count("", 102);
            continue;
        }
        work();
        text[length++] = '\n';
        if (write(fd, text, length) != length) return 4;
    }
}
