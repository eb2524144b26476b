// Signals a program sends to itself, and faults it handles.
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SHOW(what) do { errno = 0; long r = (long)(what); printf("%-48s %ld %d\n", #what, r, errno); } while (0)

static volatile int hits, last;
static sigjmp_buf back;
static char *stack;

static void count(int s) { hits++; last = s; }
static void info(int s, siginfo_t *i, void *c) { printf("signal %d code %d pid %d self %d\n", s, i->si_code, i->si_pid == getpid(), i->si_signo == s); }
static void jump(int s, siginfo_t *i, void *c) { siglongjmp(back, s); }
static void where(int s, siginfo_t *i, void *c) {
    char here;
    printf("on the alternate stack %d address %p\n", &here > stack && &here < stack + 65536, i->si_addr);
    siglongjmp(back, s);
}
static void skip(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    printf("trap %d vector %lld\n", s, u->uc_mcontext.gregs[REG_TRAPNO]);
    u->uc_mcontext.gregs[REG_RIP] += 2;
    u->uc_mcontext.gregs[REG_RBX] = 4711;
}
static void clobber(int s) {
    __asm__ volatile("pxor %%xmm0,%%xmm0; pxor %%xmm15,%%xmm15; xor %%r12,%%r12; std; cld" ::: "xmm0", "xmm15", "r12");
    feraiseexcept(FE_INVALID);
    hits++;
}
static void on(int s, void *h, int flags) {
    struct sigaction a = {.sa_flags = flags};
    a.sa_sigaction = h;
    if (sigaction(s, &a, 0)) perror("sigaction");
}

static void fault(const char *name, void (*f)(void)) {
    int s = sigsetjmp(back, 1);
    if (s == 0) f();
    printf("%s -> %d\n", name, s);
}
static void null_read(void) { *(volatile int *)16; }
static void illegal(void) { __asm__ volatile("ud2"); }
static void divide(void) { __asm__ volatile("xor %%edx,%%edx; mov $1,%%eax; xor %%ecx,%%ecx; div %%ecx" ::: "eax", "ecx", "edx"); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void noncanonical(void) { *(volatile int *)0x8000000000000000ul; }
static void privileged(void) { __asm__ volatile("hlt"); }
static void call_null(void) { ((void (*)(void))8)(); }

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    on(SIGUSR1, count, 0);
    SHOW(raise(SIGUSR1));
    SHOW(kill(getpid(), SIGUSR1));
    SHOW(kill(0, 0));
    printf("hits %d last %d\n", hits, last);
    on(SIGUSR2, info, SA_SIGINFO);
    raise(SIGUSR2);
    kill(getpid(), SIGUSR2);

    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    SHOW(sigprocmask(SIG_BLOCK, &set, &old));
    raise(SIGUSR1);
    raise(SIGUSR1);
    sigpending(&pending);
    printf("blocked: hits %d pending %d\n", hits, sigismember(&pending, SIGUSR1));
    SHOW(sigprocmask(SIG_SETMASK, &old, 0));
    printf("unblocked: hits %d\n", hits);
    SHOW(sigprocmask(99, &set, 0));
    SHOW(signal(SIGKILL, SIG_IGN) == SIG_ERR);
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, 0, 0, 4));
    SHOW(syscall(SYS_rt_sigaction, 65, 0, 0, 8));
    SHOW(kill(99999999, 0));
    SHOW(kill(getpid(), 65));
    SHOW(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0));
    SHOW(syscall(SYS_tgkill, -1, 1, 0));
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    signal(SIGCHLD, SIG_DFL);
    raise(SIGCHLD);
    raise(SIGWINCH);
    printf("ignored: hits %d\n", hits);
    struct timespec none = {0, 1000};
    SHOW(sigtimedwait(&set, 0, &none));

    // Everything a system call preserves survives a handler that runs in it.
    on(SIGUSR1, clobber, 0);
    double sum = 0;
    for (int i = 0; i < 10; i++) {
        __m128i x = _mm_set1_epi32(i), y;
        uint64_t r12;
        __asm__ volatile("movdqa %2,%%xmm0; movdqa %2,%%xmm15; mov $77,%%r12; mov $62,%%eax; syscall; mov %%r12,%1; paddd %%xmm15,%%xmm0; movdqa %%xmm0,%0"
            : "=x"(y), "=r"(r12) : "x"(x), "D"((long)getpid()), "S"((long)SIGUSR1) : "rax", "rcx", "r11", "r12", "xmm0", "xmm15", "memory");
        sum += _mm_cvtsi128_si32(y) + r12;
    }
    printf("preserved %.0f invalid %d\n", sum, !!fetestexcept(FE_INVALID));

    int kinds[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS};
    for (int i = 0; i < 5; i++) on(kinds[i], jump, SA_SIGINFO);
    fault("null read", null_read);
    fault("ud2", illegal);
    fault("divide", divide);
    fault("int3", breakpoint);
    fault("noncanonical", noncanonical);
    fault("hlt", privileged);
    fault("call of 8", call_null);

    stack = malloc(65536);
    stack_t alt = {.ss_sp = stack, .ss_size = 65536}, was;
    SHOW(sigaltstack(&alt, &was));
    printf("was disabled %d\n", was.ss_flags == SS_DISABLE);
    on(SIGSEGV, where, SA_SIGINFO | SA_ONSTACK);
    fault("on a stack of its own", null_read);
    alt.ss_size = 100;
    SHOW(sigaltstack(&alt, 0));
    alt.ss_flags = 77;
    SHOW(sigaltstack(&alt, 0));

    on(SIGILL, skip, SA_SIGINFO);
    long rbx = 0;
    __asm__ volatile("mov $1,%%rbx; ud2; mov %%rbx,%0" : "=r"(rbx) :: "rbx");
    printf("went on with %ld\n", rbx);
    on(SIGUSR1, count, SA_RESETHAND | SA_NODEFER);
    hits = 0;
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, 0, &now);
    printf("once: hits %d default %d\n", hits, now.sa_handler == SIG_DFL);
    return 0;
}
