// fork, vfork, exec, wait, signals, pipes, process groups, zombies and orphans. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "children.h"

extern char **environ;
static char self[4096];
static int data = 1;


static int changes(void) { data = 7; printf("in the child %d\n", data); return 3; }
static int own_ids(void) { TRUE(getpid() == gettid()); TRUE(getpid() != getppid()); TRUE(getpgrp() == getpgid(getppid())); return 0; }
static int by_signal(void) { raise(SIGTERM); return 1; }
static int by_fault(void) { signal(SIGSEGV, SIG_DFL); *(volatile int *)16 = 1; return 1; }
static int by_abort(void) { abort(); }
static int nothing(void) { return 0; }
static int waits(void) { for (;;) pause(); }
static int spins(void) { for (;;) __asm__ volatile(""); }

static void forks(void) {
    int status = status_of(child(changes));
    TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    SHOW(data);
    SHOW(status_of(child(own_ids)));
    SHOW(WTERMSIG(status_of(child(by_signal))));
    SHOW(WTERMSIG(status_of(child(by_fault))));
    SHOW(WTERMSIG(status_of(child(by_abort))));
    SHOW(waitpid(-1, 0, 0));
    SHOW(waitpid(1 << 21, 0, 0));
    SHOW(waitpid(-1, 0, 0x1000));
    pid_t pid = child(waits);
    SHOW(waitpid(pid, 0, WNOHANG));
    SHOW(kill(pid, 0));
    SHOW(kill(pid, SIGKILL));
    SHOW(WTERMSIG(status_of(pid)));
    SHOW(kill(pid, 0));
    pid = child(spins);
    SHOW(kill(pid, SIGINT));
    SHOW(WTERMSIG(status_of(pid)));
}

static void waiting(void) {
    siginfo_t info;
    pid_t pid = child(changes);
    memset(&info, 0, sizeof info);
    SHOW(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    TRUE(info.si_pid == pid && info.si_signo == SIGCHLD);
    SHOW(info.si_code);
    SHOW(info.si_status);
    SHOW(waitid(P_PID, pid, &info, WSTOPPED | WNOHANG));
    SHOW(info.si_pid);
    SHOW(kill(pid, SIGTERM));
    SHOW(waitid(P_ALL, 0, &info, WEXITED));
    SHOW(waitid(P_ALL, 0, &info, WEXITED));
    SHOW(waitid(P_ALL, 0, &info, 0));
    SHOW(waitid(77, 0, &info, WEXITED));
    pid = child(by_signal);
    struct rusage usage;
    int status;
    TRUE(wait4(pid, &status, 0, &usage) == pid);
    SHOW(status);
    pid_t first = child(nothing), second = child(changes);
    TRUE(waitpid(second, &status, 0) == second);
    TRUE(waitpid(first, &status, 0) == first);
}

static volatile sig_atomic_t got, got_code, got_status, got_pid;
static void on_child(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    got++, got_code = info->si_code, got_status = info->si_status, got_pid = info->si_pid;
}
static void on_signal(int signal) { got = signal; }
static int tells_parent(void) { kill(getppid(), SIGUSR1); return 0; }
static int ignores(void) { struct sigaction now; sigaction(SIGUSR2, 0, &now); return now.sa_handler == SIG_IGN ? 10 : 11; }

static void signals(void) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO}, old;
    sigaction(SIGCHLD, &action, &old);
    sigset_t set, before;
    sigemptyset(&set), sigaddset(&set, SIGCHLD), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    pid_t pid = child(changes);
    while (!got) sigsuspend(&before);
    TRUE(got_pid == pid && got_code == CLD_EXITED && got_status == 3);
    SHOW(status_of(pid));
    got = 0;
    pid = child(by_signal);
    while (!got) sigsuspend(&before);
    TRUE(got_pid == pid && got_code == CLD_KILLED && got_status == SIGTERM);
    SHOW(status_of(pid));
    signal(SIGCHLD, SIG_DFL);
    signal(SIGUSR1, on_signal);
    got = 0;
    pid = child(tells_parent);
    while (!got) sigsuspend(&before);
    SHOW(got);
    SHOW(status_of(pid));
    signal(SIGUSR2, SIG_IGN);
    SHOW(WEXITSTATUS(status_of(child(ignores))));
    // A child that nobody wants to know about.
    signal(SIGCHLD, SIG_IGN);
    child(nothing);
    SHOW(waitpid(-1, 0, 0));
    action.sa_flags |= SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, 0);
    child(nothing);
    SHOW(waitpid(-1, 0, 0));
    sigaction(SIGCHLD, &old, 0);
    sigprocmask(SIG_SETMASK, &before, 0);
    // A signal ends a wait.
    signal(SIGALRM, on_signal);
    struct sigaction plain = {.sa_handler = on_signal};
    sigaction(SIGALRM, &plain, 0);
    pid = child(waits);
    // It comes again, should it come before the wait.
    struct itimerval often = {{0, 100000}, {0, 100000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, 0);
    SHOW(waitpid(pid, 0, 0));
    setitimer(ITIMER_REAL, &never, 0);
    SHOW(kill(pid, SIGKILL));
    SHOW(status_of(pid));
}

static int pipe_ends[2];
static int writes(void) {
    close(pipe_ends[0]);
    for (int i = 0; i < 3000; i++) if (dprintf(pipe_ends[1], "%d\n", i) < 0) return 1;
    return 0;
}
static int writes_to_nobody(void) {
    close(pipe_ends[0]);
    for (;;) if (write(pipe_ends[1], "x", 1) < 0) return 1;
}
static void pipes(void) {
    SHOW(pipe(pipe_ends));
    pid_t pid = child(writes);
    close(pipe_ends[1]);
    char buffer[999];
    long sum = 0, count;
    while ((count = read(pipe_ends[0], buffer, sizeof buffer)) > 0)
        for (long i = 0; i < count; i++) sum += buffer[i];
    SHOW(sum);
    SHOW(status_of(pid));
    close(pipe_ends[0]);
    SHOW(pipe(pipe_ends));
    pid = child(writes_to_nobody);
    close(pipe_ends[0]);
    SHOW(WTERMSIG(status_of(pid)));
    close(pipe_ends[1]);
    // An open file has one position for parent and child.
    FILE *file = tmpfile();
    int fd = fileno(file);
    SHOW(write(fd, "0123456789", 10));
    SHOW(lseek(fd, 0, SEEK_SET));
    fflush(stdout);
    if ((pid = fork()) == 0) { SHOW(read(fd, buffer, 4)); _exit(0); }
    SHOW(status_of(pid));
    SHOW(lseek(fd, 0, SEEK_CUR));
    fclose(file);
}

static int shared_body(void);
static volatile int *shared;
static int shared_body(void) {
    shared[0] = 5;
    shared[1] = 1;
    syscall(SYS_futex, &shared[1], FUTEX_WAKE, 1, 0, 0, 0);
    return 0;
}
static void memory(void) {
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = child(shared_body);
    while (!shared[1]) syscall(SYS_futex, &shared[1], FUTEX_WAIT, 0, 0, 0, 0);
    SHOW(shared[0]);
    SHOW(status_of(pid));
    size_t size = 8 << 20;
    char *large = malloc(size);
    memset(large, 1, size);
    fflush(stdout);
    if ((pid = fork()) == 0) {
        long sum = 0;
        memset(large, 2, size / 2);
        for (size_t i = 0; i < size; i++) sum += large[i];
        SHOW(sum);
        _exit(0);
    }
    memset(large + size / 4, 3, size / 4);
    SHOW(status_of(pid));
    long sum = 0;
    for (size_t i = 0; i < size; i++) sum += large[i];
    SHOW(sum);
    free(large);
}

static int grandchild(void) {
    pid_t parent = getpid();
    pid_t pid = child(nothing);
    (void)parent;
    return WEXITSTATUS(status_of(pid)) + 4;
}
static int orphan_maker(void) {
    pid_t own = getpid();
    fflush(stdout);
    if (fork() == 0) {
        while (getppid() == own) sched_yield();
        write(pipe_ends[1], "o", 1);
        _exit(0);
    }
    return 0;
}
static int wants_death_signal(void) {
    // Grandparent: makes a child that is told of its parent's end.
    fflush(stdout);
    int ready[2];
    if (pipe(ready)) return 1;
    if (fork() == 0) {
        sigset_t set;
        sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, 0);
        prctl(PR_SET_PDEATHSIG, SIGUSR1);
        write(ready[1], "r", 1);
        siginfo_t info;
        char got = sigwaitinfo(&set, &info) == SIGUSR1 ? 's' : 'n';
        write(pipe_ends[1], &got, 1);
        _exit(0);
    }
    char byte;
    return read(ready[0], &byte, 1) == 1 ? 0 : 1;
}
static void families(void) {
    char byte = 0;
    SHOW(WEXITSTATUS(status_of(child(grandchild))));
    SHOW(pipe(pipe_ends));
    SHOW(status_of(child(orphan_maker)));
    SHOW(read(pipe_ends[0], &byte, 1));
    SHOW(byte);
    SHOW(status_of(child(wants_death_signal)));
    SHOW(read(pipe_ends[0], &byte, 1));
    SHOW(byte);
    close(pipe_ends[0]), close(pipe_ends[1]);
}

static int sessions(void) {
    TRUE(setsid() == getpid());
    TRUE(getsid(0) == getpid() && getpgrp() == getpid());
    SHOW(setsid());
    SHOW(setpgid(0, 0));
    return 0;
}
static void groups(void) {
    pid_t first = child(waits), second = child(waits);
    SHOW(setpgid(first, first));
    SHOW(setpgid(second, first));
    TRUE(getpgid(second) == first);
    SHOW(setpgid(second, 1 << 21));
    SHOW(setpgid(1 << 21, 0));
    SHOW(setpgid(second, -1));
    SHOW(waitpid(-first, 0, WNOHANG));
    SHOW(kill(-first, SIGHUP));
    SHOW(WTERMSIG(status_of(second)));
    TRUE(waitpid(-first, 0, 0) == first);
    SHOW(waitpid(-first, 0, 0));
    SHOW(kill(-first, 0));
    SHOW(WEXITSTATUS(status_of(child(sessions))));
    SHOW(getsid(1 << 21));
}

static int execs(void) {
    char *args[] = {self, "echo", "a b", "", "c", 0}, *env[] = {"X=1", 0};
    execve(self, args, env);
    return 99;
}
static int execs_garbage(void) {
    char *args[] = {"x", 0};
    SHOW(execve("/nowhere", args, environ));
    SHOW(execve("/", args, environ));
    SHOW(execve("/dev/null", args, environ));
    SHOW(execve((void *)8, args, environ));
    SHOW(execve(self, (void *)8, environ));
    int fd = memfd_create("garbage", 0);
    SHOW(write(fd, "garbage, and more than four bytes of it", 39));
    SHOW(fchmod(fd, 0755));
    SHOW(execveat(fd, "", args, environ, AT_EMPTY_PATH));
    SHOW(ftruncate(fd, 0));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "#!/nowhere/at all\n", 18));
    SHOW(execveat(fd, "", args, environ, AT_EMPTY_PATH));
    SHOW(execveat(-1, "nowhere", args, environ, 0));
    SHOW(execveat(AT_FDCWD, self, args, environ, 0x40000000));
    char *large = malloc((128 << 10) + 1);
    memset(large, 'x', 128 << 10);
    large[128 << 10] = 0;
    char *too_long[] = {self, large, 0};
    SHOW(execve(self, too_long, environ));
    large[127 << 10] = 0;
    char *too_many[4096];
    for (int i = 0; i < 4095; i++) too_many[i] = large;
    too_many[4095] = 0;
    SHOW(execve(self, too_many, environ));
    return 0;
}
static int execs_with_fds(void) {
    int kept = dup(1), closed = fcntl(1, F_DUPFD_CLOEXEC, 0);
    char a[16], b[16];
    sprintf(a, "%d", kept), sprintf(b, "%d", closed);
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, SIG_IGN);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGHUP), sigprocmask(SIG_SETMASK, &set, 0);
    raise(SIGHUP);
    char *args[] = {self, "state", a, b, 0};
    execv(self, args);
    return 99;
}
static void *idle_thread(void *unused) { (void)unused; for (;;) pause(); }
static void *exec_thread(void *unused) {
    (void)unused;
    char *args[] = {self, "ids", 0};
    execv(self, args);
    return 0;
}
static int execs_from_thread(void) {
    pthread_t thread;
    pthread_create(&thread, 0, idle_thread, 0);
    pthread_create(&thread, 0, idle_thread, 0);
    char own[16];
    sprintf(own, "%d", getpid());
    setenv("OWN", own, 1);
    pthread_create(&thread, 0, exec_thread, 0);
    for (;;) pause();
}
static int exits_with_threads(void) {
    pthread_t thread;
    for (int i = 0; i < 5; i++) pthread_create(&thread, 0, idle_thread, 0);
    exit(12);
}
static void programs(void) {
    SHOW(WEXITSTATUS(status_of(child(execs))));
    SHOW(WEXITSTATUS(status_of(child(execs_garbage))));
    SHOW(WEXITSTATUS(status_of(child(execs_with_fds))));
    SHOW(WEXITSTATUS(status_of(child(execs_from_thread))));
    SHOW(WEXITSTATUS(status_of(child(exits_with_threads))));
    fflush(stdout);
    volatile int seen = 0;
    pid_t pid = vfork();
    if (pid == 0) { seen = 1; _exit(6); }
    SHOW(seen);
    SHOW(WEXITSTATUS(status_of(pid)));
    char *args[] = {self, "echo", "spawned", 0};
    fflush(stdout);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    SHOW(pipe(pipe_ends));
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
    SHOW(posix_spawn(&pid, self, &actions, 0, args, environ));
    close(pipe_ends[1]);
    char text[200];
    long count = read(pipe_ends[0], text, sizeof text - 1);
    text[count > 0 ? count : 0] = 0;
    printf("it wrote: %s", text);
    SHOW(WEXITSTATUS(status_of(pid)));
    close(pipe_ends[0]);
    TRUE(posix_spawn(&pid, "/nowhere", 0, 0, args, environ) == ENOENT);
    SHOW(waitpid(-1, 0, 0));
    FILE *shell = fopen("/proc/self/comm", "r");
    TRUE(shell && fgets(text, sizeof text, shell) && strlen(text) > 1);
    if (shell) fclose(shell);
}

// What the program does when it is executed by itself.
static int executed(int count, char **args) {
    if (!strcmp(args[1], "echo")) {
        for (int i = 2; i < count; i++) printf("[%s]", args[i]);
        printf(" X=%s\n", getenv("X") ? getenv("X") : "none");
        return 42;
    }
    if (!strcmp(args[1], "state")) {
        TRUE(fcntl(atoi(args[2]), F_GETFD) == 0);
        SHOW(fcntl(atoi(args[3]), F_GETFD));
        struct sigaction action;
        sigaction(SIGUSR1, 0, &action);
        TRUE(action.sa_handler == SIG_DFL);
        sigaction(SIGUSR2, 0, &action);
        TRUE(action.sa_handler == SIG_IGN);
        sigset_t set;
        sigprocmask(SIG_SETMASK, 0, &set);
        TRUE(sigismember(&set, SIGHUP) && !sigismember(&set, SIGUSR1));
        sigpending(&set);
        TRUE(sigismember(&set, SIGHUP));
        return 43;
    }
    TRUE(getpid() == gettid() && getpid() == atoi(getenv("OWN")));
    return 44;
}

// A thread that waits in read(2) finds its buffer copy on write afterwards.
static int data_pipe[2];
static void *reader(void *buffer) { return (void *)read(data_pipe[0], buffer, 8192); }
static int writer(void) { return write(data_pipe[1], "hello", 5) != 5; }
static void buffers(void) {
    char *buffer = malloc(8192);
    memset(buffer, 'x', 8192);
    TRUE(pipe(data_pipe) == 0);
    pthread_t thread;
    pthread_create(&thread, 0, reader, buffer);
    usleep(20000);  // Most likely it waits by now; what is printed is the same if not.
    SHOW(status_of(child(nothing)));
    SHOW(status_of(child(writer)));
    void *count;
    pthread_join(thread, &count);
    SHOW((long)count);
    TRUE(!memcmp(buffer, "helloxxx", 8));
    free(buffer);
}

int main(int count, char **args) {
    long length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    if (count > 1 && (!strcmp(args[1], "echo") || !strcmp(args[1], "state") || !strcmp(args[1], "ids"))) return executed(count, args);
    // Orphans become children of the first process, which is not the one that looks at its children.
    pid_t pid = fork();
    if (pid) { int status = status_of(pid); return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }
    const char *only = getenv("ONLY");
    struct { const char *name; void (*run)(void); } parts[] = {
        {"forks", forks}, {"waiting", waiting}, {"signals", signals}, {"pipes", pipes}, {"memory", memory},
        {"families", families}, {"groups", groups}, {"programs", programs}, {"buffers", buffers},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (only && strcmp(only, parts[i].name)) continue;
        printf("%s\n", parts[i].name);
        parts[i].run();
    }
    return 0;
}
