// Four threads that add, and what the mathematics library says.
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_long sum;
static _Thread_local int mine;

static void *work(void *arg) {
    mine = *(int *)arg;
    for (int i = 0; i < 100000; i++) atomic_fetch_add(&sum, mine);
    return (void *)(long)(mine * 10);
}

int main(int argc, char **argv) {
    pthread_t threads[4];
    int numbers[4] = {1, 2, 3, 4};
    long results = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, work, &numbers[i]);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        results += (long)result;
    }
    printf("hello from %d argument(s), threads: %ld %ld, %.15f\n", argc, sum, results, sin(atof(argc > 1 ? argv[1] : "1")));
    return argc;
}
