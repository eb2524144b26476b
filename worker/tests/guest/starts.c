// Starts processes in a request, as its text says: "fork 3", "exec 1", "spawn 200", and tells how long each took at best.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static pid_t start(const char *way) {
    char *args[] = {"small", 0};
    pid_t pid = -1;
    if (!strcmp(way, "spawn")) return posix_spawn(&pid, "/bin/small", 0, 0, args, environ) ? -1 : pid;
    pid = fork();
    if (pid) return pid;
    if (!strcmp(way, "exec")) execv("/bin/small", args);
    _exit(!strcmp(way, "fork") ? 7 : 127);
}

// Starts `count` processes one after the other. False: one did not end as it should.
static int all(const char *way, int count, char *reply, size_t size) {
    double best = 1e18, first = 0;
    for (int i = 0; i < count; i++) {
        int status;
        double begun = now();
        pid_t pid = start(way);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7) return 0;
        double took = now() - begun;
        if (i == 0) first = took;
        if (took < best) best = took;
    }
    snprintf(reply, size, "%s %d first %.0f best %.0f\n", way, count, first, best);
    return 1;
}

static int free_kib(void) {
    char line[128];
    int kib = -1;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "MemFree: %d", &kib);
    if (file) fclose(file);
    return kib;
}

static int answer(char *request, char *reply, size_t size) {
    char way[16];
    int count;
    if (sscanf(request, "%15s %d", way, &count) != 2) return 0;
    if (strcmp(way, "leak")) return all(way, count, reply, size);
    // What the first ones need once is not lost, nor what it takes to look.
    if (free_kib() < 0 || !all("exec", 3, reply, size) || !all("spawn", 3, reply, size)) return 0;
    int before = free_kib();
    if (!all("exec", count, reply, size) || !all("spawn", count, reply, size)) return 0;
    snprintf(reply, size, "lost %d KiB\n", before - free_kib());
    return 1;
}

int main(int argc, char **argv) {
    char request[256] = "", reply[256] = "failed\n";
    if (argc > 2) {
        snprintf(request, sizeof request, "%s %s", argv[1], argv[2]);
        int done = answer(request, reply, sizeof reply);
        fputs(reply, stdout);
        return !done;
    }
    int fd = open("/dev/invocation", O_RDWR);
    ssize_t n = read(fd, request, sizeof request - 1);
    if (n <= 0) return 3;
    answer(request, reply, sizeof reply);
    return write(fd, reply, strlen(reply)) < 0;
}
