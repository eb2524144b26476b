// Blocks that grow and shrink by mremap(2) in a program that has forked keep what is in them.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 6, LARGEST = 4 << 20 };

static unsigned *block[BLOCKS];
static size_t len[BLOCKS], room[BLOCKS];
static unsigned seed, wrong;

static unsigned below(unsigned n) {
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % n;
}

static unsigned value(int b, size_t i) { return (unsigned)(i * 2654435761u + b) | 1; }

static void check(int b) {
    for (size_t i = 0; i < len[b]; i++) wrong += block[b][i] != value(b, i);
}

static void resize(int b, size_t words) {
    room[b] = words;
    block[b] = realloc(block[b], words * 4);
}

// A child that changes what it has does not change what its parent has.
static void start_child(int b) {
    if (fork() == 0) {
        for (size_t i = 0; i < len[b]; i += 777) block[b][i] = 0;
        _exit(0);
    }
}

static void step(void) {
    int b = below(BLOCKS);
    size_t more = below(60000);
    if (below(60) == 0) start_child(b);
    if (below(20) == 0) wait(0);
    if (below(40) == 0 || len[b] + more > LARGEST) {
        check(b);
        free(block[b]);
        block[b] = 0;
        len[b] = room[b] = 0;
    }
    if (below(50) == 0 && len[b] > 1000) resize(b, len[b] /= 2);
    if (len[b] + more > room[b]) resize(b, (len[b] + more) * 9 / 8);
    for (size_t i = len[b]; i < len[b] + more; i++) block[b][i] = value(b, i);
    len[b] += more;
}

int main(void) {
    for (unsigned round = 1; round <= 3; round++) {
        seed = round;
        for (int i = 0; i < 700; i++) step();
        for (int b = 0; b < BLOCKS; b++) check(b);
        printf("round %u: %u wrong\n", round, wrong);
    }
    while (wait(0) > 0) {}
    return 0;
}
