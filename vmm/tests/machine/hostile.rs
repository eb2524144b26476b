//! Guests that do what no guest should: every outcome is an exit, and the next fork is unharmed.

use crate::fixture::{
    COUNT, FILL, ILLEGAL, LOAD, PORT, PORT_STRING, SUPERVISOR, World, answer, number, request, run,
};
use abi::layout::{
    DIRECT_VA, DOORBELL_PORT, KERNEL_SIZE, KERNEL_VA, MAILBOX_VA, PROGRAM_VA, ROOT_ENTRY, ROOT_VA,
    kernel_area,
};
use abi::mailbox::{Doorbell, MAILBOX_SIZE};
use vmm::{Discard, Exit, Machine};

const GENERAL_PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;

/// The exception the guest reports.
fn exception(machine: &mut Machine) -> u64 {
    assert_eq!(run(machine), Exit::Doorbell);
    let header = machine.mailbox().header();
    assert_eq!(Doorbell::from_u32(header.doorbell), Some(Doorbell::Signal));
    header.args[0]
}

/// Other forks of the same parent answer as if nothing had happened.
fn unharmed(world: &World) {
    assert_eq!(number(&world.answer(&request(&[COUNT]))), 1);
}

#[test]
fn a_guest_without_exception_handling_is_a_triple_fault() {
    let world = World::new();
    let mut machine = world.fork(&request(&[FILL, KERNEL_VA + kernel_area::IDT, 4096, 0]));
    answer(&mut machine);
    machine.mailbox().set_request(&request(&[ILLEGAL])).unwrap();
    assert_eq!(run(&mut machine), Exit::TripleFault);
    assert!(matches!(machine.restore(), Err(Discard::NotAtDoorbell)));
    unharmed(&world);
}

#[test]
fn a_guest_that_overwrites_its_memory_is_contained() {
    let world = World::new();
    let tables = KERNEL_VA + kernel_area::PAGE_TABLES;
    let areas = [
        (KERNEL_VA + kernel_area::GDT, 0x1000),
        (KERNEL_VA + kernel_area::TSS, 0x1000),
        (KERNEL_VA + kernel_area::IDT, 0x1000),
        (tables, 0x1000),
        (tables + 0x1000, 0x8000),
        (KERNEL_VA, KERNEL_SIZE),
        (PROGRAM_VA, crate::guest::RAM - KERNEL_SIZE),
        (MAILBOX_VA, MAILBOX_SIZE),
    ];
    for (address, len) in areas {
        for value in [0, 0xff, 0xe7, 0x41] {
            let mut machine = world.fork(&request(&[FILL, address, len, value]));
            // Whatever happens: it ends, by itself or kicked, and what the mailbox says is only read.
            let exit = run(&mut machine);
            let header = machine.mailbox().header();
            let _ = (machine.mailbox().response(header.response_len), machine.mailbox().log(header.log_len));
            let _ = (machine.mailbox().refusals(), vmm::Mailbox::detail(&header));
            drop(machine);
            assert_ne!(exit, Exit::Port { port: DOORBELL_PORT.into() });
        }
    }
    unharmed(&world);
}

#[test]
fn page_tables_pointing_anywhere_reach_only_slots() {
    let world = World::new();
    // The directory of the program's memory, third page of the tables: entries with all address bits set, or
    // pointing just beyond RAM.
    for bytes in [0xe7, 0xf7, 0x67] {
        let directory = KERNEL_VA + kernel_area::PAGE_TABLES + 0x3000;
        for page in 0..8 {
            let fill = [FILL, directory + page * 0x1000, 0x1000, bytes];
            let mut machine = world.fork(&request(&fill));
            if run(&mut machine) == Exit::Doorbell {
                machine.mailbox().set_request(&request(&[LOAD, PROGRAM_VA + (1 << 21)])).unwrap();
                run(&mut machine);
            }
        }
    }
    unharmed(&world);
}

#[test]
fn only_the_doorbell_port_exists() {
    let world = World::new();
    for port in [0, 0x20, 0x52, 0x54, 0x60, 0x3f8, 0xcf8, 0xffff] {
        let mut machine = world.fork(&request(&[PORT, port]));
        assert_eq!(exception(&mut machine), GENERAL_PROTECTION, "port {port:#x}");
    }
    // With its I/O bitmap opened by itself, the guest only ends its own run.
    let bitmap = KERNEL_VA + kernel_area::TSS + 0x68;
    let mut machine = world.fork(&request(&[FILL, bitmap, 12, 0]));
    answer(&mut machine);
    machine.mailbox().set_request(&request(&[PORT, 0x20])).unwrap();
    assert_eq!(run(&mut machine), Exit::Port { port: 0x20 });
    unharmed(&world);
}

#[test]
fn string_output_to_the_doorbell_is_not_a_doorbell_for_ever() {
    let world = World::new();
    let mut machine = world.fork(&request(&[PORT_STRING]));
    let exit = run(&mut machine);
    // One exit per byte or one for all: KVM's choice. Neither is a response.
    match exit {
        Exit::Port { port } => assert_eq!(port, u16::from(DOORBELL_PORT)),
        Exit::Doorbell => assert_ne!(machine.mailbox().doorbell(), Some(Doorbell::Response)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_that_are_not_mapped_fault_in_the_guest() {
    let world = World::new();
    let ram_end = PROGRAM_VA + crate::guest::RAM - KERNEL_SIZE;
    for address in
        [0, PROGRAM_VA - 1, ram_end, MAILBOX_VA - 8, MAILBOX_VA + MAILBOX_SIZE, ROOT_VA + (2 << 20)]
    {
        let mut machine = world.fork(&request(&[LOAD, address]));
        assert_eq!(exception(&mut machine), PAGE_FAULT, "{address:#x}");
    }
    let mut machine = world.fork(&request(&[FILL, ROOT_VA, 1, 1]));
    assert_eq!(exception(&mut machine), PAGE_FAULT, "images are read-only");
    let mut machine = world.fork(&request(&[LOAD, 0x8000_0000_0000_0000]));
    assert_eq!(exception(&mut machine), GENERAL_PROTECTION, "not canonical");
    unharmed(&world);
}

#[test]
fn a_write_to_an_image_through_forged_tables_is_stray() {
    let world = World::new();
    // The leaf of the root image: find it by its address, and make it writable.
    let mut tables = vec![0; usize::try_from(kernel_area::PAGE_TABLES_SIZE).unwrap()];
    let machine = world.fork(&[]);
    machine.read_ram(kernel_area::PAGE_TABLES, &mut tables).unwrap();
    let leaf = tables.chunks_exact(8).position(|entry| number(entry) & !0xfff == abi::layout::ROOT_GPA);
    let leaf = KERNEL_VA + kernel_area::PAGE_TABLES + 8 * leaf.unwrap() as u64;
    let mut machine = world.fork(&request(&[FILL, leaf, 1, 0xe7]));
    answer(&mut machine);
    machine.mailbox().set_request(&request(&[FILL, ROOT_VA + 4, 1, 1])).unwrap();
    assert_eq!(run(&mut machine), Exit::Stray { gpa: abi::layout::ROOT_GPA + 4, write: true });
    assert_eq!(world.answer(&request(&[LOAD, ROOT_VA])), crate::fixture::ROOT_BYTES);

    // And a leaf that points where there is no memory at all.
    let mut machine = world.fork(&request(&[FILL, leaf + 5, 1, 0x0f]));
    answer(&mut machine);
    machine.mailbox().set_request(&request(&[LOAD, ROOT_VA])).unwrap();
    let exit = run(&mut machine);
    assert!(matches!(exit, Exit::Stray { write: false, .. } | Exit::Doorbell), "{exit:?}");
}

#[test]
fn model_specific_registers_are_out_of_reach_even_in_ring_0() {
    let world = World::new();
    for (hook, what) in [(0, "write"), (1, "read")] {
        let mut machine = world.fork(&request(&[SUPERVISOR, hook]));
        assert_eq!(exception(&mut machine), GENERAL_PROTECTION, "{what}");
    }
    unharmed(&world);
}

#[test]
fn whatever_ring_0_does_is_an_exit() {
    let world = World::new();
    // Halt, a lost CR3, XCR0, swapgs.
    for hook in 4..8 {
        let mut machine = world.fork(&request(&[SUPERVISOR, hook]));
        let exit = run(&mut machine);
        assert_ne!(exit, Exit::Kicked, "hook {hook}");
        if exit == Exit::Doorbell && machine.restore().is_ok() {
            crate::fixture::prepare(&mut machine, &request(&[crate::fixture::REPORT]));
            assert_eq!(
                answer(&mut machine),
                world.answer(&request(&[crate::fixture::REPORT])),
                "hook {hook}"
            );
        }
    }
    unharmed(&world);
}

#[test]
fn a_parent_that_changed_its_tables_cannot_be_captured() {
    // The first machine is driven further than a parent should be: it changes a table and then stops.
    use crate::fixture::{images, kvm, spec};
    use vmm::{KernelImage, MachineError, ParentMemory};
    let kernel = KernelImage::parse(crate::guest::elf(crate::guest::code())).unwrap();
    let mut memory = ParentMemory::new(crate::guest::RAM).unwrap();
    let mut machine = Machine::boot(&kvm(), &kernel, &mut memory, &images(), &spec()).unwrap();
    assert_eq!(run(&mut machine), Exit::Doorbell);
    assert!(machine.capture().is_ok());
    let unused_entry = KERNEL_VA + kernel_area::PAGE_TABLES + 8;
    machine.mailbox().set_request(&request(&[FILL, unused_entry, 1, 7])).unwrap();
    answer(&mut machine);
    assert!(matches!(machine.capture(), Err(MachineError::Tampered(_))));
    // A second view of its memory without page tables of its own is not what a guest kernel does.
    machine.mailbox().set_request(&request(&[FILL, unused_entry, 1, 0])).unwrap();
    answer(&mut machine);
    assert!(machine.capture().is_ok());
    let second_view = KERNEL_VA + kernel_area::PAGE_TABLES + DIRECT_VA / ROOT_ENTRY * 8;
    machine.mailbox().set_request(&request(&[FILL, second_view, 1, 7])).unwrap();
    answer(&mut machine);
    assert!(matches!(machine.capture(), Err(MachineError::Tampered("control registers"))));
}
