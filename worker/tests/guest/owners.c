// Users and groups of processes and of their files; System V shared memory. The same program prints the same on Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-64s %ld %d\n", #what, r, r < 0 ? errno : 0); fflush(stdout); } while (0)
#define TRUE(what) do { printf("%-64s %s\n", #what, (what) ? "true" : "FALSE"); fflush(stdout); } while (0)

static void in_a_child(void (*body)(void)) {
    int status;
    fflush(stdout);
    if (fork() == 0) { body(); fflush(stdout); _exit(0); }
    wait(&status);
    SHOW(status);
}

static void ids(void) {
    uid_t user[3];
    gid_t group[3], groups[64];
    getresuid(user, user + 1, user + 2);
    getresgid(group, group + 1, group + 2);
    int count = getgroups(64, groups);
    printf("users %d %d %d groups %d %d %d and", user[0], user[1], user[2], group[0], group[1], group[2]);
    for (int i = 0; i < count; i++) printf(" %d", groups[i]);
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3) || !strncmp(line, "Groups", 6)) printf("; %.*s", (int)strcspn(line, "\n"), line);
    fclose(status);
    printf("\n");
    fflush(stdout);
}

static void files(void) {
    struct stat about;
    char name[64];
    int ends[2];
    struct ucred who;
    socklen_t size = sizeof who;
    snprintf(name, sizeof name, "/tmp/owned.%d", getpid());
    int fd = open(name, O_CREAT | O_RDWR, 0644);
    fstat(fd, &about);
    printf("file of %d %d\n", about.st_uid, about.st_gid);
    unlink(name);
    SHOW(mkdir(name, 0700));
    stat(name, &about);
    printf("directory of %d %d\n", about.st_uid, about.st_gid);
    rmdir(name);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &who, &size);
    printf("peer %d %d %d\n", who.pid == getpid(), who.uid, who.gid);
}

static void drops(void) {
    SHOW(setgroups(3, (gid_t[]){ 30, 10, 20 }));
    SHOW(syscall(SYS_getgroups, 2, (gid_t[2]){ 0 }));
    SHOW(syscall(SYS_getgroups, -1, 0));
    SHOW(syscall(SYS_getgroups, 0, 0));
    SHOW(syscall(SYS_setgroups, -1, 0));
    SHOW(syscall(SYS_setgroups, 1, (gid_t *)16));
    SHOW(setgid(777));
    SHOW(setuid(999));
    ids();
    SHOW(setuid(0));
    SHOW(setgid(0));
    SHOW(setgroups(0, 0));
    SHOW(setreuid(0, -1));
    SHOW(setreuid(-1, 0));
    SHOW(setresuid(-1, -1, 0));
    SHOW(setresuid(999, 999, 999));
    SHOW(setuid(999));
    ids();
    files();
}
static void acts_for_a_while(void) {
    SHOW(setgroups(0, 0));
    ids();
    SHOW(setegid(5));
    SHOW(seteuid(1000));
    ids();
    files();
    SHOW(setgroups(0, 0));
    SHOW(seteuid(0));
    SHOW(setresgid(1, 2, 3));
    SHOW(setreuid(7, 8));
    ids();
    SHOW(setreuid(8, 7));
    ids();
    SHOW(setreuid(9, -1));
    SHOW(setreuid(-1, 9));
    SHOW(setregid(3, 3));
    SHOW(setregid(-1, 1));
    SHOW(setgid(3));
    ids();
    SHOW(syscall(SYS_setuid, -1));
}
static void execs(void) {
    SHOW(setresgid(4, 5, 6));
    SHOW(setresuid(1, 2, 3));
    ids();
    fflush(stdout);
    execl("/proc/self/exe", "owners", "again", (char *)0);
}
static void again(void) {
    ids();
    printf("told %ld %ld %ld %ld\n", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID));
}

static struct shmid_ds about;
static unsigned long attached(int id) { return shmctl(id, IPC_STAT, &about) ? (unsigned long)-1 : about.shm_nattch; }
static void shown(int id) {
    SHOW(shmctl(id, IPC_STAT, &about));
    printf("%ld bytes, mode %o, of %d %d made by %d %d, attached %ld, made %d used %d, times %d %d %d\n", (long)about.shm_segsz, about.shm_perm.mode,
           about.shm_perm.uid, about.shm_perm.gid, about.shm_perm.cuid, about.shm_perm.cgid, (long)about.shm_nattch,
           about.shm_cpid == getpid(), about.shm_lpid == getpid(), !!about.shm_atime, !!about.shm_dtime, !!about.shm_ctime);
}

static int id;
static char *at;
static void child_writes(void) {
    SHOW(attached(id));
    strcpy(at, "from the child");
    char *other = shmat(id, 0, 0);
    TRUE(other != at && !strcmp(other, at));
    SHOW(attached(id));
    SHOW(shmdt(other));
    SHOW(attached(id));
}
static void refused(void) {
    SHOW(shmget(IPC_PRIVATE, 0, 0600));
    SHOW(shmget(IPC_PRIVATE, ~0UL, 0600));
    SHOW(shmat(1 << 30, 0, 0));
    SHOW(shmctl(1 << 30, IPC_STAT, &about));
    SHOW(shmctl(id, 12345, &about));
    SHOW(shmat(id, (void *)1, 0));
    SHOW(shmdt((void *)4096));
    SHOW(shmctl(id, IPC_STAT, (void *)16));
}
static void shared_memory(void) {
    key_t key = 0x5350 ^ getpid() << 16;
    id = shmget(IPC_PRIVATE, 10000, 0640);
    TRUE(id >= 0);
    shown(id);
    at = shmat(id, 0, 0);
    TRUE((intptr_t)at > 0);
    TRUE(at[0] == 0 && at[9999] == 0 && at[12287] == 0);
    strcpy(at, "from the parent");
    in_a_child(child_writes);
    printf("%s\n", at);
    shown(id);
    char *read_only = shmat(id, 0, SHM_RDONLY);
    printf("%s, attached %lu\n", read_only, attached(id));
    SHOW(read(open("/dev/zero", O_RDONLY), read_only, 1));
    SHOW(shmdt(read_only));
    SHOW(shmdt(read_only));
    char *wanted = at - (1UL << 32);
    TRUE(shmat(id, wanted + 5, SHM_RND) == wanted);
    SHOW(shmat(id, wanted, 0));
    SHOW(munmap(wanted, 12288));
    SHOW(attached(id));
    refused();
    about.shm_perm.uid = 5, about.shm_perm.gid = 6, about.shm_perm.mode = 01777;
    SHOW(shmctl(id, IPC_SET, &about));
    shown(id);
    SHOW(shmctl(id, IPC_RMID, 0));
    shown(id);
    TRUE(shmat(id, 0, 0) != (void *)-1);
    SHOW(attached(id));
    SHOW(about.shm_perm.__key);
    SHOW(shmdt(at));
    SHOW(attached(id));
    int named = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);
    TRUE(named >= 0);
    TRUE(shmget(key, 4096, IPC_CREAT | 0600) == named && shmget(key, 0, 0) == named);
    SHOW(shmget(key, 4097, 0));
    SHOW(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600));
    SHOW(shmctl(named, SHM_LOCK, 0));
    SHOW(shmctl(named, IPC_RMID, 0));
    SHOW(shmctl(named, IPC_RMID, 0));
    SHOW(shmget(key, 4096, 0600));
}
// A segment that was removed goes with the last process that has it mapped.
static void goes_with_its_last_user(void) {
    id = shmget(IPC_PRIVATE, 4096, 0600);
    at = shmat(id, 0, 0);
    SHOW(shmctl(id, IPC_RMID, 0));
}
static void many(void) {
    enum { ROUNDS = 2000, SIZE = 1 << 20 };
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int one = shmget(IPC_PRIVATE, SIZE, 0600);
        char *place = shmat(one, 0, 0);
        if (one < 0 || place == (void *)-1 || place[0] || place[SIZE - 1]) { wrong++; break; }
        place[0] = place[SIZE - 1] = 1;
        wrong += shmctl(one, IPC_RMID, 0) != 0;
        wrong += shmdt(place) != 0;
    }
    SHOW(wrong);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "again")) { again(); return 0; }
    setgroups(1, (gid_t[]){ 0 });
    ids();
    in_a_child(drops);
    in_a_child(acts_for_a_while);
    in_a_child(execs);
    ids();
    shared_memory();
    in_a_child(goes_with_its_last_user);
    many();
    return 0;
}
