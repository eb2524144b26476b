// Random system calls with random arguments, from several threads at once. It needs no luck to survive on Linux: calls that
// end it are left out, and what could take its own memory away is given the arena only. Arguments: seed, calls, threads. With
// "wild" for a fourth, children make any calls at all with any arguments: only in a guest.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARENA (1ul << 20)
// Addresses of everything a guest has that is not the program's, and of nothing at all.
static const uint64_t foreign[] = {0, 8, 0x1000, 0x8000000000, 0x12345678000, 0x700000000000, 0x700000100000, 0x710000000000,
    0x720000000000, 0x740000000000, 0x7ffffffff000, 0x800000000000, 0xffff800000000000, ~0ul, ~0xffful};
static const int left_out[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_clone, SYS_clone3, SYS_fork, SYS_vfork, SYS_execve,
    SYS_execveat, SYS_brk, SYS_arch_prctl, SYS_set_tid_address, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sigaltstack,
    SYS_set_robust_list, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_prlimit64, SYS_setrlimit,
    SYS_setitimer, SYS_alarm, SYS_pause, SYS_rt_sigsuspend, SYS_seccomp, SYS_reboot, SYS_ptrace, SYS_process_vm_writev, SYS_rseq,
    SYS_setpgid, SYS_setsid, SYS_chroot, SYS_pivot_root, SYS_mount, SYS_umount2, SYS_sethostname, SYS_settimeofday, SYS_prctl,
    SYS_clock_settime, SYS_pidfd_send_signal, SYS_shmat, SYS_shmdt};

static unsigned char *arena;
static uint64_t calls;
static volatile uint64_t answered, refused, seen[512];

struct random { uint64_t state; };
static uint64_t next(struct random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t in_arena(struct random *r) { return (uint64_t)arena + next(r) % ARENA / 8 * 8; }

static uint64_t argument(struct random *r) {
    switch (next(r) % 10) {
    case 0: case 1: case 2: return in_arena(r);
    case 3: return (uint64_t)arena + ARENA - next(r) % 64;
    case 4: return 3 + next(r) % 20;
    case 5: return 1ul << next(r) % 64;
    case 6: return foreign[next(r) % (sizeof foreign / sizeof *foreign)];
    case 7: return next(r) % 8192;
    case 8: return next(r) % 8;
    default: return next(r);
    }
}

static void fill(struct random *r) {
    static const char *paths[] = {"/tmp/a", "/tmp/b/c", "/proc/self/maps", "/dev/null", "../../tmp/a", "/dev/shm/x", "/proc/self/fd/4"};
    for (uint64_t at = 0; at + 16 <= ARENA; at += 16) {
        if (next(r) % 4 == 0) strcpy((char *)arena + at, paths[next(r) % 7]);
        else for (int word = 0; word < 2; word++) *(uint64_t *)(arena + at + 8 * word) = argument(r);
    }
}

static int is_left_out(uint64_t number) {
    for (unsigned i = 0; i < sizeof left_out / sizeof *left_out; i++) if (number == left_out[i]) return 1;
    return 0;
}

// Descriptors 0 to 2 stay open, the program's own memory stays mapped.
static void tame(struct random *r, uint64_t number, uint64_t *args) {
    switch (number) {
    case SYS_mmap:
        args[1] &= 0xfffff;
        if (args[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) args[0] = (uint64_t)arena + ARENA + next(r) % ARENA / 4096 * 4096, args[1] %= ARENA;
        return;
    case SYS_munmap: case SYS_mprotect: case SYS_mremap: case SYS_madvise: case SYS_pkey_mprotect: case SYS_remap_file_pages:
        // Two arenas: in the second one memory comes and goes.
        args[0] = (uint64_t)arena + ARENA + next(r) % ARENA / 4096 * 4096;
        args[1] %= (uint64_t)arena + 2 * ARENA - args[0] + 1;
        if (number == SYS_mremap) args[2] %= ARENA, args[3] &= MREMAP_MAYMOVE;
        return;
    case SYS_close: case SYS_dup2: case SYS_dup3: case SYS_close_range:
        if ((unsigned)args[0] < 3) args[0] = 5;
        if ((unsigned)args[1] < 3) args[1] = 6;
        return;
    case SYS_ftruncate: case SYS_truncate: case SYS_fallocate:
        args[1] %= 1 << 22, args[2] %= 1 << 22, args[3] %= 1 << 22;
    }
}

static void *work(void *seed) {
    struct random r = {(uint64_t)seed};
    for (uint64_t i = 0; i < calls; i++) {
        uint64_t number = next(&r) % 460, args[6];
        if (is_left_out(number)) continue;
        for (int arg = 0; arg < 6; arg++) args[arg] = argument(&r);
        tame(&r, number, args);
        long result = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
        if (result == -1) refused++; else answered++, seen[number]++;
        if (i % 256 == 0) fill(&r);
    }
    return 0;
}

static void nothing(int signal) {}

// A child in which nothing is spared but other processes.
static void run_wild(uint64_t seed) {
    struct random r = {seed};
    setpgid(0, 0);
    for (uint64_t i = 0; i < calls; i++) {
        uint64_t number = next(&r) % 4 ? next(&r) % 460 : left_out[next(&r) % (sizeof left_out / sizeof *left_out)], args[6];
        // Those that end everything get their turn now and then.
        if ((number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn) && next(&r) % 16) continue;
        for (int arg = 0; arg < 6; arg++) args[arg] = argument(&r);
        if (number == SYS_kill || number == SYS_tkill || number == SYS_rt_sigqueueinfo) args[0] = getpid();
        if (number == SYS_tgkill || number == SYS_rt_tgsigqueueinfo) args[0] = getpid(), args[1] = gettid();
        if (number == SYS_prlimit64) args[0] = 0;
        syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    }
    _exit(0);
}

// Lets one child after the other run wild, for a moment each; then all processes but this one end.
static int let_run_wild(uint64_t seed, int rounds) {
    int ended = 0;
    for (int round = 0; round < rounds; round++) {
        pid_t pid = fork();
        if (pid == 0) run_wild(seed * 1000 + round);
        for (int i = 0; i < 50 && waitpid(-1, 0, WNOHANG) != pid; i++) usleep(1000);
        while (kill(-1, SIGKILL) == 0) while (waitpid(-1, 0, 0) > 0);
        ended++;
    }
    dprintf(1, "%d ended\n", ended);
    return 0;
}

int main(int argc, char **argv) {
    uint64_t seed = strtoul(argv[1], 0, 10);
    calls = strtoul(argv[2], 0, 10);
    int threads = atoi(argv[3]);
    arena = mmap(0, 2 * ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct random r = {seed};
    fill(&r);
    if (argc > 4) return let_run_wild(seed, threads);
    // What would wait is called off, in whatever thread it waits.
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, 0);
    signal(SIGPIPE, SIG_IGN), signal(SIGXFSZ, SIG_IGN), signal(SIGIO, SIG_IGN), signal(SIGURG, SIG_IGN);
    struct itimerval timer = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &timer, 0);
    pthread_t thread[8];
    for (int i = 1; i < threads; i++) pthread_create(&thread[i], 0, work, (void *)(seed * 100 + i));
    work((void *)(seed * 100));
    for (int i = 1; i < threads; i++) {
        struct timespec soon;
        do {
            pthread_kill(thread[i], SIGALRM);
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_nsec += 5000000;
            if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
        } while (pthread_timedjoin_np(thread[i], 0, &soon));
    }
    int kinds = 0;
    for (int i = 0; i < 512; i++) kinds += seen[i] > 0;
    dprintf(1, "answered %d kinds, refused some: %d\n", kinds, refused > 0);
    return kinds < 30 || !refused;
}
