// Timers that send signals, and signals that are queued.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000l

static void show(const char *what, long result) { printf("%s: %ld %s\n", what, result, result < 0 ? strerror(errno) : ""); }

static struct itimerspec times(long first, long interval) {
    struct itimerspec spec = {{interval / 1000, interval % 1000 * MS}, {first / 1000, first % 1000 * MS}};
    return spec;
}

static void nap(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * MS};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR) {}
}

static timer_t create(clockid_t clock, int notify, int signal, long value) {
    struct sigevent event = {.sigev_notify = notify, .sigev_signo = signal, .sigev_value.sival_ptr = (void *)value};
    timer_t timer;
    if (timer_create(clock, &event, &timer)) exit((perror("timer_create"), 1));
    return timer;
}

static void set(timer_t timer, long first, long interval) {
    struct itimerspec spec = times(first, interval);
    if (timer_settime(timer, 0, &spec, 0)) exit((perror("timer_settime"), 1));
}

static sigset_t blocked(int first, int last) {
    sigset_t set;
    sigemptyset(&set);
    for (int signal = first; signal <= last; signal++) sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, 0);
    return set;
}

// A signal of `set`, if there is one soon.
static int next(const sigset_t *set, siginfo_t *info) {
    struct timespec patience = {0, 0};
    memset(info, 0, sizeof *info);
    return sigtimedwait(set, info, &patience);
}

static void wrong(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
    int id = -1;
    show("clock", syscall(SYS_timer_create, 99, 0, &id));
    show("signal", syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    event.sigev_signo = 0;
    show("no signal", syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    event.sigev_signo = SIGUSR1;
    event.sigev_notify = 77;
    show("notify", syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = 0x7ffffff;
    show("thread", syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    show("event", syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &id));
    show("id", syscall(SYS_timer_create, CLOCK_MONOTONIC, 0, 8));
    struct itimerspec spec = times(1, 1);
    show("set", syscall(SYS_timer_settime, 0x7ffffff, 0, &spec, 0));
    show("get", syscall(SYS_timer_gettime, 0x7ffffff, &spec));
    show("overrun", syscall(SYS_timer_getoverrun, 0x7ffffff));
    show("delete", syscall(SYS_timer_delete, 0x7ffffff));
    timer_t timer = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    spec.it_value.tv_nsec = 1000000000;
    show("nanoseconds", timer_settime(timer, 0, &spec, 0));
    spec.it_value.tv_nsec = -1;
    show("nanoseconds", timer_settime(timer, 0, &spec, 0));
    show("null", syscall(SYS_timer_settime, (long)timer, 0, 0, 0));
    show("deleted", timer_delete(timer));
    show("again", timer_delete(timer));
}

static volatile sig_atomic_t seen;
static siginfo_t last;

static void handler(int signal, siginfo_t *info, void *context) {
    last = *info;
    seen++;
}

// Waits for a signal that is blocked until then.
static int await(void) {
    sigset_t none;
    sigemptyset(&none);
    return sigsuspend(&none);
}

static void handled(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    sigaction(SIGALRM, &action, 0);
    timer_t timer = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 4711);
    set(timer, 5, 0);
    while (!seen) {} // it computes
    printf("computing: signal %d code %d value %p overrun %d\n", last.si_signo, last.si_code, last.si_value.sival_ptr, last.si_overrun);
    seen = 0;
    sigset_t both = blocked(SIGUSR1, SIGUSR1);
    blocked(SIGALRM, SIGALRM);
    set(timer, 5, 0);
    show("suspend", await());
    struct itimerspec spec;
    timer_gettime(timer, &spec);
    printf("once: %ld %ld\n", (long)spec.it_value.tv_sec, spec.it_value.tv_nsec);
    seen = 0;
    set(timer, 2, 2);
    while (seen < 4) await();
    printf("again and again\n");
    set(timer, 0, 0);
    sigset_t old;
    sigprocmask(SIG_UNBLOCK, &both, &old);
    seen = 0;
    nap(6);
    printf("off: %d\n", seen);
    sigprocmask(SIG_SETMASK, &old, 0);
    timer_delete(timer);
    int id = -1;
    syscall(SYS_timer_create, CLOCK_REALTIME, 0, &id);
    struct itimerspec now = times(0, 0);
    now.it_value.tv_sec = 1; // long ago
    syscall(SYS_timer_settime, id, TIMER_ABSTIME, &now, 0);
    while (!seen) await();
    printf("by the wall: signal %d, value is the timer %d\n", last.si_signo, last.si_value.sival_int == id);
    syscall(SYS_timer_delete, id);
}

static void settings(void) {
    timer_t timer = create(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGUSR1, 0), silent = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    struct itimerspec old, spec = times(100000000, 7000);
    timer_settime(timer, 0, &spec, 0);
    timer_gettime(timer, &old);
    printf("left %d, interval %ld\n", old.it_value.tv_sec > 90000, (long)old.it_interval.tv_sec);
    spec = times(0, 3000);
    timer_settime(timer, 0, &spec, &old);
    printf("before %d, interval %ld\n", old.it_value.tv_sec > 90000, (long)old.it_interval.tv_sec);
    timer_gettime(timer, &old);
    printf("off %ld\n", (long)old.it_value.tv_sec);
    set(silent, 1, 0);
    nap(3);
    timer_gettime(silent, &old);
    printf("over %ld %ld\n", (long)old.it_value.tv_sec, old.it_value.tv_nsec);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        show("a child has none", timer_gettime(timer, &old));
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, 0, 0);
    printf("its parent has: %d\n", timer_gettime(timer, &old));
    timer_delete(timer);
    timer_delete(silent);
}

static void queued(void) {
    sigset_t set_of = blocked(SIGRTMIN + 1, SIGRTMIN + 3);
    siginfo_t info;
    timer_t one = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 1), two = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 2, 2);
    set(one, 1, 0);
    nap(3);
    set(two, 1, 0);
    nap(3);
    while (next(&set_of, &info) > 0) printf("timer %p\n", info.si_value.sival_ptr);
    set(one, 1, 1);
    nap(20);
    // Until it is taken away: it would go on.
    set(two, 1, 0);
    nap(3);
    struct itimerspec off = times(0, 0);
    int signal = next(&set_of, &info), overrun = info.si_overrun;
    printf("overrun %d %d\n", signal == SIGRTMIN + 2 && info.si_value.sival_int == 1, overrun >= 10);
    nap(5);
    // That of the signal that was taken, not of the one that waits by now.
    printf("told %d\n", timer_getoverrun(one) == overrun);
    timer_settime(one, 0, &off, 0);
    while (next(&set_of, &info) > 0) if (info.si_value.sival_int == 2) printf("the other, too\n");
    timer_delete(one);
    timer_delete(two);
    int order[][2] = {{3, 1}, {1, 2}, {3, 3}, {2, 4}, {1, 5}};
    for (int index = 0; index < 5; index++) {
        union sigval value = {.sival_int = order[index][1]};
        printf("%d", sigqueue(getpid(), SIGRTMIN + order[index][0], value));
    }
    while (next(&set_of, &info) > 0) printf(" %d:%d", info.si_signo - SIGRTMIN, info.si_value.sival_int);
    sigset_t usual = blocked(SIGUSR2, SIGUSR2);
    union sigval value = {.sival_int = 1};
    for (; value.sival_int < 4; value.sival_int++) sigqueue(getpid(), SIGUSR2, value);
    while (next(&usual, &info) > 0) printf(" usr2:%d", info.si_value.sival_int);
    printf("\n");
}

static void read_from_descriptor(void) {
    sigset_t set_of = blocked(SIGRTMIN + 4, SIGRTMIN + 4);
    int fd = signalfd(-1, &set_of, 0);
    timer_t timer = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 4, 4712);
    set(timer, 1, 1);
    nap(5);
    struct signalfd_siginfo record;
    show("read", read(fd, &record, sizeof record));
    printf("signal %d code %d value %d %d pid %d uid %d\n", record.ssi_signo - SIGRTMIN, record.ssi_code, (int)record.ssi_ptr, record.ssi_int, record.ssi_pid, record.ssi_uid);
    printf("overrun %d %d\n", record.ssi_overrun >= 2, timer_getoverrun(timer) == (int)record.ssi_overrun);
    timer_delete(timer);
    close(fd);
}

static sem_t called;
static void *told;

static void notify(union sigval value) {
    told = value.sival_ptr;
    sem_post(&called);
}

static void in_threads(void) {
    sem_init(&called, 0, 0);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_ptr = (void *)99};
    timer_t timer;
    printf("create %d\n", timer_create(CLOCK_MONOTONIC, &event, &timer));
    set(timer, 2, 2);
    for (int round = 0; round < 3; round++) sem_wait(&called);
    printf("called with %p\n", told);
    printf("delete %d\n", timer_delete(timer));
    struct sigevent own = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 1};
    own._sigev_un._tid = gettid();
    int id;
    printf("to a thread %ld\n", syscall(SYS_timer_create, CLOCK_MONOTONIC, &own, &id));
    struct itimerspec spec = times(1, 0);
    syscall(SYS_timer_settime, id, 0, &spec, 0);
    sigset_t set_of = blocked(SIGRTMIN + 1, SIGRTMIN + 1);
    siginfo_t info;
    printf("%d\n", sigwaitinfo(&set_of, &info) == SIGRTMIN + 1);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    wrong();
    handled();
    settings();
    queued();
    read_from_descriptor();
    in_threads();
    return 0;
}
