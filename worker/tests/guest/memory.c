// Memory: what mmap and its relatives return and leave behind.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define P 4096
#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-60s %s %d\n", #what, r == -1 ? "-1" : r == 0 ? "0" : "ok", errno); } while (0)

static int zero(unsigned char *p, size_t n) { while (n--) if (*p++) return 0; return 1; }
static char *any(size_t n) { return mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    char *a = any(8 * P);
    printf("fresh zero %d\n", zero(a, 8 * P));
    memset(a, 7, 8 * P);
    SHOW(munmap(a + 2 * P, 2 * P));
    char *b = mmap(a + 2 * P, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    printf("hole reused %d zero %d rest %d\n", b == a + 2 * P, zero(b, 2 * P), a[2 * P - 1] == 7 && a[4 * P] == 7);
    SHOW(mmap(a, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    SHOW(mmap(a + 1, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    SHOW(mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SHOW(mmap(0, P, PROT_READ, MAP_ANONYMOUS, -1, 0));
    SHOW(mmap(0, P, PROT_READ, MAP_PRIVATE, 99, 0));
    SHOW(mmap(0, P, PROT_READ, MAP_PRIVATE, 0, 1));
    SHOW(mmap(0, 1ul << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char *c = mmap(a, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("fixed replaces %d zero %d\n", c == a, zero(c, P));
    SHOW(madvise(a + P, P, MADV_DONTNEED));
    printf("dontneed zero %d\n", zero(a + P, P));
    SHOW(madvise(a + 1, P, MADV_DONTNEED));
    SHOW(madvise(a, P, 12345));
    SHOW(mprotect(a, P, PROT_NONE));
    SHOW(write(1, a, 1));
    SHOW(mprotect(a, P, PROT_READ));
    SHOW(mprotect(a + 1, P, PROT_READ));
    SHOW(mprotect((void *)(1ul << 47), P, PROT_READ));
    SHOW(syscall(SYS_clock_gettime, 1, a));
    unsigned char v[8];
    SHOW(mincore(a, 8 * P, v));
    SHOW(msync(a, P, MS_SYNC));
    SHOW(msync(a, P, MS_SYNC | MS_ASYNC));
    SHOW(munmap(a, 0));
    SHOW(munmap(a + 1, P));
    SHOW(munmap(a, 8 * P));
    SHOW(munmap(a, 8 * P));

    char *m = any(4 * P);
    strcpy(m + P, "moved");
    char *n = mremap(m, 4 * P, 64 * P, MREMAP_MAYMOVE);
    printf("mremap grows %s, zero %d\n", n + P, zero(n + 4 * P, 60 * P));
    SHOW(mremap(n, 64 * P, P, 0) == n);
    SHOW(mremap(n, P, 0, 0));
    SHOW(mremap(n + 1, P, P, 0));
    SHOW(mremap(n, P, P, MREMAP_FIXED, n));

    char *top = sbrk(0);
    printf("sbrk %d\n", sbrk(10000) == top);
    memset(top, 1, 10000);
    printf("sbrk back %d\n", sbrk(-9000) == top + 10000);
    printf("sbrk again %d\n", sbrk(9000) == top + 1000);
    printf("zero %d kept %d\n", zero(top + 4096, 10000 - 4096), top[999]);

    int fd = open(argv[0], O_RDONLY);
    char *f = mmap(0, 3 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    printf("file %.3s private", f + 1);
    f[1] = 'X';
    char e[4] = "";
    pread(fd, e, 4, 0);
    printf(" %d\n", e[1] == 'E');
    off_t size = lseek(fd, 0, SEEK_END);
    long tail = size % P;
    char *l = mmap(0, P, PROT_READ, MAP_PRIVATE, fd, size - tail);
    printf("tail zero %d\n", zero(l + tail, P - tail));
    SHOW(mmap(0, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    int *s = mmap(0, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s[0] = 5;
    madvise(s, P, MADV_DONTNEED);
    printf("shared keeps %d\n", s[0]);
    // Heavy traffic through malloc: sizes on both sides of its mmap threshold.
    unsigned sum = 0;
    void *q[64] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = (i * 2654435761u) >> 26;
        free(q[k]);
        size_t size = i % 97 ? 1 + i % 3000 : 200000 + i;
        q[k] = malloc(size);
        memset(q[k], i, size);
        sum += ((unsigned char *)q[k])[size / 2];
    }
    printf("sum %u\n", sum);
    return 0;
}
