// Signals reach who waits for them: whoever ran last, whether they are blocked, and while others compute or wait.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int done, rounds;
static volatile pid_t child;
static sem_t handled;

static void nap(long ms) { usleep(ms * 1000); }
static void in_ms(long ms) { setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, ms * 1000}}, 0); }

// Without a system call, for some 20 ms and more.
static void compute(void) { for (rounds = 0; rounds < 30000000; rounds++) {} }

static sigset_t block(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, 0);
    return set;
}

static void on_alarm(int signal) { sem_post(&handled); }
static void end_child(int signal) { kill(child, SIGTERM); }

static void *wait_for_handler(void *unused) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, 0);
    while (sem_wait(&handled)) {}
    return 0;
}

static void *compute_until_done(void *unused) {
    while (!done) {}
    return 0;
}

static void joining(void) {
    pthread_t other;
    sem_init(&handled, 0, 0);
    signal(SIGALRM, on_alarm);
    pthread_create(&other, 0, wait_for_handler, 0);
    nap(5); // it waits, most likely
    in_ms(20);
    printf("joined %d\n", pthread_join(other, 0));
}

static void waiting_for_a_child(void) {
    signal(SIGALRM, end_child);
    child = fork();
    if (child == 0) for (;;) pause();
    nap(5);
    in_ms(20);
    int status = 0;
    printf("child %d", waitpid(child, &status, 0) == child);
    printf(" ended by %d\n", WTERMSIG(status));
}

static void while_others_compute(void) {
    sigset_t set = block(SIGALRM);
    pthread_t other;
    int got = 0;
    pthread_create(&other, 0, compute_until_done, 0);
    in_ms(20);
    sigwait(&set, &got);
    printf("waited for %d\n", got == SIGALRM);
    in_ms(20);
    int fd = signalfd(-1, &set, 0);
    struct pollfd polled = {fd, POLLIN, 0};
    printf("poll %d", poll(&polled, 1, -1));
    struct signalfd_siginfo info;
    printf(" read %zd\n", read(fd, &info, sizeof info));
    done = 1;
    pthread_join(other, 0);
    close(fd);
}

static void before_it_is_waited_for(void) {
    sigset_t set = block(SIGALRM);
    int fd = signalfd(-1, &set, 0), epoll = epoll_create1(0), got = 0;
    struct epoll_event event = {EPOLLIN, {0}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    struct signalfd_siginfo info;
    in_ms(2);
    compute();
    printf("epoll %d", epoll_wait(epoll, &event, 1, -1));
    printf(" read %zd\n", read(fd, &info, sizeof info));
    in_ms(2);
    compute();
    printf("read %zd\n", read(fd, &info, sizeof info));
    in_ms(2);
    compute();
    printf("sigwait %d\n", sigwait(&set, &got));
    close(fd), close(epoll);
}

static void called(union sigval value) { done = value.sival_int; }

static void threads_of_timers(void) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = called, .sigev_value.sival_int = 2};
    struct itimerspec soon = {{0, 0}, {0, 5000000}};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &soon, 0);
    while (done != 2) {}
    printf("called\n");
    timer_delete(timer);
}

static void order(void) {
    sigset_t set = block(SIGRTMIN + 5);
    for (int index = 0; index < 2; index++) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 5, .sigev_value.sival_int = index};
        struct itimerspec time = {{0, 0}, {0, (index ? 3 : 9) * 1000000}};
        timer_t timer;
        timer_create(CLOCK_MONOTONIC, &event, &timer);
        timer_settime(timer, 0, &time, 0);
    }
    compute();
    siginfo_t info;
    for (int index = 0; index < 2; index++) printf("%d", sigwaitinfo(&set, &info) > 0 ? info.si_value.sival_int : -1);
    printf("\n");
}

// A thread that is made by hand never enters the kernel: who made it goes on all the same.
static int until_told(void *unused) {
    while (!done) {}
    syscall(SYS_exit, 0);
    return 0;
}

static void by_hand(void) {
    static char stack[65536] __attribute__((aligned(16)));
    done = 0;
    compute();
    clone(until_told, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0);
    done = 1;
    printf("goes on\n");
}

static void *sleeps(void *unused) {
    for (;;) pause();
    return 0;
}

// Another thread does not block the signal, but this one waits for it.
static void preferred(void) {
    pthread_t other;
    pthread_create(&other, 0, sleeps, 0);
    sigset_t set = block(SIGCHLD);
    struct timespec patience = {60, 0};
    pid_t pid = fork();
    if (pid == 0) {
        nap(20);
        _exit(0);
    }
    printf("told of a child %d\n", sigtimedwait(&set, 0, &patience) == SIGCHLD);
    waitpid(pid, 0, 0);
}

static void edges(void) {
    sigset_t set = block(SIGUSR1);
    int fd = signalfd(-1, &set, SFD_NONBLOCK), epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN | EPOLLET, {0}};
    struct signalfd_siginfo info;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    for (int round = 0; round < 3; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            kill(getppid(), SIGUSR1);
            _exit(0);
        }
        printf("%d", epoll_wait(epoll, &event, 1, 60000));
        printf("%d ", read(fd, &info, sizeof info) == sizeof info);
        waitpid(pid, 0, 0);
    }
    printf("\n");
    close(fd), close(epoll);
}

static int ends[2];
static volatile long received;
static void on_news(int signal) {
    static char bytes[65536];
    ssize_t got;
    while ((got = read(ends[0], bytes, sizeof bytes)) > 0) received += got;
    if (got == 0) done = 1;
}

// The other end is in the middle of a call, and then ends.
static void driven(void) {
    static char bytes[1 << 20];
    done = 0;
    signal(SIGIO, on_news);
    sigset_t before, io;
    sigemptyset(&io), sigaddset(&io, SIGIO);
    sigprocmask(SIG_BLOCK, &io, &before);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    fcntl(ends[0], F_SETOWN, getpid());
    fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        _exit(write(ends[1], bytes, sizeof bytes) != sizeof bytes);
    }
    close(ends[1]);
    while (!done) sigsuspend(&before);
    int status = 1;
    waitpid(pid, &status, 0);
    printf("received %ld, status %d\n", received, status);
    close(ends[0]);
    sigprocmask(SIG_SETMASK, &before, 0);
}

// While another process looks at the clock all the time.
static void beside_clocks(void) {
    signal(SIGALRM, on_alarm);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    pid_t pid = fork();
    struct timespec now;
    if (pid == 0) for (;;) clock_gettime(CLOCK_MONOTONIC, &now);
    for (int round = 0; round < 5; round++) {
        in_ms(2);
        sem_wait(&handled);
    }
    printf("beside clocks\n");
    kill(pid, SIGKILL);
    waitpid(pid, 0, 0);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    joining();
    waiting_for_a_child();
    while_others_compute();
    before_it_is_waited_for();
    threads_of_timers();
    order();
    by_hand();
    edges();
    driven();
    beside_clocks();
    preferred();
    return 0;
}
