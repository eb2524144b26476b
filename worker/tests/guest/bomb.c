// Processes until no more can be made, in several shapes; then all end. Only in a guest: natively it would take the machine down.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_limit(int error) { return error == EAGAIN || error == ENOMEM; }

static int reap(void) {
    int count = 0;
    for (;;) {
        pid_t pid = wait(0);
        if (pid > 0) count++;
        else if (errno != EINTR) return count;
    }
}

// Children that wait, made one after the other by one process. Returns how many there could be. Each is given the processor
// before the next one is made: who has run has taken a few pages more.
static int wide(void) {
    static pid_t children[100000];
    int count = 0;
    pid_t pid;
    while ((pid = fork()) > 0) { children[count++] = pid; sched_yield(); }
    if (pid == 0) for (;;) pause();
    if (!is_limit(errno)) { printf("fork: %s\n", strerror(errno)); exit(1); }
    for (int i = 0; i < count; i++) kill(children[i], SIGKILL);
    if (reap() != count) { printf("not all children were found\n"); exit(1); }
    return count;
}

// The least of `times` tries.
static int least(int times) {
    int least = wide();
    while (--times > 0) {
        int count = wide();
        if (count < least) least = count;
    }
    return least;
}

// The most of up to `times` tries; `enough` is enough.
static int most(int times, int enough) {
    int most = 0;
    while (times-- > 0 && most < enough) {
        int count = wide();
        if (count > most) most = count;
    }
    return most;
}

// Each child makes the next, up to the one that cannot.
static _Noreturn void deep(void) {
    pid_t pid = fork();
    if (pid < 0) _exit(is_limit(errno) ? 0 : 1);
    if (pid == 0) { deep(); _exit(0); }
    int status = 1;
    waitpid(pid, &status, 0);
    _exit(status != 0);
}

// What is written in shell as :(){ :|:& };: for everybody makes two, again and again, each with pages of its own.
static void bomb(void) {
    for (;;) {
        char *page = malloc(64 << 10);
        if (page) memset(page, 1, 64 << 10);
        pid_t pid = fork();
        if (pid < 0 && !is_limit(errno)) _exit(1);
        if (pid < 0) pause();
    }
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    // A fork copies ahead what was written after the one before: the first has none.
    wide();
    int first = least(3);
    printf("wide %s\n", first > 20 ? "many" : "few");
    pid_t pid = fork();
    if (pid == 0) { deep(); }
    int status;
    waitpid(pid, &status, 0);
    printf("deep %d\n", status);
    pid = fork();
    if (pid == 0) { setpgid(0, 0); bomb(); }
    // The VM is full when this process, too, cannot make another.
    for (;;) {
        pid_t probe = fork();
        if (probe == 0) _exit(0);
        if (probe < 0) break;
        waitpid(probe, 0, 0);
    }
    // Who is in the group makes no more once it was told to end; orphans become children of this process, the first one.
    while (kill(-pid, SIGKILL) == 0) waitpid(-1, 0, WNOHANG);
    reap();
    printf("bomb over\n");
    // A stall may have cut off one or another child before it waited.
    int last = most(5, first), fewer = last < first - 2;
    if (fewer) printf("%d, then %d\n", first, last);
    printf("as many as at first: %s\n", fewer ? "no" : "yes");
    return 0;
}
