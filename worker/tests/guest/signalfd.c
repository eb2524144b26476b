// signalfd: read, poll, epoll, children, queued values, other masks, forks. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-64s %ld %d\n", #what, r, r < 0 ? errno : 0); fflush(stdout); } while (0)

static struct signalfd_siginfo told[4];
static sigset_t mask;

static void block(int a, int b, int c, int d) {
    sigemptyset(&mask);
    sigaddset(&mask, a), sigaddset(&mask, b), sigaddset(&mask, c), sigaddset(&mask, d);
    sigprocmask(SIG_BLOCK, &mask, 0);
}
static int ready(int fd, int timeout) {
    struct pollfd one = { fd, POLLIN | POLLOUT, 0 };
    int found = poll(&one, 1, timeout);
    return found < 0 ? -1 : one.revents;
}
static void read_and_tell(int fd, size_t size) {
    memset(told, 0, sizeof told);
    errno = 0;
    long count = read(fd, told, size);
    printf("read %ld %d", count, count < 0 ? errno : 0);
    for (long i = 0; i < count / (long)sizeof *told; i++)
        printf("; signal %u code %d by me %d uid %u status %d int %d ptr %lx", told[i].ssi_signo, told[i].ssi_code, told[i].ssi_pid == (unsigned)getpid(),
               told[i].ssi_uid, told[i].ssi_status, told[i].ssi_int, (long)told[i].ssi_ptr);
    printf("\n");
    fflush(stdout);
}

static void refused(int fd) {
    SHOW(signalfd(-1, &mask, 1 << 20));
    SHOW(signalfd(999, &mask, 0));
    SHOW(signalfd(eventfd(0, 0), &mask, 0));
    SHOW(syscall(SYS_signalfd4, -1, &mask, 7, 0));
    SHOW(syscall(SYS_signalfd4, -1, 16, 8, 0));
    SHOW(write(fd, told, sizeof *told));
    SHOW(read(fd, told, sizeof *told - 1));
    SHOW((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    SHOW(fcntl(fd, F_GETFD));
}

int main(void) {
    block(SIGUSR1, SIGCHLD, SIGALRM, SIGRTMIN + 3);
    int fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC), set = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    refused(fd);
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
    SHOW(epoll_wait(set, &event, 1, 0));
    read_and_tell(fd, sizeof told);
    SHOW(ready(fd, 0));
    SHOW(kill(getpid(), SIGUSR1));
    SHOW(ready(fd, -1));
    SHOW(epoll_wait(set, &event, 1, -1));
    read_and_tell(fd, sizeof *told);
    SHOW(ready(fd, 0));
    SHOW(epoll_wait(set, &event, 1, 0));
    SHOW(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_ptr = (void *)0x123456789 }));
    SHOW(kill(getpid(), SIGUSR1));
    read_and_tell(fd, sizeof told);

    // Another mask of the same file.
    sigset_t other;
    sigemptyset(&other);
    sigaddset(&other, SIGALRM);
    sigaddset(&other, SIGKILL);
    SHOW(signalfd(fd, &other, 0) == fd);
    SHOW(kill(getpid(), SIGUSR1));
    SHOW(ready(fd, 0));
    SHOW(signalfd(fd, &mask, 0) == fd);
    SHOW(ready(fd, 0));
    read_and_tell(fd, sizeof told);

    // Waiting: for a child's end and a timer's.
    fcntl(fd, F_SETFL, 0);
    pid_t pid = fork();
    if (pid == 0) _exit(5);
    memset(told, 0, sizeof told);
    SHOW(read(fd, told, sizeof told) == sizeof *told);
    printf("%d %d %d %d\n", told->ssi_signo == SIGCHLD, told->ssi_code == CLD_EXITED, told->ssi_pid == (unsigned)pid, told->ssi_status);
    SHOW(waitpid(pid, 0, 0) == pid);
    setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { 0, 20000 } }, 0);
    SHOW(ready(fd, -1));
    SHOW(read(fd, told, sizeof *told));
    printf("%d %x\n", told->ssi_signo == SIGALRM, told->ssi_code);
    setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { 0, 20000 } }, 0);
    SHOW(epoll_wait(set, &event, 1, -1));
    SHOW(read(fd, told, sizeof *told));

    // It tells the signals of who reads it.
    SHOW(kill(getpid(), SIGUSR1));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        SHOW(ready(fd, 0));
        kill(getpid(), SIGUSR1);
        read_and_tell(fd, sizeof told);
        kill(getppid(), SIGRTMIN + 3);
        _exit(0);
    }
    SHOW(waitpid(pid, 0, 0) == pid);
    int count = 0;
    while (ready(fd, 0) > 0) count += read(fd, told, sizeof told) / (int)sizeof *told;
    SHOW(count);

    // What is not blocked goes to its handler, or ends the program.
    SHOW(raise(SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    SHOW(ready(fd, 0));
    return 0;
}
