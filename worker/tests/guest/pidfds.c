// Process descriptors. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "children.h"
#define P_PIDFD_ 3
#define CLONE_PIDFD_ 0x1000

static int go[2];
static char get(int from) { char byte = 0; if (read(from, &byte, 1) != 1) abort(); return byte; }
static void put(int to, char byte) { if (write(to, &byte, 1) != 1) abort(); }
static int pauses(void) { for (;;) pause(); return 0; }
static int ends(void) { return get(go[0]); }
static int pidfd_open_(pid_t pid, unsigned flags) { return syscall(SYS_pidfd_open, pid, flags); }
static int pidfd_signal(int fd, int signal, siginfo_t *info, unsigned flags) { return syscall(SYS_pidfd_send_signal, fd, signal, info, flags); }
static int ready(int fd, int wait) {
    struct pollfd pfd = {fd, POLLIN | POLLOUT, 0};
    int got = poll(&pfd, 1, wait);
    return got < 0 ? -1 : pfd.revents & ~POLLHUP;
}
static void told(int fd, int options) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    SHOW(waitid(P_PIDFD_, fd, &info, options));
    printf("    %s signal %d code %d status %d\n", info.si_pid ? "somebody" : "nobody", info.si_signo, info.si_code, info.si_status);
}
static volatile sig_atomic_t got, got_code, got_value;
static void on_signal(int signal, siginfo_t *info, void *context) { (void)context, got = signal, got_code = info->si_code, got_value = info->si_value.sival_int; }
static int own_thread;
static void *tells_id(void *nothing) { own_thread = gettid(), put(go[1], 1), pause(); return nothing; }

static void opening(void) {
    pid_t pid = child(pauses);
    int fd = pidfd_open_(pid, 0);
    TRUE(fd > 2); SHOW(fcntl(fd, F_GETFD)); SHOW(fcntl(fd, F_GETFL) & O_NONBLOCK);
    char byte[8] = "";
    SHOW(read(fd, byte, 8)); SHOW(write(fd, byte, 8)); SHOW(lseek(fd, 0, SEEK_SET) < 0);
    SHOW(ready(fd, 0)); SHOW(pidfd_signal(fd, 0, 0, 0)); SHOW(pidfd_signal(fd, 65, 0, 0)); SHOW(pidfd_signal(fd, 0, 0, 1 << 20));
    SHOW(pidfd_open_(-1, 0)); SHOW(pidfd_open_(0, 0)); SHOW(pidfd_open_(1 << 23, 0)); SHOW(pidfd_open_(pid, 1 << 20));
    SHOW(pidfd_signal(99, 0, 0, 0)); SHOW(pidfd_signal(0, 0, 0, 0)); SHOW(waitid(P_PIDFD_, 99, 0, WEXITED)); SHOW(waitid(P_PIDFD_, -1, 0, WEXITED)); SHOW(waitid(P_PIDFD_, 0, 0, WEXITED));
    told(fd, WEXITED | WNOHANG); told(fd, 0);
    SHOW(pidfd_signal(fd, SIGSTOP, 0, 0)); told(fd, WSTOPPED); SHOW(ready(fd, 0)); SHOW(pidfd_signal(fd, SIGCONT, 0, 0)); told(fd, WCONTINUED);
    SHOW(pidfd_signal(fd, SIGTERM, 0, 0)); SHOW(ready(fd, -1)); SHOW(pidfd_signal(fd, SIGTERM, 0, 0));
    int late = pidfd_open_(pid, 0);
    SHOW(ready(late, 0)); told(fd, WEXITED | WNOWAIT); told(late, WEXITED); told(fd, WEXITED);
    SHOW(ready(fd, 0)); SHOW(pidfd_signal(fd, 0, 0, 0)); SHOW(pidfd_open_(pid, 0)); close(fd), close(late);
    fd = pidfd_open_(getpid(), 0);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    SHOW(pidfd_signal(fd, SIGUSR1, 0, 0)); SHOW(got); SHOW(got_code);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    info.si_value.sival_int = 42;
    SHOW(pidfd_signal(fd, SIGUSR1, &info, 0)); SHOW(got_code); SHOW(got_value); SHOW(pidfd_signal(fd, SIGUSR2, &info, 0));
    told(fd, WEXITED | WNOHANG); close(fd);
}

static void waiting(void) {
    pid_t pid = child(ends), other = child(pauses);
    int fd = pidfd_open_(pid, O_NONBLOCK), second = pidfd_open_(other, 0), set = epoll_create1(0);
    SHOW(fcntl(fd, F_GETFL) & O_NONBLOCK); told(fd, WEXITED); told(fd, WEXITED | WNOHANG);
    struct epoll_event event = {EPOLLIN | EPOLLET, {.u32 = 1}}, found;
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
    event.data.u32 = 2;
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, second, &event)); SHOW(epoll_wait(set, &found, 1, 0));
    put(go[1], 7); SHOW(epoll_wait(set, &found, 1, -1)); SHOW(found.data.u32); SHOW(found.events & EPOLLIN); told(fd, WEXITED);
    fd_set reads;
    FD_ZERO(&reads);
    FD_SET(second, &reads);
    SHOW(kill(other, SIGKILL)); SHOW(select(second + 1, &reads, 0, 0, 0)); told(second, WEXITED);
    close(fd), close(second), close(set);
}

static int does_not_have(int fd) { return fcntl(fd, F_GETFD) < 0 ? 21 : 22; }
static void cloning(void) {
    int fd = -7;
    pid_t tid = 0;
    fflush(stdout);
    pid_t pid = syscall(SYS_clone, CLONE_PIDFD_ | SIGCHLD, 0, &fd, 0, 0);
    if (pid == 0) _exit(fd == -7 ? 20 : 23);
    TRUE(fd > 2); SHOW(fcntl(fd, F_GETFD)); SHOW(ready(fd, -1)); told(fd, WEXITED); close(fd);
    struct { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; } args = {
        .flags = CLONE_PIDFD_ | CLONE_PARENT_SETTID | CLONE_VFORK, .pidfd = (uintptr_t)&fd, .parent_tid = (uintptr_t)&tid, .exit_signal = SIGCHLD};
    int expected = dup(0);
    close(expected);
    pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) _exit(does_not_have(expected));
    TRUE(fd == expected && tid == pid); told(fd, WEXITED); close(fd);
    args.parent_tid = args.pidfd;
    SHOW(syscall(SYS_clone3, &args, sizeof args));
    SHOW(syscall(SYS_clone, CLONE_PIDFD_ | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0));
    SHOW(syscall(SYS_clone, CLONE_PIDFD_ | CLONE_DETACHED | SIGCHLD, 0, &fd, 0, 0));
    SHOW(syscall(SYS_clone, CLONE_PIDFD_ | SIGCHLD, 0, 8, 0, 0));
    SHOW(waitpid(-1, 0, 0));
    // No descriptor left.
    struct rlimit limit = {0, 0};
    int fds[1024], count = 0;
    getrlimit(RLIMIT_NOFILE, &limit), limit.rlim_cur = 1024, setrlimit(RLIMIT_NOFILE, &limit);
    while ((fds[count] = dup(0)) >= 0) count++;
    SHOW(pidfd_open_(getpid(), 0)); SHOW(syscall(SYS_clone, CLONE_PIDFD_ | SIGCHLD, 0, &fd, 0, 0)); SHOW(waitpid(-1, 0, 0));
    while (count) close(fds[--count]);
}

int main(void) {
    pthread_t thread;
    SHOW(pipe(go));
    opening(), waiting(), cloning();
    pthread_create(&thread, 0, tells_id, 0), get(go[0]);
    TRUE(pidfd_open_(own_thread, 0) == -1);
    return 0;
}
