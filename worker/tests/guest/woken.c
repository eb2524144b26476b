// A timer's signal reaches who waits for it: whoever ran last, whether it is blocked, and while others compute.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
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

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    joining();
    waiting_for_a_child();
    while_others_compute();
    before_it_is_waited_for();
    threads_of_timers();
    order();
    return 0;
}
