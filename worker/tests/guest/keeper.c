// A handler whose parent holds a lock of each kind, a position, a watch, a segment of shared memory, a blocked signal. Each request
// tells what it finds, and leaves everything else behind.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/shm.h>
#include <unistd.h>

static int record, whole, other, watcher, segment;

// What is in the way of a write lock of another open file description.
static const char *blocker(off_t at) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    if (fcntl(other, F_OFD_GETLK, &lock)) return strerror(errno);
    return lock.l_type == F_UNLCK ? "nobody" : lock.l_pid == getpid() ? "process" : "open";
}

static int set(int fd, int command, int type, off_t at) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, command, &lock);
}

static int tell(char *text, size_t room) {
    char events[4096];
    sigset_t pending, blocked;
    sigpending(&pending), sigprocmask(SIG_BLOCK, 0, &blocked);
    struct shmid_ds about = {0};
    int there = shmctl(segment, IPC_STAT, &about);
    ssize_t told = read(watcher, events, sizeof events);
    return snprintf(text, room, "%s %s %s flock %d at %ld events %zd segment %d %zu signals %d %d\n", blocker(0), blocker(1), blocker(2),
        flock(other, LOCK_EX | LOCK_NB) ? errno : 0, (long)lseek(whole, 0, SEEK_CUR), told, there, about.shm_segsz,
        sigismember(&pending, SIGUSR1), sigismember(&blocked, SIGUSR1));
}

int main(void) {
    record = open("/tmp/kept", O_RDWR | O_CREAT, 0600), whole = open("/tmp/kept", O_RDWR), other = open("/tmp/kept", O_RDWR);
    if (write(whole, "contents", 8) != 8 || lseek(whole, 3, SEEK_SET) != 3) return 2;
    if (set(record, F_SETLK, F_WRLCK, 0) || set(whole, F_OFD_SETLK, F_WRLCK, 1) || flock(whole, LOCK_EX)) return 2;
    watcher = inotify_init1(IN_NONBLOCK);
    if (inotify_add_watch(watcher, "/tmp", IN_CREATE) < 0) return 2;
    segment = shmget(IPC_PRIVATE, 5000, 0600);
    sigset_t user;
    sigemptyset(&user), sigaddset(&user, SIGUSR1), sigprocmask(SIG_BLOCK, &user, 0);
    int fd = open("/dev/invocation", O_RDWR);
    for (;;) {
        char request[100], reply[1000];
        if (read(fd, request, sizeof request) <= 0) return 3;
        int length = tell(reply, sizeof reply);
        set(record, F_SETLK, F_UNLCK, 0), set(whole, F_OFD_SETLK, F_UNLCK, 1), set(record, F_SETLK, F_WRLCK, 2);
        flock(whole, LOCK_UN), lseek(whole, 7, SEEK_SET);
        close(open("/tmp/new", O_CREAT | O_WRONLY, 0600));
        shmctl(segment, IPC_RMID, 0);
        raise(SIGUSR1);
        if (write(fd, reply, length) != length) return 4;
    }
}
