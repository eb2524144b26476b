/* Watches files and directories and prints what it is told. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    unsigned bit;
    const char *name;
} names[] = {
    {IN_ACCESS, "ACCESS"}, {IN_MODIFY, "MODIFY"}, {IN_ATTRIB, "ATTRIB"}, {IN_CLOSE_WRITE, "CLOSE_WRITE"},
    {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {IN_OPEN, "OPEN"}, {IN_MOVED_FROM, "MOVED_FROM"},
    {IN_MOVED_TO, "MOVED_TO"}, {IN_CREATE, "CREATE"}, {IN_DELETE, "DELETE"}, {IN_DELETE_SELF, "DELETE_SELF"},
    {IN_MOVE_SELF, "MOVE_SELF"}, {IN_ISDIR, "ISDIR"}, {IN_IGNORED, "IGNORED"}, {IN_Q_OVERFLOW, "Q_OVERFLOW"},
};

// A rename's number, in the order in which they are seen: others on the machine use numbers as well.
static int rename_of(unsigned cookie)
{
    static unsigned last;
    static int renames = -1;
    if (cookie != last)
        renames++;
    last = cookie;
    return renames;
}

static void show(int fd, const char *what)
{
    static char buf[1 << 16] __attribute__((aligned(8)));
    int waiting = -1;
    ioctl(fd, FIONREAD, &waiting);
    ssize_t got = read(fd, buf, sizeof buf);
    printf("%s: %zd%s\n", what, got, got > 0 && got == waiting ? " as told" : "");
    for (char *at = buf; got > 0 && at < buf + got;) {
        struct inotify_event *event = (void *)at;
        printf("  %d", event->wd);
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
            if (event->mask & names[i].bit)
                printf(" %s", names[i].name);
        if (event->cookie)
            printf(" rename %d", rename_of(event->cookie));
        printf(" %u '%s'\n", event->len, event->len ? event->name : "");
        at += sizeof *event + event->len;
    }
}

static void put(const char *path, const char *text, int flags)
{
    int fd = open(path, flags | O_WRONLY, 0644);
    write(fd, text, strlen(text));
    close(fd);
}

static void result(const char *what, long r)
{
    if (r < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %ld\n", what, r);
}

static void names_and_contents(int fd)
{
    put("f", "hello", O_CREAT);
    show(fd, "create and write");
    int a = open("f", O_RDWR);
    char buf[8];
    read(a, buf, 3);
    read(a, buf, 3);
    read(a, buf, 3);
    write(a, "x", 1);
    write(a, "y", 1);
    ftruncate(a, 2);
    int b = dup(a);
    close(a);
    show(fd, "read, write, ftruncate");
    close(b);
    show(fd, "last close");
    chmod("f", 0600);
    chown("f", 1, 1);
    utimensat(AT_FDCWD, "f", 0, 0);
    show(fd, "attributes");
    truncate("f", 1);
    show(fd, "truncate");
    link("f", "g");
    symlink("f", "s");
    mkdir("d", 0755);
    mkfifo("p", 0644);
    show(fd, "names");
    rename("f", "h");
    rename("h", "g2");
    show(fd, "renames");
    unlink("g");
    unlink("s");
    unlink("p");
    rmdir("d");
    show(fd, "removals");
}

static void moves(int fd, int other)
{
    put("x", "1", O_CREAT);
    put("y", "2", O_CREAT);
    mkdir("sub", 0755);
    inotify_add_watch(other, "x", IN_ALL_EVENTS);
    inotify_add_watch(other, "y", IN_ALL_EVENTS);
    inotify_add_watch(other, "sub", IN_ALL_EVENTS);
    show(fd, "made");
    rename("x", "sub/x");
    show(fd, "moved away");
    show(other, "moved away, seen by the file and the other directory");
    rename("sub/x", "y");
    show(fd, "moved over another");
    show(other, "moved over another, seen by both");
    put("z", "3", O_CREAT);
    syscall(SYS_renameat2, AT_FDCWD, "y", AT_FDCWD, "z", 2);
    show(fd, "exchanged");
    show(other, "exchanged, seen by one");
    rename("sub", "bus");
    rmdir("bus");
    show(fd, "directory moved and removed");
    show(other, "seen by the directory");
    unlink("y");
    unlink("z");
    show(fd, "removed");
    show(other, "removed, seen by one");
}

static void rules(int fd)
{
    result("bad mask", inotify_add_watch(fd, ".", 0));
    result("unknown bits", inotify_add_watch(fd, ".", IN_OPEN | 1 << 20));
    result("no file", inotify_add_watch(fd, "nothing", IN_OPEN));
    result("no directory", inotify_add_watch(fd, "g2", IN_OPEN | IN_ONLYDIR));
    result("no inotify", inotify_add_watch(0, ".", IN_OPEN));
    result("no descriptor", inotify_add_watch(99, ".", IN_OPEN));
    result("no watch", inotify_rm_watch(fd, 12345));
    result("bad flags", inotify_init1(O_APPEND));
    int wd = inotify_add_watch(fd, "g2", IN_OPEN);
    result("same again", inotify_add_watch(fd, "g2", IN_ATTRIB | IN_MASK_ADD) - wd);
    result("create only", inotify_add_watch(fd, "g2", IN_OPEN | IN_MASK_CREATE));
    result("add and create", inotify_add_watch(fd, "g2", IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD));
    close(open("g2", O_RDONLY));
    chmod("g2", 0640);
    show(fd, "both");
    result("remove", inotify_rm_watch(fd, wd));
    show(fd, "removed");
    inotify_add_watch(fd, "g2", IN_ATTRIB | IN_ONESHOT);
    chmod("g2", 0600);
    chmod("g2", 0644);
    show(fd, "one shot");
    symlink("g2", "l");
    inotify_add_watch(fd, "l", IN_ALL_EVENTS | IN_DONT_FOLLOW);
    close(open("g2", O_RDONLY));
    unlink("l");
    show(fd, "a link itself");
    char small[20];
    inotify_add_watch(fd, ".", IN_CREATE);
    put("new", "", O_CREAT);
    result("short buffer", read(fd, small, sizeof small));
    show(fd, "still there");
    unlink("new");
}

static void an_open_file_lives_on(int fd)
{
    put("open", "text", O_CREAT);
    int file = open("open", O_RDWR);
    inotify_add_watch(fd, "open", IN_ALL_EVENTS);
    unlink("open");
    show(fd, "unlinked while open");
    write(file, "more", 4);
    show(fd, "written without a name");
    close(file);
    show(fd, "closed");
}

static void waits(int fd)
{
    struct pollfd poll_fd = {fd, POLLIN, 0};
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    printf("poll %d epoll %d\n", poll(&poll_fd, 1, 0), epoll_wait(set, &event, 1, 0));
    pid_t child = fork();
    if (child == 0) {
        int file = open("from-child", O_CREAT | O_WRONLY, 0644);
        write(file, "x", 1);
        _exit(0);
    }
    printf("poll %d\n", poll(&poll_fd, 1, 60000));
    waitpid(child, 0, 0);
    printf("epoll %d\n", epoll_wait(set, &event, 1, 60000));
    printf("epoll %d\n", epoll_wait(set, &event, 1, 0));
    show(fd, "a child wrote and ended");
}

int main(void)
{
    char dir[] = "/tmp/watchesXXXXXX";
    setbuf(stdout, 0);
    chdir(mkdtemp(dir));
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), other = inotify_init1(IN_NONBLOCK);
    printf("watch %d\n", inotify_add_watch(fd, ".", IN_ALL_EVENTS));
    show(fd, "nothing yet");
    names_and_contents(fd);
    moves(fd, other);
    int rest = inotify_init1(IN_NONBLOCK);
    rules(rest);
    close(rest);
    rest = inotify_init1(IN_NONBLOCK);
    an_open_file_lives_on(rest);
    show(fd, "all that in the directory");
    inotify_rm_watch(fd, 1);
    inotify_add_watch(fd, ".", IN_CREATE | IN_CLOSE_WRITE);
    show(fd, "watched anew");
    waits(fd);
    unlink("from-child");
    unlink("g2");
    chdir("/");
    show(fd, "before the end");
    rmdir(dir);
    show(fd, "the end of the directory");
    return 0;
}
