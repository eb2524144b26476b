# A guest kernel for tests: announces that it is ready, then does what the request says.
# Everything is position-independent within the blob; the blob is loaded at BASE.
.section .rodata.test_guest, "a"
.balign 4096
.globl test_guest_start
test_guest_start:
    .quad {magic}
    .long {version}
    .long 0
    .quad {base} + (entry - test_guest_start)
    .quad {base} + (stack_top - test_guest_start)
    .quad {base} + (syscall_stub - test_guest_start)
    .quad {base} + (exception_stack_top - test_guest_start)
    .quad {base} + (exception_stubs - test_guest_start)
    .quad 16
    .quad {base} + (prefault - test_guest_start)

# The request before the first run may hold an XSAVE image to start with.
entry:
    mov r15, {mailbox}
    mov r12, {request}
    cmp qword ptr [r15 + {request_len}], 0
    je 1f
    mov eax, -1
    mov edx, -1
    xrstor64 [r12]
1:  mov rbx, 0x5555aaaa
    wrfsbase rbx
    mov rdx, 0x1002
    mov rsi, 0x1003
    mov rdi, 0x1004
    mov rbp, 0x1005
    mov r8, 0x1008
    mov r9, 0x1009
    mov r10, 0x100a
    mov r11, 0x100b
    mov r12, 0x100c
    mov r13, 0x100d
    mov r14, 0x100e
    mov dword ptr [r15 + {doorbell}], 1
    mov rax, 0x1001
    lea rcx, [rip + after]
    out {port}, al
after:
    mov [rip + saved], rax
    mov [rip + saved + 8], rbx
    mov [rip + saved + 16], rcx
    mov [rip + saved + 24], rdx
    mov [rip + saved + 32], rsi
    mov [rip + saved + 40], rdi
    mov [rip + saved + 48], rbp
    mov [rip + saved + 56], rsp
    mov [rip + saved + 64], r8
    mov [rip + saved + 72], r9
    mov [rip + saved + 80], r10
    mov [rip + saved + 88], r11
    mov [rip + saved + 96], r12
    mov [rip + saved + 104], r13
    mov [rip + saved + 112], r14
    mov [rip + saved + 120], r15
    pushfq
    pop qword ptr [rip + saved + 128]
    rdfsbase rax
    mov [rip + saved + 136], rax
    rdgsbase rax
    mov [rip + saved + 144], rax
    xor ecx, ecx
    xgetbv
    mov [rip + saved + 152], rax
    mov eax, -1
    mov edx, -1
    xsave64 [rip + extended]

dispatch:
    cld
    mov r15, {mailbox}
    mov r12, {request}
    mov r13, {response}
    mov rdi, [r12 + 8]
    mov rcx, [r12 + 16]
    mov rax, [r12]
    cmp rax, 1
    je count
    cmp rax, 2
    je fill
    cmp rax, 3
    je illegal
    cmp rax, 4
    je forever
    cmp rax, 5
    je port
    cmp rax, 6
    je load
    cmp rax, 7
    je report
    cmp rax, 8
    je scramble
    cmp rax, 9
    je supervisor
    cmp rax, 10
    je doorbell_here
    cmp rax, 11
    je port_string
    cmp rax, 12
    je system_call
    cmp rax, 13
    je processor
    cmp rax, 14
    je read_keys
    cmp rax, 15
    je write_keys
    cmp rax, 16
    je spin
    mov eax, 99

# Answers with the 8 bytes in rax.
respond:
    mov r15, {mailbox}
    mov r13, {response}
    mov [r13], rax
    mov eax, 8
respond_length:
    mov r15, {mailbox}
    mov qword ptr [r15 + {response_len}], rax
    mov dword ptr [r15 + {doorbell}], 2
    lea rcx, [rip + 1f]
    out {port}, al
1:  jmp dispatch

count:
    mov rbx, {program}
    inc qword ptr [rbx]
    mov rax, [rbx]
    jmp respond
fill:
    mov rax, [r12 + 24]
    rep stosb
    jmp respond
illegal:
    ud2
forever:
    jmp forever
port:
    mov edx, edi
    out dx, al
    jmp respond
load:
    mov rax, [rdi]
    jmp respond
report:
    lea rsi, [rip + saved]
    mov rdi, r13
    mov ecx, 8192
    rep movsb
    mov eax, 8192
    jmp respond_length
# Loads an XSAVE image and fills every register with something else.
scramble:
    mov eax, -1
    mov edx, -1
    xrstor64 [r12 + 64]
    mov rax, -1
    shr rax, 17
    wrfsbase rax
    wrgsbase rax
    mov rbx, rax
    mov rsi, rax
    mov rdi, rax
    mov rbp, rax
    mov r8, rax
    mov r9, rax
    mov r10, rax
    mov r11, rax
    mov r12, rax
    mov r14, rax
    mov rsp, rax
    std
    mov eax, 8
    jmp respond_length
# Runs the ring 0 code with number rdi, which ends at `back`.
supervisor:
    lea rax, [rip + hooks]
    movsxd rdi, dword ptr [rax + rdi * 4]
    add rax, rdi
    mov [rip + hook], rax
    ud2
# Copies `out; jmp respond` code in front of `after` and rings there.
doorbell_here:
    mov qword ptr [r15 + {response_len}], 0
    mov dword ptr [r15 + {doorbell}], 2
    lea rdi, [rip + after]
    mov word ptr [rdi], 0x53e6
    jmp rdi
port_string:
    lea rsi, [rip + saved]
    mov edx, {port}
    mov ecx, 4
    rep outsb
    jmp respond
system_call:
    mov eax, 1
    syscall
    jmp respond

# Answers with EAX, EBX, ECX, EDX of CPUID leaf rdi, subleaf rcx.
processor:
    mov eax, edi
    cpuid
    mov [r13], eax
    mov [r13 + 4], ebx
    mov [r13 + 8], ecx
    mov [r13 + 12], edx
    mov eax, 16
    jmp respond_length

# Protection keys, which ring 3 can change where they are switched on.
read_keys:
    xor ecx, ecx
    rdpkru
    jmp respond
write_keys:
    mov eax, edi
    xor ecx, ecx
    xor edx, edx
    wrpkru
    jmp respond

# Jumps to an endless loop at rdi and asks for ticks. At the third one it answers 1 if each came from the loop and no
# register was changed. rcx is what it asks for; 0: the right thing.
spin:
    test rcx, rcx
    jnz 1f
    lea rcx, [rip + ticked]
1:  mov qword ptr [r15 + {tick_entry}], rcx
    mov word ptr [rdi], 0xfeeb
    mov rsi, 3
    mov rax, 0x1234
    mov rbp, rsp
    movq xmm5, rax
    jmp rdi
ticked:
    cmp rcx, [r15 + {tick_entry}]
    jne 2f
    cmp rdi, [r15 + {tick_rip}]
    jne 2f
    cmp rbp, rsp
    jne 2f
    movq rbx, xmm5
    cmp rax, rbx
    jne 2f
    dec rsi
    jz 1f
    jmp rdi
1:  mov eax, 1
    jmp respond
2:  mov eax, 2
    jmp respond

# Ring 0 code for `supervisor`, by number.
.balign 4
hooks:
    .long write_msr - hooks
    .long read_msr - hooks
    .long set_debug - hooks
    .long get_debug - hooks
    .long halt - hooks
    .long lose_cr3 - hooks
    .long set_xcr0 - hooks
    .long swap_gs - hooks
write_msr:
    mov ecx, 0xc0000102
    mov eax, 0x1234
    xor edx, edx
    wrmsr
    jmp back
read_msr:
    mov ecx, 0xc0000082
    rdmsr
    jmp back
set_debug:
    mov eax, 0x1230
    mov dr0, rax
    jmp back
get_debug:
    mov rax, dr0
    jmp back
halt:
    hlt
    jmp back
lose_cr3:
    mov rax, 0x7ff000
    mov cr3, rax
    jmp back
set_xcr0:
    xor ecx, ecx
    mov eax, 3
    xor edx, edx
    xsetbv
    jmp back
swap_gs:
    swapgs
    jmp back
back:
    lea rbx, [rip + respond]
    mov [rsp + 8], rbx
    add rsp, 8
    iretq

# Exceptions arrive here in ring 0. Without a hook they are reported as Doorbell::Signal.
.balign 4096
exception_stubs:
.set vector, 0
.rept 32
    .balign 16
    push vector
    jmp exception
    .set vector, vector + 1
.endr
    .balign 16
exception:
    mov rax, [rip + hook]
    mov qword ptr [rip + hook], 0
    test rax, rax
    jz 1f
    jmp rax
1:  mov r15, {mailbox}
    mov rax, [rsp]
    mov [r15 + {args}], rax
    mov rax, [rsp + 8]
    mov [r15 + {args} + 8], rax
    mov rax, [rsp + 16]
    mov [r15 + {args} + 16], rax
    mov dword ptr [r15 + {doorbell}], 6
    out {port}, al
2:  jmp 2b
syscall_stub:
    mov [rip + user_stack], rsp
    lea rsp, [rip + return_frame]
    iretq
return_frame:
    .quad {base} + (syscall_handler - test_guest_start)
    .quad 0x2b
    .quad 2
    .quad {base} + (stack_top - test_guest_start)
    .quad 0x23
syscall_handler:
    mov rsp, [rip + user_stack]
    mov eax, 0x5ca11
    jmp rcx

# Touches the rsi pages listed at rdi.
prefault:
    test rsi, rsi
    jz 3f
1:  mov rax, [rdi]
    add rdi, 8
    btr rax, 0
    jc 2f
    btr rax, 1
    jc 4f
    movzx ecx, byte ptr [rax]
    dec rsi
    jnz 1b
    jmp 3f
4:  mov rcx, [rdi]
    add rdi, 8
    mov [rax], rcx
    sub rsi, 2
    jnz 1b
    jmp 3f
2:  lock or byte ptr [rax], 0
    dec rsi
    jnz 1b
3:  out {port}, al
    jmp 3b

.balign 4096
hook: .quad 0
user_stack: .quad 0
.balign 64
saved: .zero 192
.balign 64
extended: .zero 4096
.balign 4096
.zero 8192
stack_top:
.zero 4096
exception_stack_top:
.globl test_guest_end
test_guest_end:
.text
