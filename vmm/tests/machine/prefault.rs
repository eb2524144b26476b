//! Shells whose page faults are behind them before there is a request.

use crate::fixture::{COUNT, FILL, LOAD, REPORT, World, answer, number, prepare, request};
use crate::guest;
use crate::recycle::{extended, parent_ram, ram};
use abi::boot::KernelHeader;
use abi::layout::{HUGE, KERNEL_SIZE, KERNEL_VA, PROGRAM_VA, kernel_area};
use abi::mailbox::REQUEST_MAX;
use std::mem::offset_of;
use vmm::{Discard, ImageError, KernelImage, Machine, MachineError, WorkingSet};
use zerocopy::{FromBytes, IntoBytes};

/// Faults KVM takes for one request.
fn faults(machine: &mut Machine, deed: &[u8]) -> u64 {
    let stats = machine.vcpu_stats().unwrap();
    let taken = || stats.read("pf_taken").unwrap().expect("every KVM counts page faults");
    prepare(machine, deed);
    let before = taken();
    answer(machine);
    taken() - before
}

/// The least faults in a few shells that were touched: the host may take a page away from any one of them.
fn least_touched(shell: &mut Machine, deed: &[u8]) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..5 {
        shell.prefault().unwrap();
        least = least.min(faults(shell, deed));
        shell.remap().unwrap();
        if least == 0 {
            break;
        }
    }
    least
}

fn header() -> KernelHeader {
    KernelHeader::read_from_prefix(guest::code()).unwrap().0
}

/// A world whose guest kernel begins its prefault code with `instructions`.
fn with_prefault_code(instructions: &[u8]) -> World {
    let mut code = guest::code().to_vec();
    let at = usize::try_from(header().prefault - KERNEL_VA - kernel_area::IMAGE).unwrap();
    code[at..at + instructions.len()].copy_from_slice(instructions);
    World::with_kernel(&code, &[])
}

#[test]
fn a_shell_whose_pages_were_touched_is_a_new_shell() {
    let world = World::with_start(&extended(0x3c));
    let (memory, report) = (parent_ram(&world), world.answer(&request(&[REPORT])));
    let mut machine = world.shell();
    assert!(machine.prefault().unwrap() > 0);
    assert!(ram(&machine) == memory);
    let header = machine.mailbox().header();
    assert_eq!((header.doorbell, header.request_len, header.response_len), (0, 0, 0));
    prepare(&mut machine, &request(&[REPORT]));
    assert!(answer(&mut machine) == report);
    machine.restore().unwrap();
    prepare(&mut machine, &request(&[COUNT]));
    assert_eq!(number(&answer(&mut machine)), 1);
}

#[test]
fn a_request_takes_no_fault_on_pages_that_were_touched() {
    let world = World::new();
    let write = request(&[FILL, PROGRAM_VA, 100 * 4096, 1]);
    let mut first = world.shell();
    let learning = faults(&mut first, &write);
    first.restore().unwrap();
    let untouched = faults(&mut world.shell(), &write);
    let mut shell = world.shell();
    let touched = least_touched(&mut shell, &write);
    assert!(untouched > 10 && learning >= untouched, "first {learning}, new {untouched}");
    assert_eq!(touched, 0, "in a new shell there are {untouched}");
    // The same of a shell that was mapped anew.
    assert_eq!(least_touched(&mut shell, &write), 0);
}

#[test]
fn what_is_read_is_learnt_page_by_page() {
    let world = World::new();
    assert_eq!(world.parent.working_set(), WorkingSet::default());
    // Touching says nothing of requests.
    let mut shell = world.shell();
    shell.prefault().unwrap();
    assert_eq!(world.parent.working_set(), WorkingSet::default());
    prepare(&mut shell, &request(&[COUNT]));
    answer(&mut shell);
    shell.restore().unwrap();
    assert_eq!(world.parent.working_set().touched, None);

    let read = 3 * HUGE + 5 * 4096;
    let mut machine = world.fork(&request(&[LOAD, PROGRAM_VA + read]));
    answer(&mut machine);
    machine.restore().unwrap();
    let set = world.parent.working_set();
    let program = usize::try_from(KERNEL_SIZE).unwrap();
    let at = program + usize::try_from(read).unwrap();
    let touched = set.touched.clone().unwrap();
    // The page that `COUNT` wrote to was made ready, so it cannot be told from one that was touched.
    let expected = [program..program + 4096, at..at + 4096];
    assert!(touched.iter().filter(|range| range.start >= program).eq(&expected), "{touched:?}");

    // Another parent with the same memory is told.
    let other = World::new();
    other.parent.expect(set.clone());
    assert_eq!(other.parent.working_set(), set);
}

#[test]
fn an_impossible_working_set_costs_nothing_but_itself() {
    let world = World::new();
    let end = usize::try_from(guest::RAM).unwrap();
    let reversed = std::ops::Range { start: 8192, end: 4096 };
    let nonsense = vec![1..4096, 0..end + 4096, reversed, end..end + 4096, 0..usize::MAX];
    world.parent.expect(WorkingSet { written: Some(nonsense.clone()), touched: Some(nonsense) });
    let set = world.parent.working_set();
    assert_eq!((set.written, set.touched), (Some(vec![]), Some(vec![])));
    let mut shell = world.shell();
    shell.prefault().unwrap();
    prepare(&mut shell, &request(&[COUNT]));
    assert_eq!(number(&answer(&mut shell)), 1);
}

#[test]
fn a_kernel_that_does_not_touch_is_discarded() {
    // `ud2`, an endless loop, and a port that is not the doorbell.
    let illegal = with_prefault_code(&[0x0f, 0x0b]);
    assert!(matches!(illegal.shell().prefault(), Err(Discard::Prefault(_))));
    let other_port = with_prefault_code(&[0xe6, 0x20]);
    let mut shell = other_port.shell();
    assert!(matches!(shell.prefault(), Err(Discard::Prefault(_))));
    assert!(matches!(shell.enter(), Err(MachineError::Order(_))));
    assert!(matches!(shell.prefault(), Err(Discard::Prefault(_))));

    let endless = with_prefault_code(&[0xeb, 0xfe]);
    let mut shell = endless.shell();
    let kicker = shell.kicker();
    std::thread::scope(|scope| {
        let prefault = scope.spawn(move || matches!(shell.prefault(), Err(Discard::Prefault(_))));
        kicker.kick();
        assert!(prefault.join().unwrap());
    });
}

#[test]
fn a_fork_that_is_not_pristine_is_not_touched() {
    let world = World::new();
    let mut machine = world.fork(&request(&[COUNT]));
    assert!(matches!(machine.prefault(), Err(Discard::Prefault(_))));
    assert_eq!(number(&answer(&mut machine)), 1, "and goes on as if nothing had been");
    // Long requests are gone before their area is used for the list.
    machine.restore().unwrap();
    prepare(&mut machine, &vec![0x5a; usize::try_from(REQUEST_MAX).unwrap()]);
    crate::fixture::run(&mut machine);
    machine.restore().unwrap();
    machine.prefault().unwrap();
    assert!(ram(&machine) == parent_ram(&world));
}

#[test]
fn prefault_code_outside_the_kernel_area_is_refused() {
    for address in [0, KERNEL_VA - 1, PROGRAM_VA, KERNEL_VA + KERNEL_SIZE + 1, u64::MAX] {
        let mut code = guest::code().to_vec();
        let at = offset_of!(KernelHeader, prefault);
        code[at..at + 8].copy_from_slice(address.as_bytes());
        let parsed = KernelImage::parse(guest::elf(&code));
        assert!(matches!(parsed, Err(ImageError::Header(_))), "{address:#x}");
    }
}
