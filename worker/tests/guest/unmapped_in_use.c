// Threads that take memory away while a system call of another thread has it in use. What the call answers is the kernel's
// business (Linux: EFAULT or what it had read); the program goes on.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static int pipes[2];
static char *volatile memory;
static volatile ssize_t got;

static void *receive(void *unused) {
    (void)unused;
    got = read(pipes[0], memory, 2 * PAGE);
    return 0;
}

static char *shared;

// Maps, unmaps, protects, and gives the same addresses to system calls.
static void *race(void *number) {
    unsigned state = 17 + (unsigned)(size_t)number;
    int fds[2];
    if (pipe(fds)) exit(1);
    for (int round = 0; round < 400; round++) {
        state = state * 1103515245 + 12345;
        char *at = shared + (state >> 16) % 32 * PAGE;
        size_t len = (1 + (state >> 8) % 4) * PAGE;
        switch ((state >> 24) % 8) {
        case 0: munmap(at, len); break;
        case 1: mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
        case 2: mprotect(at, len, PROT_NONE); break;
        case 3: mprotect(at, len, PROT_READ); break;
        case 4: mprotect(at, len, PROT_READ | PROT_WRITE); break;
        case 5: madvise(at, len, MADV_DONTNEED); break;
        case 6: if (write(fds[1], at, 64) > 0 && read(fds[0], at + PAGE, 64) < 0) (void)!read(fds[0], (char[64]){0}, 64); break;
        case 7: (void)!readlink("/proc/self/exe", at, PAGE); break;
        }
        if (round % 8 == 0) usleep(1);
    }
    return 0;
}

static void take_away(int reserved, int protects) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (reserved ? MAP_NORESERVE : 0);
    memory = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    memset(memory, 1, 4 * PAGE);
    pthread_t thread;
    pthread_create(&thread, 0, receive, 0);
    // Whether or not it waits already: what it does then is the same.
    usleep(20000);
    if (protects) mprotect(memory, 4 * PAGE, PROT_NONE);
    else munmap(memory, 4 * PAGE);
    if (write(pipes[1], "hello", 5) != 5) exit(1);
    close(pipes[1]);
    pthread_join(thread, 0);
    close(pipes[0]);
    if (pipe(pipes)) exit(1);
}

static void all(void) {
    if (pipe(pipes)) exit(1);
    for (int kind = 0; kind < 4; kind++) take_away(kind & 1, kind >> 1);
    for (int reserved = 0; reserved < 2; reserved++) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | (reserved ? MAP_NORESERVE : 0);
        shared = mmap(0, 64 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) pthread_create(&threads[i], 0, race, (void *)i);
        for (size_t i = 0; i < 4; i++) pthread_join(threads[i], 0);
        // All of it can be used again.
        shared = mmap(shared, 64 * PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0);
        memset(shared, 3, 64 * PAGE);
        munmap(shared, 64 * PAGE);
    }
}

int main(void) {
    all();
    printf("alive\n"), fflush(stdout);
    // Once more where there are several address spaces.
    pid_t pid = fork();
    if (pid == 0) {
        all();
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("child %d\n", status);
    return 0;
}
