// A large file of the image mapped in every way that lets it be seen, changed and shared: this program itself, whose
// constants are most of it.
#define _GNU_SOURCE
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
#define MIB (1ul << 20)
#define BIG (6 * MIB)

// No two neighbouring pages are the same.
asm(".section .rodata\n.balign 4096\nbig:\n.set page, 0\n"
    ".rept 1536\n.fill 4096, 1, (page % 251) + 1\n.set page, page + 1\n.endr\n.text\n");
extern const unsigned char big[];

static int self;
static unsigned long size;
static unsigned char *buffer;

static const char *yes(int is) { return is ? "yes" : "no"; }

static int constants(void) {
    for (unsigned long at = 0; at < BIG; at++)
        if (big[at] != at / PAGE % 251 + 1) return 0;
    return 1;
}

// Whether `len` bytes at `map` are those of the file from `offset` on, as read(2) tells.
static int same(const unsigned char *map, unsigned long offset, unsigned long len) {
    for (unsigned long done = 0; done < len;) {
        long got = pread(self, buffer, len - done < MIB ? len - done : MIB, offset + done);
        if (got <= 0 || memcmp(map + done, buffer, got)) return 0;
        done += got;
    }
    return 1;
}

static unsigned char *map(unsigned long offset, unsigned long len, int prot) {
    void *at = mmap(0, len, prot, MAP_PRIVATE, self, offset);
    if (at == MAP_FAILED) exit((perror("mmap"), 1));
    return at;
}

static sigjmp_buf back;
static volatile int code;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    code = info->si_code;
    siglongjmp(back, 1);
}

static int fault_of_write(volatile unsigned char *at) {
    code = 0;
    if (!sigsetjmp(back, 1)) *at = 1;
    return code;
}

static int fault_of_read(volatile unsigned char *at) {
    code = 0;
    if (!sigsetjmp(back, 1)) (void)*at;
    return code;
}

static void changed(void) {
    unsigned char *all = map(0, size, PROT_READ), *text = map(0x3000, 5 * MIB, PROT_READ | PROT_EXEC);
    unsigned long end = (size + PAGE - 1) / PAGE * PAGE;
    int zero = 1;
    for (unsigned long at = size; at < end; at++) zero &= all[at] == 0;
    printf("all %s, behind it zeros %s\n", yes(same(all, 0, size)), yes(zero));
    printf("a part %s, write refused %s\n", yes(same(text, 0x3000, 5 * MIB)), yes(fault_of_write(all + 3 * MIB) == SEGV_ACCERR));

    unsigned char *page = all + 2 * MIB + 5 * PAGE;
    printf("mprotect %d\n", mprotect(page, PAGE, PROT_READ | PROT_WRITE));
    memset(page, 0xee, PAGE);
    printf("before %s, behind %s\n", yes(same(all, 0, page - all)), yes(same(page + PAGE, page + PAGE - all, all + size - page - PAGE)));
    printf("the other %s, constants %s\n", yes(same(text, 0x3000, 5 * MIB)), yes(constants()));
    printf("still changed %s\n", yes(page[0] == 0xee && page[PAGE - 1] == 0xee));

    void *hole = mmap(text + 3 * MIB, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    int empty = hole == text + 3 * MIB;
    for (unsigned long at = 0; at < 3 * PAGE; at++) empty &= text[3 * MIB + at] == 0;
    memset(hole, 1, 3 * PAGE);
    printf("memory over it %s, before %s, behind %s\n", yes(empty), yes(same(text, 0x3000, 3 * MIB)),
           yes(same(text + 3 * MIB + 3 * PAGE, 0x3000 + 3 * MIB + 3 * PAGE, 2 * MIB - 3 * PAGE)));
    void *again = mmap(hole, 3 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, self, 0x3000 + 3 * MIB);
    printf("again %s %s\n", yes(again == hole), yes(same(text, 0x3000, 5 * MIB)));

    unsigned char *guard = all + 4 * MIB + 7 * PAGE;
    void *guarded = mmap(guard, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("guard %s, read refused %s, beside it %s %s\n", yes(guarded == guard), yes(fault_of_read(guard) == SEGV_ACCERR),
           yes(same(guard - MIB, guard - MIB - all, MIB)), yes(same(guard + PAGE, guard + PAGE - all, MIB)));
    printf("opened %d", mprotect(all + 4 * MIB, 2 * MIB, PROT_READ));
    printf(" zeros %s, beside it %s %s\n", yes(guard[0] == 0 && !memcmp(guard, guard + 1, PAGE - 1)),
           yes(same(guard - MIB, guard - MIB - all, MIB)), yes(same(guard + PAGE, guard + PAGE - all, MIB)));
    mmap(guard, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, self, guard - all);
    printf("munmap %d %s\n", munmap(text + MIB, PAGE), yes(same(text + MIB + PAGE, 0x3000 + MIB + PAGE, 4 * MIB - PAGE)));
    unsigned char *moved = mremap(text + 4 * MIB, MIB, 2 * MIB, MREMAP_MAYMOVE);
    printf("moved %s\n", yes(moved != MAP_FAILED && same(moved, 0x3000 + 4 * MIB, MIB)));
    printf("msync %d\n", msync(all, size, MS_SYNC));
    printf("munmap %d\n", munmap(all, end));
    unsigned char *data = map(0, size, PROT_READ | PROT_WRITE);
    data[MIB] ^= 1;
    printf("data %s %s\n", yes(same(data, 0, MIB)), yes(same(data + MIB + 1, MIB + 1, size - MIB - 1)));
    munmap(data, size);
}

static void in_a_child(const char *name) {
    unsigned char *all = map(0, size, PROT_READ);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        printf("child: all %s, constants %s\n", yes(same(all, 0, size)), yes(constants()));
        mprotect(all + 3 * MIB, PAGE, PROT_READ | PROT_WRITE);
        all[3 * MIB] ^= 0xff;
        printf("child: changed %s, the rest %s\n", yes(!same(all + 3 * MIB, 3 * MIB, 1)),
               yes(same(all, 0, 3 * MIB) && same(all + 3 * MIB + 1, 3 * MIB + 1, size - 3 * MIB - 1)));
        printf("child: write refused %s\n", yes(fault_of_write(all + MIB) == SEGV_ACCERR));
        fflush(stdout);
        execl("/proc/self/exe", name, "again", (char *)0);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    printf("child ended with %d\n", WEXITSTATUS(status));
    printf("parent: all %s, constants %s\n", yes(same(all, 0, size)), yes(constants()));
    munmap(all, size);
}

int main(int argc, char **argv) {
    struct stat stat;
    self = open("/proc/self/exe", O_RDONLY);
    fstat(self, &stat);
    size = stat.st_size;
    buffer = malloc(MIB);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    int again = argc > 1 && !strcmp(argv[1], "again");
    printf("again %s: constants %s, large %s\n", yes(again), yes(constants()), yes(size > BIG));
    changed();
    if (!again) {
        in_a_child(argv[0]);
        changed();
    }
    return again ? 7 : 0;
}
