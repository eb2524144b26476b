/* A single-threaded HTTP server for the end-to-end tests whose responses take their time. The path chooses. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "listen.h"

static char large[40000000];
static int calls;

static void send_all(int fd, const void *bytes, size_t len) {
    /* A blocking socket takes all of it. */
    if (write(fd, bytes, len) != (ssize_t)len) exit(9);
}

static void send_text(int fd, const char *text) { send_all(fd, text, strlen(text)); }

static void send_chunk(int fd, const char *data, size_t len) {
    char size[32];
    sprintf(size, "%zx\r\n", len);
    send_text(fd, size);
    send_all(fd, data, len);
    send_text(fd, "\r\n");
}

static void send_event(int fd, int number) {
    char event[64];
    sprintf(event, "data: %d\n\n", number);
    send_chunk(fd, event, strlen(event));
    usleep(50000);
}

static void act(int fd, const char *path) {
    calls++;
    const char *events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    if (!strcmp(path, "/events")) {
        send_text(fd, events);
        for (int i = 1;; i++) send_event(fd, i);
    } else if (!strcmp(path, "/few")) {
        send_text(fd, events);
        for (int i = 1; i <= 3; i++) send_event(fd, i);
        send_text(fd, "0\r\n\r\n");
    } else if (!strcmp(path, "/length")) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
        usleep(50000);
        send_text(fd, "56789");
    } else if (!strcmp(path, "/close")) {
        send_text(fd, "HTTP/1.0 200 OK\r\n\r\nuntil ");
        usleep(50000);
        send_text(fd, "the end");
        close(fd);
    } else if (!strcmp(path, "/dies")) {
        send_text(fd, events);
        send_event(fd, 1);
        exit(7);
    } else if (!strcmp(path, "/broken")) {
        send_text(fd, events);
        send_event(fd, 1);
        send_text(fd, "no number\r\n");
        usleep(50000);
        exit(0);
    } else if (!strcmp(path, "/large")) {
        memset(large, 'l', sizeof large);
        char head[128];
        sprintf(head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof large);
        send_text(fd, head);
        send_all(fd, large, sizeof large);
    } else if (!strcmp(path, "/flood")) {
        send_text(fd, events);
        for (;;) send_chunk(fd, large, 1 << 20);
    } else {
        char answer[128];
        sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhello %d", calls);
        send_text(fd, answer);
    }
}

int main(void) {
    int listener = listen_on_port();
    for (;;) {
        static char request[1 << 16], path[256];
        int fd = accept(listener, 0, 0);
        ssize_t len = read(fd, request, sizeof request - 1);
        if (len <= 0) return 2;
        sscanf(request, "%*s %255s", path);
        act(fd, path);
    }
}
