/* A single-threaded HTTP server for the end-to-end tests: the path chooses what it does, good or hostile. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int counter;

static void respond(int fd, const char *body) {
    char out[4096];
    int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    if (write(fd, out, n) != n) exit(9);
}

/* The guest kernel, its page tables and the mailbox lie in the same address space (abi::layout). */
#define KERNEL ((volatile uint8_t *)0x700000000000)
#define MAILBOX ((volatile uint8_t *)0x710000000000)

static void scribble(volatile uint8_t *at, size_t bytes, uint8_t with) {
    for (size_t i = 0; i < bytes; i++) at[i] = with;
}

static void act(int fd, const char *path) {
    char body[256];
    if (!strcmp(path, "/")) {
        snprintf(body, sizeof body, "hello %d", ++counter);
        respond(fd, body);
    } else if (!strcmp(path, "/segv")) {
        *(volatile int *)16 = 1;
    } else if (!strcmp(path, "/wild")) {
        *(volatile int *)0x123456789000 = 1;
    } else if (!strcmp(path, "/ill")) {
        __asm__ volatile("ud2");
    } else if (!strcmp(path, "/fpe")) {
        __asm__ volatile("xorl %%ecx, %%ecx\n idivl %%ecx" ::: "eax", "ecx", "edx");
    } else if (!strcmp(path, "/abort")) {
        abort();
    } else if (!strcmp(path, "/exit")) {
        _exit(7);
    } else if (!strcmp(path, "/loop")) {
        for (;;) __asm__ volatile("");
    } else if (!strcmp(path, "/hlt")) {
        __asm__ volatile("hlt");
    } else if (!strcmp(path, "/port")) {
        __asm__ volatile("outb %%al, $0x80" ::"a"(0));
    } else if (!strcmp(path, "/pagetables")) {
        scribble(KERNEL + 0x50000, 0x80000, 0xff);
        *(volatile int *)0x600000;
    } else if (!strcmp(path, "/descriptors")) {
        scribble(KERNEL + 0x1000, 0x4000, 0x5a);
        *(volatile int *)16 = 1;
    } else if (!strcmp(path, "/kernel")) {
        scribble(KERNEL + 0x100000, 0x100000, 0xcc);
        write(1, "x", 1);
    } else if (!strcmp(path, "/everything")) {
        for (volatile uint8_t *at = (void *)0x200000;; at += 4096) *at = 0xcc;
    } else if (!strcmp(path, "/mailbox")) {
        scribble(MAILBOX, 0x50000, 0xff);
        __asm__ volatile("outb %%al, $0x53" ::"a"(0));
        for (;;) __asm__ volatile("outb %%al, $0x53" ::"a"(0));
    } else if (!strcmp(path, "/lie")) {
        /* doorbell = Response, response_len = huge */
        memset((void *)(MAILBOX + 80 + 8), 0, 64);
        *(volatile uint32_t *)(MAILBOX + 80 + 8) = 2;
        *(volatile uint64_t *)(MAILBOX + 80 + 8 + 8 + 32) = ~0ull;
        __asm__ volatile("outb %%al, $0x53" ::"a"(0));
    } else if (!strncmp(path, "/parts", 6)) {
        /* doorbell = Part, for ever: parts without a byte, of zeros, or longer than the area */
        for (;;) {
            *(volatile uint32_t *)(MAILBOX + 80 + 8) = 9;
            *(volatile uint64_t *)(MAILBOX + 80 + 8 + 8 + 32) = strtoull(path + 6, 0, 0);
            __asm__ volatile("outb %%al, $0x53" ::"a"(0));
        }
    } else if (!strcmp(path, "/large")) {
        /* doorbell = Response, response_len = RESPONSE_MAX */
        *(volatile uint32_t *)(MAILBOX + 80 + 8) = 2;
        *(volatile uint64_t *)(MAILBOX + 80 + 8 + 8 + 32) = 16 << 20;
        __asm__ volatile("outb %%al, $0x53" ::"a"(0));
    } else if (!strcmp(path, "/memory")) {
        for (;;) {
            char *p = malloc(1 << 20);
            if (!p) abort();
            memset(p, 1, 1 << 20);
        }
    } else if (!strcmp(path, "/refused")) {
        syscall(SYS_prctl, 22, 2, 0, 0, 0);
        ioctl(fd, 0xdead, 0);
        long r = syscall(SYS_ptrace, 0, 0, 0, 0);
        snprintf(body, sizeof body, "%ld %d", r, errno);
        respond(fd, body);
    } else if (!strcmp(path, "/garbage")) {
        write(fd, "this is not HTTP\r\n\r\n", 20);
        close(fd);
    } else if (!strcmp(path, "/silent")) {
        close(fd);
    } else if (!strcmp(path, "/again")) {
        /* asks for the next request without answering this one */
        return;
    } else {
        respond(fd, path);
    }
}

int main(void) {
    const char *port = getenv("PORT");
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port ? port : "8080"))};
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (void *)&a, sizeof a) || listen(s, 16)) {
        perror("listen");
        return 1;
    }
    for (;;) {
        char head[8192], path[1024] = "/";
        int fd = accept(s, 0, 0);
        if (fd < 0) return 2;
        ssize_t n = read(fd, head, sizeof head - 1);
        if (n <= 0) continue;
        head[n] = 0;
        sscanf(head, "%*s %1000s", path);
        act(fd, path);
    }
}
