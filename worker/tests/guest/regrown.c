// Shared mappings of a file that become longer and shorter, and move.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define SHOW(call) do { errno = 0; long result = (long)(call); printf("%s: %ld %s\n", #call, result, strerror(errno)); } while (0)

static int file;

static char *map(unsigned long offset, unsigned long pages, void *where) {
    char *at = mmap(where, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | (where ? MAP_FIXED : 0), file, offset * PAGE);
    if (at == MAP_FAILED) exit((perror("mmap"), 1));
    return at;
}

// Whether mapping and file agree on so many pages, both ways.
static int agree(char *at, unsigned long offset, unsigned long pages) {
    char byte;
    for (unsigned long page = 0; page < pages; page++) {
        unsigned long place = (offset + page) * PAGE + 5;
        if (pread(file, &byte, 1, place) != 1 || byte != at[page * PAGE + 5]) return 0;
        at[page * PAGE + 5]++;
        if (pread(file, &byte, 1, place) != 1 || byte != at[page * PAGE + 5]) return 0;
        byte = page;
        if (pwrite(file, &byte, 1, place) != 1 || byte != at[page * PAGE + 5]) return 0;
    }
    return 1;
}

static char *resize(char *at, unsigned long old, unsigned long new) {
    char *moved = mremap(at, old * PAGE, new * PAGE, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) exit((perror("mremap"), 1));
    return moved;
}

static void work(void *where) {
    char *at = map(0, 3, where), *other = map(0, 12, 0);
    strcpy(at, "kept");
    at = resize(at, 3, 9);
    printf("%s, agrees %d, other %s\n", at, agree(at, 0, 9), other);
    at[8 * PAGE] = 'x';
    printf("other %c\n", other[8 * PAGE]);
    at = resize(at, 9, 4);
    printf("%s, agrees %d\n", at, agree(at, 0, 4));
    at = resize(at, 4, 12);
    at = resize(at, 12, 5);
    at = resize(at, 5, 6);
    printf("%s, agrees %d, at the end %c\n", at, agree(at, 0, 6), other[8 * PAGE]);
    char *middle = map(2, 3, 0);
    middle = resize(middle, 3, 7);
    printf("from the middle %d\n", agree(middle, 2, 7));
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        at = resize(at, 6, 10);
        printf("child: %s, agrees %d\n", at, agree(at, 0, 10));
        strcpy(at, "changed");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
    printf("after it %s %s\n", at, other);
    char *there = (char *)0x600000000000;
    printf("fixed %d", mremap(at, 6 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, there) == there);
    printf(" agrees %d, %s\n", agree(there, 0, 8), there);
    SHOW(mremap(there, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, there + PAGE));
    SHOW(mremap(there, 9 * PAGE, 10 * PAGE, MREMAP_MAYMOVE));
    SHOW(munmap(there, 8 * PAGE));
    SHOW(munmap(middle, 7 * PAGE));
    SHOW(munmap(other, 12 * PAGE));
}

int main(void) {
    char name[] = "/tmp/regrownXXXXXX";
    file = mkstemp(name);
    unlink(name);
    if (ftruncate(file, 12 * PAGE)) return 1;
    work(0);
    work((void *)0x580000000000);
    char *last = map(11, 1, 0);
    if (ftruncate(file, 20 * PAGE)) return 2;
    last = resize(last, 1, 9);
    printf("grown with its file %d\n", agree(last, 11, 9));
    return 0;
}
