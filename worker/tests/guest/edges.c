// Edge-triggered epoll on what goes both ways: a writer that found no room is told once there is some, whatever it is told meanwhile.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char bytes[65536];

static void tcp(int ends[2]) {
    struct sockaddr_in at = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (void *)&at, len);
    listen(listener, 1);
    getsockname(listener, (void *)&at, &len);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    connect(ends[0], (void *)&at, len);
    ends[1] = accept(listener, 0, 0);
    close(listener);
}

// Waits until one of `wanted` is told.
static int told(int epoll, int wanted) {
    struct epoll_event event = {0};
    while (epoll_wait(epoll, &event, 1, 10000) > 0) if (event.events & wanted) return 1;
    return 0;
}

static void check(const char *name, int ends[2], int size) {
    for (int end = 0; end < 2; end++) fcntl(ends[end], F_SETFL, O_NONBLOCK);
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {0}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    printf("%s: %d", name, told(epoll, EPOLLOUT));
    while (write(ends[0], bytes, size) > 0) {}
    // The reader takes a little, and says something.
    read(ends[1], bytes, 100);
    write(ends[1], "x", 1);
    printf(" %d", told(epoll, EPOLLIN));
    read(ends[0], bytes, 10);
    while (read(ends[1], bytes, 2000) > 0) {}
    printf(" %d\n", told(epoll, EPOLLOUT));
    close(epoll), close(ends[0]), close(ends[1]);
}

int main(void) {
    int ends[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    check("stream", ends, 4096);
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
    check("packets", ends, 1000);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
    check("datagrams", ends, 1000);
    tcp(ends);
    check("tcp", ends, 4096);
    return 0;
}
