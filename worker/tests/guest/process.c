// Identity, limits, clocks, futexes: values and errors that do not depend on the host.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-60s %ld %d\n", #what, r, errno); } while (0)
#define TRUE(what) printf("%-60s %s\n", #what, (what) ? "true" : "FALSE")

static uint64_t now(int clock) { struct timespec t; clock_gettime(clock, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }

static void clocks(void) {
    struct timespec t, bad = {0, 1000000000}, negative = {-1, 0}, nap = {0, 20000000};
    SHOW(clock_gettime(CLOCK_REALTIME, &t));
    SHOW(clock_gettime(4711, &t));
    SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8));
    SHOW(clock_getres(CLOCK_MONOTONIC, &t));
    TRUE(now(CLOCK_REALTIME) > 1700000000ull * 1000000000ull);
    TRUE(llabs((long long)time(0) - (long long)(now(CLOCK_REALTIME) / 1000000000)) <= 1);
    uint64_t a = now(CLOCK_MONOTONIC), b = now(CLOCK_MONOTONIC);
    TRUE(b >= a);
    SHOW(nanosleep(&nap, 0));
    uint64_t slept = now(CLOCK_MONOTONIC) - b;
    TRUE(slept >= 20000000 && slept < 20000000000);
    SHOW(nanosleep(&bad, 0));
    SHOW(nanosleep(&negative, 0));
    SHOW(nanosleep((void *)8, 0));
    uint64_t until = now(CLOCK_REALTIME) + 10000000;
    struct timespec at = {until / 1000000000, until % 1000000000};
    SHOW(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, 0));
    TRUE(now(CLOCK_REALTIME) >= until);
    SHOW(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &nap, 0));
    struct timeval v;
    SHOW(gettimeofday(&v, 0));
    TRUE(v.tv_usec >= 0 && v.tv_usec < 1000000);
    struct tms m;
    TRUE(times(&m) != -1);
    struct rusage u;
    SHOW(getrusage(RUSAGE_SELF, &u));
    TRUE(u.ru_maxrss > 0);
    SHOW(getrusage(7, &u));
}

static void futexes(void) {
    static int word = 5;
    struct timespec t = {0, 2000000};
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT, 4, 0, 0, 0));
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &t, 0, 0));
    SHOW(syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0));
    SHOW(syscall(SYS_futex, (char *)&word + 1, FUTEX_WAIT, 5, &t, 0, 0));
    SHOW(syscall(SYS_futex, 16, FUTEX_WAIT, 5, &t, 0, 0));
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, 0, 0, 0));
    uint64_t until = now(CLOCK_REALTIME) + 2000000;
    struct timespec at = {until / 1000000000, until % 1000000000};
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, &at, 0, -1));
}

static void identity(void) {
    uid_t r, e, s;
    TRUE(getpid() == syscall(SYS_gettid));
    SHOW(getpgid(-5));
    SHOW(getpgid(99999999));
    SHOW(getsid(99999999));
    SHOW(setpgid(0, -1));
    SHOW(getresuid(&r, &e, &s));
    TRUE(r == getuid() && e == geteuid());
    SHOW(getgroups(-1, 0));
    SHOW(waitpid(-1, 0, WNOHANG));
    char name[17] = "";
    SHOW(prctl(PR_SET_NAME, "a name that is too long"));
    SHOW(prctl(PR_GET_NAME, name));
    printf("name %s\n", name);
    SHOW(prctl(PR_SET_NAME, 8));
    SHOW(prctl(4711));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_GET_DUMPABLE));
    unsigned long base;
    SHOW(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
    TRUE(base != 0);
    SHOW(syscall(SYS_arch_prctl, 0x9999, &base));
    SHOW(syscall(SYS_arch_prctl, ARCH_SET_FS, -1L));
    struct utsname name2;
    SHOW(uname(&name2));
    printf("%s %s\n", name2.sysname, name2.machine);
    SHOW(syscall(SYS_uname, 8));
    SHOW(syscall(SYS_set_robust_list, 8, 24));
    SHOW(syscall(SYS_set_robust_list, 8, 23));
}

static void limits(void) {
    struct rlimit l = {100, 200}, got, bad = {2, 1};
    SHOW(setrlimit(RLIMIT_CORE, &bad));
    SHOW(setrlimit(99, &l));
    SHOW(getrlimit(RLIMIT_NOFILE, &got));
    TRUE(got.rlim_cur >= 256);
    SHOW(prlimit(99999999, RLIMIT_NOFILE, 0, &got));
    SHOW(prlimit(0, RLIMIT_NOFILE, 0, (void *)8));
    cpu_set_t cpus;
    SHOW(sched_getaffinity(99999999, sizeof cpus, &cpus));
    SHOW(sched_getaffinity(0, 7, &cpus));
    SHOW(sched_getaffinity(0, sizeof cpus, &cpus));
    TRUE(CPU_COUNT(&cpus) >= 1);
    SHOW(sched_yield());
    SHOW(sched_get_priority_max(SCHED_FIFO));
    SHOW(sched_get_priority_max(77));
    struct sysinfo info;
    SHOW(sysinfo(&info));
    TRUE(info.totalram > info.freeram && info.mem_unit == 1);
    struct itimerval timer;
    SHOW(getitimer(ITIMER_REAL, &timer));
    SHOW(getitimer(7, &timer));
}

static void randomness(void) {
    unsigned char a[64] = {0}, b[64] = {0};
    SHOW(getrandom(a, 64, 0));
    SHOW(getrandom(b, 64, GRND_NONBLOCK));
    TRUE(memcmp(a, b, 64) != 0);
    SHOW(getrandom(a, 64, 0x80));
    SHOW(getrandom((void *)8, 64, 0));
    SHOW(getrandom(0, 0, 0));
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    clocks();
    futexes();
    identity();
    limits();
    randomness();
    SHOW(syscall(5000));
    return 0;
}
