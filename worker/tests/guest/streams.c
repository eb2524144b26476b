// Pipes and connections that fill up, scattered messages, and connections that are made without waiting.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { LARGE = 1500000 };

static char data[LARGE];
static volatile sig_atomic_t signals;

static void say(const char *what, long value) { printf("%s %ld\n", what, value); }
static void tell(const char *what, long result) {
    printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "");
}
static void count(int signal) { signals += signal == SIGALRM ? 1 : 100; }

// A thread that reads from a descriptor: a number of bytes, or all.
struct reader {
    pthread_t thread;
    int fd;
    long wanted, got, wrong;
};

static void *reads(void *arg) {
    struct reader *r = arg;
    static const int sizes[] = {1, 4096, 70000, 13};
    char buf[70000];
    for (int i = 0; r->got < r->wanted; i++) {
        long n = read(r->fd, buf, sizes[i % 4]);
        if (n <= 0) break;
        for (long k = 0; k < n; k++) r->wrong += buf[k] != data[r->got + k];
        r->got += n;
    }
    close(r->fd);
    return 0;
}

static void start(struct reader *r, int fd, long wanted) {
    *r = (struct reader){.fd = fd, .wanted = wanted};
    pthread_create(&r->thread, 0, reads, r);
}

static void finish(const char *what, struct reader *r) {
    pthread_join(r->thread, 0);
    say(what, r->got);
    say("wrong", r->wrong);
}

static int listener(struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof *at;
    bind(fd, (void *)at, len);
    listen(fd, 8);
    getsockname(fd, (void *)at, &len);
    return fd;
}

// 0: pipe, 1: Unix socket, 2: connection. The second descriptor is written to.
static void make(int kind, int fds[2]) {
    if (kind == 0) {
        pipe(fds);
    } else if (kind == 1) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    } else {
        struct sockaddr_in at;
        int from = listener(&at);
        fds[1] = socket(AF_INET, SOCK_STREAM, 0);
        connect(fds[1], (void *)&at, sizeof at);
        fds[0] = accept(from, 0, 0);
        close(from);
    }
}

static long put(int how, int fd) {
    struct iovec parts[3] = {{data, 100000}, {data + 100000, 500000}, {data + 600000, LARGE - 600000}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    switch (how) {
    case 0: return write(fd, data, LARGE);
    case 1: return writev(fd, parts, 3);
    case 2: return send(fd, data, LARGE, 0);
    case 3: return sendmsg(fd, &message, 0);
    default: {
        FILE *file = tmpfile();
        fwrite(data, 1, LARGE, file);
        fflush(file);
        off_t from = 0;
        long sent = sendfile(fd, fileno(file), &from, LARGE);
        fclose(file);
        return sent;
    }
    }
}

// What may wait writes everything.
static void whole(void) {
    for (int kind = 0; kind < 3; kind++) {
        for (int how = 0; how < 5; how++) {
            if (kind == 0 && how >= 2) continue;
            int fds[2];
            struct reader r;
            make(kind, fds);
            start(&r, fds[0], LARGE);
            printf("kind %d way %d: ", kind, how);
            say("written", put(how, fds[1]));
            close(fds[1]);
            finish("read", &r);
        }
    }
}

// What may not wait writes what there is room for.
static void parts(void) {
    for (int kind = 0; kind < 3; kind++) {
        int fds[2];
        make(kind, fds);
        fcntl(fds[1], F_SETFL, O_NONBLOCK);
        // Buffers of connections grow.
        long n = LARGE;
        for (int i = 0; i < 100 && n == LARGE; i++) n = write(fds[1], data, LARGE);
        say("part of it", n > 0 && n < LARGE);
        // What was written may still move on, which makes room.
        do {
            while (write(fds[1], data, LARGE) > 0) {}
            usleep(300000);
        } while ((n = write(fds[1], data, LARGE)) > 0);
        tell("no room", n);
        close(fds[0]);
        close(fds[1]);
    }
}

// A signal ends a write that has written something, whether or not calls are made again.
static void interrupted(void) {
    for (int kind = 0; kind < 3; kind++) {
        for (int restarts = 0; restarts < 2; restarts++) {
            struct sigaction action = {.sa_handler = count, .sa_flags = restarts ? SA_RESTART : 0};
            sigaction(SIGALRM, &action, 0);
            int fds[2];
            make(kind, fds);
            signals = 0;
            // Again and again, in case that the first one comes too early.
            struct itimerval often = {{0, 50000}, {0, 50000}}, never = {0};
            setitimer(ITIMER_REAL, &often, 0);
            long n = LARGE;
            for (int i = 0; i < 100 && (n == LARGE || n < 0); i++) n = write(fds[1], data, LARGE);
            setitimer(ITIMER_REAL, &never, 0);
            say("interrupted", n > 0 && n < LARGE && signals > 0);
            close(fds[0]);
            close(fds[1]);
        }
    }
}

// The reader goes away in the middle. SIGPIPE comes at once for a pipe, with the next write for a socket.
static void broken(void) {
    struct sigaction action = {.sa_handler = count};
    sigaction(SIGPIPE, &action, 0);
    for (int kind = 0; kind < 2; kind++) {
        int fds[2];
        struct reader r;
        make(kind, fds);
        signals = 0;
        start(&r, fds[0], 70000);
        long n = write(fds[1], data, LARGE);
        say("cut short", n >= 70000 && n < LARGE);
        say("signals", signals);
        pthread_join(r.thread, 0);
        tell("after", write(fds[1], data, 1));
        say("signals", signals);
        close(fds[1]);
    }
}

// SO_SNDTIMEO ends a write with what was written, then with nothing.
static void timeouts(void) {
    int fds[2];
    make(1, fds);
    struct timeval short_time = {0, 20000};
    setsockopt(fds[1], SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof short_time);
    long n = send(fds[1], data, LARGE, 0);
    say("part in time", n > 0 && n < LARGE);
    tell("nothing in time", send(fds[1], data, LARGE, 0));
    close(fds[0]);
    close(fds[1]);
}

// A message of a connection with a name goes to several places.
static void scattered(int named, int credentials) {
    int fds[2];
    if (named) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        sprintf(at.sun_path + 1, "scattered-%d", getpid());
        int from = socket(AF_UNIX, SOCK_STREAM, 0);
        bind(from, (void *)&at, sizeof at);
        listen(from, 1);
        fds[1] = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un own = {.sun_family = AF_UNIX};
        sprintf(own.sun_path + 1, "other-%d", getpid());
        bind(fds[1], (void *)&own, sizeof own);
        connect(fds[1], (void *)&at, sizeof at);
        fds[0] = accept(from, 0, 0);
        close(from);
    } else {
        make(1, fds);
    }
    setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &credentials, sizeof credentials);
    tell("sent", send(fds[1], "Mary had a little lamb", 22, 0));
    char one[4], two[7], three[20] = "", control[100];
    struct iovec parts[3] = {{one, 4}, {two, 7}, {three, 20}};
    struct sockaddr_un name;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3, .msg_name = &name, .msg_namelen = sizeof name,
                             .msg_control = control, .msg_controllen = sizeof control};
    tell("scattered", recvmsg(fds[0], &message, 0));
    printf("%.4s|%.7s|%s name %d control %d\n", one, two, three, (int)message.msg_namelen, (int)message.msg_controllen);
    close(fds[0]);
    close(fds[1]);
}

static int error_of(int fd) {
    int error = -1;
    socklen_t len = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

static int events_of(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    poll(&p, 1, 10000);
    return p.revents;
}

// Waits for these events alone, or for an error.
static void until(int fd, int wanted) {
    struct pollfd p = {fd, wanted, 0};
    poll(&p, 1, 10000);
}

// connect(2) that does not wait.
static void without_waiting(void) {
    struct sockaddr_in at, peer;
    socklen_t len = sizeof peer;
    int from = listener(&at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    tell("begun", connect(fd, (void *)&at, sizeof at));
    say("events", events_of(fd));
    say("error", error_of(fd));
    tell("peer", getpeername(fd, (void *)&peer, &len));
    tell("again", connect(fd, (void *)&at, sizeof at));
    tell("once more", connect(fd, (void *)&at, sizeof at));
    tell("write", write(fd, "x", 1));
    int other = accept(from, 0, 0);
    tell("accepted", read(other, data, 1));
    close(fd);
    close(other);
    close(from);

    for (int way = 0; way < 4; way++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        tell("nobody there", connect(fd, (void *)&at, sizeof at));
        say("events", events_of(fd));
        if (way == 0) {
            say("error", error_of(fd));
            say("events", events_of(fd));
            say("error", error_of(fd));
        } else if (way == 1) {
            tell("read", read(fd, data, 1));
            tell("read", read(fd, data, 1));
        } else if (way == 2) {
            tell("write", send(fd, data, 1, MSG_NOSIGNAL));
            tell("write", send(fd, data, 1, MSG_NOSIGNAL));
        }
        tell("peer", getpeername(fd, (void *)&peer, &len));
        tell("again", connect(fd, (void *)&at, sizeof at));
        tell("once more", connect(fd, (void *)&at, sizeof at));
        events_of(fd);
        from = socket(AF_INET, SOCK_STREAM, 0);
        int yes = 1;
        setsockopt(from, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        bind(from, (void *)&at, sizeof at);
        listen(from, 1);
        tell("told", connect(fd, (void *)&at, sizeof at));
        tell("somebody there", connect(fd, (void *)&at, sizeof at));
        say("events", events_of(fd));
        tell("connected", connect(fd, (void *)&at, sizeof at));
        close(fd);
        close(from);
    }
}

// Whether the peer of a connection is gone is known when it answers.
static void farewell(void) {
    int fds[2];
    make(2, fds);
    close(fds[0]);
    until(fds[1], POLLRDHUP);
    say("events", events_of(fds[1]));
    tell("end", read(fds[1], data, 1));
    tell("into the void", send(fds[1], data, 1000, MSG_NOSIGNAL));
    until(fds[1], 0);
    say("events", events_of(fds[1]));
    say("error", error_of(fds[1]));
    say("events", events_of(fds[1]));
    tell("end", read(fds[1], data, 1));
    tell("gone", send(fds[1], data, 1, MSG_NOSIGNAL));
    signals = 0;
    tell("gone", write(fds[1], data, 1));
    say("signals", signals);
    close(fds[1]);
    make(2, fds);
    close(fds[0]);
    until(fds[1], POLLRDHUP);
    tell("into the void", write(fds[1], data, LARGE) > 0);
    until(fds[1], 0);
    tell("gone", send(fds[1], data, 1, MSG_NOSIGNAL));
    say("error", error_of(fds[1]));
    close(fds[1]);
}

int main(void) {
    for (int i = 0; i < LARGE; i++) data[i] = i * 31 + i / 251;
    whole();
    parts();
    interrupted();
    broken();
    timeouts();
    for (int i = 0; i < 4; i++) scattered(i & 1, i >> 1);
    without_waiting();
    farewell();
    return 0;
}
