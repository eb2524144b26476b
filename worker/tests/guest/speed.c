// How long system calls take: best of many rounds, in ns. The same program runs on Linux.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

// Short ones, so that some are not interrupted on a machine that is busy.
enum { ROUNDS = 60 };

static int zero, there[2], back[2], turn;
static char *self;
static char *program[] = {"/bin/small", 0};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void check(int good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

static void parent_id(void) { syscall(SYS_getppid); }

static void read_zero(void) {
    char bytes[64];
    check(read(zero, bytes, sizeof bytes) == sizeof bytes, "read of /dev/zero");
}

static void open_read_close(void) {
    char bytes[64];
    int fd = open(self, O_RDONLY);
    check(fd >= 0 && read(fd, bytes, sizeof bytes) == sizeof bytes && close(fd) == 0, "file");
}

static void ping(void) {
    char byte = 1;
    check(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe");
}

static void *pong(void *unused) {
    char byte;
    while (read(there[0], &byte, 1) == 1 && byte) check(write(back[1], &byte, 1) == 1, "pipe");
    return unused;
}

// Waits until it is `own`'s turn, and gives it to the other.
static void take_turn(int own) {
    int seen;
    while ((seen = __atomic_load_n(&turn, __ATOMIC_SEQ_CST)) != own && seen != 2)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
    if (seen == 2) return;
    __atomic_store_n(&turn, !own, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

static void hand_over(void) { take_turn(0); }

static void *other(void *unused) {
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != 2) take_turn(1);
    return unused;
}

static void ended_well(pid_t pid, int expected) {
    int status;
    check(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == expected, "child");
}

static void fork_only(void) {
    pid_t pid = fork();
    if (pid == 0) _exit(7);
    ended_well(pid, 7);
}

static void fork_exec(void) {
    pid_t pid = fork();
    if (pid == 0) _exit(execv(program[0], program));
    ended_well(pid, 7);
}

static void spawn(void) {
    pid_t pid = -1;
    check(posix_spawn(&pid, program[0], 0, 0, program, environ) == 0, "posix_spawn");
    ended_well(pid, 7);
}

static void measure(const char *name, void (*body)(void), int count) {
    double best = 1e18;
    body();
    for (int round = 0; round < ROUNDS; round++) {
        double begun = now();
        for (int i = 0; i < count; i++) body();
        double took = (now() - begun) / count;
        if (took < best) best = took;
    }
    printf("%s %.0f\n", name, best);
    fflush(stdout);
}

int main(int argc, char **argv) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    // A VM has one processor.
    sched_setaffinity(0, sizeof one, &one);
    self = argv[0];
    if (argc > 1) program[0] = argv[1];
    check((zero = open("/dev/zero", O_RDONLY)) >= 0 && pipe(there) == 0 && pipe(back) == 0, "descriptors");
    measure("getppid", parent_id, 5000);
    measure("read_zero", read_zero, 2000);
    measure("open_read_close", open_read_close, 100);
    pthread_t thread;
    pthread_create(&thread, 0, pong, 0);
    measure("pipe_ping_pong", ping, 100);
    char stop = 0;
    check(write(there[1], &stop, 1) == 1, "pipe");
    pthread_join(thread, 0);
    pthread_create(&thread, 0, other, 0);
    measure("futex_hand_over", hand_over, 100);
    __atomic_store_n(&turn, 2, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    pthread_join(thread, 0);
    measure("fork", fork_only, 1);
    measure("fork_exec", fork_exec, 1);
    measure("spawn", spawn, 1);
    return 0;
}
