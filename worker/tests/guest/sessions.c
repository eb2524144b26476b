// Sessions and their terminals: who has one, who is in the foreground, what keys and hang-ups do. The same program prints
// the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); int e = errno; printf("%-60s %ld %d\n", #what, r, r < 0 ? e : 0); fflush(stdout); } while (0)
#define TRUE(what) do { printf("%-60s %s\n", #what, (what) ? "true" : "FALSE"); fflush(stdout); } while (0)

static int master, slave;
static char name[64];
// Ids of processes, for everybody.
static volatile struct { pid_t pid[4]; int turn, signals, last; } *shared;

static void open_both(void) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof name)) { perror("pty"); exit(1); }
    slave = open(name, O_RDWR | O_NOCTTY);
}
static void close_both(void) { close(slave); close(master); }
static pid_t child(void (*body)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { body(); fflush(stdout); _exit(0); }
    return pid;
}
static void await(int turn) { struct timespec t = { 0, 1000000 }; for (int i = 0; i < 20000 && shared->turn < turn; i++) nanosleep(&t, 0); }
static void became(const char *who, pid_t pid, int options) {
    int status = 0;
    pid_t got = waitpid(pid, &status, options);
    printf("  %s ", who);
    if (got != pid) printf("nothing\n");
    else if (WIFSTOPPED(status)) printf("stopped by %d\n", WSTOPSIG(status));
    else if (WIFCONTINUED(status)) printf("continued\n");
    else if (WIFSIGNALED(status)) printf("killed by %d\n", WTERMSIG(status));
    else printf("exited with %d\n", WEXITSTATUS(status));
    fflush(stdout);
}
static void note(int signal) { shared->signals |= 1 << signal; shared->last = signal; }
static void catch(int signal) { struct sigaction a = { .sa_handler = note }; sigaction(signal, &a, 0); }
static void ignore(int sig) { signal(sig, SIG_IGN); }

// A session with a terminal, whose leader is the caller.
static void lead(void) { if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0)) perror("lead"); }

static void owning(void) {
    pid_t who = 0;
    SHOW(open("/dev/tty", O_RDWR)); SHOW(ioctl(slave, TIOCSCTTY, 0)); SHOW(tcgetpgrp(slave));
    SHOW(setsid() == getpid());
    SHOW(open("/dev/tty", O_RDWR)); SHOW(tcgetpgrp(slave)); SHOW(tcgetsid(slave)); SHOW(tcgetsid(master)); SHOW(tcgetpgrp(master));
    int again = open(name, O_RDWR);
    TRUE(again >= 0); TRUE(tcgetsid(slave) == getpid()); TRUE(tcgetpgrp(slave) == getpid()); TRUE(tcgetpgrp(master) == getpid());
    SHOW(ioctl(slave, TIOCSCTTY, 0));
    int tty = open("/dev/tty", O_RDWR);
    TRUE(tty >= 0); TRUE(tcgetsid(tty) == getpid()); SHOW(strcmp(ttyname(tty), "/dev/tty"));
    char line[256] = ""; int fd = open("/proc/self/stat", O_RDONLY); read(fd, line, 255); close(fd);
    int device = 0, foreground = 0;
    sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %d %d", &device, &foreground);
    TRUE(device == (136 << 8 | atoi(name + 9))); TRUE(foreground == getpid());
    SHOW(tcsetpgrp(slave, -1)); SHOW(tcsetpgrp(slave, 999999)); SHOW(tcsetpgrp(slave, getppid())); SHOW(tcsetpgrp(slave, getpid()));
    SHOW(setpgid(0, 0));
    // A child has the terminal, until it begins a session of its own.
    if (!fork()) { who = tcgetsid(slave); TRUE(who == getppid()); SHOW(ioctl(slave, TIOCSCTTY, 1)); setsid(); SHOW(tcgetsid(slave)); SHOW(open("/dev/tty", O_RDWR)); SHOW(ioctl(slave, TIOCSCTTY, 0)); _exit(0); }
    wait(0);
    SHOW(open("/dev/tty", O_RDONLY | O_NOCTTY) >= 0);
    if (!fork()) { SHOW(ioctl(slave, TIOCNOTTY)); SHOW(open("/dev/tty", O_RDWR)); _exit(0); }
    wait(0);
    catch(SIGHUP); catch(SIGCONT);
    SHOW(ioctl(slave, TIOCNOTTY)); TRUE(shared->signals == (1 << SIGHUP | 1 << SIGCONT)); SHOW(ioctl(slave, TIOCNOTTY)); SHOW(tcgetsid(slave));
    SHOW(open("/dev/tty", O_RDWR)); SHOW(write(tty, "x", 1)); SHOW(ioctl(slave, TIOCSCTTY, 0)); TRUE(tcgetsid(slave) == getpid());
    // Another session takes it away.
    shared->signals = 0;
    if (!fork()) { setsid(); SHOW(ioctl(slave, TIOCSCTTY, 1)); TRUE(tcgetsid(slave) == getpid()); _exit(0); }
    wait(0);
    SHOW(tcgetsid(slave)); SHOW(open("/dev/tty", O_RDWR)); SHOW(shared->signals);
}

static void waits_in_group(void) { for (;;) pause(); }
static void press(const char *key) { write(master, key, 1); }
static void keys(void) {
    lead();
    pid_t front = child(waits_in_group), back = child(waits_in_group);
    setpgid(front, front); setpgid(back, back);
    ignore(SIGTTOU);
    SHOW(tcsetpgrp(slave, front));
    press("\32"); became("front", front, WUNTRACED); became("back", back, WNOHANG | WUNTRACED);
    SHOW(kill(-front, SIGCONT)); became("front", front, WCONTINUED);
    press("\3"); became("front", front, 0);
    front = child(waits_in_group); setpgid(front, front); tcsetpgrp(slave, front);
    press("\34"); became("front", front, 0);
    front = child(waits_in_group); setpgid(front, front); tcsetpgrp(slave, front);
    struct termios t; tcgetattr(slave, &t); t.c_lflag &= ~ISIG; tcsetattr(slave, TCSANOW, &t);
    press("\3"); press("\n"); char buf[8]; tcsetpgrp(slave, getpgrp()); SHOW(read(slave, buf, 8)); became("front", front, WNOHANG);
    t.c_lflag |= ISIG; tcsetattr(slave, TCSANOW, &t);
    catch(SIGWINCH); shared->signals = 0;
    struct winsize size = { 10, 20, 0, 0 };
    SHOW(ioctl(master, TIOCSWINSZ, &size)); TRUE(shared->signals == 1 << SIGWINCH);
    shared->signals = 0; SHOW(ioctl(master, TIOCSWINSZ, &size)); TRUE(shared->signals == 0);
    kill(front, SIGKILL); kill(back, SIGKILL); waitpid(front, 0, 0); waitpid(back, 0, 0);
}

static void reads_tty(void) { char buf[8]; setpgid(0, 0); shared->turn = 1; ssize_t got = read(slave, buf, 8); _exit(got > 0 ? got : 100 + errno); }
static void reads_deaf(void) { ignore(SIGTTIN); reads_tty(); }
static void reads_handled(void) { catch(SIGTTIN); reads_tty(); }
static void reads_again(void) { struct sigaction a = { .sa_handler = SIG_DFL, .sa_flags = SA_RESTART | SA_RESETHAND }; a.sa_handler = note; sigaction(SIGTTIN, &a, 0); reads_tty(); }
static void writes_tty(void) { setpgid(0, 0); ssize_t put = write(slave, "back\n", 5); _exit(put > 0 ? put : 100 + errno); }
static void writes_deaf(void) { ignore(SIGTTOU); writes_tty(); }
static void sets_tty(void) { struct termios t; setpgid(0, 0); tcgetattr(slave, &t); _exit(tcsetattr(slave, TCSANOW, &t) ? errno : 7); }
static void takes_tty(void) { setpgid(0, 0); _exit(tcsetpgrp(slave, getpgrp()) ? errno : 8); }
static void background(void) {
    lead();
    pid_t pid = child(reads_tty);
    became("reader", pid, WUNTRACED);
    // In the foreground it goes on with its read.
    SHOW(tcsetpgrp(slave, pid)); SHOW(kill(-pid, SIGCONT)); became("reader", pid, WCONTINUED);
    write(master, "four\n", 5); became("reader", pid, 0);
    ignore(SIGTTOU); SHOW(tcsetpgrp(slave, getpgrp()));
    pid = child(reads_tty); became("reader", pid, WUNTRACED); SHOW(kill(pid, SIGCONT)); became("reader stays behind,", pid, WUNTRACED); SHOW(kill(pid, SIGKILL)); became("reader", pid, 0);
    pid = child(reads_deaf); became("ignores", pid, WUNTRACED);
    shared->signals = 0; pid = child(reads_handled); became("handles", pid, WUNTRACED); TRUE(shared->signals == 1 << SIGTTIN);
    shared->signals = 0; pid = child(reads_again); became("handles once", pid, WUNTRACED); TRUE(shared->signals == 1 << SIGTTIN); kill(pid, SIGKILL); became("it", pid, 0);
    signal(SIGTTOU, SIG_DFL);
    pid = child(writes_tty); became("writer", pid, WUNTRACED);
    struct termios t; tcgetattr(slave, &t); t.c_lflag |= TOSTOP; tcsetattr(slave, TCSANOW, &t);
    pid = child(writes_tty); became("writer that is to stop", pid, WUNTRACED);
    t.c_lflag &= ~TOSTOP; tcsetattr(slave, TCSANOW, &t); kill(pid, SIGCONT); became("writer", pid, 0);
    t.c_lflag |= TOSTOP; tcsetattr(slave, TCSANOW, &t);
    pid = child(writes_deaf); became("writer that ignores", pid, WUNTRACED);
    pid = child(sets_tty); became("who sets", pid, WUNTRACED); kill(pid, SIGKILL); became("it", pid, 0);
    pid = child(takes_tty); became("who takes the foreground", pid, WUNTRACED); kill(pid, SIGKILL); became("it", pid, 0);
}

// Its parent ends: nobody could continue it.
static void reads_orphaned(void) {
    char buf[8];
    setpgid(0, 0); shared->turn = 1; await(2);
    errno = 0; long got = read(slave, buf, 8); shared->last = got < 0 ? errno : 0; shared->turn = 3;
}
static void makes_orphan(void) { lead(); if (!fork()) { if (!fork()) { reads_orphaned(); _exit(0); } await(1); _exit(0); } wait(0); shared->turn = 2; await(3); }
static void orphans(void) { SHOW(shared->last); }

static void hears(int sig) { note(sig); shared->pid[3]++; }
static void listens(void) {
    struct sigaction a = { .sa_handler = hears }; sigaction(SIGHUP, &a, 0); sigaction(SIGCONT, &a, 0);
    // They come only where they are waited for.
    sigset_t both, before; sigemptyset(&both); sigaddset(&both, SIGHUP); sigaddset(&both, SIGCONT); sigprocmask(SIG_BLOCK, &both, &before);
    lead(); shared->pid[0] = getpid(); shared->turn = 1;
    while (!(shared->signals & 1 << SIGHUP) || !(shared->signals & 1 << SIGCONT)) sigsuspend(&before);
    await(2);
    char buf[8];
    SHOW(read(slave, buf, 8)); SHOW(write(slave, "x", 1)); SHOW(open("/dev/tty", O_RDWR)); SHOW(ioctl(slave, TIOCSCTTY, 0));
}
static void hang_up(void) {
    open_both(); shared->turn = 0; shared->signals = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) { close(master); listens(); fflush(stdout); _exit(3); }
    await(1);
    SHOW(close(master)); shared->turn = 2; became("leader", pid, 0); TRUE(shared->signals == (1 << SIGHUP | 1 << SIGCONT));
    close(slave);
}
static void front_waits(void) { shared->turn++; for (;;) pause(); }
static void leaves(void) {
    lead();
    pid_t pid = child(front_waits); shared->pid[1] = pid; setpgid(pid, pid); ignore(SIGTTOU); tcsetpgrp(slave, pid); await(1);
}
static void leader_ends(void) {
    open_both(); shared->turn = 0;
    pid_t leader = child(leaves); became("leader", leader, 0);
    // The foreground is hung up, and the terminal is free.
    struct timespec t = { 0, 1000000 };
    int gone = 0;
    for (int i = 0; i < 20000 && !(gone = kill(shared->pid[1], 0) < 0); i++) { waitpid(-1, 0, WNOHANG); nanosleep(&t, 0); }
    TRUE(gone); SHOW(tcgetsid(master));
    close_both();
}

int main(void) {
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    alarm(60);
    // Who runs the tests may have a terminal.
    int own = open("/dev/tty", O_RDWR);
    if (own >= 0) { ioctl(own, TIOCNOTTY); close(own); }
    void (*parts[])(void) = { owning, keys, background, makes_orphan };
    const char *titles[] = { "owning", "keys", "background", "orphans" };
    for (int i = 0; i < 4; i++) {
        puts(titles[i]);
        open_both(); shared->turn = 0; shared->signals = 0;
        pid_t pid = child(parts[i]); became("session", pid, 0);
        if (i == 3) orphans();
        close_both();
    }
    puts("hang-up"); hang_up();
    puts("end of a leader"); leader_ends();
    puts("done");
    return 0;
}
