// Mappings of files that are longer than the files: this program's own, and one in /tmp.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static sigjmp_buf back;
static siginfo_t seen;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    seen = *info;
    siglongjmp(back, 1);
}

static void touch(const char *what, volatile char *at, int writes) {
    memset(&seen, 0, sizeof seen);
    if (!sigsetjmp(back, 1)) {
        if (writes) *at = 7;
        printf("%s: %d\n", what, *at);
    } else printf("%s: signal %d, code %d, at the address %d\n", what, seen.si_signo, seen.si_code, seen.si_addr == (void *)at);
}

// A mapping of `fd`, which has `size` bytes, and of three pages more.
static void beyond(const char *name, int fd, unsigned long size, int prot, void *where) {
    unsigned long end = (size + PAGE - 1) / PAGE * PAGE, len = end + 3 * PAGE;
    char *at = mmap(where, len, prot, MAP_PRIVATE | (where ? MAP_FIXED : 0), fd, 0);
    int zeros = 1;
    if (at == MAP_FAILED) exit((perror("mmap"), 1));
    for (unsigned long i = size; i < end; i++) zeros &= at[i] == 0;
    printf("%s: zeros to the end of the page %d\n", name, zeros);
    if (end) touch("last", at + end - 1, prot & PROT_WRITE);
    touch("first beyond", at + end, 0);
    touch("last beyond", at + len - 1, 0);
    touch("write beyond", at + len - 1, 1);
    int pipes[2];
    pipe(pipes);
    printf("write %zd", write(pipes[1], at + end, 1));
    printf(" %s, read %d", strerror(errno), write(pipes[1], "x", 1) == 1 && read(pipes[0], at + end, 1) < 0);
    printf(" %s\n", strerror(errno));
    close(pipes[0]), close(pipes[1]);
    printf("mprotect %d\n", mprotect(end ? at + end - PAGE : at, 2 * PAGE, PROT_NONE));
    touch("nothing allowed", at + end, 0);
    if (end) touch("and before", at + end - 1, 0);
    printf("mprotect %d\n", mprotect(end ? at + end - PAGE : at, 3 * PAGE, PROT_READ | PROT_WRITE));
    touch("all allowed", at + end, 1);
    if (end) touch("and before", at + end - 1, 1);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        if (end) touch("child, last", at + end - 1, 0);
        touch("child, beyond", at + end, 0);
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    touch("after it", at + end, 1);
    char *over = mmap(at + end, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    touch("memory over it", over, 1);
    touch("behind that", over + PAGE, 0);
    printf("munmap %d %d\n", status, munmap(at, len));
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct stat stat;
    (void)argc;
    sigaction(SIGBUS, &action, 0), sigaction(SIGSEGV, &action, 0);
    int self = open(argv[0], O_RDONLY);
    if (self < 0) self = open("/proc/self/exe", O_RDONLY);
    if (self < 0 || fstat(self, &stat)) return 1;
    // Once with one address space, then with two.
    for (int round = 0; round < 2; round++) {
        beyond("image", self, stat.st_size, PROT_READ, 0);
        beyond("image, copied", self, stat.st_size, PROT_READ | PROT_WRITE, 0);
        beyond("image, far", self, stat.st_size, PROT_READ | PROT_EXEC, (void *)0x500000000000);
        char name[] = "/tmp/endsXXXXXX";
        int file = mkstemp(name);
        unlink(name);
        if (ftruncate(file, 5000)) return 2;
        beyond("file", file, 5000, PROT_READ | PROT_WRITE, 0);
        if (ftruncate(file, 0)) return 3;
        beyond("empty", file, 0, PROT_READ | PROT_WRITE, (void *)0x510000000000);
        close(file);
    }
    char *zero = mmap(0, 2 * PAGE, PROT_READ, MAP_PRIVATE, open("/dev/zero", O_RDONLY), 0);
    touch("a device", zero + PAGE, 0);
    return 0;
}
