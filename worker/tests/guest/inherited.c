// What a child gets of memory for which madvise(2) says that it is not to be copied.
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define SHOW(call) do { errno = 0; long result = (long)(call); printf("%s: %ld %s\n", #call, result, strerror(errno)); } while (0)

static sigjmp_buf back;
static volatile int code;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    code = info->si_code;
    siglongjmp(back, 1);
}

static void tell(const char *who, volatile char *at, int pages) {
    printf("%s:", who);
    for (int page = 0; page < pages; page++)
        if (!sigsetjmp(back, 1)) printf(" %d", at[page * PAGE]);
        else printf(" fault-%d", code);
    printf("\n");
}

static char *make(int pages, int flags) {
    char *at = mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
    for (int page = 0; page < pages; page++) at[page * PAGE] = page + 1;
    return at;
}

static void in_child(int depth, char *at, char *shared) {
    fflush(stdout);
    if (!fork()) {
        tell("child", at, 10), tell("child's shared", shared, 3);
        at[5 * PAGE] = 55;
        if (depth) in_child(depth - 1, at, shared);
        fflush(stdout);
        _exit(0);
    }
    int status;
    wait(&status);
    printf("ended %d\n", status);
}

static void work(int flags) {
    char *at = make(10, MAP_PRIVATE | flags), *shared = make(3, MAP_SHARED);
    SHOW(madvise(at + PAGE, 3 * PAGE, MADV_DONTFORK));
    SHOW(madvise(at + 2 * PAGE, PAGE, MADV_DOFORK));
    SHOW(madvise(at + 5 * PAGE, 3 * PAGE, MADV_WIPEONFORK));
    SHOW(madvise(at + 6 * PAGE, PAGE, MADV_KEEPONFORK));
    SHOW(madvise(shared, PAGE, MADV_WIPEONFORK));
    SHOW(madvise(shared + PAGE, PAGE, MADV_DONTFORK));
    SHOW(madvise(at + 1, PAGE, MADV_WIPEONFORK));
    in_child(1, at, shared);
    tell("parent", at, 10), tell("shared", shared, 3);
    // A mapping in its place is a new one.
    mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    at[PAGE] = 11;
    SHOW(madvise(at, 10 * PAGE, MADV_KEEPONFORK));
    in_child(0, at, shared);
    SHOW(munmap(at, 10 * PAGE));
    SHOW(madvise(at, PAGE, MADV_DONTFORK));
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    work(0);
    work(MAP_NORESERVE);
    return 0;
}
