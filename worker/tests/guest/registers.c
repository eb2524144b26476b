// What a system call preserves: all registers but rax, rcx and r11, the flags, the red zone, the vector registers.
#include "every_register.h"
#include <stdio.h>
#include <sys/syscall.h>

int main(void) {
    choose_values();
    int ok = 1;
    for (int round = 0; round < 50; round++) {
        forget_values();
        __asm__ volatile(
            FILL_ALL
            "movq $0x1234567,-120(%%rsp)\n"
            "mov %0, %%eax\n"
            "stc\n"
            "syscall\n"
            "pushf; pop flags(%%rip)\n"
            "mov -120(%%rsp),%%rcx; mov %%rcx, red(%%rip)\n"
            TAKE_ALL
            :: "i"(SYS_getppid)
            : ALL_REGISTERS);
        ok &= are_preserved() && flags & 1;
    }
    printf("preserved %d\n", ok);
    printf("%.17g %.3e %Lf\n", 0.1 + 0.2, 1e100 / 3, 1.5L);
    return !ok;
}
