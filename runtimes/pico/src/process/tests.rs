use super::Info;
use super::signals::{Action, bit};
use super::*;
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::mm::areas::Kind;
use crate::mm::{DATA, Mapping, Placement};
use crate::platform::fake::Fake;
use abi::layout::{KERNEL_SIZE, KERNEL_VA};
use abi::mailbox::Doorbell;
use alloc::rc::Rc;
use alloc::vec;
use linux_raw_sys::general as linux;

const HANDLER: u64 = 0x1234_5678;
const RESTORER: u64 = 0x8765_4321;

/// A kernel whose program has a stack; the registers of the program point into it.
fn kernel() -> (Kernel, Rc<Fake>, Registers) {
    let (mut kernel, fake) = Kernel::for_tests();
    let mapping = Mapping {
        placement: Placement::Hint(0),
        len: 64 << 10,
        prot: DATA,
        kind: Kind::Anonymous,
        file: None,
    };
    let stack = kernel.mm.map(mapping).unwrap();
    let registers = Registers {
        rax: 1,
        rbx: 2,
        rcx: 3,
        rdx: 4,
        rsi: 5,
        rdi: 6,
        rbp: 7,
        rsp: stack + (64 << 10) - 8,
        r8_15: [8, 9, 10, 11, 12, 13, 14, 15],
        rip: 0x40_0000,
        rflags: 0x246,
        mxcsr: 0x1f80,
        reserved: [0; 3],
        xmm: core::array::from_fn(|i| i as u128 + 100),
    };
    (kernel, fake, registers)
}

fn handle(kernel: &mut Kernel, signal: u32, flags: u32, mask: u64) {
    let flags = u64::from(flags | linux::SA_RESTORER);
    let action = Action { handler: HANDLER, flags, restorer: RESTORER, mask };
    kernel.process.signals.set_action(signal, action).unwrap();
}

/// What the program does at the end of a handler: returns into the restorer, which calls `rt_sigreturn`.
fn sigreturn(kernel: &mut Kernel, registers: &mut Registers) {
    registers.rsp += 8;
    registers.rax = u64::from(linux::__NR_rt_sigreturn);
    assert!(kernel.system_call(registers), "rt_sigreturn replaces all registers");
}

#[test]
fn a_handler_gets_a_frame_and_everything_comes_back() {
    let (mut kernel, fake, before) = kernel();
    handle(&mut kernel, linux::SIGUSR1, linux::SA_SIGINFO, bit(linux::SIGUSR2));
    kernel.process.signals.send(Info::from_process(linux::SIGUSR1, 0, 1)).unwrap();
    let mut registers = before;
    assert!(kernel.deliver_signals(&mut registers));
    assert_eq!((registers.rip, registers.rdi), (HANDLER, u64::from(linux::SIGUSR1)));
    assert_eq!(registers.rsp % 16, 8, "as after a call");
    assert!(before.rsp - registers.rsp >= 128, "the red zone stays");
    assert_eq!(kernel.mm.read(registers.rsp), Ok(RESTORER));
    let info: Info = kernel.mm.read(registers.rsi).unwrap();
    assert_eq!((info.signal, info.fields[0]), (linux::SIGUSR1, PID));
    assert_eq!(kernel.process.signals.blocked(), bit(linux::SIGUSR1) | bit(linux::SIGUSR2));
    let context = registers.rdx;
    assert_eq!(kernel.mm.read(context + 40 + 16 * 8), Ok(before.rip));
    (registers.rbx, registers.xmm[3]) = (99, 99);
    sigreturn(&mut kernel, &mut registers);
    assert_eq!(registers, before);
    assert_eq!(kernel.process.signals.blocked(), 0);
    assert!(fake.doorbells().is_empty());
}

#[test]
fn a_handler_may_change_where_the_program_goes_on() {
    let (mut kernel, _, before) = kernel();
    handle(&mut kernel, linux::SIGSEGV, linux::SA_SIGINFO, 0);
    let mut registers = before;
    let fault = fault_signal(14, 6, 0xdead_0000);
    kernel.fault(&mut registers, &fault);
    let info: Info = kernel.mm.read(registers.rsi).unwrap();
    assert_eq!((info.signal, info.code, info.fields[0]), (linux::SIGSEGV, 1, 0xdead_0000));
    kernel.mm.write(registers.rdx + 40 + 16 * 8, &0x50_0000u64).unwrap();
    sigreturn(&mut kernel, &mut registers);
    assert_eq!(registers, Registers { rip: 0x50_0000, ..before });
}

#[test]
fn faults_without_a_handler_end_the_program() {
    let vectors = [
        (0, linux::SIGFPE),
        (3, linux::SIGTRAP),
        (6, linux::SIGILL),
        (12, linux::SIGBUS),
        (13, linux::SIGSEGV),
        (14, linux::SIGSEGV),
        (17, linux::SIGBUS),
        (19, linux::SIGFPE),
    ];
    for (vector, signal) in vectors {
        let (mut kernel, fake, mut registers) = kernel();
        kernel.fault(&mut registers, &fault_signal(vector, 0, 0x77));
        let address = if vector == 14 { 0x77 } else { 0 };
        let expected = (Doorbell::Signal, [u64::from(signal), address, registers.rip, 0]);
        assert_eq!(*fake.rings.borrow(), vec![expected]);
    }
}

#[test]
fn a_fault_whose_signal_is_blocked_ends_the_program() {
    let (mut kernel, fake, mut registers) = kernel();
    handle(&mut kernel, linux::SIGSEGV, 0, 0);
    kernel.process.signals.set_blocked(bit(linux::SIGSEGV));
    kernel.fault(&mut registers, &fault_signal(14, 0, 0));
    assert_eq!(fake.doorbells(), [Doorbell::Signal]);
}

#[test]
fn no_room_for_a_frame_ends_the_program() {
    let (mut kernel, fake, mut registers) = kernel();
    handle(&mut kernel, linux::SIGSEGV, 0, 0);
    registers.rsp = 64;
    kernel.fault(&mut registers, &fault_signal(14, 0, 0));
    assert_eq!(fake.doorbells(), [Doorbell::Signal]);
}

#[test]
fn a_handler_inside_of_pico_ends_the_program() {
    for at in [KERNEL_VA, KERNEL_VA + KERNEL_SIZE - 1] {
        let (mut kernel, fake, mut registers) = kernel();
        handle(&mut kernel, linux::SIGUSR1, 0, 0);
        let action = Action { handler: at, ..kernel.process.signals.action(linux::SIGUSR1).unwrap() };
        kernel.process.signals.set_action(linux::SIGUSR1, action).unwrap();
        kernel.process.signals.send(Info::sent(linux::SIGUSR1, 0)).unwrap();
        kernel.deliver_signals(&mut registers);
        assert_eq!(fake.rings.borrow()[0].1[0], u64::from(linux::SIGSEGV));
    }
}

#[test]
fn the_default_of_most_signals_is_death_and_of_some_nothing() {
    let (mut kernel, fake, mut registers) = kernel();
    for signal in [linux::SIGCHLD, linux::SIGWINCH, linux::SIGURG, linux::SIGCONT] {
        kernel.process.signals.send(Info::sent(signal, 0)).unwrap();
    }
    assert!(!kernel.deliver_signals(&mut registers));
    assert!(fake.doorbells().is_empty());
    kernel.process.signals.send(Info::sent(linux::SIGTERM, 0)).unwrap();
    kernel.deliver_signals(&mut registers);
    assert_eq!(fake.rings.borrow()[0].1[0], u64::from(linux::SIGTERM));
}

#[test]
fn blocked_signals_wait_and_kill_cannot_be_blocked() {
    let (mut kernel, fake, mut registers) = kernel();
    kernel.process.signals.set_blocked(u64::MAX);
    for signal in [linux::SIGTERM, 40] {
        kernel.process.signals.send(Info::sent(signal, 0)).unwrap();
    }
    assert!(!kernel.deliver_signals(&mut registers));
    assert_eq!(kernel.process.signals.pending(), bit(linux::SIGTERM) | bit(40));
    assert_eq!(kernel.process.take_signal_from(bit(40)).map(|info| info.signal), Some(40));
    kernel.process.signals.send(Info::sent(linux::SIGKILL, 0)).unwrap();
    kernel.deliver_signals(&mut registers);
    assert_eq!(fake.rings.borrow()[0].1[0], u64::from(linux::SIGKILL));
    let caught = Action { handler: HANDLER, ..Action::default() };
    assert_eq!(kernel.process.signals.set_action(linux::SIGKILL, caught), Err(Errno::EINVAL));
    assert_eq!(kernel.process.signals.set_action(65, caught), Err(Errno::EINVAL));
    assert_eq!(kernel.process.signals.set_action(0, caught), Err(Errno::EINVAL));
}

#[test]
fn handlers_run_on_the_alternate_stack_once() {
    let (mut kernel, _, mut registers) = kernel();
    let base = registers.rsp - (60 << 10);
    kernel.process.signals.own.alt_stack = AltStack { base, flags: 0, reserved: 0, size: 16 << 10 };
    handle(&mut kernel, linux::SIGUSR1, linux::SA_ONSTACK | linux::SA_NODEFER | linux::SA_RESETHAND, 0);
    kernel.process.signals.send(Info::sent(linux::SIGUSR1, 0)).unwrap();
    kernel.deliver_signals(&mut registers);
    assert!(kernel.process.signals.own.alt_stack.holds(registers.rsp));
    let first = registers.rsp;
    assert_eq!(kernel.process.signals.action(linux::SIGUSR1).unwrap().handler, 0, "SA_RESETHAND");
    assert_eq!(kernel.process.signals.blocked(), 0, "SA_NODEFER");
    handle(&mut kernel, linux::SIGUSR1, linux::SA_ONSTACK, 0);
    kernel.process.signals.send(Info::sent(linux::SIGUSR1, 0)).unwrap();
    kernel.deliver_signals(&mut registers);
    assert!(
        registers.rsp < first && first - registers.rsp < FRAME_SIZE + 64,
        "goes on below the first frame"
    );
}

#[test]
fn a_damaged_frame_cannot_hurt() {
    let (mut kernel, fake, before) = kernel();
    handle(&mut kernel, linux::SIGUSR1, 0, 0);
    kernel.process.signals.send(Info::sent(linux::SIGUSR1, 0)).unwrap();
    let mut registers = before;
    kernel.deliver_signals(&mut registers);
    // All flags, and vector state that would fault.
    kernel.mm.write(registers.rdx + 40 + 17 * 8, &u64::MAX).unwrap();
    let xstate: u64 = kernel.mm.read(registers.rdx + 40 + 184).unwrap();
    assert_eq!(xstate % 64, 0);
    kernel.mm.slice_mut(xstate, XSTATE_SIZE).unwrap().fill(0xff);
    sigreturn(&mut kernel, &mut registers);
    assert_eq!(registers.rflags & 0x3000, 0, "the I/O privilege level stays");
    assert_eq!(registers.mxcsr & 0xffff_0000, 0);
    assert!(fake.doorbells().is_empty());
    registers.rsp = 16;
    registers.rax = u64::from(linux::__NR_rt_sigreturn);
    kernel.system_call(&mut registers);
    assert_eq!(fake.doorbells(), [Doorbell::Signal], "no frame at all");
}
