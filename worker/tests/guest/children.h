// What programs with children of their own have in common.
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

// Prints a call with what it returns, and what is true or not.
#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-60s %ld %d\n", #what, r, errno); fflush(stdout); } while (0)
#define TRUE(what) do { printf("%-60s %s\n", #what, (what) ? "true" : "FALSE"); fflush(stdout); } while (0)

// A child that does `body` and ends with what that returns.
static pid_t child(int (*body)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { int status = body(); fflush(stdout); _exit(status); }
    return pid;
}

// How it ended.
static int status_of(pid_t pid) { int status = -1; while (waitpid(pid, &status, 0) < 0 && errno == EINTR); return status; }
