//! Function parents made of a runtime parent.

use crate::fixture::{COUNT, FILL, LOAD, REPORT, World, answer, number, prepare, request, spec};
use crate::guest;
use abi::layout::{DIRECT_VA, HUGE, KERNEL_SIZE, KERNEL_VA, PAGE, PROGRAM_VA, ROOT_ENTRY, kernel_area};
use std::sync::Arc;
use vmm::{BootSpec, Machine, MachineError, Parent, ParentError, ParentMemory};

/// First address beyond the runtime parent's memory.
const BEYOND: u64 = PROGRAM_VA + guest::RAM - KERNEL_SIZE;

/// Memory functions have there.
const MORE: u64 = 3 * HUGE;

fn larger() -> BootSpec {
    BootSpec { ram_bytes: guest::RAM + MORE, ..spec() }
}

/// A fork of `world` that is to become a function, with its first request.
fn specialized(world: &World, request: &[u8]) -> Machine {
    let mut machine = Machine::specialize(&world.kvm, &world.parent, &world.images, &larger()).unwrap();
    prepare(&mut machine, request);
    machine
}

/// The function that `machine` has become.
fn function(world: &World, mut machine: Machine) -> World {
    let (memory, entry) = machine.capture_function().unwrap();
    drop(machine);
    let parent = Arc::new(Parent::new(memory, entry).unwrap());
    World { kvm: crate::fixture::kvm(), images: world.images.clone(), parent }
}

/// A runtime that counted to 1, and a function of it that counted to 2 and has bytes of its own in both parts.
fn runtime_and_function() -> (World, World) {
    let world = World::new();
    let mut machine = specialized(&world, &request(&[COUNT]));
    assert_eq!(number(&answer(&mut machine)), 1);
    for address in [PROGRAM_VA + 3 * HUGE - 8, BEYOND + HUGE] {
        machine.mailbox().set_request(&request(&[FILL, address, 16, 7])).unwrap();
        answer(&mut machine);
    }
    let function = function(&world, machine);
    (world, function)
}

fn load(machine: &mut Machine, address: u64) -> u64 {
    machine.mailbox().set_request(&request(&[LOAD, address])).unwrap();
    number(&answer(machine))
}

#[test]
fn forks_of_a_function_see_what_it_changed_and_the_rest_of_the_runtime() {
    let (runtime, function) = runtime_and_function();
    let sevens = u64::from_le_bytes([7; 8]);
    let mut fork = function.fork(&request(&[COUNT]));
    assert_eq!(number(&answer(&mut fork)), 2);
    assert_eq!(load(&mut fork, PROGRAM_VA + 3 * HUGE - 8), sevens);
    assert_eq!(load(&mut fork, PROGRAM_VA + 3 * HUGE), sevens);
    assert_eq!(load(&mut fork, PROGRAM_VA + 3 * HUGE - 16), 0);
    assert_eq!(load(&mut fork, BEYOND + HUGE), sevens);
    let code = KERNEL_VA + kernel_area::IMAGE;
    assert_eq!(load(&mut fork, code), abi::boot::KERNEL_MAGIC);
    assert_eq!(number(&runtime.answer(&request(&[COUNT]))), 1, "the runtime is as it was");
    assert_eq!(number(&function.answer(&request(&[COUNT]))), 2, "forks share nothing they write");
}

#[test]
fn a_function_stores_only_what_it_changed() {
    let (runtime, function) = runtime_and_function();
    let memory = &function.parent.memory;
    assert!(Arc::ptr_eq(memory.base().unwrap(), &runtime.parent.memory));
    // Its pages, their page tables, and one page of its memory beyond the runtime's.
    assert!(memory.resident_bytes() < 40 * PAGE, "{} bytes", memory.resident_bytes());
    let mut fork = function.fork(&request(&[COUNT]));
    answer(&mut fork);
    let usage = fork.usage().unwrap();
    assert!(usage.private_bytes < 40 * PAGE, "{usage:?}");
}

#[test]
fn restored_forks_of_a_function_cannot_be_told_from_new_ones() {
    let (_runtime, function) = runtime_and_function();
    let len = usize::try_from(function.parent.memory.len()).unwrap();
    let ram = |machine: &Machine| {
        let mut bytes = vec![0; len];
        machine.read_ram(0, &mut bytes).unwrap();
        bytes
    };
    let pristine = ram(&function.fork(&[]));
    let report = function.answer(&request(&[REPORT]));
    let mut fork = function.fork(&request(&[COUNT]));
    for _ in 0..3 {
        assert_eq!(number(&answer(&mut fork)), 2);
        let whole = request(&[FILL, PROGRAM_VA, guest::RAM - KERNEL_SIZE + MORE, 9]);
        fork.mailbox().set_request(&whole).unwrap();
        answer(&mut fork);
        if fork.restore().is_err() {
            // More than is worth restoring.
            fork = function.fork(&request(&[COUNT]));
            continue;
        }
        assert!(ram(&fork) == pristine);
        prepare(&mut fork, &request(&[REPORT]));
        assert_eq!(answer(&mut fork), report);
        fork.restore().unwrap();
        prepare(&mut fork, &request(&[COUNT]));
    }
    let some = request(&[FILL, PROGRAM_VA + 2 * HUGE, 3 * HUGE, 9]);
    let mut fork = function.fork(&some);
    answer(&mut fork);
    fork.restore().unwrap();
    assert!(ram(&fork) == pristine);
    prepare(&mut fork, &request(&[REPORT]));
    assert_eq!(answer(&mut fork), report);
}

#[test]
fn a_function_travels_by_its_descriptors_and_its_state() {
    let (runtime, function) = runtime_and_function();
    let copy = |memory: &ParentMemory| memory.as_fd().try_clone_to_owned().unwrap();
    let base = Arc::new(ParentMemory::from_fd(copy(&runtime.parent.memory), None).unwrap());
    let memory = ParentMemory::from_fd(copy(&function.parent.memory), Some(&base)).unwrap();
    let parent = Parent::new(memory, function.parent.entry.clone()).unwrap();
    let other =
        World { kvm: crate::fixture::kvm(), images: runtime.images.clone(), parent: Arc::new(parent) };
    assert_eq!(number(&other.answer(&request(&[COUNT]))), 2);
}

#[test]
fn functions_lie_on_runtimes_only() {
    let (runtime, function) = runtime_and_function();
    let stacked = ParentMemory::over(&function.parent.memory, HUGE);
    assert!(matches!(stacked, Err(ParentError::Stacked)));
    let small = BootSpec { ram_bytes: guest::RAM - HUGE, ..spec() };
    for (world, spec) in [(&runtime, small), (&function, larger())] {
        let made = Machine::specialize(&world.kvm, &world.parent, &world.images, &spec);
        assert!(matches!(made, Err(MachineError::Spec(_))));
    }
}

#[test]
fn a_guest_that_changes_its_tables_does_not_become_a_function() {
    let world = World::new();
    for at in [kernel_area::GDT + 0x40, kernel_area::PAGE_TABLES + 8] {
        let mut machine = specialized(&world, &request(&[FILL, KERNEL_VA + at, 1, 0]));
        // One of its entries is not zero, and stands for memory nobody uses.
        machine.mailbox().set_request(&request(&[FILL, KERNEL_VA + at, 1, 1])).unwrap();
        answer(&mut machine);
        assert!(matches!(machine.capture_function(), Err(MachineError::Tampered(_))), "{at:#x}");
    }
    let second_view = kernel_area::PAGE_TABLES + DIRECT_VA / ROOT_ENTRY * 8;
    let mut machine = specialized(&world, &request(&[COUNT]));
    machine.mailbox().set_request(&request(&[FILL, KERNEL_VA + second_view, 1, 1])).unwrap();
    answer(&mut machine);
    assert!(matches!(machine.capture_function(), Err(MachineError::Spaces)));
}
