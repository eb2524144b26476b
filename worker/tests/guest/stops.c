// Processes that are stopped and continued. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "children.h"

static int up[2], down[2];
static void put(int to) { char byte = 1; if (write(to, &byte, 1) != 1) abort(); }
static void get(int from) { char byte; if (read(from, &byte, 1) != 1) abort(); }

// What has become of a child, in words.
static const char *became(pid_t pid, int options) {
    static char text[64];
    int status = 0;
    pid_t got = waitpid(pid, &status, options);
    if (got == 0) return "nothing new";
    if (got < 0) snprintf(text, sizeof text, "error %d", errno);
    else if (got != pid) snprintf(text, sizeof text, "another");
    else if (WIFSTOPPED(status)) snprintf(text, sizeof text, "stopped by %d", WSTOPSIG(status));
    else if (WIFCONTINUED(status)) snprintf(text, sizeof text, "continued %x", status);
    else if (WIFSIGNALED(status)) snprintf(text, sizeof text, "killed by %d", WTERMSIG(status));
    else snprintf(text, sizeof text, "exited with %d", WEXITSTATUS(status));
    return text;
}
#define SAY(pid, options) do { printf("    %-56s %s\n", #options, became(pid, options)); fflush(stdout); } while (0)
static char state(pid_t pid) {
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, line, sizeof line - 1) < 0) return '?';
    close(fd);
    return strrchr(line, ')')[2];
}

static int pauses(void) { for (;;) pause(); return 0; }
static int stops_itself(void) { raise(SIGSTOP); return 5; }

static void basics(void) {
    pid_t pid = child(pauses);
    SAY(pid, WNOHANG | WUNTRACED);
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SAY(pid, WNOHANG | WUNTRACED | WCONTINUED); TRUE(state(pid) == 'T');
    SHOW(kill(pid, SIGCONT)); SAY(pid, WCONTINUED); SAY(pid, WNOHANG | WUNTRACED | WCONTINUED); TRUE(state(pid) != 'T');
    SHOW(kill(pid, SIGCONT)); SAY(pid, WNOHANG | WCONTINUED);
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGSTOP)); SAY(pid, WNOHANG | WUNTRACED);
    // Only SIGKILL and SIGCONT do anything to it.
    SHOW(kill(pid, SIGTERM)); SAY(pid, WNOHANG); TRUE(state(pid) == 'T'); SHOW(kill(pid, SIGCONT)); SAY(pid, 0);
    pid = child(pauses);
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGKILL)); SAY(pid, WUNTRACED);
    pid = child(stops_itself);
    SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, 0); SAY(pid, WUNTRACED);
}

static void told(pid_t pid, int options) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    SHOW(waitid(P_PID, pid, &info, options));
    printf("    %s signal %d code %d status %d\n", info.si_pid == pid ? "it" : "nobody", info.si_signo, info.si_code, info.si_status);
}
static void by_waitid(void) {
    pid_t pid = child(stops_itself);
    told(pid, WSTOPPED | WNOWAIT); told(pid, WCONTINUED | WEXITED | WNOHANG); told(pid, WSTOPPED); told(pid, WSTOPPED | WNOHANG);
    SHOW(kill(pid, SIGCONT)); told(pid, WEXITED | WNOWAIT); told(pid, WEXITED); told(pid, WEXITED | WSTOPPED);
    pid = child(pauses);
    SHOW(kill(pid, SIGSTOP)); told(pid, WSTOPPED); SHOW(kill(pid, SIGCONT)); told(pid, WCONTINUED | WNOWAIT); told(pid, WCONTINUED);
    SHOW(kill(pid, SIGKILL)); told(pid, WEXITED);
}

static sigset_t child_signal;
static void next(pid_t pid) {
    siginfo_t info;
    struct timespec now = {0, 0}, *limit = pid ? 0 : &now;
    int got = sigtimedwait(&child_signal, &info, limit);
    if (got < 0) printf("    no signal %d\n", errno);
    else printf("    %s code %d status %d\n", info.si_pid == pid ? "it" : "another", info.si_code, info.si_status);
}
static void parents(void) {
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = 0};
    sigemptyset(&child_signal), sigaddset(&child_signal, SIGCHLD);
    SHOW(sigprocmask(SIG_BLOCK, &child_signal, 0));
    pid_t pid = child(pauses);
    SHOW(kill(pid, SIGSTOP)); next(pid); SHOW(kill(pid, SIGCONT)); next(pid);
    action.sa_flags = SA_NOCLDSTOP;
    SHOW(sigaction(SIGCHLD, &action, 0));
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, WCONTINUED); next(0);
    SHOW(kill(pid, SIGKILL)); next(pid); SAY(pid, 0);
    action.sa_flags = 0;
    SHOW(sigaction(SIGCHLD, &action, 0)); SHOW(sigprocmask(SIG_UNBLOCK, &child_signal, 0));
}

static int own_group(void) { setpgid(0, 0), put(up[1]); return pauses(); }
static int unwilling(void) { setpgid(0, 0), signal(SIGTSTP, SIG_IGN), signal(SIGTTIN, SIG_IGN), put(up[1]), get(down[0]); return 4; }
static int leaves_session(void) { setsid(); raise(SIGTSTP), raise(SIGTTIN), raise(SIGTTOU); return 3; }
static volatile sig_atomic_t caught;
static void catches(int signal) { caught = signal; }
static int catches_stop(void) { setpgid(0, 0), signal(SIGTSTP, catches), raise(SIGTSTP); return caught == SIGTSTP ? 6 : 7; }
static int catches_continue(void) { signal(SIGCONT, catches), raise(SIGSTOP); return caught == SIGCONT ? 8 : 9; }
static int stops_when_unblocked(void) {
    sigset_t set, before;
    setpgid(0, 0), sigemptyset(&set), sigaddset(&set, SIGTSTP), sigprocmask(SIG_BLOCK, &set, &before), raise(SIGTSTP), put(up[1]), get(down[0]);
    sigprocmask(SIG_SETMASK, &before, 0);
    return 10;
}
static void terminal(void) {
    int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    pid_t pid = child(own_group);
    get(up[0]);
    for (int i = 0; i < 3; i++) {
        SHOW(kill(pid, stops[i])); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, WCONTINUED);
    }
    SHOW(kill(-pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(-pid, SIGKILL)); SAY(pid, 0);
    pid = child(unwilling); get(up[0]);
    SHOW(kill(pid, SIGTSTP)); SHOW(kill(pid, SIGTTIN)); put(down[1]); SAY(pid, WUNTRACED);
    pid = child(leaves_session); SAY(pid, WUNTRACED);
    pid = child(catches_stop); SAY(pid, WUNTRACED);
    pid = child(catches_continue); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, 0);
    pid = child(stops_when_unblocked); get(up[0]);
    SAY(pid, WNOHANG | WUNTRACED); put(down[1]); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, 0);
    pid = child(stops_when_unblocked); get(up[0]); SHOW(kill(pid, SIGCONT)); put(down[1]); SAY(pid, WUNTRACED);
}

// A stop and a continuation undo each other as long as neither has been taken.
static int undone(void) {
    sigset_t set;
    setpgid(0, 0), sigemptyset(&set), sigaddset(&set, SIGTSTP), sigaddset(&set, SIGCONT), sigaddset(&set, SIGTTIN);
    sigprocmask(SIG_BLOCK, &set, 0);
    SHOW(raise(SIGCONT)); SHOW(raise(SIGTSTP)); SHOW(kill(getpid(), SIGTTIN));
    sigpending(&set);
    SHOW(sigismember(&set, SIGCONT)); SHOW(sigismember(&set, SIGTSTP)); SHOW(sigismember(&set, SIGTTIN));
    SHOW(raise(SIGCONT));
    sigpending(&set);
    SHOW(sigismember(&set, SIGCONT)); SHOW(sigismember(&set, SIGTSTP)); SHOW(sigismember(&set, SIGTTIN));
    return 0;
}

static volatile long *counter;
static void *counts(void *which) { for (;;) counter[(long)which]++, sched_yield(); return 0; }
static void *stops_all(void *nothing) { raise(SIGSTOP); return nothing; }
static int many_threads(void) {
    pthread_t thread;
    pthread_create(&thread, 0, counts, (void *)0), pthread_create(&thread, 0, counts, (void *)1);
    while (!counter[0] || !counter[1]) sched_yield();
    pthread_create(&thread, 0, stops_all, 0);
    return pauses();
}
static void threads(void) {
    counter = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = child(many_threads);
    SAY(pid, WUNTRACED);
    long before[] = {counter[0], counter[1]};
    struct timespec while_ = {0, 50000000};
    nanosleep(&while_, 0);
    TRUE(before[0] == counter[0] && before[1] == counter[1]);
    SHOW(kill(pid, SIGCONT));
    while (before[0] == counter[0] || before[1] == counter[1]) sched_yield();
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGKILL)); SAY(pid, 0);
}

// Calls that wait go on waiting.
static int in_read(void) { put(up[1]), get(down[0]); return 11; }
static int in_poll(void) { struct pollfd pfd = {down[0], POLLIN, 0}; put(up[1]); int got = poll(&pfd, 1, -1); get(down[0]); return got == 1 ? 12 : 99; }
static int in_pause(void) { signal(SIGUSR1, catches), put(up[1]), pause(); return caught == SIGUSR1 ? 13 : 99; }
static int reads(void) { get(down[0]); return 18; }
static int in_wait(void) { pid_t pid = child(reads); put(up[1]); int status = 0; int got = waitpid(pid, &status, 0) == pid; return got ? 14 : 99; }
static int in_nanosleep(void) { struct timespec length = {2, 0}; put(up[1]); return nanosleep(&length, 0) ? 99 : 15; }
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *unlocks(void *nothing) { get(down[0]), pthread_mutex_unlock(&mutex); return nothing; }
static int in_futex(void) {
    pthread_t thread;
    pthread_mutex_lock(&mutex), pthread_create(&thread, 0, unlocks, 0), put(up[1]);
    return pthread_mutex_lock(&mutex) ? 99 : 16;
}
static void waits(void) {
    int (*bodies[])(void) = {in_read, in_poll, in_futex};
    for (int i = 0; i < 3; i++) {
        int unread = 0;
        pid_t pid = child(bodies[i]);
        get(up[0]);
        SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); put(down[1]);
        SHOW(ioctl(down[0], FIONREAD, &unread)); SHOW(unread); SHOW(kill(pid, SIGCONT)); SAY(pid, 0);
    }
    pid_t pid = child(in_pause);
    get(up[0]);
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, WCONTINUED); SAY(pid, WNOHANG);
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGUSR1)); SAY(pid, WNOHANG); SHOW(kill(pid, SIGKILL)); SAY(pid, 0);
    pid = child(in_wait), get(up[0]);
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, WCONTINUED); put(down[1]); SAY(pid, 0);
    pid = child(in_nanosleep), get(up[0]);
    SHOW(kill(pid, SIGSTOP)); SAY(pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); SAY(pid, 0);
}

// A stopped process whose group nobody is left to look after is told to end, and continued.
static void hangs_up(int signal) { (void)signal, put(up[1]); _exit(0); }
static int stopped_member(void) { signal(SIGHUP, hangs_up); raise(SIGSTOP); return pauses(); }
static int leader(void) { setpgid(0, 0); pid_t pid = child(stopped_member); SAY(pid, WUNTRACED); return 1; }
static int session(void) { setsid(); pid_t pid = child(leader); SAY(pid, WUNTRACED); get(up[0]); return 17; }

int main(int argc, char **argv) {
    (void)argv;
    // Nobody is there to continue it.
    if (argc > 2) return raise(SIGSTOP);
    SHOW(pipe(up)); SHOW(pipe(down));
    basics(), by_waitid(), parents(), terminal();
    SAY(child(undone), WUNTRACED);
    threads(), waits();
    SAY(child(session), 0);
    return 0;
}
