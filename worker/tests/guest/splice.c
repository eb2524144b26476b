// splice(2) in every direction: offsets, ends, too little room, waiting, errors. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-66s %ld %d\n", #what, r, r < 0 ? errno : 0); fflush(stdout); } while (0)

enum { FULL = 65536, MANY = 1000000 };
static char bytes[MANY], got[MANY];
static volatile int broken;
static char file_name[64], fifo_name[64];

static void on_pipe(int signal) { (void)signal; broken++; }

// Takes all there is, and says how much.
static long drain(int fd) {
    long n, total = 0;
    while ((n = read(fd, got, sizeof got)) > 0) total += n;
    return total;
}

static void *later(void *arg) {
    int *fd = arg;
    usleep(20000);
    if (fd[0] >= 0) write(fd[0], "late", 4);
    else read(fd[1], got, FULL);
    return 0;
}

static void files(int *p, int file, int null) {
    loff_t at = 3, far = 1 << 20, negative = -1;
    SHOW(write(p[1], "0123456789", 10));
    SHOW(splice(p[0], 0, file, 0, 4, 0));
    SHOW(lseek(file, 0, SEEK_CUR));
    SHOW(splice(p[0], 0, file, &at, 100, SPLICE_F_MOVE | SPLICE_F_MORE));
    SHOW(at);
    SHOW(lseek(file, 0, SEEK_CUR));
    SHOW(splice(p[0], 0, file, 0, 100, SPLICE_F_NONBLOCK));
    SHOW(pread(file, got, 100, 0));
    printf("%.9s\n", got);
    at = 2;
    SHOW(splice(file, &at, p[1], 0, 3, 0));
    SHOW(at);
    SHOW(lseek(file, 0, SEEK_SET));
    SHOW(splice(file, 0, p[1], 0, 100, 0));
    SHOW(splice(file, 0, p[1], 0, 100, 0));
    SHOW(splice(file, &far, p[1], 0, 100, 0));
    SHOW(splice(file, &negative, p[1], 0, 100, 0));
    SHOW(read(p[0], got, 100));
    printf("%.12s\n", got);
    SHOW(write(p[1], bytes, 5000));
    SHOW(splice(p[0], 0, null, 0, FULL, 0));
    SHOW(splice(p[0], 0, null, 0, 1, SPLICE_F_NONBLOCK));
    SHOW(ftruncate(file, MANY));
    SHOW(lseek(file, 0, SEEK_SET));
    SHOW(splice(file, 0, p[1], 0, MANY, 0));
    SHOW(splice(file, 0, p[1], 0, MANY, SPLICE_F_NONBLOCK));
    SHOW(lseek(file, 0, SEEK_CUR));
    SHOW(splice(p[0], 0, null, 0, MANY, 0));
}

static void errors(int *p, int file, int null) {
    loff_t at = 0;
    int wrong = open(file_name, O_RDONLY), append = open(file_name, O_WRONLY | O_APPEND);
    int event = eventfd(1, 0), directory = open("/tmp", O_RDONLY);
    SHOW(write(p[1], "x", 1));
    SHOW(splice(p[0], 0, file, 0, 0, -1));
    SHOW(splice(p[0], 0, file, 0, 1, 16));
    SHOW(splice(-1, 0, file, 0, 1, 0));
    SHOW(splice(p[0], 0, 99, 0, 1, 0));
    SHOW(splice(p[0], &at, file, 0, 1, 0));
    SHOW(splice(file, 0, p[1], &at, 1, 0));
    SHOW(splice(p[0], 0, file, (loff_t *)8, 1, 0));
    SHOW(splice(file, 0, null, 0, 1, 0));
    SHOW(splice(p[1], 0, file, 0, 1, 0));
    SHOW(splice(file, 0, p[0], 0, 1, 0));
    SHOW(splice(p[0], 0, p[1], 0, 1, 0));
    SHOW(splice(p[0], 0, wrong, 0, 1, 0));
    SHOW(splice(p[0], 0, append, 0, 1, 0));
    SHOW(splice(p[0], 0, event, 0, 1, 0));
    SHOW(splice(directory, 0, p[1], 0, 1, 0));
    SHOW(splice(append, 0, p[1], 0, 1, 0));
    SHOW(read(p[0], got, 10));
}

static void pipes(void) {
    int a[2], b[2];
    pipe(a); pipe(b);
    SHOW(write(a[1], bytes, 30000));
    SHOW(splice(a[0], 0, b[1], 0, 20000, 0));
    SHOW(splice(a[0], 0, b[1], 0, 20000, 0));
    SHOW(splice(a[0], 0, b[1], 0, 20000, SPLICE_F_NONBLOCK));
    SHOW(fcntl(b[1], F_SETFL, O_NONBLOCK));
    SHOW(splice(a[0], 0, b[1], 0, 20000, 0));
    SHOW(read(b[0], got, MANY));
    SHOW(fcntl(b[1], F_SETFL, 0));
    // Waiting for bytes, and for room.
    pthread_t thread;
    int bring[2] = {a[1], -1}, take[2] = {-1, b[0]};
    pthread_create(&thread, 0, later, bring);
    SHOW(splice(a[0], 0, b[1], 0, 100, 0));
    pthread_join(thread, 0);
    SHOW(read(b[0], got, 100));
    SHOW(write(b[1], bytes, FULL));
    SHOW(write(a[1], "more", 4));
    pthread_create(&thread, 0, later, take);
    SHOW(splice(a[0], 0, b[1], 0, 100, 0));
    pthread_join(thread, 0);
    SHOW(read(b[0], got, 100));
    // The ends.
    SHOW(write(a[1], "last", 4));
    close(b[0]);
    SHOW(splice(a[0], 0, b[1], 0, 100, 0));
    SHOW(broken);
    close(a[1]);
    SHOW(read(a[0], got, 100));
    SHOW(splice(a[0], 0, b[1], 0, 100, 0));
}

static void sockets(int *p) {
    int s[2], status;
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    SHOW(write(s[0], "through a socket", 16));
    SHOW(splice(s[1], 0, p[1], 0, 7, 0));
    SHOW(splice(s[1], 0, p[1], 0, 100, 0));
    SHOW(splice(s[1], 0, p[1], 0, 100, SPLICE_F_NONBLOCK));
    SHOW(splice(p[0], 0, s[1], 0, 100, 0));
    SHOW(read(s[0], got, 100));
    printf("%.16s\n", got);
    // More than fits, to a reader that is another process.
    if (!fork()) {
        close(s[1]);
        _exit(drain(s[0]) == 20 * 40000 ? 0 : 1);
    }
    long sent = 0;
    for (int i = 0; i < 20; i++) {
        write(p[1], bytes, 40000);
        for (long left = 40000, n; left > 0 && (n = splice(p[0], 0, s[1], 0, left, 0)) > 0; left -= n) sent += n;
    }
    SHOW(sent);
    SHOW(shutdown(s[1], SHUT_WR));
    wait(&status);
    SHOW(status);
    close(s[0]);
    SHOW(write(p[1], "x", 1));
    broken = 0;
    SHOW(splice(p[0], 0, s[1], 0, 1, 0));
    SHOW(broken);
    SHOW(read(p[0], got, 1));
    SHOW(splice(s[1], 0, p[1], 0, 1, 0));
}

int main(void) {
    sprintf(file_name, "/tmp/splice-file-%d", getpid()), sprintf(fifo_name, "/tmp/splice-fifo-%d", getpid());
    int p[2], f[2], file = open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_RDWR);
    struct sigaction action = {.sa_handler = on_pipe};
    sigaction(SIGPIPE, &action, 0);
    pipe(p);
    files(p, file, null);
    errors(p, file, null);
    pipes();
    sockets(p);
    unlink(fifo_name);
    mkfifo(fifo_name, 0600);
    f[0] = open(fifo_name, O_RDONLY | O_NONBLOCK);
    f[1] = open(fifo_name, O_WRONLY);
    SHOW(splice(f[0], 0, null, 0, 10, 0));
    SHOW(write(f[1], "named", 5));
    SHOW(splice(f[0], 0, null, 0, 10, 0));
    close(f[1]);
    SHOW(splice(f[0], 0, null, 0, 10, 0));
    unlink(fifo_name);
    unlink(file_name);
    return 0;
}
