use super::*;
use crate::mm::areas::Kind;
use crate::mm::{DATA, Mapping, Placement};
use crate::platform::fake::Fake;
use crate::process::{Action, Registers};
use abi::mailbox::Doorbell;
use alloc::rc::Rc;

const HANDLER: u64 = 0x1234_5678;
const RESTORER: u64 = 0x8765_4321;
const SITE: u64 = 0x40_0002;

/// A kernel with a page of memory for arguments and a stack; registers right after a `syscall` instruction.
struct Program {
    kernel: Kernel,
    machine: Rc<Fake>,
    page: u64,
    registers: Registers,
}

impl Program {
    fn new() -> Self {
        let (mut kernel, machine) = Kernel::for_tests();
        let len = 64 << 10;
        let mapping =
            Mapping { placement: Placement::Hint(0), len, prot: DATA, kind: Kind::Anonymous, file: None };
        let page = kernel.mm.map(mapping).unwrap();
        let registers = Registers {
            rax: 0,
            rbx: 0,
            rcx: 0,
            rdx: 0,
            rsi: 0,
            rdi: 0,
            rbp: 0,
            rsp: page + len - 8,
            r8_15: [0; 8],
            rip: SITE,
            rflags: 0x246,
            mxcsr: 0x1f80,
            reserved: [0; 3],
            xmm: [0; 16],
        };
        Self { kernel, machine, page, registers }
    }

    /// Makes a system call as the program would; what it returns if no handler is started.
    fn call(&mut self, number: u32, args: [u64; 4]) -> i64 {
        self.registers.rax = u64::from(number);
        [self.registers.rdi, self.registers.rsi, self.registers.rdx, self.registers.r8_15[2]] = args;
        self.kernel.system_call(&mut self.registers);
        self.registers.rax.cast_signed()
    }

    /// What a system call returns that a handler interrupts: it is in the handler's frame.
    fn interrupted(&mut self, number: u32, args: [u64; 4]) -> (i64, u64) {
        self.call(number, args);
        assert_eq!(self.registers.rip, HANDLER, "a handler runs");
        self.registers.rsp += 8;
        self.call(linux::__NR_rt_sigreturn, [0; 4]);
        let result = (self.registers.rax.cast_signed(), self.registers.rip);
        self.registers.rip = SITE;
        result
    }

    fn handle(&mut self, signal: u32, flags: u32) {
        let flags = u64::from(flags | linux::SA_RESTORER);
        let action = Action { handler: HANDLER, flags, restorer: RESTORER, mask: 0 };
        self.kernel.process.signals.set_action(signal, action).unwrap();
    }

    fn set_timer(&mut self, delay_us: u64, interval_us: u64) {
        let parts = |us: u64| [us / 1_000_000, us % 1_000_000];
        self.kernel.mm.write(self.page, &[parts(interval_us), parts(delay_us)]).unwrap();
        assert_eq!(self.call(linux::__NR_setitimer, [0, self.page, 0, 0]), 0);
    }
}

fn error(errno: Errno) -> i64 {
    errno.as_return_value().cast_signed()
}

#[test]
fn an_alarm_ends_a_sleep_and_what_was_left_is_told() {
    let mut program = Program::new();
    program.handle(linux::SIGALRM, linux::SA_RESTART);
    assert_eq!(program.call(linux::__NR_alarm, [1, 0, 0, 0]), 0);
    let (length, left) = (program.page, program.page + 16);
    program.kernel.mm.write(length, &[5u64, 0]).unwrap();
    let result = program.interrupted(linux::__NR_nanosleep, [length, left, 0, 0]);
    assert_eq!(result, (error(Errno::EINTR), SITE), "a sleep is never made again");
    assert_eq!(program.kernel.mm.read(left), Ok([4u64, 0]));
    assert_eq!(program.call(linux::__NR_alarm, [0; 4]), 0, "it went off");
}

#[test]
fn alarms_replace_each_other_and_tell_what_was_left() {
    let mut program = Program::new();
    assert_eq!(program.call(linux::__NR_alarm, [10, 0, 0, 0]), 0);
    assert_eq!(program.call(linux::__NR_alarm, [2, 0, 0, 0]), 10);
    assert_eq!(program.call(linux::__NR_alarm, [0; 4]), 2);
    assert_eq!(program.call(linux::__NR_alarm, [0; 4]), 0);
    program.set_timer(2_500_000, 1_000_000);
    assert_eq!(program.call(linux::__NR_getitimer, [0, program.page, 0, 0]), 0);
    assert_eq!(program.kernel.mm.read(program.page), Ok([1u64, 0, 2, 500_000]));
    assert_eq!(program.call(linux::__NR_getitimer, [1, program.page, 0, 0]), 0);
    assert_eq!(program.kernel.mm.read(program.page), Ok([0u64; 4]));
}

#[test]
fn a_periodic_timer_interrupts_again_and_again_and_keeps_its_phase() {
    let mut program = Program::new();
    program.handle(linux::SIGALRM, 0);
    program.set_timer(50_000, 50_000);
    let start = program.kernel.process.alarm.next.unwrap();
    for round in 1..4 {
        assert_eq!(program.interrupted(linux::__NR_pause, [0; 4]).0, error(Errno::EINTR));
        assert_eq!(program.kernel.process.alarm.next, Some(start + round * 50_000_000));
    }
}

#[test]
fn a_read_is_made_again_only_if_the_handler_says_so() {
    let mut program = Program::new();
    let fds = program.page;
    assert_eq!(program.call(linux::__NR_pipe, [fds, 0, 0, 0]), 0);
    let read = [0, program.page + 64, 1, 0];
    for (flags, expected) in [
        (0, (error(Errno::EINTR), SITE)),
        (linux::SA_RESTART, (i64::from(linux::__NR_read), SITE - SYSCALL_BYTES)),
    ] {
        program.handle(linux::SIGALRM, flags);
        program.set_timer(1000, 0);
        let fd: u32 = program.kernel.mm.read(fds).unwrap_or(0);
        assert_eq!(program.interrupted(linux::__NR_read, [u64::from(fd), read[1], 1, 0]), expected);
    }
}

/// Length of the instruction `syscall`.
const SYSCALL_BYTES: u64 = 2;

#[test]
fn poll_is_ended_by_a_signal_and_never_made_again() {
    let mut program = Program::new();
    program.handle(linux::SIGALRM, linux::SA_RESTART);
    program.set_timer(1000, 0);
    let result = program.interrupted(linux::__NR_poll, [0, 0, 10_000, 0]);
    assert_eq!(result, (error(Errno::EINTR), SITE));
}

#[test]
fn a_blocked_alarm_ends_nothing_but_a_call_that_unblocks_it() {
    let mut program = Program::new();
    program.handle(linux::SIGALRM, 0);
    let alarm = 1u64 << (linux::SIGALRM - 1);
    program.kernel.process.signals.set_blocked(alarm);
    program.set_timer(1000, 0);
    assert_eq!(program.call(linux::__NR_poll, [0, 0, 10, 0]), 0);
    assert_eq!(program.kernel.process.signals.pending(), alarm);
    program.kernel.mm.write(program.page, &0u64).unwrap();
    let result = program.interrupted(linux::__NR_rt_sigsuspend, [program.page, 8, 0, 0]);
    assert_eq!(result.0, error(Errno::EINTR));
    assert_eq!(program.kernel.process.signals.blocked(), alarm, "the mask from before is back");
}

#[test]
fn a_mask_for_one_call_goes_when_the_call_ends_by_itself() {
    let mut program = Program::new();
    program.kernel.mm.write(program.page, &[0u64, 1000, u64::MAX]).unwrap();
    let args = [0, 0, program.page, program.page + 16];
    program.registers.r8_15[0] = 8;
    assert_eq!(program.call(linux::__NR_ppoll, args), 0);
    assert_eq!(program.kernel.process.signals.blocked(), 0);
}

#[test]
fn without_a_handler_an_alarm_ends_the_program() {
    let mut program = Program::new();
    program.set_timer(1000, 0);
    program.call(linux::__NR_poll, [0, 0, 1000, 0]);
    assert_eq!(program.machine.doorbells(), [Doorbell::Sleep, Doorbell::Signal]);
    assert_eq!(program.machine.rings.borrow()[1].1[0], u64::from(linux::SIGALRM));
}

#[test]
fn a_queued_signal_arrives_with_its_value() {
    let mut program = Program::new();
    let signal = linux::SIGUSR2;
    program.kernel.process.signals.set_blocked(u64::MAX);
    let info = [u64::from(signal), 0xffff_ffff, 1, 77];
    program.kernel.mm.write(program.page, &info).unwrap();
    let (page, set) = (program.page, program.page + 256);
    assert_eq!(program.call(linux::__NR_rt_sigqueueinfo, [1, signal.into(), page, 0]), 0);
    assert_eq!(program.call(linux::__NR_rt_sigqueueinfo, [2, signal.into(), page, 0]), error(Errno::ESRCH));
    program.kernel.mm.write(set, &(1u64 << (signal - 1))).unwrap();
    let waited = program.call(linux::__NR_rt_sigtimedwait, [set, page + 512, 0, 8]);
    assert_eq!(waited, i64::from(signal));
    assert_eq!(program.kernel.mm.read(page + 512 + 24), Ok(77u64));
}

#[test]
fn timers_that_do_not_exist_are_refused() {
    let mut program = Program::new();
    let page = program.page;
    assert_eq!(program.call(linux::__NR_setitimer, [3, page, 0, 0]), error(Errno::EINVAL));
    program.kernel.mm.write(page, &[0, 0, 0, 1_000_000u64]).unwrap();
    assert_eq!(program.call(linux::__NR_setitimer, [0, page, 0, 0]), error(Errno::EINVAL));
    assert_eq!(program.call(linux::__NR_setitimer, [0, 8, 0, 0]), error(Errno::EFAULT));
}
