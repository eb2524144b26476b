// Small calls: timers of CPU time, adoption, priorities, names, clocks, sizes of pipes, threads in /proc, calls that end when
// a stopped process is continued. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); int e = errno; printf("%-60s %ld %d\n", #what, r, r < 0 ? e : 0); fflush(stdout); } while (0)
#define TRUE(what) do { printf("%-60s %s\n", #what, (what) ? "true" : "FALSE"); fflush(stdout); } while (0)

static volatile sig_atomic_t came[65];
static void note(int signal) { came[signal]++; }
static void catch(int signal) { struct sigaction a = { .sa_handler = note, .sa_flags = SA_RESTART }; sigaction(signal, &a, 0); }
static void spend(int which, int signal, int times) { volatile unsigned long n = 0; (void)which; while (came[signal] < times) n++; }

static void timers(void) {
    struct itimerval far = { { 0, 0 }, { 60, 0 } }, once = { { 0, 0 }, { 0, 20000 } }, often = { { 0, 10000 }, { 0, 10000 } }, off = { 0 }, was;
    catch(SIGVTALRM); catch(SIGPROF);
    SHOW(setitimer(ITIMER_VIRTUAL, &far, 0)); SHOW(getitimer(ITIMER_VIRTUAL, &was)); TRUE(was.it_value.tv_sec >= 30 && was.it_value.tv_sec <= 60);
    SHOW(setitimer(ITIMER_VIRTUAL, &once, 0)); spend(ITIMER_VIRTUAL, SIGVTALRM, 1); SHOW(getitimer(ITIMER_VIRTUAL, &was)); TRUE(was.it_value.tv_usec == 0); TRUE(came[SIGPROF] == 0);
    SHOW(setitimer(ITIMER_PROF, &often, 0)); spend(ITIMER_PROF, SIGPROF, 3); SHOW(setitimer(ITIMER_PROF, &off, &was)); TRUE(was.it_interval.tv_usec == 10000);
    // Sleeping takes no CPU time, and a child has no timers.
    once.it_value.tv_usec = 0; once.it_value.tv_sec = 3; came[SIGPROF] = 0;
    SHOW(setitimer(ITIMER_PROF, &once, 0)); struct timespec nap = { 3, 200000000 }; SHOW(nanosleep(&nap, 0)); TRUE(came[SIGPROF] == 0);
    if (!fork()) { SHOW(getitimer(ITIMER_PROF, &was)); TRUE(was.it_value.tv_sec == 0 && was.it_value.tv_usec == 0); _exit(0); }
    wait(0);
    SHOW(setitimer(ITIMER_PROF, &off, 0)); SHOW(setitimer(3, &off, 0)); SHOW(getitimer(-1, &was));
}

static void adoption(void) {
    int is = 9, ends[2];
    pipe(ends);
    SHOW(prctl(PR_GET_CHILD_SUBREAPER, &is)); TRUE(is == 0);
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1)); SHOW(prctl(PR_GET_CHILD_SUBREAPER, &is)); TRUE(is == 1);
    pid_t middle = fork();
    if (!middle) {
        prctl(PR_GET_CHILD_SUBREAPER, &is); if (is) _exit(9);
        if (!fork()) { char byte; close(ends[1]); read(ends[0], &byte, 1); _exit(21); }
        _exit(20);
    }
    int status = 0;
    SHOW(waitpid(middle, &status, 0) == middle); TRUE(WEXITSTATUS(status) == 20);
    close(ends[1]); SHOW(waitpid(-1, &status, 0) > 0); TRUE(WEXITSTATUS(status) == 21); SHOW(waitpid(-1, &status, 0));
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 0)); close(ends[0]);
}

static void priorities(void) {
    // Not the priority of who runs the tests.
    setpgid(0, 0);
    setpriority(PRIO_PROCESS, 0, 0);
    struct sched_param p = { 0 };
    struct timespec slice = { -1, -1 };
    SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(setpriority(PRIO_PROCESS, 0, 5)); SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(getpriority(PRIO_PROCESS, getpid()));
    SHOW(nice(3));
    if (!fork()) { SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(setpriority(PRIO_PROCESS, getppid(), 12)); SHOW(setpriority(PRIO_PROCESS, 0, 99)); SHOW(getpriority(PRIO_PROCESS, 0)); _exit(0); }
    wait(0);
    SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(setpriority(PRIO_PGRP, 0, 2)); SHOW(getpriority(PRIO_PGRP, 0)); SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(setpriority(PRIO_PROCESS, 0, 0));
    SHOW(getpriority(PRIO_PROCESS, 5000000)); SHOW(getpriority(7, 0)); SHOW(setpriority(7, 0, 0)); SHOW(getpriority(PRIO_USER, 5000000));
    SHOW(sched_getparam(0, &p)); SHOW(p.sched_priority); SHOW(sched_setparam(0, &p)); p.sched_priority = 5; SHOW(sched_setparam(0, &p)); SHOW(sched_setparam(-1, &p)); SHOW(sched_getparam(0, 0));
    SHOW(sched_rr_get_interval(0, &slice)); TRUE(slice.tv_sec == 0 && slice.tv_nsec >= 0); SHOW(sched_rr_get_interval(-1, &slice)); SHOW(sched_rr_get_interval(5000000, &slice));
}

static void names(void) {
    struct utsname name;
    uname(&name);
    // Not the name of the machine that runs the tests.
    if (strcmp(name.nodename, "spore") && unshare(CLONE_NEWUTS)) { perror("unshare"); exit(1); }
    SHOW(sethostname("other.example", 5)); SHOW(setdomainname("example", 7)); uname(&name); printf("  %s %s\n", name.nodename, name.domainname);
    char line[80] = ""; int fd = open("/proc/sys/kernel/hostname", O_RDONLY); SHOW(read(fd, line, 79)); close(fd); printf("  %s", line);
    SHOW(sethostname("", 0)); char buf[65] = "x"; SHOW(gethostname(buf, 65)); SHOW(strlen(buf));
    memset(line, 'n', 80); SHOW(sethostname(line, 64)); SHOW(sethostname(line, 65)); SHOW(sethostname(line, -1)); SHOW(sethostname((char *)8, 3)); uname(&name); SHOW(strlen(name.nodename));
    sethostname("spore", 5);
}

static void *sleeps(void *ends) { char byte; pthread_setname_np(pthread_self(), "sleeper"); read(*(int *)ends, &byte, 1); return 0; }
static void clocks_and_threads(void) {
    int ends[2]; clockid_t clock; struct timespec t; pthread_t thread;
    pipe(ends); pthread_create(&thread, 0, sleeps, ends);
    SHOW(clock_getcpuclockid(0, &clock)); SHOW(clock_gettime(clock, &t)); SHOW(clock_getcpuclockid(getpid(), &clock)); SHOW(clock_gettime(clock, &t));
    SHOW(pthread_getcpuclockid(pthread_self(), &clock)); SHOW(clock_gettime(clock, &t)); SHOW(pthread_getcpuclockid(thread, &clock)); SHOW(clock_gettime(clock, &t)); SHOW(clock_getres(clock, &t));
    SHOW(clock_getcpuclockid(5000000, &clock)); SHOW(clock_gettime(~7, &t)); SHOW(clock_gettime(99, &t));
    SHOW(clock_settime(CLOCK_MONOTONIC, &t));
    if (!fork()) { clock_gettime(CLOCK_REALTIME, &t); setuid(1000); SHOW(clock_settime(CLOCK_REALTIME, &t)); t.tv_nsec = -1; SHOW(clock_settime(CLOCK_REALTIME, &t)); SHOW(sethostname("x", 1)); _exit(0); }
    wait(0);
    int tasks = 0, sleepers = 0, own = 0;
    for (int tries = 0; tries < 20000 && !sleepers; tries++) {
        tasks = own = 0;
        DIR *dir = opendir("/proc/self/task");
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (entry->d_name[0] == '.') continue;
            char path[64], text[512] = ""; int fd; tasks++; own += atoi(entry->d_name) == getpid();
            snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name); fd = open(path, O_RDONLY); read(fd, text, 511); close(fd);
            if (strcmp(text, "sleeper\n")) continue;
            snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name); fd = open(path, O_RDONLY); memset(text, 0, 512); read(fd, text, 511); close(fd);
            sleepers += atoi(text) == atoi(entry->d_name) && strstr(text, "(sleeper) S ") != 0;
            snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name); fd = open(path, O_RDONLY); memset(text, 0, 512); read(fd, text, 511); close(fd);
            sleepers += strstr(text, "Name:\tsleeper\n") && strstr(text, "Tgid:") ? 0 : 100;
        }
        closedir(dir);
    }
    SHOW(tasks); SHOW(sleepers); SHOW(own); SHOW(access("/proc/self/task/4000000", F_OK));
    write(ends[1], "", 1); pthread_join(thread, 0);
    char text[512] = "", path[64]; lseek(ends[0], 0, 0); int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); lseek(file, 17, SEEK_SET);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", file); int fd = open(path, O_RDONLY); SHOW(read(fd, text, 511) > 0); close(fd);
    char *end = strstr(text, "mnt_id"); if (end) *end = 0; fputs(text, stdout);
    SHOW(open("/proc/self/fdinfo/999", O_RDONLY)); close(file); close(ends[0]); close(ends[1]);
}

static void sizes(void) {
    int ends[2]; static char much[300000]; pipe2(ends, O_NONBLOCK);
    SHOW(fcntl(ends[0], F_GETPIPE_SZ)); SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096)); SHOW(write(ends[1], much, sizeof much)); SHOW(write(ends[1], much, 1));
    SHOW(fcntl(ends[0], F_SETPIPE_SZ, 5000)); SHOW(fcntl(ends[1], F_GETPIPE_SZ)); SHOW(write(ends[1], much, sizeof much)); SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 131072)); SHOW(write(ends[1], much, sizeof much)); SHOW(read(ends[0], much, sizeof much)); SHOW(fcntl(ends[1], F_SETPIPE_SZ, 0)); SHOW(fcntl(ends[1], F_SETPIPE_SZ, -1));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20)); int null = open("/dev/null", O_RDWR); SHOW(fcntl(null, F_GETPIPE_SZ));
    if (!fork()) { setuid(1000); SHOW(fcntl(ends[1], F_SETPIPE_SZ, 2 << 20)); _exit(0); }
    wait(0);
}

static int in_epoll(void) { struct epoll_event e; int set = epoll_create1(0); return epoll_wait(set, &e, 1, -1) < 0 ? errno : 0; }
static int in_sigwait(void) { sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR1); return sigwaitinfo(&set, 0) < 0 ? errno : 0; }
static int in_select(void) { struct timeval t = { 0, 500000 }; return select(0, 0, 0, 0, &t) < 0 ? errno : 0; }
static void continued(const char *what, int (*body)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) _exit(body());
    // Once it is in the call, being continued ends it, or does not.
    int status; struct timespec t = { 0, 20000000 };
    do {
        kill(pid, SIGSTOP); waitpid(pid, &status, WUNTRACED);
        if (!WIFSTOPPED(status)) break;
        kill(pid, SIGCONT); nanosleep(&t, 0);
    } while (waitpid(pid, &status, WNOHANG) == 0);
    printf("  continued in %s: %d\n", what, WEXITSTATUS(status)); fflush(stdout);
}

int main(void) {
    puts("timers"); timers();
    puts("adoption"); adoption();
    puts("priorities"); priorities();
    puts("names"); names();
    puts("clocks and threads"); clocks_and_threads();
    puts("sizes"); sizes();
    continued("epoll_wait", in_epoll); continued("sigwaitinfo", in_sigwait); continued("select", in_select);
    return 0;
}
