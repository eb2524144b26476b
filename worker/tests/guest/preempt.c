// Threads that compute and make no system call do not keep the others from running.
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long value) { printf("%s %ld\n", what, value); }

static volatile int flag, stop;

// Nobody else would ever run if this were not interrupted.
static void *raise_flag(void *arg) {
    flag = 1;
    return 0;
}

static volatile long turns[4];
static void *spin(void *arg) {
    long number = (long)arg;
    do turns[number]++; while (!stop);
    return 0;
}

// Long computations in every kind of register; each result has one right value.
static void *compute(void *arg) {
    long seed = (long)arg;
    double sum = seed, vector[8];
    long double precise = seed;
    unsigned long bits = seed;
    for (int i = 0; i < 8; i++) vector[i] = seed + i;
    for (int i = 0; i < 6000000; i++) {
        for (int j = 0; j < 8; j++) vector[j] = vector[j] * 0.999 + j;
        sum = sum * 0.9999 + sin(i & 7);
        precise = precise * 0.99L + i % 3;
        bits = bits * 6364136223846793005ul + 1442695040888963407ul;
        asm volatile("" ::: "memory");
    }
    for (int j = 0; j < 8; j++) sum += vector[j];
    char *text;
    asprintf(&text, "%.17g %.20Lg %lx", sum, precise, bits);
    return text;
}

// Registers that hold the same value for ever, the upper halves of the vectors among them; flags and the x87 stack.
static void *hold(void *arg) {
    long number = (long)arg, wrong = 0;
    double value = number;
    while (!stop) {
        double upper;
        long kept, carry;
        long double top = number;
        asm volatile("vbroadcastsd %4, %%ymm7\n\t"
                     "fldt %3\n\t"
                     "mov %5, %%r13\n\t"
                     "mov $1000000, %%ecx\n\t"
                     "stc\n\t"
                     "1: dec %%ecx\n\t"
                     "jnz 1b\n\t"
                     "sbb %2, %2\n\t"
                     "mov %%r13, %1\n\t"
                     "fstpt %3\n\t"
                     "vextractf128 $1, %%ymm7, %%xmm7\n\t"
                     "vmovsd %%xmm7, %0\n\t"
                     : "=m"(upper), "=m"(kept), "=&r"(carry), "+m"(top)
                     : "m"(value), "r"(number)
                     : "rcx", "r13", "xmm7", "memory", "cc");
        wrong += upper != value || kept != number || carry != -1 || top != (long double)number;
    }
    return (void *)wrong;
}

static volatile sig_atomic_t alarms;
static void on_alarm(int signal) { alarms++; }

static void *heartbeat(void *arg) {
    struct timespec pause = {0, 20000000};
    for (int i = 0; i < 5; i++) nanosleep(&pause, 0);
    stop = 1;
    return 0;
}

int main(void) {
    pthread_t threads[5];
    pthread_create(&threads[0], 0, raise_flag, 0);
    while (!flag) {}
    pthread_join(threads[0], 0);
    say("flag", flag);

    for (long i = 0; i < 4; i++) pthread_create(&threads[i], 0, spin, (void *)i);
    pthread_create(&threads[4], 0, heartbeat, 0);
    while (!turns[0] || !turns[1] || !turns[2] || !turns[3]) {}
    for (int i = 0; i < 5; i++) pthread_join(threads[i], 0);
    say("all had their turn", turns[0] && turns[1] && turns[2] && turns[3]);

    for (long i = 0; i < 3; i++) pthread_create(&threads[i], 0, compute, (void *)(i + 1));
    for (int i = 0; i < 3; i++) {
        void *text;
        pthread_join(threads[i], &text);
        printf("%s\n", (char *)text);
    }

    stop = 0;
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], 0, hold, (void *)(i + 1));
    pthread_create(&threads[4], 0, heartbeat, 0);
    long wrong = 0;
    for (int i = 0; i < 5; i++) {
        void *result = 0;
        pthread_join(threads[i], &result);
        wrong += (long)result;
    }
    say("wrong registers", wrong);

    // An alarm reaches a program that computes.
    signal(SIGALRM, on_alarm);
    struct itimerval timer = {{0, 15000}, {0, 15000}};
    setitimer(ITIMER_REAL, &timer, 0);
    while (alarms < 3) {}
    say("alarms", alarms >= 3);
    return 0;
}
