/* A single-threaded HTTP server for the end-to-end tests that does what ordinary programs do: files, signals, timers,
 * responses of every shape. The path chooses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "listen.h"

static volatile sig_atomic_t hits;
static sigjmp_buf before;
static char alternate[65536];
static char body[4096];

static void count(int signal) { hits++; }
static void escape(int signal, siginfo_t *info, void *context) { siglongjmp(before, 1); }

static void send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = write(fd, bytes, len);
        if (sent <= 0) exit(9);
        bytes += sent;
        len -= sent;
    }
}

static void send_text(int fd, const char *text) { send_all(fd, text, strlen(text)); }

/* Ends with a fault when the stack does. */
static int dive(int depth) {
    volatile char page[4096];
    page[0] = depth;
    return dive(depth + 1) + page[0];
}

static void faults(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    struct sigaction action = {.sa_sigaction = escape, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    volatile int caught = 0;
    sigaltstack(&stack, 0);
    sigaction(SIGSEGV, &action, 0);
    if (sigsetjmp(before, 1)) caught++;
    else *(volatile int *)16 = 1;
    if (sigsetjmp(before, 1)) caught++;
    else dive(1);
    sprintf(body, "caught %d", caught);
}

static void alarms(void) {
    struct itimerval timer = {{0, 20000}, {0, 20000}};
    int ended = 0;
    signal(SIGALRM, count);
    setitimer(ITIMER_REAL, &timer, 0);
    while (hits < 3) ended += poll(0, 0, 10000) < 0 && errno == EINTR;
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, 0);
    alarm(1);
    unsigned left = sleep(10);
    sprintf(body, "hits %d ended %d left %d", hits >= 4, ended > 0, left > 0 && left < 10);
}

static void masks(void) {
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    signal(SIGUSR1, count);
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, 0);
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 7});
    int blocked_hits = hits, result = sigsuspend(&none);
    siginfo_t info;
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 7});
    sigwaitinfo(&blocked, &info);
    sprintf(body, "%d %d %d %d", blocked_hits, result, hits, info.si_value.sival_int);
}

static void files(void) {
    char text[64] = "";
    int fd = open("data.txt", O_RDONLY);
    read(fd, text, sizeof text - 1);
    int shared = open("/tmp/shared", O_RDWR | O_CREAT, 0600);
    ftruncate(shared, 8192);
    char *map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (map == MAP_FAILED) return perror("mmap");
    strcpy(map + 5000, "mapped");
    char seen[8] = "";
    pread(shared, seen, 7, 5000);
    sprintf(body, "%s %s locale %s", text, seen, setlocale(LC_ALL, ""));
}

static void act(int fd, const char *path) {
    body[0] = 0;
    if (!strcmp(path, "/faults")) faults();
    else if (!strcmp(path, "/alarms")) alarms();
    else if (!strcmp(path, "/masks")) masks();
    else if (!strcmp(path, "/files")) files();
    else if (!strcmp(path, "/timer")) {
        usleep(50000);
        poll(0, 0, 50);
        strcpy(body, "later");
    } else if (!strcmp(path, "/chunked")) {
        send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 3; i++) send_text(fd, "5;x=y\r\nhello\r\n");
        return send_text(fd, "0\r\nX-Trailer: 1\r\n\r\n");
    } else if (!strcmp(path, "/close")) {
        send_text(fd, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
        close(fd);
        return;
    } else if (!strcmp(path, "/hints")) {
        send_text(fd, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        strcpy(body, "after the hints");
    } else if (!strcmp(path, "/big")) {
        static char big[5000000];
        memset(big, 'b', sizeof big);
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n");
        return send_all(fd, big, sizeof big);
    }
    char head[128];
    sprintf(head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    send_text(fd, head);
    send_text(fd, body);
}

/* Reads the whole request; the sum of its body's bytes is what `/sum` is answered with. */
static void serve(int fd) {
    static char request[8 << 20];
    char path[256] = "/";
    size_t got = 0, want = sizeof request - 1;
    char *rest = 0;
    while (got < want) {
        ssize_t len = read(fd, request + got, want - got);
        if (len <= 0) return;
        got += len;
        request[got] = 0;
        if (!rest && (rest = strstr(request, "\r\n\r\n"))) {
            char *length = strcasestr(request, "content-length:");
            want = rest + 4 - request + (length && length < rest ? atol(length + 15) : 0);
        }
    }
    int head_only = !strncmp(request, "HEAD ", 5);
    sscanf(request, "%*s %255s", path);
    if (head_only) return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    if (strcmp(path, "/sum")) return act(fd, path);
    unsigned long sum = 0;
    for (char *at = rest + 4; at < request + got; at++) sum += (unsigned char)*at;
    char text[64], answer[256];
    sprintf(text, "%zu %lu", (size_t)(request + got - rest - 4), sum);
    sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
    send_text(fd, answer);
}

int main(void) {
    int listener = listen_on_port();
    for (;;) {
        int fd = accept(listener, 0, 0);
        if (fd >= 0) serve(fd);
    }
}
