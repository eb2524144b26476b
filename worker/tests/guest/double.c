// One file in memory mapped twice: code is written through one mapping and runs through the other, as compilers do that keep text closed.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN (3ul << 20)

static unsigned char *map(int file, int prot) {
    unsigned char *at = mmap(0, LEN, prot, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) exit((perror("mmap"), 1));
    return at;
}

// mov eax, value; ret
static void emit(unsigned char *at, int value) {
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

static int call(unsigned char *at) { return ((int (*)(void))at)(); }

// How a child ends that does this.
static void child(const char *what, void (*act)(unsigned char *), unsigned char *at) {
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        act(at);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void run(unsigned char *at) { _exit(call(at)); }

static void use(int file) {
    unsigned char *text = map(file, PROT_READ | PROT_EXEC), *data = map(file, PROT_READ | PROT_WRITE), *third = map(file, PROT_READ);
    printf("apart %d %d %d\n", text != data, data != third, text != third);
    emit(data + 0x480, 42);
    emit(data + LEN - 4096, 43);
    printf("%d %d\n", call(text + 0x480), call(text + LEN - 4096));
    emit(data + 0x480, 44);
    printf("%d, third %d\n", call(text + 0x480), third[0x481]);
    child("a child runs it", run, text + 0x480);
    printf("unmap %d\n", munmap(data, LEN));
    printf("%d, third %d\n", call(text + 0x480), third[0x481]);
    data = map(file, PROT_READ | PROT_WRITE);
    emit(data + 0x480, 45);
    printf("%d\n", call(text + 0x480));
    printf("unmap %d %d\n", munmap(text, LEN), munmap(third, LEN));
    char byte;
    printf("read %zd %d\n", pread(file, &byte, 1, 0x481), byte);
    printf("unmap %d\n", munmap(data, LEN));
}

static void run_data(unsigned char *at) { use(*(int *)at); fflush(stdout); _exit(0); }

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    int file = memfd_create("code", 0);
    printf("size %d\n", ftruncate(file, LEN));
    use(file);
    // Where there are several processes, too.
    child("in a child", run_data, (unsigned char *)&file);
    use(file);
    return 0;
}
