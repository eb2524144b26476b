// What handlers are told about exceptions of arithmetic, and that they start with a floating-point state of their own.
#define _GNU_SOURCE
#include <fenv.h>
#include <immintrin.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

struct told {
    int signal, code, at_rip, no_address, vector;
    uint32_t mxcsr, saved_mxcsr;
    uint16_t control, status, saved_control, saved_status;
};

static sigjmp_buf back;
static volatile struct told told;
static volatile double zero, one = 1, huge = 1e308, tiny = 1e-308, denormal = 5e-324, minus = -1;
static volatile double result;

static uint16_t x87_control(void) { uint16_t word; __asm__ volatile("fnstcw %0" : "=m"(word)); return word; }
static uint16_t x87_status(void) { uint16_t word; __asm__ volatile("fnstsw %0" : "=m"(word)); return word; }

static void note(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    told.mxcsr = _mm_getcsr(), told.control = x87_control(), told.status = x87_status();
    told.signal = s, told.code = i->si_code;
    told.at_rip = i->si_addr == (void *)u->uc_mcontext.gregs[REG_RIP], told.no_address = i->si_addr == 0;
    told.vector = u->uc_mcontext.gregs[REG_TRAPNO];
    told.saved_mxcsr = u->uc_mcontext.fpregs->mxcsr;
    told.saved_control = u->uc_mcontext.fpregs->cwd, told.saved_status = u->uc_mcontext.fpregs->swd;
}
static void leave(int s, siginfo_t *i, void *c) {
    note(s, i, c);
    siglongjmp(back, 1);
}
static void on(int s, void *handler) {
    struct sigaction a = {.sa_flags = SA_SIGINFO, .sa_sigaction = handler};
    if (sigaction(s, &a, 0)) perror("sigaction");
}

static void fault(const char *name, void (*f)(void)) {
    memset((void *)&told, 0, sizeof told);
    _mm_setcsr(0x1f80);
    __asm__ volatile("fninit");
    if (sigsetjmp(back, 1) == 0) {
        f();
        printf("%s: nothing happened\n", name);
    }
    // What is left by a handler that does not return is its own state.
    uint32_t mxcsr = _mm_getcsr();
    uint16_t control = x87_control();
    _mm_setcsr(0x1f80);
    __asm__ volatile("fninit");
    printf("%s: signal %d code %d at rip %d no address %d vector %d\n", name, told.signal, told.code, told.at_rip, told.no_address, told.vector);
    printf("    in the handler %x %x %x, in the frame %x %x %x, after it %x %x\n", told.mxcsr, told.control, told.status,
        told.saved_mxcsr, told.saved_control, told.saved_status, mxcsr, control);
}

static void divide_enabled(void) { feenableexcept(FE_DIVBYZERO); result = one / zero; }
static void overflow_enabled(void) { feenableexcept(FE_OVERFLOW); result = huge * huge; }
static void underflow_enabled(void) { feenableexcept(FE_UNDERFLOW); result = tiny * tiny; }
static void inexact_enabled(void) { feenableexcept(FE_INEXACT); result = one / (one + one + one); }
static void invalid_enabled(void) { feenableexcept(FE_INVALID); result = zero / zero; }
// One mask bit each, and flags that are up before: an instruction that raises another one makes the fault.
static void sse_denormal(void) { _mm_setcsr(0x1f80 & ~0x100); result = denormal * one; }
static void sse_sticky(void) { _mm_setcsr((0x1f80 & ~0x600) | 0x04); result = huge * huge; }
static void sse_masked_sticky(void) { _mm_setcsr((0x1f80 & ~0x400) | 0x05); result = huge * huge; }
static void control(uint16_t word) { __asm__ volatile("fldcw %0" :: "m"(word)); }
static void x87_divide(void) { control(0x37f & ~4); __asm__ volatile("fld1; fldz; fdivrp; fwait"); }
static void x87_invalid(void) { control(0x37f & ~1); __asm__ volatile("fld1; fchs; fsqrt; fwait"); }
static void x87_stack(void) { control(0x37f & ~1); __asm__ volatile("fld1;fld1;fld1;fld1;fld1;fld1;fld1;fld1;fld1; fwait"); }
static void x87_overflow(void) {
    float f;
    control(0x37f & ~8);
    __asm__ volatile("fldl %1; fstps %0; fwait" : "=m"(f) : "m"(huge));
}
static void x87_underflow(void) {
    float f;
    control(0x37f & ~16);
    __asm__ volatile("fldl %1; fstps %0; fwait" : "=m"(f) : "m"(tiny));
}
static void x87_denormal(void) { control(0x37f & ~2); __asm__ volatile("fldl %0; fwait" :: "m"(denormal)); }
static void x87_inexact(void) { control(0x37f & ~32); __asm__ volatile("fld1; fldpi; fdivrp; fwait"); }
static void integer_divide(void) { __asm__ volatile("xor %%edx,%%edx; mov $1,%%eax; xor %%ecx,%%ecx; div %%ecx" ::: "eax", "ecx", "edx"); }
static void integer_overflow(void) { __asm__ volatile("mov $0x80000000,%%eax; cltd; mov $-1,%%ecx; idiv %%ecx" ::: "eax", "ecx", "edx"); }
static void illegal(void) { __asm__ volatile("ud2"); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void step(void) { __asm__ volatile("sub $128,%%rsp; pushf; orl $0x100,(%%rsp); popf; nop; nop; add $128,%%rsp" ::: "memory", "cc"); }
static void general(void) { __asm__ volatile("hlt"); }

static uint64_t found[6];
static volatile int avx;
static volatile long double sum;

// The first instructions of the handler: what the registers hold there is not the program's.
void handler(int, siginfo_t *, void *);
__asm__(".text\nhandler: movq %xmm0,found(%rip); movq %xmm7,found+8(%rip); movq %xmm15,found+16(%rip)\n"
        "cmpl $0,avx(%rip); je 1f; vextractf128 $1,%ymm14,%xmm0; movq %xmm0,found+24(%rip)\n1: jmp compute\n");
void compute(int s, siginfo_t *i, void *c);
void compute(int s, siginfo_t *i, void *c) {
    note(s, i, c);
    long double all = 0;
    for (int n = 1; n <= 20; n++) all += sqrtl(n) * (n + 0.5L) / 3;
    sum = all;
    // All of this is gone when the program goes on.
    fesetround(FE_TOWARDZERO);
    feraiseexcept(FE_ALL_EXCEPT);
    __asm__ volatile("fninit; fldz; fldz; fldz; pxor %%xmm15,%%xmm15; pxor %%xmm7,%%xmm7" ::: "xmm7", "xmm15");
    if (avx) __asm__ volatile("vzeroall" ::: "memory");
}

static void state_survives(int how) {
    double values[8];
    uint64_t xmm[4] = {0};
    uint64_t pattern[4] = {0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444};
    uint16_t status, word;
    uint32_t mxcsr;
    static double loaded[8] = {0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5};
    memset((void *)&told, 0, sizeof told);
    memset(found, 0xff, sizeof found);
    if (!avx) found[3] = 0;
    fesetround(FE_UPWARD);
    feenableexcept(FE_OVERFLOW);
    if (how) __asm__ volatile("vmovdqu %0,%%ymm14" :: "m"(pattern) : "xmm14");
    __asm__ volatile(
        "fldl (%[l]); fldl 8(%[l]); fldl 16(%[l]); fldl 24(%[l]); fldl 32(%[l]); fldl 40(%[l]); fldl 48(%[l]); fldl 56(%[l])\n"
        "movq %[p],%%xmm0; movq %[p],%%xmm7; movq %[p],%%xmm15\n"
        "syscall\n"
        "fnstsw %[s]; fnstcw %[w]; stmxcsr %[m]\n"
        "fstpl 56(%[v]); fstpl 48(%[v]); fstpl 40(%[v]); fstpl 32(%[v]); fstpl 24(%[v]); fstpl 16(%[v]); fstpl 8(%[v]); fstpl (%[v])\n"
        "movq %%xmm0,(%[x]); movq %%xmm7,8(%[x]); movq %%xmm15,16(%[x])\n"
        : [s] "=m"(status), [w] "=m"(word), [m] "=m"(mxcsr)
        : "a"((long)SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1), [l] "r"(loaded), [v] "r"(values), [x] "r"(xmm), [p] "m"(pattern)
        : "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory");
    if (how) {
        uint64_t now[4];
        __asm__ volatile("vmovdqu %%ymm14,%0" : "=m"(now));
        xmm[3] = now[3] == pattern[3] && now[0] == pattern[0];
    } else xmm[3] = 1;
    int rounding = fegetround(), enabled = fegetexcept();
    fedisableexcept(FE_ALL_EXCEPT);
    fesetenv(FE_DFL_ENV);
    printf("the handler found %x %x %x and %lx %lx %lx %lx\n", told.mxcsr, told.control, told.status, found[0], found[1], found[2], found[3]);
    printf("in the frame %x %x %x\n", told.saved_mxcsr, told.saved_control, told.saved_status);
    printf("it computed %.15Lf\n", sum);
    printf("the program has %x %x %x rounding %d enabled %d\n", mxcsr, word, status, rounding == FE_UPWARD, enabled == FE_OVERFLOW);
    printf("and %d %lx %lx %lx %lx\n", memcmp(values, loaded, sizeof values), xmm[0], xmm[1], xmm[2], xmm[3]);
}

// A fault that the handler mends: the program goes on with the state it had.
static void mend(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    note(s, i, c);
    volatile long double third = 1.0L / 3;
    volatile double inexact = one / 3 * huge * huge;
    u->uc_mcontext.fpregs->mxcsr |= 0x1f80;
    u->uc_mcontext.fpregs->mxcsr &= ~0x3f;
    (void)third, (void)inexact;
}

// A second signal finds the state of the first one's handler, and gives it back.
static void inner(int s, siginfo_t *i, void *c) { note(s, i, c); }
static void outer(int s, siginfo_t *i, void *c) {
    fesetround(FE_DOWNWARD);
    raise(SIGUSR2);
    printf("inner found %x %x, outer's was %x, outer has its own %d\n", told.mxcsr, told.control, told.saved_mxcsr & 0x6000, fegetround() == FE_DOWNWARD);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    int kinds[] = {SIGFPE, SIGILL, SIGTRAP, SIGSEGV};
    for (int i = 0; i < 4; i++) on(kinds[i], leave);
    fault("divide", divide_enabled);
    fault("overflow", overflow_enabled);
    fault("underflow", underflow_enabled);
    fault("inexact", inexact_enabled);
    fault("invalid", invalid_enabled);
    fault("denormal", sse_denormal);
    fault("overflow and an older division", sse_sticky);
    fault("overflow and older ones nobody wants", sse_masked_sticky);
    fault("x87 divide", x87_divide);
    fault("x87 invalid", x87_invalid);
    fault("x87 stack", x87_stack);
    fault("x87 overflow", x87_overflow);
    fault("x87 underflow", x87_underflow);
    fault("x87 denormal", x87_denormal);
    fault("x87 inexact", x87_inexact);
    fault("integer divide", integer_divide);
    fault("integer overflow", integer_overflow);
    fault("ud2", illegal);
    fault("int3", breakpoint);
    fault("hlt", general);
    fault("step", step);

    on(SIGUSR1, handler);
    state_survives(0);
    avx = __builtin_cpu_supports("avx") != 0;
    state_survives(avx);

    on(SIGFPE, mend);
    fesetround(FE_UPWARD);
    feenableexcept(FE_DIVBYZERO);
    result = one / zero;
    printf("mended %f code %d found %x has %x\n", result, told.code, told.mxcsr, _mm_getcsr());
    fesetenv(FE_DFL_ENV);

    on(SIGUSR1, outer);
    on(SIGUSR2, inner);
    fesetround(FE_UPWARD);
    raise(SIGUSR1);
    printf("main has its own %d\n", fegetround() == FE_UPWARD);
    return 0;
}
