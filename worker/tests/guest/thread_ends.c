// How threads and processes with threads end; argument 1 says which way.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *ends_the_process(void *arg) {
    printf("thread\n");
    fflush(stdout);
    syscall(SYS_exit_group, 7);
    return 0;
}

static void *outlives_main(void *arg) {
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, 0);
    printf("main is gone\n");
    fflush(stdout);
    // Not exit(3): the process ends with its last thread.
    syscall(SYS_exit, 3);
    return 0;
}

static void *faults(void *arg) {
    return (void *)(long)*(volatile int *)8;
}

static void *waits_for_ever(void *arg) {
    for (;;) pause();
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static void *waits(void *arg) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return 0;
}

static int fill(pthread_t *threads, int most, int *error) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 32 << 10);
    int count = 0;
    while (count < most && !(*error = pthread_create(&threads[count], &attr, waits, 0))) count++;
    return count;
}

// Only in a guest: natively there is no such limit.
static void limit(void) {
    static pthread_t threads[5000];
    int error, counts[2];
    for (int round = 0; round < 2; round++) {
        pthread_mutex_lock(&gate);
        counts[round] = fill(threads, 5000, &error);
        pthread_mutex_unlock(&gate);
        for (int i = 0; i < counts[round]; i++) pthread_join(threads[i], 0);
    }
    printf("%d threads, again %d, then %s\n", counts[0], counts[1], strerror(error));
}

int main(int argc, char **argv) {
    pthread_t thread;
    switch (argv[1][0]) {
    case 'g':
        pthread_create(&thread, 0, waits_for_ever, 0);
        pthread_create(&thread, 0, ends_the_process, 0);
        pthread_join(thread, 0);
        return 1;
    case 'm':
        pthread_create(&thread, 0, outlives_main, 0);
        syscall(SYS_exit, 5);
        return 1;
    case 'r':
        pthread_create(&thread, 0, waits_for_ever, 0);
        sched_yield();
        return 4;
    case 'f':
        pthread_create(&thread, 0, faults, 0);
        pthread_join(thread, 0);
        return 1;
    case 'k':
        pthread_create(&thread, 0, waits_for_ever, 0);
        sched_yield();
        pthread_kill(thread, SIGTERM);
        pthread_join(thread, 0);
        return 1;
    case 'd':
        pthread_mutex_lock(&gate);
        pthread_mutex_lock(&gate);
        return 1;
    case 'l':
        limit();
        return 0;
    }
    return 99;
}
