// POSIX threads: everything a program does with them that has one right answer.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long value) { printf("%s %ld\n", what, value); }

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timespec in_ms(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static pid_t own_tid(void) { return syscall(SYS_gettid); }

// Joining, results, thread-local variables, errno.
static __thread int local = 7;
static __thread char block[300] = "initial";

static void *with_locals(void *arg) {
    long number = (long)arg;
    int fresh = local == 7 && !strcmp(block, "initial");
    local = number;
    snprintf(block, sizeof block, "thread %ld", number);
    errno = 1000 + number;
    for (int i = 0; i < 20; i++) sched_yield();
    char expected[40];
    snprintf(expected, sizeof expected, "thread %ld", number);
    int kept = local == number && errno == 1000 + number && !strcmp(block, expected);
    return (void *)(long)(fresh && kept);
}

static void locals(void) {
    pthread_t threads[10];
    long good = 0;
    errno = 5;
    for (long i = 0; i < 10; i++) pthread_create(&threads[i], 0, with_locals, (void *)i);
    for (int i = 0; i < 10; i++) {
        void *result;
        say("join", pthread_join(threads[i], &result));
        good += (long)result;
    }
    say("locals", good);
    say("main's local", local);
    say("main's errno", errno);
}

// Who is who.
static void *identify(void *arg) {
    *(pid_t *)arg = own_tid();
    say("pid in thread is the process's", getpid() == *(pid_t *)((char *)arg + 4));
    return 0;
}

static void identity(void) {
    pid_t ids[2] = {0, getpid()};
    pthread_t thread;
    pthread_create(&thread, 0, identify, ids);
    pthread_join(thread, 0);
    say("main's tid is the pid", own_tid() == getpid());
    say("the thread's is another", ids[0] > 0 && ids[0] != getpid());
    say("nobody", syscall(SYS_tgkill, getpid(), 4000000, 0) == -1 && errno == ESRCH);
    cpu_set_t set;
    say("affinity", pthread_getaffinity_np(pthread_self(), sizeof set, &set));
    say("some processor", CPU_COUNT(&set) > 0);
    char name[16];
    pthread_setname_np(pthread_self(), "principal");
    pthread_getname_np(pthread_self(), name, sizeof name);
    printf("name %s\n", name);
}

// A counter under a mutex, with yields inside, so that threads really meet.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void *count(void *arg) {
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        long seen = counter;
        if (i % 7 == 0) sched_yield();
        counter = seen + 1;
        pthread_mutex_unlock(&mutex);
    }
    return 0;
}

static void mutexes(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, count, 0);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
    say("counted", counter);
    pthread_mutex_lock(&mutex);
    say("trylock", pthread_mutex_trylock(&mutex));
    struct timespec soon = in_ms(CLOCK_REALTIME, 20);
    say("timedlock", pthread_mutex_timedlock(&mutex, &soon));
    pthread_mutex_unlock(&mutex);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_t nested;
    pthread_mutex_init(&nested, &attr);
    say("nested", pthread_mutex_lock(&nested) + pthread_mutex_lock(&nested));
    say("nested", pthread_mutex_unlock(&nested) + pthread_mutex_unlock(&nested));
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&nested, &attr);
    pthread_mutex_lock(&nested);
    say("errorcheck", pthread_mutex_lock(&nested));
}

// A bounded queue with two condition variables.
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int queue[4], queued;
static long sum;

static void *produce(void *arg) {
    for (int i = 1; i <= 300; i++) {
        pthread_mutex_lock(&mutex);
        while (queued == 4) pthread_cond_wait(&not_full, &mutex);
        queue[queued++] = i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    return 0;
}

static void *consume(void *arg) {
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&mutex);
        while (queued == 0) pthread_cond_wait(&not_empty, &mutex);
        sum += queue[--queued];
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
    }
    return 0;
}

static int go;
static long woken;
static void *wait_for_go(void *arg) {
    pthread_mutex_lock(&mutex);
    while (!go) pthread_cond_wait(&not_empty, &mutex);
    woken++;
    pthread_mutex_unlock(&mutex);
    return 0;
}

static void conditions(void) {
    pthread_t threads[20];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, i % 2 ? produce : consume, 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    say("sum", sum);
    for (int i = 0; i < 20; i++) pthread_create(&threads[i], 0, wait_for_go, 0);
    for (int i = 0; i < 5; i++) sched_yield();
    pthread_mutex_lock(&mutex);
    go = 1;
    pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 20; i++) pthread_join(threads[i], 0);
    say("broadcast woke", woken);
    long start = now_ms();
    pthread_mutex_lock(&mutex);
    struct timespec soon = in_ms(CLOCK_REALTIME, 30);
    say("timedwait", pthread_cond_timedwait(&not_full, &mutex, &soon));
    soon = in_ms(CLOCK_MONOTONIC, 30);
    say("clockwait", pthread_cond_clockwait(&not_full, &mutex, CLOCK_MONOTONIC, &soon));
    pthread_mutex_unlock(&mutex);
    say("took its time", now_ms() - start >= 59);
}

// Reader-writer lock, barrier, semaphore, once, keys.
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static atomic_int readers, most_readers;
static long written;
static pthread_barrier_t barrier;
static sem_t semaphore;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static atomic_int onces, destroyed, serial;

static void first_time(void) { onces++; }
static void destroy(void *value) { destroyed += (int)(long)value; }

static void *mixed(void *arg) {
    long number = (long)arg;
    pthread_once(&once, first_time);
    pthread_setspecific(key, (void *)1);
    for (int i = 0; i < 50; i++) {
        pthread_rwlock_rdlock(&rwlock);
        int now = ++readers;
        if (now > most_readers) most_readers = now;
        sched_yield();
        readers--;
        pthread_rwlock_unlock(&rwlock);
        pthread_rwlock_wrlock(&rwlock);
        long seen = written;
        sched_yield();
        written = seen + (readers == 0);
        pthread_rwlock_unlock(&rwlock);
    }
    int last = pthread_barrier_wait(&barrier);
    if (last == PTHREAD_BARRIER_SERIAL_THREAD) serial++;
    sem_wait(&semaphore);
    return (void *)number;
}

static void others(void) {
    pthread_t threads[6];
    pthread_barrier_init(&barrier, 0, 6);
    sem_init(&semaphore, 0, 0);
    pthread_key_create(&key, destroy);
    for (long i = 0; i < 6; i++) pthread_create(&threads[i], 0, mixed, (void *)i);
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, 0);
    for (int i = 0; i < 6; i++) sem_post(&semaphore);
    long results = 0;
    for (int i = 0; i < 6; i++) {
        void *result;
        pthread_join(threads[i], &result);
        results += (long)result;
    }
    say("results", results);
    say("written", written);
    say("serial", serial);
    say("once", onces);
    say("destroyed", destroyed);
    struct timespec soon = in_ms(CLOCK_REALTIME, 10);
    say("sem_timedwait", sem_timedwait(&semaphore, &soon) == -1 ? errno : 0);
}

// Threads nobody joins; many threads at once; join of who has ended already.
static atomic_int detached_done;
static void *detached(void *arg) {
    detached_done++;
    return 0;
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_int at_gate;
static void *through_gate(void *arg) {
    at_gate++;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return arg;
}

static void many(void) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 << 10);
    pthread_t threads[100];
    pthread_mutex_lock(&gate);
    long created = 0, joined = 0;
    for (long i = 0; i < 100; i++) created += !pthread_create(&threads[i], &attr, through_gate, (void *)i);
    while (at_gate < 100) sched_yield();
    pthread_mutex_unlock(&gate);
    for (long i = 0; i < 100; i++) {
        void *result;
        joined += !pthread_join(threads[i], &result) && result == (void *)i;
    }
    say("created", created);
    say("joined", joined);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 50; i++) pthread_create(&threads[0], &attr, detached, 0);
    while (detached_done < 50) sched_yield();
    say("detached", detached_done);
    // One after the other, more than there is room for at once.
    long good = 0;
    for (long i = 0; i < 300; i++) {
        void *result;
        pthread_create(&threads[0], 0, through_gate, (void *)i);
        pthread_join(threads[0], &result);
        good += result == (void *)i;
    }
    say("one after the other", good);
}

// Signals for one thread.
static __thread int got;
static atomic_int handled_by;
static void handler(int signal) {
    got++;
    handled_by = own_tid();
}

static atomic_int waits, ended_by;
static int never[2];
static void *interrupted(void *arg) {
    char byte;
    waits = own_tid();
    long result = read(never[0], &byte, 1);
    ended_by = result == -1 ? errno : 0;
    return (void *)(long)got;
}

static void *blocked_in(void *arg) {
    struct timespec forever = {100, 0};
    waits = own_tid();
    switch ((long)arg) {
    case 0: ended_by = nanosleep(&forever, 0) ? errno : 0; break;
    case 1: ended_by = poll(0, 0, -1) == -1 ? errno : 0; break;
    case 2: {
        int set = epoll_create1(0);
        struct epoll_event event;
        ended_by = epoll_wait(set, &event, 1, -1) == -1 ? errno : 0;
        close(set);
        break;
    }
    case 3: {
        sigset_t none;
        sigemptyset(&none);
        ended_by = sigsuspend(&none) ? errno : 0;
        break;
    }
    case 4: {
        static int word;
        ended_by = syscall(SYS_futex, &word, 0, 0, 0, 0, 0) ? errno : 0;
        break;
    }
    }
    return (void *)(long)got;
}

static void *wait_for_signal(void *arg) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    siginfo_t info;
    waits = own_tid();
    int signal = sigwaitinfo(&set, &info);
    return (void *)(long)(signal == SIGUSR2 && info.si_pid == getpid());
}

// Waits until a thread sleeps, which it does nowhere but in the call it is to be found in.
static void until_asleep(pid_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    for (char state = 0; state != 'S'; sched_yield()) {
        char line[256] = "";
        int fd = open(path, O_RDONLY);
        if (fd < 0 || read(fd, line, sizeof line - 1) <= 0) return;
        close(fd);
        state = strrchr(line, ')')[2];
    }
}

static void wait_until_parked(void) {
    while (!waits) sched_yield();
    until_asleep(waits);
}

static void signals(void) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, 0);
    pipe(never);
    pthread_t thread;
    void *result;
    pthread_create(&thread, 0, interrupted, 0);
    wait_until_parked();
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &result);
    say("it was the one", handled_by == waits && (long)result == 1);
    say("read ended", ended_by);
    say("main got none", got);
    for (long what = 0; what < 5; what++) {
        waits = 0;
        pthread_create(&thread, 0, blocked_in, (void *)what);
        wait_until_parked();
        pthread_kill(thread, SIGUSR1);
        pthread_join(thread, &result);
        printf("call %ld ended by %d, handled %ld\n", what, ended_by, (long)result);
    }
    sigset_t set, old, now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    waits = 0;
    pthread_create(&thread, 0, wait_for_signal, 0);
    wait_until_parked();
    kill(getpid(), SIGUSR2);
    pthread_join(thread, &result);
    say("sigwaitinfo", (long)result);
    waits = 0;
    pthread_create(&thread, 0, wait_for_signal, 0);
    wait_until_parked();
    pthread_kill(thread, SIGUSR2);
    pthread_join(thread, &result);
    say("sigwaitinfo of its own", (long)result);
    pthread_sigmask(SIG_SETMASK, &old, &now);
    say("mask", sigismember(&now, SIGUSR2));
    // With SA_RESTART the call goes on.
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, 0);
    waits = 0;
    pthread_create(&thread, 0, interrupted, 0);
    wait_until_parked();
    handled_by = 0;
    pthread_kill(thread, SIGUSR1);
    while (!handled_by) sched_yield();
    wait_until_parked();
    write(never[1], "x", 1);
    pthread_join(thread, &result);
    say("restarted, handled", (long)result);
    say("read ended", ended_by);
}

// Blocking calls that block only their thread.
static int to[2], back[2];
static void *echo(void *arg) {
    char byte;
    while (read(to[0], &byte, 1) == 1) write(back[1], &byte, 1);
    close(back[1]);
    return 0;
}

static int wakeup;
static void *ring(void *arg) {
    struct timespec pause = {0, 100000000};
    nanosleep(&pause, 0);
    uint64_t one = 1;
    write(wakeup, &one, 8);
    return 0;
}

static int listener;
static void *serve(void *arg) {
    int connection = accept(listener, 0, 0);
    char text[20] = {0};
    long len = recv(connection, text, sizeof text, 0);
    send(connection, text, len, 0);
    close(connection);
    return 0;
}

static void blocking(void) {
    pthread_t thread;
    pipe(to);
    pipe(back);
    pthread_create(&thread, 0, echo, 0);
    long good = 0;
    for (int i = 0; i < 1000; i++) {
        char sent = i, received = ~i;
        write(to[1], &sent, 1);
        read(back[0], &received, 1);
        good += sent == received;
    }
    say("ping-pong", good);
    close(to[1]);
    pthread_join(thread, 0);
    char byte;
    say("end of pipe", read(back[0], &byte, 1));
    wakeup = eventfd(0, 0);
    struct pollfd fds = {.fd = wakeup, .events = POLLIN};
    say("poll, nothing yet", poll(&fds, 1, 0));
    pthread_create(&thread, 0, ring, 0);
    say("poll", poll(&fds, 1, 5000));
    uint64_t value;
    read(wakeup, &value, 8);
    say("value", value);
    pthread_join(thread, 0);
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 77};
    epoll_ctl(set, EPOLL_CTL_ADD, wakeup, &event);
    pthread_create(&thread, 0, ring, 0);
    event.data.u32 = 0;
    say("epoll", epoll_wait(set, &event, 1, 5000));
    say("data", event.data.u32);
    pthread_join(thread, 0);
    // A timer in one thread while another sleeps.
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec setting = {.it_value = {0, 3000000}};
    timerfd_settime(timer, 0, &setting, 0);
    pthread_create(&thread, 0, ring, 0);
    read(timer, &value, 8);
    say("timer", value);
    pthread_join(thread, 0);
}

// futex(2) itself.
static int word_a, word_b;
static atomic_int awake, sleepers[6];
static void *wait_on_a(void *arg) {
    sleepers[waits++] = own_tid();
    syscall(SYS_futex, &word_a, 0, 0, 0, 0, 0);
    awake++;
    return 0;
}
static void *wait_with_bits(void *arg) {
    sleepers[waits++] = own_tid();
    long result = syscall(SYS_futex, &word_a, 9, 0, 0, 0, (long)arg);
    awake++;
    return (void *)result;
}

static void until_all_sleep(int count) {
    while (waits < count) sched_yield();
    for (int i = 0; i < count; i++) {
        while (!sleepers[i]) sched_yield();
        until_asleep(sleepers[i]);
    }
}

static void settle(int expected) {
    while (awake < expected) sched_yield();
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, 0);
    say("awake", awake);
}

static void futexes(void) {
    pthread_t threads[6];
    waits = 0;
    for (int i = 0; i < 6; i++) pthread_create(&threads[i], 0, wait_on_a, 0);
    until_all_sleep(6);
    say("cmp_requeue, changed", syscall(SYS_futex, &word_a, 4, 1, 2, &word_b, 5) == -1 ? errno : 0);
    say("cmp_requeue", syscall(SYS_futex, &word_a, 4, 1, 2, &word_b, 0));
    settle(1);
    say("wake b", syscall(SYS_futex, &word_b, 1, 1, 0, 0, 0));
    settle(2);
    say("requeue", syscall(SYS_futex, &word_a, 3, 0, 1, &word_b, 0));
    // b: the old value is 0; it becomes 5; whoever waits there is woken because 0 == 0.
    int operation = (0 << 28) | (0 << 24) | (5 << 12) | 0;
    say("wake_op", syscall(SYS_futex, &word_a, 5, 1, 1, &word_b, operation));
    settle(4);
    say("b", word_b);
    say("wake the rest", syscall(SYS_futex, &word_a, 1, INT_MAX, 0, 0, 0));
    say("wake the rest of b", syscall(SYS_futex, &word_b, 1, INT_MAX, 0, 0, 0));
    for (int i = 0; i < 6; i++) pthread_join(threads[i], 0);
    waits = awake = sleepers[0] = sleepers[1] = 0;
    for (long i = 0; i < 2; i++) pthread_create(&threads[i], 0, wait_with_bits, (void *)(i + 1));
    until_all_sleep(2);
    say("other bits", syscall(SYS_futex, &word_a, 10, 9, 0, 0, 4));
    say("bit 2", syscall(SYS_futex, &word_a, 10, 9, 0, 0, 2));
    settle(1);
    say("bit 1", syscall(SYS_futex, &word_a, 10, 9, 0, 0, 1));
    for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
    struct timespec time = {0, 5000000};
    say("timeout", syscall(SYS_futex, &word_a, 0, 0, &time, 0, 0) == -1 ? errno : 0);
    time = in_ms(CLOCK_REALTIME, 5);
    say("absolute", syscall(SYS_futex, &word_a, 9 | 256, 0, &time, 0, -1) == -1 ? errno : 0);
    say("changed", syscall(SYS_futex, &word_a, 0, 1, 0, 0, 0) == -1 ? errno : 0);
    say("unaligned", syscall(SYS_futex, (char *)&word_a + 1, 0, 0, 0, 0, 0) == -1 ? errno : 0);
    say("no bits", syscall(SYS_futex, &word_a, 9, 0, 0, 0, 0) == -1 ? errno : 0);
    say("no such", syscall(SYS_futex, &word_a, 99, 0, 0, 0, 0) == -1 ? errno : 0);
    say("no time", syscall(SYS_futex, &word_a, 0, 0, &(struct timespec){0, -1}, 0, 0) == -1 ? errno : 0);
}

// A mutex whose owner dies.
static pthread_mutex_t robust;
static void *die_with_it(void *arg) {
    pthread_mutex_lock(&robust);
    return 0;
}
static void *wait_for_it(void *arg) {
    long result = pthread_mutex_lock(&robust);
    pthread_mutex_consistent(&robust);
    pthread_mutex_unlock(&robust);
    return (void *)result;
}

static void *die_late(void *taken) {
    pthread_mutex_lock(&robust);
    sem_post(taken);
    struct timespec pause = {0, 100000000};
    nanosleep(&pause, 0);
    return 0;
}

static void robust_mutexes(void) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    pthread_t one, other;
    void *result;
    pthread_create(&one, 0, die_with_it, 0);
    pthread_join(one, 0);
    pthread_create(&one, 0, wait_for_it, 0);
    pthread_join(one, &result);
    say("owner died", (long)result);
    say("consistent again", pthread_mutex_lock(&robust));
    pthread_mutex_unlock(&robust);
    sem_t taken;
    sem_init(&taken, 0, 0);
    pthread_create(&one, 0, die_late, &taken);
    sem_wait(&taken);
    pthread_create(&other, 0, wait_for_it, 0);
    pthread_join(one, 0);
    pthread_join(other, &result);
    say("owner died while somebody waited", (long)result);
}

// Cancellation: a signal of the C library's own.
static void cleaned(void *arg) { (*(int *)arg)++; }
static void *cancelled(void *arg) {
    pthread_cleanup_push(cleaned, arg);
    char byte;
    waits = own_tid();
    read(never[0], &byte, 1);
    pthread_cleanup_pop(0);
    return 0;
}

static void cancellation(void) {
    pthread_t thread;
    void *result;
    int cleanups = 0;
    waits = 0;
    pthread_create(&thread, 0, cancelled, &cleanups);
    wait_until_parked();
    say("cancel", pthread_cancel(thread));
    pthread_join(thread, &result);
    say("cancelled", result == PTHREAD_CANCELED);
    say("cleaned up", cleanups);
}

// What a thread has in vector and floating-point registers stays its own.
static void *vectors(void *arg) {
    double number = (double)(long)arg;
    long wrong = 0;
    for (int i = 0; i < 200; i++) {
        double upper = 0;
        long double z = number;
        asm volatile("vbroadcastsd %2, %%ymm9\n\t"
                     "fldt %1\n\t"
                     "mov $24, %%eax\n\t"
                     "syscall\n\t"
                     "fstpt %1\n\t"
                     "vextractf128 $1, %%ymm9, %%xmm9\n\t"
                     "vmovsd %%xmm9, %0\n\t"
                     : "=m"(upper), "+m"(z)
                     : "m"(number)
                     : "rax", "rcx", "r11", "memory", "xmm9");
        wrong += upper != number || z != (long double)number;
    }
    return (void *)wrong;
}

static void registers(void) {
    pthread_t threads[5];
    long wrong = 0;
    for (long i = 0; i < 5; i++) pthread_create(&threads[i], 0, vectors, (void *)(i + 1));
    for (int i = 0; i < 5; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (long)result;
    }
    say("wrong registers", wrong);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    locals();
    identity();
    mutexes();
    conditions();
    others();
    many();
    signals();
    blocking();
    futexes();
    robust_mutexes();
    cancellation();
    registers();
    return 0;
}
