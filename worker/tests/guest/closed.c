// A program that protects parts of its ordinary memory before it is captured, while it becomes a function, and in every
// request; it tells what faults.
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define PIECE (512 * PAGE)

static sigjmp_buf back;
static char text[4096];
static int length;
static char *memory;
// Pieces that a request protects as a whole.
static size_t much;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    siglongjmp(back, 1);
}

// Counts the byte at a page up and tells it, or what it can do instead.
static void count(const char *name, size_t page) {
    volatile char *at = memory + page * PAGE;
    if (sigsetjmp(back, 1) == 0) length += snprintf(text + length, sizeof text - length, "%s=%d ", name, ++*at);
    else if (sigsetjmp(back, 1) == 0) length += snprintf(text + length, sizeof text - length, "%s=only-%d ", name, *at);
    else length += snprintf(text + length, sizeof text - length, "%s=fault ", name);
}

static void protect(size_t page, size_t pages, int prot) {
    if (mprotect(memory + page * PAGE, pages * PAGE, prot)) length += sprintf(text + length, "mprotect failed ");
}

static void work(void) {
    length = 0;
    count("open", 0), count("closed", 1), count("read-only", 2), count("function", 3), count("again", 4);
    protect(1, 1, PROT_READ | PROT_WRITE);
    count("opened", 1);
    protect(0, 1, PROT_NONE);
    count("closing", 0);
    protect(5, 2, PROT_READ);
    count("kept", 5);
    // A piece that the parent has as a whole, and one whose memory goes away.
    count("far", 3 * 512);
    protect(3 * 512, 1, PROT_READ);
    count("far-closed", 3 * 512);
    munmap(memory + 4 * PIECE, PIECE);
    char *other = mmap(memory + 4 * PIECE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    (void)other;
    count("anew", 4 * 512);
    if (!much) return;
    protect(6 * 512, much * 512, PROT_READ);
    count("much", (5 + much) * 512 + 511);
}

static int receive(int fd, char *request, size_t size) {
    ssize_t n = read(fd, request, size - 1);
    request[n > 0 ? n : 0] = 0;
    return n;
}

int main(int argc, char **argv) {
    much = argc > 1 ? atoi(argv[1]) : 0;
    char request[4096];
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    memory = mmap(0, (6 + much) * PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 2;
    for (size_t page = 0; page < 8; page++) count("", page);
    count("", 3 * 512), count("", 4 * 512);
    protect(1, 1, PROT_NONE), protect(2, 1, PROT_READ), protect(4 * 512, 2, PROT_READ);
    for (size_t piece = 0; piece < much; piece++) protect((6 + piece) * 512, 1, PROT_READ);
    int fd = open("/dev/invocation", O_RDWR);
    for (;;) {
        if (receive(fd, request, sizeof request) <= 0) return 3;
        if (strncmp(request, "become", 6) == 0) {
            count("", 3), count("", 4);
            protect(3, 1, PROT_READ), protect(4, 1, PROT_NONE);
            continue;
        }
        work();
        text[length++] = '\n';
        if (write(fd, text, length) != length) return 4;
    }
}
