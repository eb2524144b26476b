// Writes to pipes and sockets: whole, in part, interrupted, broken, by several at once; SIGIO. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-60s %ld %d\n", #what, r, r < 0 ? errno : 0); fflush(stdout); } while (0)
#define TRUE(what) do { printf("%-60s %s\n", #what, (what) ? "true" : "FALSE"); fflush(stdout); } while (0)

enum { MANY = 1000000, FULL = 65536 };
static char bytes[MANY];
static volatile int broken, noted, news;

static void on_signal(int signal) {
    if (signal == SIGPIPE) broken++;
    if (signal == SIGUSR1) noted++;
    if (signal == SIGIO) news++;
}
static void handle(int signal, int flags) {
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
    sigaction(signal, &action, 0);
}
static void pair(int ends[2], int tcp) {
    if (!tcp) { socketpair(AF_UNIX, SOCK_STREAM, 0, ends); return; }
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (void *)&address, size);
    listen(listener, 1);
    getsockname(listener, (void *)&address, &size);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    connect(ends[1], (void *)&address, size);
    ends[0] = accept(listener, 0, 0);
    close(listener);
}

// Reads in small pieces to the end; the status is 0 if `wanted` bytes of the pattern came.
static int reads_all(int fd, long wanted) {
    char piece[777];
    long got = 0, count;
    int wrong = 0;
    while ((count = read(fd, piece, sizeof piece)) > 0) {
        for (long i = 0; i < count; i++) wrong |= piece[i] != bytes[(got + i) % MANY];
        got += count;
        sched_yield();
    }
    return got != wanted || wrong;
}
static pid_t reader(int ends[2], long wanted) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { close(ends[1]); _exit(reads_all(ends[0], wanted)); }
    close(ends[0]);
    return pid;
}
static int end(int fd, pid_t pid) {
    int status = -1;
    close(fd);
    waitpid(pid, &status, 0);
    return status;
}

static long by_write(int fd, long len) { return write(fd, bytes, len); }
static long by_writev(int fd, long len) {
    struct iovec parts[3] = { { bytes, 10 }, { bytes + 10, len / 2 }, { bytes + 10 + len / 2, len - len / 2 - 10 } };
    return writev(fd, parts, 3);
}
static long by_send(int fd, long len) { return send(fd, bytes, len, 0); }
static long by_sendmsg(int fd, long len) {
    struct iovec parts[2] = { { bytes, 5 }, { bytes + 5, len - 5 } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    return sendmsg(fd, &message, 0);
}
// Not O_TMPFILE, which not every file system has.
static int scratch(void) {
    char name[] = "/tmp/scratch.XXXXXX";
    int file = mkstemp(name);
    unlink(name);
    return file;
}

static long by_sendfile(int fd, long len) {
    int file = scratch();
    long sent = write(file, bytes, len) == len ? sendfile(fd, file, &(off_t){0}, len) : -1;
    close(file);
    return sent;
}
typedef long way(int, long);

static void whole(void) {
    int ends[2];
    pid_t pid;
    static const struct { const char *name; way *way; } ways[] = {
        { "write", by_write }, { "writev", by_writev }, { "sendfile", by_sendfile }, { "send", by_send }, { "sendmsg", by_sendmsg } };
    static const long sizes[] = { 100000, MANY };
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < (kind ? 5 : 3); i++)
            for (int j = 0; j < 2; j++) {
                if (kind) pair(ends, kind - 1); else pipe(ends);
                int to = ends[1];
                pid = reader(ends, sizes[j]);
                printf("%s, %s of %ld: ", kind ? kind == 1 ? "unix" : "tcp" : "pipe", ways[i].name, sizes[j]);
                long sent = ways[i].way(to, sizes[j]);
                int status = end(to, pid);
                printf("%ld %d\n", sent, status);
            }
}

static void *thread(void *ends) { return (void *)(intptr_t)reads_all(((int *)ends)[0], 300000); }
static void to_a_thread(void) {
    int ends[2];
    pthread_t id;
    void *result;
    pipe(ends);
    pthread_create(&id, 0, thread, ends);
    SHOW(write(ends[1], bytes, 300000));
    close(ends[1]);
    pthread_join(id, &result);
    SHOW(result);
}

static void in_part(void) {
    int ends[2];
    char byte;
    pipe2(ends, O_NONBLOCK);
    SHOW(write(ends[1], bytes, 100000));
    SHOW(write(ends[1], bytes, 1));
    SHOW(read(ends[0], &byte, 1));
    SHOW(write(ends[1], bytes, 4096));
    pipe2(ends, O_NONBLOCK);
    SHOW(write(ends[1], bytes, FULL - 100));
    SHOW(write(ends[1], bytes, 200));
    SHOW(write(ends[1], bytes, 100));
    SHOW(write(ends[1], bytes, 0));
    pair(ends, 0);
    long sent = send(ends[1], bytes, MANY, MSG_DONTWAIT);
    TRUE(sent > 0 && sent < MANY);
    SHOW(send(ends[1], bytes, MANY, MSG_DONTWAIT));
    pair(ends, 0);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ 0, 20000 }, sizeof(struct timeval));
    sent = write(ends[1], bytes, MANY);
    TRUE(sent > 0 && sent < MANY);
    SHOW(write(ends[1], bytes, MANY));
}

// A signal that comes once the pipe is full.
static void interrupted(int flags) {
    int ends[2], full = 0;
    handle(SIGUSR1, flags);
    pipe(ends);
    noted = 0;
    pid_t pid = fork();
    if (pid == 0) {
        while (full < FULL) { ioctl(ends[0], FIONREAD, &full); sched_yield(); }
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    SHOW(write(ends[1], bytes, 100000));
    SHOW(noted);
    close(ends[0]);
    SHOW(end(ends[1], pid));
}

// A reader that goes away before everything was written.
static void left(int kind) {
    int ends[2];
    char piece[10000];
    if (kind) pair(ends, 0); else pipe(ends);
    broken = 0;
    pid_t pid = fork();
    if (pid == 0) { close(ends[1]); read(ends[0], piece, sizeof piece); _exit(0); }
    close(ends[0]);
    long sent = write(ends[1], bytes, MANY);
    printf("left by the reader: %d, SIGPIPE %d\n", sent > 0 && sent < MANY, broken);
    SHOW(end(ends[1], pid));
}

static void broken_ones(void) {
    int ends[2];
    handle(SIGPIPE, 0);
    left(0);
    left(1);
    broken = 0;
    pipe(ends);
    close(ends[0]);
    SHOW(write(ends[1], bytes, 1));
    SHOW(writev(ends[1], (struct iovec[2]){ { bytes, 1 }, { bytes, 1 } }, 2));
    SHOW(broken);
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(ends[1], bytes, 1));
    signal(SIGPIPE, SIG_DFL);
    pid_t pid = fork();
    if (pid == 0) { write(ends[1], bytes, 1); _exit(0); }
    SHOW(WTERMSIG(end(ends[1], pid)));
}

// Small writes of several processes do not mix.
static void atomic(int from, int to) {
    enum { WRITERS = 4, RECORDS = 100, SIZE = PIPE_BUF };
    static char record[SIZE];
    int mixed = 0, count[WRITERS] = { 0 };
    for (int i = 0; i < WRITERS; i++)
        if (fork() == 0) {
            memset(record, i, SIZE);
            for (int j = 0; j < RECORDS; j++) if (write(to, record, SIZE) != SIZE) _exit(1);
            _exit(0);
        }
    close(to);
    for (int n = 0; n < WRITERS * RECORDS; n++) {
        for (long have = 0, got; have < SIZE; have += got)
            if ((got = read(from, record + have, SIZE - have)) <= 0) { printf("the end after %d\n", n); return; }
        for (int i = 1; i < SIZE; i++) mixed += record[i] != record[0];
        count[(unsigned)record[0] % WRITERS]++;
    }
    printf("mixed %d; %d %d %d %d; then %ld\n", mixed, count[0], count[1], count[2], count[3], (long)read(from, record, 1));
    for (int status, i = 0; i < WRITERS; i++) { wait(&status); SHOW(status); }
}
static void by_several(void) {
    int ends[2];
    char name[64];
    pipe(ends);
    atomic(ends[0], ends[1]);
    snprintf(name, sizeof name, "/tmp/fifo.%d", getpid());
    mkfifo(name, 0600);
    int from = open(name, O_RDONLY | O_NONBLOCK), to = open(name, O_WRONLY | O_APPEND);
    fcntl(from, F_SETFL, 0);
    unlink(name);
    atomic(from, to);
}

static void told_by_signals(void) {
    int ends[2], on = 1, off = 0, file = scratch();
    sigset_t mask, before;
    handle(SIGIO, 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGIO);
    sigprocmask(SIG_BLOCK, &mask, &before);
    for (int kind = 0; kind < 2; kind++) {
        if (kind) pair(ends, 0); else pipe(ends);
        news = 0;
        SHOW(fcntl(ends[0], F_GETOWN));
        SHOW(fcntl(ends[0], F_SETOWN, 1 << 22));
        SHOW(fcntl(ends[0], F_SETOWN, getpid()));
        TRUE(fcntl(ends[0], F_GETOWN) == getpid());
        SHOW(ioctl(ends[0], FIOASYNC, &on));
        SHOW((fcntl(ends[0], F_GETFL) & O_ASYNC) != 0);
        pid_t pid = fork();
        if (pid == 0) { write(ends[1], bytes, 1); _exit(0); }
        while (!news) sigsuspend(&before);
        SHOW(waitpid(pid, 0, 0) == pid);
        SHOW(ioctl(ends[0], FIOASYNC, &off));
        SHOW((fcntl(ends[0], F_GETFL) & O_ASYNC) != 0);
        news = 0;
        SHOW(write(ends[1], bytes, 1));
        sigpending(&mask);
        SHOW(sigismember(&mask, SIGIO));
        SHOW(fcntl(ends[0], F_SETFL, O_ASYNC));
        SHOW(write(ends[1], bytes, 1));
        sigpending(&mask);
        SHOW(sigismember(&mask, SIGIO));
        while (!news) sigsuspend(&before);
    }
    SHOW(ioctl(file, FIOASYNC, &on));
}

int main(void) {
    for (int i = 0; i < MANY; i++) bytes[i] = (char)(i * 31 + i / 253);
    whole();
    to_a_thread();
    in_part();
    interrupted(0);
    interrupted(SA_RESTART);
    broken_ones();
    by_several();
    told_by_signals();
    return 0;
}
