use super::*;
use crate::clock::SECOND;
use crate::errno::Errno;
use crate::platform::Function;
use abi::refusal::{Kind, Refusal};
use alloc::vec;
use linux_raw_sys::general as linux;

/// Makes one system call and returns `rax`.
fn call(kernel: &mut Kernel, number: u64, args: [u64; 3]) -> u64 {
    let mut registers =
        Registers { rax: number, rdi: args[0], rsi: args[1], rdx: args[2], ..Registers::default() };
    kernel.system_call(&mut registers);
    registers.rax
}

#[test]
fn waiting_for_a_request_makes_a_parent_and_its_return_a_fork() {
    let (mut kernel, fake) = Kernel::for_tests();
    let (before, wall) = (fake.identity.get(), kernel.clock.wall(fake.tsc.get()));
    let mut random = [[0; 8]; 2];
    kernel.random.fill(&mut random[0]);
    fake.requests.borrow_mut().push_back(b"GET / HTTP/1.1\r\n\r\n".to_vec());
    let mut later = before;
    later.wall_ns += 100 * SECOND;
    fake.identity.set(later);
    kernel.wait(None, true);
    assert_eq!(fake.doorbells(), [Doorbell::Ready]);
    assert!(kernel.request_taken);
    assert_eq!((kernel.fork.generation, kernel.fork.instance), (1, fake.identity.get().instance));
    assert!(kernel.clock.wall(fake.tsc.get()) >= wall + 100 * SECOND, "the clock is the fork's");
    kernel.random.fill(&mut random[1]);
    assert_ne!(random[0], random[1]);
    let soon = kernel.now() + SECOND;
    kernel.wait(Some(soon), true);
    assert_eq!(fake.doorbells(), [Doorbell::Ready, Doorbell::Sleep], "a fork has its request already");
    assert!(kernel.now() >= soon);
}

#[test]
fn a_runtimes_fork_becomes_a_function_before_it_takes_requests() {
    let (mut kernel, fake) = Kernel::for_tests();
    kernel.config.awaits_function = true;
    let memory = kernel.mm.total();
    fake.function.set(Function { memory: memory + (2 << 20), package: &[] });
    for document in [&b"function"[..], b"request"] {
        fake.requests.borrow_mut().push_back(document.to_vec());
    }
    kernel.wait(None, true);
    assert!(!kernel.request_taken, "what it was given is not a request");
    assert_eq!(kernel.inbound.borrow().unread(), b"function");
    assert_eq!(kernel.mm.total(), memory + (2 << 20));
    assert_eq!(kernel.process.limits[linux::RLIMIT_AS as usize].0, memory + (2 << 20));
    kernel.wait(None, true);
    assert!(kernel.request_taken);
    assert_eq!(kernel.inbound.borrow().unread(), b"request");
    assert_eq!(fake.doorbells(), [Doorbell::Ready, Doorbell::Ready]);
}

#[test]
fn a_function_with_less_memory_than_its_runtime_is_refused() {
    let (mut kernel, fake) = Kernel::for_tests();
    kernel.config.awaits_function = true;
    fake.function.set(Function { memory: kernel.mm.total() - 4096, package: &[] });
    fake.requests.borrow_mut().push_back(vec![]);
    kernel.wait(None, true);
    assert_eq!(fake.doorbells(), [Doorbell::Ready, Doorbell::Panic]);
}

#[test]
fn a_fork_needs_an_identity_of_its_own() {
    let (mut kernel, fake) = Kernel::for_tests();
    kernel.fork.generation = 1;
    fake.requests.borrow_mut().push_back(vec![]);
    kernel.wait(None, true);
    assert_eq!(fake.doorbells(), [Doorbell::Ready, Doorbell::Panic]);
    assert!(fake.detail.borrow().contains("generation"));
}

#[test]
fn unknown_calls_are_refused_and_counted() {
    let (mut kernel, fake) = Kernel::for_tests();
    for number in [u64::from(linux::__NR_rseq), u64::from(linux::__NR_ptrace), 511, 512, u64::MAX] {
        assert_eq!(call(&mut kernel, number, [0; 3]), Errno::ENOSYS.as_return_value());
        let counted = Refusal::new(Kind::Call, u32::try_from(number).unwrap_or(u32::MAX), 0, 0);
        assert_eq!(fake.refusals.borrow().last(), Some(&counted));
    }
}

#[test]
fn refused_memory_is_told() {
    let (mut kernel, fake) = Kernel::for_tests();
    let flags = u64::from(linux::MAP_PRIVATE | linux::MAP_ANONYMOUS);
    let mut registers = Registers { rax: 9, rsi: 1 << 30, rdx: 3, ..Registers::default() };
    registers.r8_15[2] = flags;
    kernel.system_call(&mut registers);
    assert_eq!((registers.rax, fake.refused.get()), (Errno::ENOMEM.as_return_value(), 1));
    let brk = call(&mut kernel, 12, [0; 3]);
    assert_eq!(call(&mut kernel, 12, [brk + (1 << 21), 0, 0]), brk + (1 << 21));
    assert_eq!(fake.refused.get(), 1);
    let end = kernel.mm.end();
    assert_eq!(call(&mut kernel, 12, [end, 0, 0]), end);
    assert_eq!(call(&mut kernel, 12, [end + 1, 0, 0]), end);
    assert_eq!(fake.refused.get(), 2, "more than there is");
    call(&mut kernel, 12, [brk, 0, 0]);
    registers = Registers { rax: 9, rsi: 8192, rdx: 3, ..Registers::default() };
    registers.r8_15[2] = flags;
    kernel.system_call(&mut registers);
    call(&mut kernel, 11, [end - 4096, 4096, 0]);
    assert_eq!(call(&mut kernel, 12, [end - 4096, 0, 0]), brk);
    assert_eq!(fake.refused.get(), 2, "a mapping in the way");
}

#[test]
fn sleeping_lets_time_pass() {
    let (mut kernel, fake) = Kernel::for_tests();
    let brk = call(&mut kernel, 12, [0; 3]);
    call(&mut kernel, 12, [brk + 4096, 0, 0]);
    kernel.mm.write(brk, &[2u64, 500]).unwrap();
    let start = kernel.now();
    assert_eq!(call(&mut kernel, 35, [brk, 0, 0]), 0);
    assert!(kernel.now() >= start + 2 * SECOND + 500);
    assert_eq!(fake.doorbells(), [Doorbell::Sleep]);
}

#[test]
fn exiting_tells_the_low_byte() {
    let (mut kernel, fake) = Kernel::for_tests();
    call(&mut kernel, 231, [0x1_02ff, 0, 0]);
    assert_eq!(fake.rings.borrow()[0], (Doorbell::Exit, [0xff, 0, 0, 0]));
}
