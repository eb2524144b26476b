// Pseudo terminals: names, settings, lines, echo, keys, sessions, hang-ups. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); int e = errno; printf("%-60s %ld %d\n", #what, r, r < 0 ? e : 0); fflush(stdout); } while (0)
#define TRUE(what) do { printf("%-60s %s\n", #what, (what) ? "true" : "FALSE"); fflush(stdout); } while (0)

static int master, slave;
static char name[64];

static void text(const char *what, const char *bytes, ssize_t len) {
    int e = errno;
    printf("%-30s", what);
    if (len < 0) printf(" error %d", e);
    else printf(" %zd \"", len);
    for (ssize_t i = 0; i < len; i++) {
        unsigned char c = bytes[i];
        if (c < 32 || c > 126) printf("\\x%02x", c); else putchar(c);
    }
    puts(len < 0 ? "" : "\"");
    fflush(stdout);
}
static void pause_ms(int ms) { struct timespec t = { ms / 1000, ms % 1000 * 1000000L }; nanosleep(&t, 0); }
static void type(const char *bytes, size_t len) { if (write(master, bytes, len) != (ssize_t)len) perror("type"); }
#define TYPE(literal) type(literal, sizeof literal - 1)
// What comes within a while: on Linux a worker carries bytes from one end to the other.
// Many short naps: a standstill uses up one of them.
static int comes(int fd, int wanted) {
    struct pollfd p = { fd, wanted, 0 };
    for (int i = 0; i < 20; i++) if (poll(&p, 1, 10) > 0) return 1;
    return 0;
}
static void screen(void) {
    char buf[4096];
    ssize_t len = 0, got;
    while (comes(master, POLLIN) > 0 && (got = read(master, buf + len, sizeof buf - len)) > 0) len += got;
    text("  screen", buf, len);
}
static void line(size_t most) {
    char buf[8192];
    if (comes(slave, POLLIN) <= 0) { puts("  line: none"); fflush(stdout); return; }
    ssize_t got = read(slave, buf, most);
    text("  line", buf, got);
}
static void set(tcflag_t input, tcflag_t output, tcflag_t local) {
    struct termios t;
    tcgetattr(slave, &t);
    t.c_iflag = input; t.c_oflag = output; t.c_lflag = local;
    if (tcsetattr(slave, TCSANOW, &t)) perror("tcsetattr");
}
static void raw(int least, int time) {
    struct termios t;
    tcgetattr(slave, &t);
    cfmakeraw(&t);
    t.c_cc[VMIN] = least; t.c_cc[VTIME] = time;
    if (tcsetattr(slave, TCSANOW, &t)) perror("tcsetattr");
}
static void open_both(void) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof name)) { perror("pty"); exit(1); }
    slave = open(name, O_RDWR | O_NOCTTY);
    if (slave < 0) { perror(name); exit(1); }
}
static void close_both(void) { close(slave); close(master); }

// Whether the name leads nowhere.
static int is_gone(void) {
    if (access(name, F_OK) == 0 || errno != ENOENT) return 0;
    int fd = open(name, O_RDWR | O_NOCTTY), missing = fd < 0 && errno == ENOENT;
    if (fd >= 0) close(fd);
    return missing;
}

static void names(void) {
    char buf[64], link[64];
    struct stat at, open_at;
    int number = -1, lock = 1;
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    SHOW(ioctl(master, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    SHOW(ioctl(master, TIOCGPTLCK, &lock)); printf("  locked %d\n", lock);
    SHOW(open(name, O_RDWR | O_NOCTTY));
    SHOW(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    lock = 0;
    SHOW(ioctl(master, TIOCSPTLCK, &lock));
    slave = open(name, O_RDWR | O_NOCTTY);
    TRUE(slave >= 0);
    SHOW(stat(name, &at)); SHOW(fstat(slave, &open_at));
    TRUE(at.st_ino == open_at.st_ino && at.st_dev == open_at.st_dev && at.st_rdev == open_at.st_rdev);
    // Whether the group tty may write is how /dev/pts is mounted.
    printf("  mode %o device %s\n", at.st_mode & ~020, (int)((major(at.st_rdev) - 136) * 256 + minor(at.st_rdev)) == number ? "of its number" : "?");
    SHOW(fstat(master, &open_at));
    printf("  mode %o device %d:%d\n", open_at.st_mode, major(open_at.st_rdev), minor(open_at.st_rdev));
    SHOW(isatty(master)); SHOW(isatty(slave));
    SHOW(ttyname_r(slave, buf, sizeof buf)); TRUE(!strcmp(buf, name));
    snprintf(link, sizeof link, "/proc/self/fd/%d", master);
    buf[readlink(link, buf, sizeof buf - 1)] = 0;
    TRUE(strstr(buf, "ptmx") != 0);
    SHOW(ioctl(slave, TIOCGPTN, &number)); SHOW(ioctl(slave, TIOCSPTLCK, &lock)); SHOW(ioctl(slave, TIOCPKT, &lock));
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    TRUE(peer >= 0); SHOW(fcntl(peer, F_GETFD));
    int created = ioctl(master, TIOCGPTPEER, O_CREAT | O_NOCTTY);
    TRUE(created >= 0);
    TRUE(ttyname(peer) && !strcmp(ttyname(peer), name));
    close(peer); close(created);
    DIR *dir = opendir("/dev/pts");
    int found = 0, has_ptmx = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        found |= !strcmp(entry->d_name, name + 9);
        has_ptmx |= !strcmp(entry->d_name, "ptmx");
    }
    closedir(dir);
    TRUE(found); TRUE(has_ptmx);
    SHOW(lseek(slave, 0, SEEK_SET)); SHOW(pread(slave, buf, 1, 0)); SHOW(ftruncate(slave, 0)); SHOW(fsync(slave));
    close(slave);
    SHOW(access(name, F_OK));
    close(master);
    int gone = is_gone();
    // Somebody else may have been given the number at once.
    for (int tries = 0; tries < 100 && !gone; tries++) {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
        ioctl(master, TIOCGPTN, &number);
        snprintf(name, sizeof name, "/dev/pts/%d", number);
        close(master);
        gone = is_gone();
    }
    TRUE(gone);
}

static void show_settings(int fd) {
    struct termios t;
    struct winsize size = { 1, 2, 3, 4 };
    SHOW(tcgetattr(fd, &t));
    printf("  %x %x %x %x %d:", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag, t.c_line);
    for (int i = 0; i < 19; i++) printf(" %x", t.c_cc[i]);
    printf(" %d %d\n", (int)(cfgetispeed(&t) == B38400), (int)(cfgetospeed(&t) == B38400));
    SHOW(ioctl(fd, TIOCGWINSZ, &size));
    printf("  %d %d %d %d\n", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
}
static void settings(void) {
    struct termios t;
    struct winsize size = { 24, 80, 0, 0 };
    open_both();
    show_settings(slave); show_settings(master);
    SHOW(ioctl(master, TIOCSWINSZ, &size)); show_settings(slave);
    size.ws_row = 50;
    SHOW(ioctl(slave, TIOCSWINSZ, &size)); show_settings(master);
    tcgetattr(slave, &t);
    t.c_cflag = CS5 | PARENB | B9600; t.c_cc[VINTR] = 7;
    SHOW(tcsetattr(slave, TCSADRAIN, &t)); show_settings(slave);
    tcgetattr(slave, &t); printf("  speed %d\n", (int)(cfgetospeed(&t) == B9600));
    SHOW(tcsetattr(master, TCSANOW, &t));
    SHOW(ioctl(slave, TCGETS, 8)); SHOW(ioctl(slave, TCSETS, 8)); SHOW(ioctl(slave, TIOCGWINSZ, 8)); SHOW(ioctl(slave, TIOCSWINSZ, 8));
    SHOW(tcdrain(slave)); SHOW(tcsendbreak(slave, 0)); SHOW(tcflush(slave, 9)); SHOW(tcflow(slave, 9)); SHOW(tcflush(slave, TCIOFLUSH));
    SHOW(ioctl(slave, 0x5499, 0)); SHOW(ioctl(slave, TIOCGPGRP, &size)); SHOW(ioctl(slave, TIOCGSID, &size)); SHOW(ioctl(slave, TIOCNOTTY));
    int out = 9, discipline = 9;
    SHOW(ioctl(slave, TIOCOUTQ, &out)); printf("  %d\n", out);
    SHOW(ioctl(slave, TIOCGETD, &discipline)); printf("  %d\n", discipline);
    close_both();
}

static void lines(void) {
    int count;
    open_both();
    puts("whole lines, and parts of them");
    TYPE("hello\n"); line(100); screen();
    TYPE("part"); line(100); TYPE(" and rest\r"); line(5); line(5); line(100); screen();
    TYPE("one\ntwo\n"); ioctl(slave, FIONREAD, &count); line(100); line(100); screen();
    puts("the end of a file");
    TYPE("abc\4"); line(100); TYPE("\4"); line(100); TYPE("abc\4\n"); line(3); line(3); screen();
    puts("erasing");
    TYPE("abd\177c\n"); line(100); screen();
    TYPE("\177x\177\177\177y\n"); line(100); screen();
    TYPE("one two  three\27\27TWO\n"); line(100); screen();
    TYPE("gone\25kept\n"); line(100); screen();
    TYPE("a\1\177b\n"); line(100); screen();
    TYPE("ab\tc\177\177\177d\n"); line(100); screen();
    puts("literal, reprint");
    TYPE("a\26\3b\26\177c\n"); line(100); screen();
    TYPE("abc\22d\n"); line(100); screen();
    puts("other ends of lines");
    struct termios t;
    tcgetattr(slave, &t); t.c_cc[VEOL] = ';'; t.c_cc[VEOL2] = '|'; tcsetattr(slave, TCSANOW, &t);
    TYPE("a;b|c\n"); line(100); line(100); line(100); screen();
    t.c_cc[VEOL] = 0; t.c_cc[VEOL2] = 0; tcsetattr(slave, TCSANOW, &t);
    puts("echo of other kinds");
    tcflag_t in = ICRNL | IXON, out = OPOST | ONLCR, local = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
    set(in, out, local & ~ECHO); TYPE("secret\177T\25new\n"); line(100); screen();
    set(in, out, (local & ~ECHO) | ECHONL); TYPE("secret\n"); line(100); screen();
    set(in, out, local & ~ECHOE); TYPE("ab\177c\25d\n"); line(100); screen();
    set(in, out, local & ~(ECHOKE | ECHOK)); TYPE("ab\25c\n"); line(100); screen();
    set(in, out, local & ~ECHOKE); TYPE("ab\25c\n"); line(100); screen();
    set(in, out, local & ~ECHOCTL); TYPE("a\1b\177\177c\n"); line(100); screen();
    set(in, out, local & ~IEXTEN); TYPE("a b\27\26\n"); line(100); screen();
    puts("what becomes of line ends");
    set(0, out, local); TYPE("a\r\n"); line(100); screen();
    set(INLCR | IGNCR, out, local & ~ICANON); TYPE("a\r\nb"); line(100); screen();
    set(ISTRIP | IUCLC | ICRNL, out, local); TYPE("A\xe1\r"); line(100); screen();
    puts("characters of several bytes");
    set(in | IUTF8, out, local); TYPE("a\xc3\xa4\xe2\x82\xac\177b\177\177c\n"); line(100); screen();
    close_both();
}

static void output(void) {
    open_both();
    puts("output");
    SHOW(write(slave, "a\nb\tc\rd\n", 8)); screen();
    set(ICRNL, 0, ICANON); SHOW(write(slave, "a\nb\n", 4)); screen();
    set(ICRNL, OPOST, ICANON); SHOW(write(slave, "a\nb\n", 4)); screen();
    set(ICRNL, OPOST | OCRNL, ICANON); SHOW(write(slave, "a\rb\r", 4)); screen();
    set(ICRNL, OPOST | ONOCR, ICANON); SHOW(write(slave, "\n\r\ra\r\r", 6)); screen();
    set(ICRNL, OPOST | ONLCR | TAB3, ICANON); SHOW(write(slave, "\n\tab\tc\b\td\n", 11)); screen();
    set(ICRNL, OPOST | OLCUC | ONLCR, ICANON); SHOW(write(slave, "lower\n", 6)); screen();
    set(ICRNL | IXON, OPOST | ONLCR, ICANON | ECHO | ISIG);
    puts("stopped output");
    SHOW(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK));
    SHOW(tcflow(slave, TCOOFF)); SHOW(write(slave, "x", 1)); SHOW(tcflow(slave, TCOON)); SHOW(write(slave, "x", 1)); screen();
    TYPE("\23"); comes(slave, POLLIN); SHOW(write(slave, "x", 1)); TYPE("\21"); comes(slave, POLLIN); SHOW(write(slave, "y", 1)); screen();
    SHOW(tcflow(slave, TCIOFF)); SHOW(tcflow(slave, TCION)); screen();
    close_both();
}

static void bytes(void) {
    char buf[64];
    open_both();
    puts("bytes");
    SHOW(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK));
    SHOW(read(slave, buf, 9)); TYPE("abc"); SHOW(read(slave, buf, 9));
    raw(1, 0); comes(slave, POLLIN); text("  typed before", buf, read(slave, buf, 64));
    SHOW(read(slave, buf, 9));
    TYPE("a\r\n\3\4"); line(100); screen();
    raw(3, 0); TYPE("ab"); SHOW(comes(slave, POLLIN)); TYPE("c"); SHOW(comes(slave, POLLIN)); line(100);
    TYPE("de"); pause_ms(100); text("  less than VMIN", buf, read(slave, buf, 64));
    raw(0, 0); SHOW(read(slave, buf, 9));
    SHOW(fcntl(slave, F_SETFL, O_RDWR));
    SHOW(read(slave, buf, 9));
    raw(0, 1); SHOW(read(slave, buf, 9)); TYPE("x"); SHOW(read(slave, buf, 9));
    raw(5, 1); TYPE("abc"); text("  time between bytes", buf, read(slave, buf, 64));
    raw(2, 0); TYPE("abcd"); comes(slave, POLLIN); text("  at most", buf, read(slave, buf, 3)); TYPE("e"); text("  rest", buf, read(slave, buf, 9));
    puts("from bytes to lines and back");
    TYPE("half"); comes(slave, POLLIN);
    set(ICRNL, OPOST, ICANON); line(100);
    TYPE("more"); line(100); set(ICRNL, OPOST, 0); line(100);
    TYPE("lost"); comes(slave, POLLIN); SHOW(tcflush(slave, TCIFLUSH)); SHOW(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK)); SHOW(read(slave, buf, 9));
    close_both();
}

static void long_lines(void) {
    static char much[6000], buf[8192];
    open_both();
    set(ICRNL, OPOST, ICANON);
    memset(much, 'x', sizeof much);
    puts("a line that is too long");
    type(much, 3000); pause_ms(50); type(much, 3000); pause_ms(50); TYPE("y\n"); pause_ms(50);
    ssize_t got = read(slave, buf, sizeof buf);
    printf("  %zd, last %x %x\n", got, buf[got - 2], buf[got - 1]);
    set(ICRNL, OPOST, 0);
    puts("nobody reads");
    SHOW(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK));
    int wrote = 0;
    for (ssize_t n; (n = write(master, much, 1000)) > 0;) { wrote = 1; pause_ms(1); }
    TRUE(wrote); TRUE(errno == EAGAIN);
    int unread = 0;
    SHOW(ioctl(slave, FIONREAD, &unread)); printf("  %d\n", unread);
    SHOW(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK));
    puts("nobody looks");
    for (wrote = 0; write(slave, much, 1000) > 0; wrote = 1) pause_ms(1);
    TRUE(wrote); TRUE(errno == EAGAIN);
    close_both();
}

static void packets(void) {
    char buf[64];
    int on = 1;
    open_both();
    puts("packets");
    SHOW(ioctl(master, TIOCPKT, &on)); on = 0; SHOW(ioctl(master, TIOCGPKT, &on)); printf("  %d\n", on);
    write(slave, "data", 4); comes(master, POLLIN); text("  packet", buf, read(master, buf, 64));
    SHOW(tcflush(slave, TCIFLUSH)); text("  packet", buf, read(master, buf, 64));
    SHOW(tcflow(slave, TCOOFF)); text("  packet", buf, read(master, buf, 64));
    SHOW(tcflow(slave, TCOON)); text("  packet", buf, read(master, buf, 64));
    raw(1, 0); text("  packet", buf, read(master, buf, 64));
    on = 0; SHOW(ioctl(master, TIOCPKT, &on)); write(slave, "data", 4); comes(master, POLLIN); text("  bytes", buf, read(master, buf, 64));
    close_both();
}

static void ends(void) {
    char buf[64];
    struct pollfd p;
    open_both();
    puts("the slave is closed, opened, closed");
    write(slave, "last", 4); close(slave);
    p = (struct pollfd){ master, POLLIN, 0 }; poll(&p, 1, 1000); printf("  poll %x\n", p.revents & (POLLIN | POLLHUP | POLLERR));
    text("  read", buf, read(master, buf, 64)); text("  read", buf, read(master, buf, 64));
    SHOW(write(master, "typed\n", 6));
    slave = open(name, O_RDWR | O_NOCTTY); line(100);
    SHOW(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK)); screen();
    p = (struct pollfd){ master, POLLIN | POLLOUT, 0 }; poll(&p, 1, 1000); printf("  poll %x\n", p.revents);
    puts("the master is closed");
    close(master);
    p = (struct pollfd){ slave, POLLIN | POLLOUT, 0 }; poll(&p, 1, 1000); printf("  poll %x\n", p.revents);
    SHOW(read(slave, buf, 9)); SHOW(write(slave, "x", 1)); SHOW(tcgetattr(slave, (struct termios *)buf));
    SHOW(ioctl(slave, TIOCSPGRP, buf)); SHOW(ioctl(slave, FIONREAD, buf));
    close(slave);
}

static void edges(void) {
    char buf[64];
    open_both();
    puts("edges");
    int set = epoll_create1(0);
    struct epoll_event event = { EPOLLIN | EPOLLET, { .fd = slave } };
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, slave, &event)); SHOW(epoll_wait(set, &event, 1, 50));
    TYPE("a\n"); SHOW(epoll_wait(set, &event, 1, 60000)); SHOW(read(slave, buf, 64)); SHOW(epoll_wait(set, &event, 1, 50));
    TYPE("b\n"); SHOW(epoll_wait(set, &event, 1, 60000));
    close(set);
    close_both();
}

static void limits(void) {
    static int all[5000];
    struct rlimit most = { 1024, 1024 };
    setrlimit(RLIMIT_NOFILE, &most);
    puts("many");
    int count = 0;
    while (count < 5000 && (all[count] = open("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0) count++;
    TRUE(count >= 60); TRUE(errno == EMFILE || errno == ENOSPC);
    while (count) close(all[--count]);
    int one = open("/dev/ptmx", O_RDWR | O_NOCTTY), again = open("/dev/ptmx", O_RDWR | O_NOCTTY), first = -1, second = -1;
    ioctl(one, TIOCGPTN, &first); ioctl(again, TIOCGPTN, &second);
    TRUE(first >= 0 && first != second);
    close(one); close(again);
}

int main(void) {
    names(); settings(); lines(); output(); bytes(); long_lines(); packets(); ends(); edges(); limits();
    puts("done");
    return 0;
}
