/* Asks for what pico lacks, and Linux too where Linux is asked in the same words. Prints nothing but that it is done. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    int fds[2], on = 1;
    void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};
    int tcp = socket(AF_INET, SOCK_STREAM, 0);

    syscall(SYS_ptrace, 0, 0, 0, 0);
    syscall(SYS_ptrace, 0, 0, 0, 0);
    pipe2(fds, O_DIRECT | O_CLOEXEC);
    syscall(SYS_openat2, AT_FDCWD, "/tmp", &how, sizeof how);
    syscall(SYS_clone, CLONE_NEWNS | 17, 0, 0, 0, 0);
    socket(AF_PACKET, SOCK_RAW, 0);
    socket(AF_INET, SOCK_RAW, 1);
    setsockopt(tcp, SOL_SOCKET, SO_MARK, &on, sizeof on);
    setsockopt(tcp, 0x1234, 5, &on, sizeof on);
    prctl(PR_SET_SECCOMP, 2, 0, 0, 0);
    madvise(page, 4096, MADV_MERGEABLE);
    fcntl(tcp, F_SETLEASE, F_WRLCK);
    ioctl(tcp, 0xdead, page);
    ioctl(tcp, TIOCGWINSZ, page);
    mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    for (unsigned request = 0; request < 300; request++)
        ioctl(tcp, 0x10000 + request, page);
    puts("done");
    return 0;
}
