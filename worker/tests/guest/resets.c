// Connections that end without order: resets, errors that are told once, half-closed ends, listeners that go; urgent data.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t pipes, urgencies;

static void count(int signal) {
    if (signal == SIGPIPE) pipes++;
    else urgencies++;
}

static void tell(const char *what, long result) {
    printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "");
}

// A listening socket at a port of the kernel's choice.
static int listener(struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof *at;
    bind(fd, (void *)at, len);
    listen(fd, 8);
    getsockname(fd, (void *)at, &len);
    return fd;
}

static void connection(int fds[2]) {
    struct sockaddr_in at;
    int listens = listener(&at);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    connect(fds[0], (void *)&at, sizeof at);
    fds[1] = accept(listens, 0, 0);
    close(listens);
}

// The events of a descriptor, waited for until `wanted` is among them: what one end does takes its time to arrive.
static void events(const char *what, int fd, int wanted) {
    struct pollfd p = {fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0};
    struct pollfd one = {fd, wanted, 0};
    if (wanted) poll(&one, 1, 60000);
    poll(&p, 1, 0);
    int set = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
    struct epoll_event found = {0};
    epoll_wait(set, &found, 1, 0);
    close(set);
    printf("%s %x %x\n", what, p.revents, found.events);
}

// Waits until what was sent has arrived: on some kernels a thread of theirs carries it there after send() has returned.
static void arrives(int fd) {
    int left = 0;
    for (int i = 0; i < 5000; i++) {
        ioctl(fd, SIOCOUTQ, &left);
        if (!left) return;
        usleep(1000);
    }
}

static void error(const char *what, int fd) {
    int value = -1;
    socklen_t len = sizeof value;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len);
    printf("%s SO_ERROR %s\n", what, value ? strerrorname_np(value) : "none");
}

static void linger(int fd, int seconds) {
    struct linger l = {1, seconds};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

// What an end finds by reading, then by writing.
static void reads_then_writes(int fd) {
    char buf[64];
    for (int i = 0; i < 3; i++) tell(" read", recv(fd, buf, 4, 0));
    for (int i = 0; i < 2; i++) {
        int before = pipes;
        tell(" write", write(fd, "x", 1));
        tell(" pipes", pipes - before);
    }
    events(" after", fd, 0);
}

enum how { UNREAD, LINGER, SHUT_THEN_UNREAD };

static void closes(int fds[2], enum how how) {
    char sink[2];
    send(fds[0], "unread", 6, 0);
    recv(fds[1], sink, 2, 0);
    send(fds[1], "answer", 6, 0);
    if (how == LINGER) {
        char rest[4];
        recv(fds[1], rest, 4, MSG_WAITALL);
        linger(fds[1], 0);
    }
    if (how == SHUT_THEN_UNREAD) {
        shutdown(fds[1], SHUT_WR);
        events(" half closed", fds[0], POLLRDHUP);
    }
    close(fds[1]);
    events(" closed", fds[0], POLLHUP);
}

static void resets(enum how how) {
    printf("reset %d\n", how);
    int fds[2];
    connection(fds);
    closes(fds, how);
    reads_then_writes(fds[0]);
    tell(" shutdown", shutdown(fds[0], SHUT_WR));
    close(fds[0]);

    connection(fds);
    closes(fds, how);
    int before = pipes;
    tell(" write first", write(fds[0], "x", 1));
    tell(" pipes", pipes - before);
    tell(" again", write(fds[0], "x", 1));
    tell(" pipes", pipes - before);
    close(fds[0]);

    connection(fds);
    closes(fds, how);
    error(" first", fds[0]);
    error(" second", fds[0]);
    events(" told", fds[0], 0);
    close(fds[0]);
}

// Who closes in order resets only when it is sent something.
static void orderly(void) {
    int fds[2];
    char buf[8];
    connection(fds);
    send(fds[1], "bye", 3, 0);
    close(fds[1]);
    events("orderly", fds[0], POLLRDHUP);
    tell(" read", recv(fds[0], buf, sizeof buf, 0));
    tell(" read", recv(fds[0], buf, sizeof buf, 0));
    tell(" write", write(fds[0], "x", 1));
    events(" answered", fds[0], POLLHUP);
    tell(" read", recv(fds[0], buf, sizeof buf, 0));
    error(" first", fds[0]);
    tell(" write", send(fds[0], "x", 1, MSG_NOSIGNAL));
    close(fds[0]);
    // A reading side that is closed is only the reader's business.
    connection(fds);
    shutdown(fds[1], SHUT_RD);
    tell("deaf read", recv(fds[1], buf, sizeof buf, 0));
    tell("send to the deaf", send(fds[0], "ab", 2, 0));
    arrives(fds[0]);
    events(" deaf", fds[1], POLLIN);
    tell("deaf read", recv(fds[1], buf, 1, MSG_WAITALL));
    shutdown(fds[1], SHUT_RDWR);
    events(" half closed", fds[0], POLLRDHUP);
    tell("send to the closed", send(fds[0], "cd", 2, 0));
    events(" answered", fds[0], POLLHUP);
    error(" answered", fds[0]);
    error(" who was sent it", fds[1]);
    close(fds[0]);
    close(fds[1]);
}

// Connections that wait to be accepted where the listener goes.
static void listeners(void) {
    struct sockaddr_in at;
    int listens = listener(&at), fd = socket(AF_INET, SOCK_STREAM, 0);
    tell("connect", connect(fd, (void *)&at, sizeof at));
    close(listens);
    events("listener gone", fd, POLLHUP);
    reads_then_writes(fd);
    close(fd);
    int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0resets"};
        socklen_t len = offsetof(struct sockaddr_un, sun_path) + 7;
        listens = socket(AF_UNIX, types[i], 0);
        bind(listens, (void *)&name, len);
        listen(listens, 4);
        fd = socket(AF_UNIX, types[i], 0);
        tell("unix connect", connect(fd, (void *)&name, len));
        close(listens);
        events("unix listener gone", fd, POLLHUP);
        char buf[4];
        for (int k = 0; k < 2; k++) tell(" read", recv(fd, buf, 4, 0));
        tell(" write", send(fd, "x", 1, MSG_NOSIGNAL));
        close(fd);
        int pair[2];
        socketpair(AF_UNIX, types[i], 0, pair);
        send(pair[0], "unread", 6, 0);
        send(pair[1], "sent", 4, 0);
        close(pair[1]);
        events("unix unread", pair[0], POLLHUP);
        for (int k = 0; k < 3; k++) tell(" read", recv(pair[0], buf, 4, 0));
        close(pair[0]);
    }
}

static void *connects(void *arg) {
    static long result;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    result = connect(fd, arg, sizeof(struct sockaddr_in));
    return &result;
}

// Who connects where too many wait is not refused: it waits until one of them is accepted.
static void backlog(void) {
    struct sockaddr_in at;
    int listens = listener(&at), first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0);
    listen(listens, 0);
    tell("connect", connect(first, (void *)&at, sizeof at));
    struct timeval patience = {0, 100000};
    setsockopt(second, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    tell("too many", connect(second, (void *)&at, sizeof at));
    close(second);
    pthread_t thread;
    pthread_create(&thread, 0, connects, &at);
    tell("accept", accept(listens, 0, 0) >= 0);
    tell("accept", accept(listens, 0, 0) >= 0);
    void *result;
    pthread_join(thread, &result);
    tell("connect", *(long *)result);
}

static void marks(const char *what, int fd) {
    int at = -1, pending = -1;
    tell(what, ioctl(fd, SIOCATMARK, &at));
    ioctl(fd, FIONREAD, &pending);
    struct pollfd p = {fd, POLLIN | POLLPRI, 0};
    poll(&p, 1, 0);
    fd_set special;
    FD_ZERO(&special);
    FD_SET(fd, &special);
    struct timeval none = {0};
    int exceptions = select(fd + 1, 0, 0, &special, &none);
    printf(" at mark %d, pending %d, events %x, exceptions %d\n", at, pending, p.revents, exceptions);
}

static void urgent(int inline_too) {
    printf("urgent, inline %d\n", inline_too);
    int fds[2];
    char buf[16] = "";
    connection(fds);
    setsockopt(fds[1], SOL_SOCKET, SO_OOBINLINE, &inline_too, sizeof inline_too);
    fcntl(fds[1], F_SETOWN, getpid());
    tell("none yet", recv(fds[1], buf, 1, MSG_OOB));
    marks("nothing", fds[1]);
    tell("send", send(fds[0], "abcX", 4, MSG_OOB));
    events("urgent", fds[1], POLLPRI);
    tell("signals", urgencies);
    send(fds[0], "def", 3, 0);
    arrives(fds[0]);
    marks("before", fds[1]);
    tell("peek", recv(fds[1], buf, 1, MSG_OOB | MSG_PEEK));
    for (int i = 0; i < 3; i++) {
        memset(buf, 0, sizeof buf);
        tell("read", recv(fds[1], buf, sizeof buf - 1, MSG_DONTWAIT));
        printf(" '%s'\n", buf);
        marks("then", fds[1]);
        if (i == 0) {
            tell("urgent byte", recv(fds[1], buf, 4, MSG_OOB));
            printf(" '%c'\n", buf[0]);
            tell("again", recv(fds[1], buf, 4, MSG_OOB));
            marks("taken", fds[1]);
            memset(buf, 0, sizeof buf);
            tell("peek behind", recv(fds[1], buf, 8, MSG_PEEK));
            printf(" '%s'\n", buf);
        }
    }
    // A second one before the first was read.
    send(fds[0], "1", 1, MSG_OOB);
    events("one", fds[1], POLLPRI);
    send(fds[0], "2", 1, MSG_OOB);
    arrives(fds[0]);
    tell("signals", urgencies);
    char byte = 0;
    do recv(fds[1], &byte, 1, MSG_OOB | MSG_PEEK);
    while (byte != '2' && !inline_too);
    marks("two", fds[1]);
    tell("second", recv(fds[1], &byte, 1, MSG_OOB));
    memset(buf, 0, sizeof buf);
    tell("rest", recv(fds[1], buf, sizeof buf, MSG_DONTWAIT));
    printf(" '%s'\n", buf);
    close(fds[0]);
    events("end", fds[1], POLLRDHUP);
    tell("at the end", recv(fds[1], buf, 1, MSG_OOB));
    close(fds[1]);
}

static void none_here(void) {
    int fds[2], at;
    char buf[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
    tell("unix datagrams", send(fds[0], "x", 1, MSG_OOB));
    tell("unix datagrams", recv(fds[0], buf, 1, MSG_OOB));
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    tell("udp", send(udp, "x", 1, MSG_OOB));
    tell("udp mark", ioctl(udp, SIOCATMARK, &at));
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    tell("not connected", send(tcp, "x", 1, MSG_OOB | MSG_NOSIGNAL));
    tell("not connected", recv(tcp, buf, 1, MSG_OOB));
    int owner = getpid(), back = 0;
    tell("owner", ioctl(tcp, FIOSETOWN, &owner));
    tell("owner", ioctl(tcp, SIOCGPGRP, &back));
    tell("same", owner == back);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    signal(SIGPIPE, count);
    signal(SIGURG, count);
    resets(UNREAD);
    resets(LINGER);
    resets(SHUT_THEN_UNREAD);
    orderly();
    listeners();
    backlog();
    urgent(0);
    urgent(1);
    none_here();
}
