// The vDSO: found as a C library finds it, and telling the same time as the system calls.
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *base, *strings;
static const Elf64_Sym *symbols;
static const uint32_t *hash;
static const uint16_t *versions;
static const Elf64_Verdef *definitions;

static void parse(void) {
    const Elf64_Ehdr *head = (const void *)base;
    const Elf64_Phdr *program = (const void *)(base + head->e_phoff);
    const Elf64_Dyn *dynamic = 0;
    int loads = 0;
    for (int i = 0; i < head->e_phnum; i++) {
        loads += program[i].p_type == PT_LOAD;
        if (program[i].p_type == PT_DYNAMIC) dynamic = (const void *)(base + program[i].p_vaddr);
    }
    printf("magic %d type %d loads %d\n", memcmp(head->e_ident, ELFMAG, 4), head->e_type, loads);
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *at = base + dynamic->d_un.d_ptr;
        switch (dynamic->d_tag) {
            case DT_STRTAB: strings = at; break;
            case DT_SYMTAB: symbols = at; break;
            case DT_HASH: hash = at; break;
            case DT_VERSYM: versions = at; break;
            case DT_VERDEF: definitions = at; break;
        }
    }
}

static uint32_t name_hash(const char *name) {
    uint32_t h = 0;
    for (; *name; name++) {
        h = (h << 4) + (unsigned char)*name;
        h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff;
    }
    return h;
}

static const char *version(int index) {
    for (const Elf64_Verdef *d = definitions;; d = (const void *)((const char *)d + d->vd_next)) {
        const char *name = strings + ((const Elf64_Verdaux *)((const char *)d + d->vd_aux))->vda_name;
        if ((d->vd_ndx & 0x7fff) == index) return d->vd_hash == name_hash(name) ? name : "a wrong hash";
        if (!d->vd_next) return "none";
    }
}

static void *find(const char *name) {
    if (!hash) return 0; // an object with DT_GNU_HASH only
    for (uint32_t i = hash[2 + name_hash(name) % hash[0]]; i; i = hash[2 + hash[0] + i]) {
        if (strcmp(strings + symbols[i].st_name, name) || symbols[i].st_shndx == SHN_UNDEF) continue;
        printf("%s version %s\n", name, version(versions[i] & 0x7fff));
        return (void *)(base + symbols[i].st_value);
    }
    return 0;
}

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }

static void clocks(int (*get)(clockid_t, struct timespec *)) {
    clockid_t list[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME};
    for (int i = 0; i < 4; i++) {
        struct timespec before, now, after;
        syscall(SYS_clock_gettime, list[i], &before);
        int result = get(list[i], &now);
        syscall(SYS_clock_gettime, list[i], &after);
        printf("clock %d result %d in order %d\n", list[i], result, ns(before) <= ns(now) && ns(now) <= ns(after));
    }
    struct timespec now;
    printf("clock 99 fails %d\n", get(99, &now) != 0);
}

static volatile sig_atomic_t rang;
static void ring(int s) { rang = s; }

// A program that does nothing but look at the clock still gets its signal.
static void alarm_while_looking(void) {
    struct itimerval timer = {.it_value = {.tv_usec = 5000}};
    struct timespec now, end;
    signal(SIGALRM, ring);
    clock_gettime(CLOCK_MONOTONIC, &end);
    setitimer(ITIMER_REAL, &timer, 0);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while (!rang && now.tv_sec < end.tv_sec + 20);
    printf("rang %d\n", rang);
}

int main(void) {
    base = (const char *)getauxval(AT_SYSINFO_EHDR);
    printf("there %d aligned %d\n", base != 0, (uintptr_t)base % 4096 == 0);
    parse();
    int (*get)(clockid_t, struct timespec *) = find("__vdso_clock_gettime");
    int (*resolution)(clockid_t, struct timespec *) = find("__vdso_clock_getres");
    int (*day)(struct timeval *, void *) = find("__vdso_gettimeofday");
    time_t (*seconds)(time_t *) = find("__vdso_time");
    int (*cpu)(unsigned *, unsigned *, void *) = find("__vdso_getcpu");
    printf("absent %d\n", find("__vdso_nothing") == 0);
    clocks(get);
    struct timespec step;
    int result = resolution(CLOCK_MONOTONIC, &step);
    printf("resolution %d %d\n", result, (int)step.tv_nsec);
    struct timeval today;
    time_t stored = 0, now = time(0);
    result = day(&today, 0);
    printf("day %d %d\n", result, today.tv_sec >= now && today.tv_sec <= now + 60);
    time_t returned = seconds(&stored);
    printf("seconds %d %d\n", returned == stored, returned >= now && returned <= now + 60);
    unsigned number = 12345, node = 12345;
    result = cpu(&number, &node, 0);
    printf("cpu %d %d %d\n", result, number < 12345, node < 12345);
    alarm_while_looking();
    return 0;
}
