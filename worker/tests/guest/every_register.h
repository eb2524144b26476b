// Pieces of inline assembly that fill every register a system call preserves, and take them all down again.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define KEEP __attribute__((used))
KEEP static uint64_t in[16], out[16], flags, red;
KEEP static __m128i vin[16], vout[16];
KEEP static uint32_t mxcsr_in = 0x1fa0, mxcsr_out;

// Saves the callee-saved registers and fills all but rax, rcx and r11.
#define FILL_ALL \
    "push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15\n" \
    "lea vin(%%rip), %%rax\n" \
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqa \\n*16(%%rax), %%xmm\\n\n .endr\n" \
    "lea in(%%rip), %%rax\n" \
    "mov 0(%%rax),%%rbx; mov 8(%%rax),%%rdx; mov 16(%%rax),%%rsi; mov 24(%%rax),%%rdi; mov 32(%%rax),%%rbp\n" \
    "mov 40(%%rax),%%r8; mov 48(%%rax),%%r9; mov 56(%%rax),%%r10; mov 64(%%rax),%%r12; mov 72(%%rax),%%r13; mov 80(%%rax),%%r14; mov 88(%%rax),%%r15\n" \
    "ldmxcsr mxcsr_in(%%rip)\n"

// Takes them down and restores the callee-saved ones.
#define TAKE_ALL \
    "stmxcsr mxcsr_out(%%rip)\n" \
    "lea out(%%rip), %%rax\n" \
    "mov %%rbx,0(%%rax); mov %%rdx,8(%%rax); mov %%rsi,16(%%rax); mov %%rdi,24(%%rax); mov %%rbp,32(%%rax)\n" \
    "mov %%r8,40(%%rax); mov %%r9,48(%%rax); mov %%r10,56(%%rax); mov %%r12,64(%%rax); mov %%r13,72(%%rax); mov %%r14,80(%%rax); mov %%r15,88(%%rax)\n" \
    "lea vout(%%rip), %%rax\n" \
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqa %%xmm\\n, \\n*16(%%rax)\n .endr\n" \
    "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx\n"

#define ALL_REGISTERS \
    "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", \
    "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

// What is filled in, all of it different.
static void choose_values(void) {
    for (int i = 0; i < 16; i++) {
        in[i] = 0x0101010101010101ull * (i + 1);
        vin[i] = _mm_set_epi64x(i * 77, i * 1000 + 1);
    }
}

static void forget_values(void) {
    memset(out, 0, sizeof out);
    memset(vout, 0, sizeof vout);
}

// Whether all was preserved, and the word 0x1234567 in the red zone, found in `red`, too.
static int are_preserved(void) {
    return !memcmp(in, out, 12 * 8) && !memcmp(vin, vout, sizeof vin) && red == 0x1234567 && mxcsr_out == mxcsr_in;
}
