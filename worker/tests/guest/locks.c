// Locks of files: of processes, of open file descriptions, of whole files. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "children.h"

static char path[64], other[128];
static int fd;

static int run(int (*body)(void)) { return WEXITSTATUS(status_of(child(body))); }
static void put(int to) { char byte = 1; if (write(to, &byte, 1) != 1) abort(); }
static void get(int from) { char byte; while (read(from, &byte, 1) != 1) if (errno != EINTR) abort(); }

static int set(int file, int command, int type, off_t start, off_t len) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(file, command, &lock);
}
static int ask(int file, int command, int type, off_t start, off_t len) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    int result = fcntl(file, command, &lock);
    const char *whose = !lock.l_pid ? "none" : lock.l_pid == getpid() ? "own" : lock.l_pid == getppid() ? "parent" : lock.l_pid < 0 ? "open" : "other";
    printf("    type %d whence %d start %ld len %ld %s\n", lock.l_type, lock.l_whence, (long)lock.l_start, (long)lock.l_len, whose);
    return result;
}
#define W(start, len) set(fd, F_SETLK, F_WRLCK, start, len)
#define R(start, len) set(fd, F_SETLK, F_RDLCK, start, len)
#define U(start, len) set(fd, F_SETLK, F_UNLCK, start, len)
#define ASK(start, len) ask(fd, F_GETLK, F_WRLCK, start, len)

// What another process can read-lock and write-lock, byte by byte.
static int map_of_locks(void) {
    for (int at = 0; at < 24; at++)
        putchar(W(at, 1) == 0 ? '.' : R(at, 1) == 0 ? 'r' : 'W');
    SHOW(ASK(0, 0));
    return 0;
}

static void ranges(void) {
    SHOW(W(0, 10)); run(map_of_locks);
    SHOW(R(3, 4)); run(map_of_locks);
    SHOW(U(5, 1)); run(map_of_locks);
    SHOW(R(12, 4)); SHOW(R(16, 4)); run(map_of_locks);
    SHOW(W(0, 24)); run(map_of_locks);
    SHOW(U(0, 3)); SHOW(U(20, 0)); run(map_of_locks);
    SHOW(set(fd, F_SETLK, F_WRLCK, 10, -4)); SHOW(R(8, 0)); run(map_of_locks);
    SHOW(U(0, 0)); run(map_of_locks);
    SHOW(ASK(0, 0));
    SHOW(ftruncate(fd, 20)); SHOW(lseek(fd, 5, SEEK_SET));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 1, .l_len = 2};
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = -3, .l_len = 2};
    SHOW(fcntl(fd, F_SETLK, &lock)); run(map_of_locks);
    SHOW(lockf(fd, F_LOCK, 3)); SHOW(lockf(fd, F_TEST, 0)); run(map_of_locks);
    SHOW(U(0, 0));
}

static void refusals(void) {
    int reads = open(path, O_RDONLY), writes = open(path, O_WRONLY), names = open(path, O_PATH);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = 3};
    SHOW(set(reads, F_SETLK, F_WRLCK, 0, 1)); SHOW(set(reads, F_SETLK, F_RDLCK, 0, 1)); SHOW(set(reads, F_SETLK, F_UNLCK, 0, 1));
    SHOW(set(writes, F_SETLK, F_RDLCK, 0, 1)); SHOW(set(writes, F_SETLK, F_WRLCK, 0, 1));
    SHOW(set(names, F_SETLK, F_RDLCK, 0, 1)); SHOW(flock(names, LOCK_SH)); SHOW(flock(reads, LOCK_EX)); SHOW(flock(reads, LOCK_UN));
    SHOW(set(fd, F_SETLK, 7, 0, 1)); SHOW(fcntl(fd, F_SETLK, &lock)); SHOW(fcntl(fd, F_SETLK, 8)); SHOW(set(99, F_SETLK, F_WRLCK, 0, 1));
    SHOW(W(-1, 1)); SHOW(set(fd, F_SETLK, F_WRLCK, 3, -4)); SHOW(set(fd, F_SETLK, F_WRLCK, 0x7fffffffffffffff, 2));
    SHOW(set(fd, F_SETLK, F_WRLCK, 0x7fffffffffffffff, 1)); SHOW(set(fd, F_SETLK, F_WRLCK, 0, 0x7fffffffffffffff));
    SHOW(fcntl(fd, F_GETLK, 8)); SHOW(ask(fd, F_GETLK, F_UNLCK, 0, 1)); SHOW(ask(reads, F_GETLK, F_WRLCK, 0, 1));
    lock = (struct flock){.l_type = F_WRLCK, .l_pid = 1};
    SHOW(fcntl(fd, F_OFD_SETLK, &lock)); SHOW(fcntl(fd, F_OFD_GETLK, &lock));
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 0x7fffffffffffffff};
    SHOW(lseek(fd, 2, SEEK_SET)); SHOW(fcntl(fd, F_SETLK, &lock));
    SHOW(flock(fd, 0)); SHOW(flock(fd, LOCK_SH | LOCK_EX)); SHOW(flock(99, LOCK_SH));
    close(reads), close(writes), close(names);
}

// Locks that go with what the process closes.
static int drops_nothing_of_parent(void) { close(fd); return 0; }
static int takes_all(void) { return W(0, 0) ? errno : 0; }
static int ends_with_lock(void) { W(0, 0); kill(getpid(), SIGKILL); return 0; }
static int execs(void) {
    close(open(other, O_RDWR)), fd = open(other, O_RDWR), W(0, 0);
    char number[16], parent[16];
    snprintf(number, sizeof number, "%d", fd), snprintf(parent, sizeof parent, "%d", getpid());
    execl("/proc/self/exe", "locks", other, number, parent, (char *)0);
    return 9;
}
static int looks_at_parent(void) { SHOW(ASK(0, 0)); return 0; }

static void owners(void) {
    SHOW(W(0, 0)); SHOW(run(drops_nothing_of_parent)); SHOW(run(takes_all));
    int second = dup(fd), third = open(path, O_RDONLY);
    SHOW(close(third)); SHOW(run(takes_all));
    SHOW(W(0, 0)); SHOW(close(second)); SHOW(run(takes_all));
    second = open(path, O_RDONLY), third = open("/dev/null", O_RDONLY);
    SHOW(W(0, 0)); TRUE(dup2(third, second) == second); SHOW(run(takes_all));
    SHOW(W(0, 0)); third = open(path, O_RDONLY); SHOW(close_range(third, third, 0)); SHOW(run(takes_all));
    SHOW(WTERMSIG(status_of(child(ends_with_lock)))); SHOW(run(takes_all));
    SHOW(run(execs));
    close(second);
}

static int shares_open(void) { int result = set(fd, F_OFD_SETLK, F_WRLCK, 0, 0); close(fd); return result ? errno : 0; }
static void descriptions(void) {
    int second = open(path, O_RDWR), copy = dup(fd);
    SHOW(set(fd, F_OFD_SETLK, F_WRLCK, 4, 4)); SHOW(set(second, F_OFD_SETLK, F_RDLCK, 7, 1)); SHOW(set(copy, F_OFD_SETLK, F_RDLCK, 4, 2));
    SHOW(ask(second, F_OFD_GETLK, F_WRLCK, 0, 0)); SHOW(ask(second, F_OFD_GETLK, F_WRLCK, 6, 0));
    SHOW(ASK(0, 0)); SHOW(W(4, 1)); SHOW(R(4, 1)); SHOW(ask(second, F_OFD_GETLK, F_WRLCK, 0, 0)); SHOW(run(shares_open));
    SHOW(R(0, 0)); SHOW(close(copy)); SHOW(set(second, F_OFD_SETLK, F_RDLCK, 0, 1));
    SHOW(run(takes_all)); SHOW(set(fd, F_OFD_SETLK, F_UNLCK, 0, 0)); SHOW(run(takes_all));
    SHOW(set(second, F_OFD_SETLK, F_WRLCK, 0, 1)); SHOW(run(takes_all)); SHOW(close(second)); SHOW(run(takes_all));
}

static int flock_anew(int operation) {
    int own = open(path, O_RDONLY);
    int result = flock(own, operation | LOCK_NB) ? errno : 0;
    close(own);
    return result;
}
static int shared_anew(void) { return flock_anew(LOCK_SH); }
static int exclusive_anew(void) { return flock_anew(LOCK_EX); }
static int unlocks_inherited(void) { return flock(fd, LOCK_UN); }
static int closes_inherited(void) { return close(fd); }

static void whole_files(void) {
    int second = open(path, O_RDONLY);
    SHOW(flock(fd, LOCK_SH)); SHOW(run(shared_anew)); SHOW(run(exclusive_anew)); SHOW(run(takes_all));
    SHOW(flock(second, LOCK_SH)); SHOW(flock(fd, LOCK_EX | LOCK_NB)); SHOW(flock(second, LOCK_EX | LOCK_NB)); SHOW(run(shared_anew));
    SHOW(flock(second, LOCK_SH)); SHOW(run(shared_anew)); SHOW(close(second)); SHOW(run(exclusive_anew));
    SHOW(flock(fd, LOCK_EX)); SHOW(run(closes_inherited)); SHOW(run(shared_anew));
    SHOW(run(unlocks_inherited)); SHOW(run(exclusive_anew)); SHOW(flock(fd, LOCK_UN)); SHOW(flock(fd, LOCK_UN));
    int ends[2];
    SHOW(pipe(ends)); SHOW(flock(ends[0], LOCK_SH));
    close(ends[0]), close(ends[1]);
}

static int to_parent[2], to_child[2];
static volatile sig_atomic_t signals;
static void counts(int signal) { (void)signal, signals++, put(to_parent[1]); }
static void tick(int flags) {
    struct sigaction action = {.sa_handler = counts, .sa_flags = flags};
    sigaction(SIGALRM, &action, 0);
    struct itimerval often = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &often, 0);
}
static int waits_for_record(void) { return set(fd, F_SETLKW, F_WRLCK, 0, 0) ? errno : 0; }
static int waits_for_file(void) { int own = open(path, O_RDWR); return flock(own, LOCK_EX) ? errno : 0; }
static int waits_for_open(void) { int own = open(path, O_RDWR); return set(own, F_OFD_SETLKW, F_WRLCK, 0, 0) ? errno : 0; }
static int interrupted(void) { tick(0); int result = waits_for_record(); return signals ? result : 99; }
static int interrupted_file(void) { tick(0); int result = waits_for_file(); return signals ? result : 99; }
static int restarted(void) { tick(SA_RESTART); int result = waits_for_record(); return signals ? result : 99; }
static int restarted_file(void) { tick(SA_RESTART); int result = waits_for_file(); return signals ? result : 99; }

static int deadlocks;
static int locks_backwards(void) {
    W(1, 1), put(to_parent[1]), get(to_child[0]);
    int result = set(fd, F_SETLKW, F_WRLCK, 0, 1) ? errno : 0;
    return result == EDEADLK ? 1 : result ? 2 : 0;
}

static void waiting(void) {
    SHOW(pipe(to_parent)); SHOW(pipe(to_child));
    int (*bodies[])(void) = {waits_for_record, waits_for_file, waits_for_open};
    for (int i = 0; i < 3; i++) {
        SHOW(i == 1 ? flock(fd, LOCK_EX) : W(0, 0));
        pid_t pid = child(bodies[i]);
        SHOW(waitpid(pid, 0, WNOHANG));
        SHOW(i == 1 ? flock(fd, LOCK_UN) : U(0, 0));
        SHOW(status_of(pid));
    }
    SHOW(W(0, 0)); SHOW(WEXITSTATUS(status_of(child(interrupted))));
    // What the one before has told is not about the next one.
    close(to_parent[0]), close(to_parent[1]);
    SHOW(pipe(to_parent));
    pid_t pid = child(restarted); get(to_parent[0]);
    SHOW(U(0, 0)); SHOW(WEXITSTATUS(status_of(pid)));
    SHOW(flock(fd, LOCK_EX)); SHOW(WEXITSTATUS(status_of(child(interrupted_file))));
    close(to_parent[0]), close(to_parent[1]);
    SHOW(pipe(to_parent));
    pid = child(restarted_file); get(to_parent[0]);
    SHOW(flock(fd, LOCK_UN)); SHOW(WEXITSTATUS(status_of(pid)));
    close(to_parent[0]), close(to_parent[1]);
    // Two that wait for each other: one of them is told.
    SHOW(pipe(to_parent)); SHOW(W(0, 1));
    pid = child(locks_backwards); get(to_parent[0]), put(to_child[1]);
    if (set(fd, F_SETLKW, F_WRLCK, 1, 1) && errno == EDEADLK) deadlocks = 1;
    SHOW(U(0, 0)); deadlocks += WEXITSTATUS(status_of(pid));
    SHOW(deadlocks);
    // One that nobody ends but a signal.
    SHOW(W(0, 0)); pid = child(waits_for_record); SHOW(kill(pid, SIGKILL)); SHOW(WTERMSIG(status_of(pid))); SHOW(U(0, 0));
}

// Counting in a file, each step under a lock: as databases do.
enum { STEPS = 100, WORKERS = 4 };
static int adds(int by_flock) {
    int own = open(other, O_RDWR);
    for (int i = 0; i < STEPS; i++) {
        if (by_flock ? flock(own, LOCK_EX) : lockf(own, F_LOCK, 0)) return 1;
        int value = 0;
        if (pread(own, &value, sizeof value, 0) < 0) return 2;
        if (i % 8 == 0) sched_yield();
        value++;
        if (pwrite(own, &value, sizeof value, 0) != sizeof value) return 3;
        if (by_flock ? flock(own, LOCK_UN) : lockf(own, F_ULOCK, 0)) return 4;
    }
    return 0;
}
static int adds_by_record(void) { return adds(0); }
static int adds_by_flock(void) { return adds(1); }
static void counting(void) {
    pid_t pids[WORKERS];
    for (int by_flock = 0; by_flock < 2; by_flock++) {
        int file = open(other, O_RDWR | O_TRUNC), value = 0;
        for (int i = 0; i < WORKERS; i++) pids[i] = child(by_flock ? adds_by_flock : adds_by_record);
        for (int i = 0; i < WORKERS; i++) SHOW(status_of(pids[i]));
        SHOW(pread(file, &value, sizeof value, 0)); SHOW(value); close(file);
    }
}

static void *closes(void *lock) { put(to_parent[1]), close(*(int *)lock); return 0; }
static int threads_share(void) {
    int first = open(path, O_RDWR), second = open(path, O_RDWR);
    pthread_t thread;
    SHOW(set(first, F_SETLK, F_WRLCK, 0, 0)); SHOW(set(second, F_SETLK, F_WRLCK, 0, 0));
    SHOW(flock(first, LOCK_EX)); SHOW(flock(second, LOCK_EX | LOCK_NB));
    pthread_create(&thread, 0, closes, &first);
    get(to_parent[0]); SHOW(flock(second, LOCK_EX)); pthread_join(thread, 0);
    return 0;
}

static int told_by_proc(void) {
    struct stat stat;
    char wanted[64], line[256];
    // Linux tells the locks by the processor that took them.
    cpu_set_t all, one;
    int cpu = 0;
    sched_getaffinity(0, sizeof all, &all);
    while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    fstat(fd, &stat), W(3, 4), flock(fd, LOCK_SH);
    FILE *file = fopen("/proc/locks", "r");
    while (file && fgets(line, sizeof line, file)) {
        snprintf(wanted, sizeof wanted, ":%lu ", (unsigned long)stat.st_ino);
        char *pid = strstr(line, " "), *kind = pid ? pid + 1 : line, *end = strstr(line, wanted);
        if (!end) continue;
        snprintf(wanted, sizeof wanted, " %d ", getpid());
        // The inode of another file system may have the same number.
        char *own = strstr(kind, wanted);
        if (!own) continue;
        *own = 0;
        printf("%s %s", kind, strstr(end, " ") + 1);
    }
    fclose(file);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4) {
        // The program that `execs` has become.
        snprintf(path, sizeof path, "%s", argv[1]);
        fd = atoi(argv[2]);
        TRUE(getpid() == atoi(argv[3]));
        return run(looks_at_parent) + W(0, 1);
    }
    snprintf(path, sizeof path, "/tmp/locks.%d", getpid()), snprintf(other, sizeof other, "%s.other", path);
    fd = open(path, O_RDWR | O_CREAT, 0600), close(open(other, O_RDWR | O_CREAT, 0600));
    ranges(), refusals(), owners(), descriptions(), whole_files(), waiting(), counting();
    SHOW(run(threads_share)); SHOW(run(told_by_proc));
    unlink(path), unlink(other);
    return 0;
}
