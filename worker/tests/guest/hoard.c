// Asks for as much as there can be of everything that takes the kernel's own memory, in every way: there is an error in the end, and
// whoever gives back can go on. Argument: what to hoard. Only in a guest: natively it would take the machine down.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

// What says that there is no more.
static int is_limit(int error) { return error == ENOMEM || error == ENFILE || error == EMFILE || error == ENOSPC || error == EAGAIN || error == ENOBUFS; }
static void check(const char *what) { if (!is_limit(errno)) { printf("%s: %s\n", what, strerror(errno)); exit(1); } }

// Maps pages that no mapping joins with its neighbours.
static int make_mappings(int most) {
    char *at = mmap(0, 2 * most * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) { check("mmap"); return 0; }
    for (int i = 0; i < most; i++) if (mprotect(at + 2 * i * PAGE, PAGE, PROT_READ)) { check("mprotect"); return i; }
    return most;
}

// Opens `path` until that fails.
static int open_all(const char *path) {
    int count = 0;
    while (open(path, O_RDONLY) >= 0) count++;
    check(path);
    return count;
}

static char *deep_path(void) {
    static char path[4096] = "/tmp";
    char name[256] = "/";
    memset(name + 1, 'd', 250);
    for (int i = 0; i < 15; i++) {
        strcat(path, name);
        if (mkdir(path, 0700) && errno != EEXIST) check("mkdir");
    }
    return path;
}

// In `most` processes, one made by the other: each hoards, and stays until all have.
static void in_processes(int most, int (*hoard)(void)) {
    hoard();
    pid_t pid = most > 1 ? fork() : -1;
    if (pid == 0) { in_processes(most - 1, hoard); _exit(0); }
    if (pid < 0 && most > 1) check("fork");
    int status = 0;
    if (pid > 0) waitpid(pid, &status, 0);
    if (status) { printf("a child: %d\n", status); exit(1); }
}

static int texts(void) { return open_all("/proc/self/maps"); }
static int paths(void) { for (int fd = 3; fd < 1024; fd++) close(fd); return open_all(deep_path()); }
static int sockets(void) {
    int pair[2], count = 0;
    while (!socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) count++;
    check("socketpair");
    return count;
}

// Pipes and sockets that are full, when there is hardly room for more of them.
static int buffers(void) {
    static char bytes[1 << 16];
    sockets();
    for (int fd = 3; fd < 1024; fd++) {
        if (fcntl(fd, F_SETFL, O_NONBLOCK)) break;
        while (write(fd, bytes, sizeof bytes) > 0);
        check("write");
    }
    return 0;
}

static int nothing(void) { return 0; }

static int names(void) {
    char *path = deep_path();
    int fd = open(strcat(path, "/f"), O_RDWR | O_CREAT, 0600), count = 0;
    if (fd < 0) { check("open"); return 0; }
    if (ftruncate(fd, PAGE)) { check("ftruncate"); return 0; }
    while (mmap(0, PAGE, PROT_READ, count % 2 ? MAP_SHARED : MAP_PRIVATE, fd, 0) != MAP_FAILED) count++;
    check("mmap");
    return count;
}

static int file;
static void *wait_for_lock(void *unused) {
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int own = open("/tmp/locked", O_RDWR);
    if (own >= 0) fcntl(own, F_OFD_SETLKW, &all);
    return 0;
}
static int locks(void) {
    file = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    int count = 0;
    for (; !fcntl(file, F_SETLK, &lock); count++) lock.l_start += 2;
    if (errno != ENOLCK) { printf("fcntl: %s\n", strerror(errno)); exit(1); }
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    pthread_t thread;
    for (int i = 0; i < 300; i++) if (pthread_create(&thread, &small, wait_for_lock, 0)) break;
    // All wait once nobody else can run.
    for (int i = 0; i < 20; i++) usleep(1000);
    return open_all("/proc/locks");
}

// Threads that wait in calls for which the kernel needs buffers or lists, until the pipe has an end.
static int ends[2], idle[2], full[2];
static void *splicing(void *unused) { int own[2]; if (!pipe(own)) splice(ends[0], 0, own[1], 0, 1 << 16, 0); return 0; }
static void *sending(void *file) { off_t at = 0; sendfile(full[1], *(int *)file, &at, 1 << 16); return 0; }
static void *polling(void *unused) {
    struct pollfd *list = calloc(1024, sizeof *list);
    for (int i = 1; i < 1024; i++) list[i].fd = -1;
    *list = (struct pollfd){.fd = ends[0], .events = POLLIN};
    if (poll(list, 1024, -1) < 0) check("poll");
    free(list);
    return 0;
}
static char piece[1 << 15];
static void *reading(void *unused) {
    struct iovec two[2] = {{piece, sizeof piece}, {piece, sizeof piece}}, many[1024];
    for (int i = 0; i < 1024; i++) many[i] = (struct iovec){piece, 1};
    if (readv(ends[0], two, 2) < 0) check("readv");
    if (readv(ends[0], many, 1024) < 0) check("readv");
    return 0;
}
static void *writing(void *unused) {
    struct iovec two[2] = {{piece, sizeof piece}, {piece, sizeof piece}};
    writev(full[1], two, 2);
    return 0;
}
static void *sending_messages(void *unused) {
    struct iovec many[1024];
    for (int i = 0; i < 1024; i++) many[i] = (struct iovec){piece, 32};
    struct msghdr message = {.msg_iov = many, .msg_iovlen = 1024};
    if (sendmsg(idle[0], &message, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNREFUSED && errno != ENOTCONN && errno != EMSGSIZE) check("sendmsg");
    return 0;
}
static int many_wait(void *(*wait)(void *), void *argument) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 49152);
    static pthread_t threads[600];
    int count = 0;
    while (count < 600 && !pthread_create(&threads[count], &small, wait, argument)) count++;
    for (int i = 0; i < 20; i++) usleep(1000);
    close(ends[1]), close(full[0]), close(idle[1]);
    for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
    return count > 100;
}
static int waits(void) {
    signal(SIGPIPE, SIG_IGN);
    int file = open("/bin/hoard", O_RDONLY), pair[2];
    if (pipe(ends) || pipe(full) || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) exit(3);
    fcntl(full[1], F_SETFL, O_NONBLOCK);
    while (write(full[1], piece, 4096) > 0);
    fcntl(full[1], F_SETFL, 0);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    while (send(pair[0], piece, 4096, 0) > 0);
    fcntl(pair[0], F_SETFL, 0);
    idle[0] = pair[0], idle[1] = pair[1];
    return file;
}
static void in_calls(const char *how) {
    int file = waits();
    void *(*wait)(void *) = !strcmp(how, "splices") ? splicing : !strcmp(how, "transfers") ? sending : !strcmp(how, "polls") ? polling
        : !strcmp(how, "reads") ? reading : !strcmp(how, "writes") ? writing : sending_messages;
    if (!many_wait(wait, &file)) { printf("too few threads\n"); exit(1); }
}

// Makes two mappings of one, over and over.
static int holes(void) {
    int count = 0;
    char *at = mmap(0, 32768 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) { check("mmap"); return 0; }
    while (count < 16000 && !munmap(at + (2 * count + 1) * PAGE, PAGE)) count++;
    if (count < 16000) check("munmap");
    return count;
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    const char *what = argv[1];
    if (!strcmp(what, "texts")) { make_mappings(2000); in_processes(4, texts); }
    else if (!strcmp(what, "long-texts")) { make_mappings(100000); texts(); }
    else if (!strcmp(what, "copies")) { make_mappings(100000); in_processes(8, nothing); }
    else if (!strcmp(what, "buffers")) in_processes(4, buffers);
    else if (!strcmp(what, "paths")) in_processes(8, paths);
    else if (!strcmp(what, "sockets")) in_processes(8, sockets);
    else if (!strcmp(what, "names")) in_processes(2, names);
    else if (!strcmp(what, "locks")) locks();
    else if (!strcmp(what, "holes")) in_processes(8, holes);
    else in_calls(what);
    // What is given back can be had again.
    for (int fd = 3; fd < 1024; fd++) close(fd);
    int fd = open("/proc/self/stat", O_RDONLY);
    printf("%s are limited: %d\n", what, fd >= 0 || errno == ENOMEM);
    return 0;
}
