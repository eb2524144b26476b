// Nobody starves: processes that hand a byte to and fro make way for one that never enters the kernel and for one that never
// leaves it for long, and those make way for them. How many turns each gets differs; that each gets some does not.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20, BUSY = 2, BATCH = 1000 };

static volatile unsigned long *progress;

static void check(int good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

// Computes for ever, without a system call.
static void compute(void) { for (;;) progress[0]++; }

// Serves itself for ever: each of its calls succeeds at once.
static void serve(void) {
    int own[2];
    char bytes[64] = {0};
    check(pipe(own) == 0, "pipe");
    for (;; progress[1]++)
        check(write(own[1], bytes, sizeof bytes) == sizeof bytes && read(own[0], bytes, sizeof bytes) > 0, "own pipe");
}

// Sends back what comes, until nothing can come any more.
static void echo(int from, int to) {
    char byte;
    while (read(from, &byte, 1) == 1) check(write(to, &byte, 1) == 1, "echo");
    _exit(0);
}

static pid_t start(void (*body)(void)) {
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) body();
    return child;
}

// Hands a byte over `rounds` times.
static void hand_over(int to, int back, int rounds) {
    char byte = 1;
    for (int round = 0; round < rounds; round++)
        check(write(to, &byte, 1) == 1 && read(back, &byte, 1) == 1, "hand over");
}

int main(void) {
    progress = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int there[2], back[2];
    check(progress != MAP_FAILED && pipe(there) == 0 && pipe(back) == 0, "start");
    pid_t partner = fork();
    check(partner >= 0, "fork");
    if (partner == 0) {
        close(there[1]);
        echo(there[0], back[1]);
    }
    pid_t busy[BUSY] = {start(compute), start(serve)};
    hand_over(there[1], back[0], ROUNDS);
    printf("handed over among the busy\n");
    // Two that wake each other all the time: the others go on nevertheless.
    unsigned long before[BUSY] = {progress[0], progress[1]};
    for (int which = 0; which < BUSY; which++)
        while (progress[which] == before[which]) hand_over(there[1], back[0], BATCH / 100);
    printf("the busy went on among those who hand over\n");
    for (int which = 0; which < BUSY; which++) {
        int status;
        kill(busy[which], SIGKILL);
        check(waitpid(busy[which], &status, 0) == busy[which] && WIFSIGNALED(status), "end of the busy");
    }
    hand_over(there[1], back[0], BATCH);
    close(there[1]);
    check(waitpid(partner, 0, 0) == partner, "end of the partner");
    printf("handed over alone\n");
    return 0;
}
