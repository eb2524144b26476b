// A handler as the language bootstraps are: one loop over /dev/invocation.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int calls;

int main(void) {
    char request[65536], reply[70000], id[64] = "";
    char *table = malloc(4 << 20);
    memset(table, 'w', 4 << 20);
    int fd = open("/dev/invocation", O_RDWR);
    for (;;) {
        ssize_t n = read(fd, request, sizeof request - 1);
        if (n <= 0) return 3;
        request[n] = 0;
        calls++;
        int seen = access("/tmp/left", F_OK) == 0;
        close(open("/tmp/left", O_CREAT | O_WRONLY, 0600));
        table[calls * 100000] = 'x';
        unsigned long random;
        getrandom(&random, sizeof random, 0);
        int boot = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
        read(boot, id, 36);
        int length = snprintf(reply, sizeof reply, "%d %d %lx %s %ld %.*s\n", calls, seen, random, id, time(0), (int)n, request);
        fprintf(stderr, "call %d\n", calls);
        if (write(fd, reply, length) != length) return 4;
    }
}
