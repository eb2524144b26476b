//! A restored fork cannot be told from a new one.

use crate::fixture::{
    COUNT, DOORBELL_HERE, FILL, ILLEGAL, READ_KEYS, REPORT, SCRAMBLE, SUPERVISOR, WRITE_KEYS, World, answer,
    number, prepare, request, run,
};
use crate::guest;
use abi::layout::{
    DIRECT_VA, HUGE, KERNEL_VA, PAGE, PROGRAM_VA, ROOT_ENTRY, SPARSE_VA, TABLES_VA, kernel_area,
};
use abi::mailbox::{Doorbell, LOG, REQUEST_MAX};
use vmm::{Discard, EntryState, Exit, Machine, MachineError, Parent, ParentMemory};

/// All RAM of a parent.
pub(crate) fn parent_ram(world: &World) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(guest::RAM).unwrap()];
    let read = rustix::io::pread(world.parent.memory.as_fd(), &mut bytes, 0).unwrap();
    assert_eq!(read, bytes.len());
    bytes
}

pub(crate) fn ram(machine: &Machine) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(guest::RAM).unwrap()];
    machine.read_ram(0, &mut bytes).unwrap();
    bytes
}

/// An XSAVE image with x87, SSE and, where the processor has them, AVX and AVX-512 registers full of `fill`.
pub(crate) fn extended(fill: u8) -> Vec<u8> {
    let mut image = vec![0; 4096];
    let mut states = 0b11_u64;
    if is_x86_feature_detected!("avx") {
        states |= 0b100;
    }
    if is_x86_feature_detected!("avx512f") {
        states |= 0b1110_0000;
    }
    image[..2688].fill(fill);
    image[..24].fill(0);
    image[24..32].copy_from_slice(&0x0000_ffff_0000_1f80_u64.to_le_bytes());
    image[512..576].fill(0);
    image[512..520].copy_from_slice(&states.to_le_bytes());
    image
}

fn scramble() -> Vec<u8> {
    let mut bytes = request(&[SCRAMBLE]);
    bytes.resize(64, 0);
    bytes.extend(extended(0xa5));
    bytes
}

#[test]
fn memory_is_the_parents_again() {
    let world = World::new();
    let expected = parent_ram(&world);
    let mut machine = world.fork(&request(&[FILL, PROGRAM_VA + 12345, 3 * HUGE + 777, 0xee]));
    answer(&mut machine);
    assert_ne!(ram(&machine), expected);
    let stats = machine.restore().unwrap();
    assert!(stats.scanned && stats.ram_pages > 3 * 512, "{stats:?}");
    assert!(ram(&machine) == expected);
    // Again, with other pages, so that the second scan has something new to find.
    prepare(&mut machine, &request(&[FILL, PROGRAM_VA + 5 * HUGE, 5 * 4096, 0xdd]));
    answer(&mut machine);
    let again = machine.restore().unwrap();
    assert!(again.scanned && again.ram_pages > stats.ram_pages, "{again:?}");
    assert!(ram(&machine) == expected);
}

#[test]
fn searching_is_skipped_only_while_nothing_new_is_written() {
    let world = World::new();
    let expected = parent_ram(&world);
    let mut machine = world.fork(&request(&[COUNT]));
    let mut skipped = 0;
    for round in 0..60_u64 {
        // Without the watchdog of `answer`: starting a thread would itself cause faults.
        assert_eq!(machine.run().unwrap(), Exit::Doorbell);
        let stats = machine.restore().unwrap();
        skipped += u32::from(!stats.scanned);
        if round % 20 == 11 {
            assert!(stats.scanned, "a page nobody had written to before");
            assert!(ram(&machine) == expected, "round {round}");
        }
        let fresh = [FILL, PROGRAM_VA + HUGE + round * 4096, 1, 1];
        prepare(&mut machine, &request(if round % 20 == 10 { &fresh } else { &[COUNT] }));
    }
    assert!(skipped >= 20, "{skipped}");
    answer(&mut machine);
    machine.restore().unwrap();
    assert!(ram(&machine) == expected);
}

#[test]
fn another_thread_may_take_over() {
    let world = World::new();
    let expected = parent_ram(&world);
    let mut machine = world.fork(&request(&[COUNT]));
    answer(&mut machine);
    machine.restore().unwrap();
    for round in 0..6_u64 {
        prepare(&mut machine, &request(&[FILL, PROGRAM_VA + HUGE * (round + 1), 1, 1]));
        machine = std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    answer(&mut machine);
                    // Even rounds are restored by the thread that ran, odd ones by the next.
                    if round % 2 == 0 {
                        machine.restore().unwrap();
                    }
                    machine
                })
                .join()
                .unwrap()
        });
        if round % 2 == 1 {
            machine.restore().unwrap();
        }
        assert!(ram(&machine) == expected, "round {round}");
    }
}

#[test]
fn registers_are_the_parents_again() {
    let world = World::with_start(&extended(0x3c));
    let expected = world.answer(&request(&[REPORT]));
    assert_eq!(number(&expected[128..]) & 0x400, 0, "direction flag");
    assert_eq!(number(&expected[136..]), 0x5555_aaaa, "fs base");
    let mut machine = world.fork(&request(&[REPORT]));
    for round in 0..5 {
        assert!(answer(&mut machine) == expected, "round {round}");
        machine.restore().unwrap();
        prepare(&mut machine, &scramble());
        answer(&mut machine);
        machine.restore().unwrap();
        prepare(&mut machine, &request(&[REPORT]));
    }
    // The extended registers of the start were really there.
    let vectors = &expected[192 + 160..192 + 416];
    assert_eq!(vectors, [0x3c; 256]);
    if is_x86_feature_detected!("avx") {
        assert_eq!(expected[192 + 576..192 + 832], [0x3c; 256]);
    }
}

#[test]
fn registers_only_ring_0_can_change_are_the_parents_again() {
    const SET_DEBUG: u64 = 2;
    const GET_DEBUG: u64 = 3;
    let world = World::new();
    let mut machine = world.fork(&request(&[SUPERVISOR, GET_DEBUG]));
    let pristine = number(&answer(&mut machine));
    machine.restore().unwrap();
    prepare(&mut machine, &request(&[SUPERVISOR, SET_DEBUG]));
    answer(&mut machine);
    machine.mailbox().set_request(&request(&[SUPERVISOR, GET_DEBUG])).unwrap();
    assert_eq!(number(&answer(&mut machine)), 0x1230, "the guest's own change is seen");
    machine.restore().unwrap();
    prepare(&mut machine, &request(&[SUPERVISOR, GET_DEBUG]));
    assert_eq!(number(&answer(&mut machine)), pristine);
}

#[test]
fn the_mailbox_is_empty_again() {
    let world = World::new();
    let mut long = request(&[FILL, abi::layout::MAILBOX_VA + LOG, 100_000, 0x77]);
    long.resize(usize::try_from(REQUEST_MAX).unwrap(), 0x55);
    let mut machine = world.fork(&long);
    answer(&mut machine);
    machine.restore().unwrap();
    let header = machine.mailbox().header();
    assert_eq!((header.doorbell, header.request_len, header.response_len), (0, 0, 0));
    assert_eq!(machine.mailbox().log(100_000).unwrap(), [0; 100_000]);
    prepare(
        &mut machine,
        &request(&[crate::fixture::LOAD, abi::layout::MAILBOX_VA + 0x10_0000 + (15 << 20)]),
    );
    assert_eq!(number(&answer(&mut machine)), 0);
    let kept = machine.usage().unwrap();
    assert!(kept.private_bytes < 4 << 20, "{kept:?}");
}

#[test]
fn a_cleverly_placed_doorbell_does_not_shift_the_next_fork() {
    let world = World::new();
    let expected = world.answer(&request(&[REPORT]));
    let mut machine = world.fork(&request(&[DOORBELL_HERE]));
    assert_eq!(run(&mut machine), Exit::Doorbell);
    assert_eq!(machine.mailbox().doorbell(), Some(Doorbell::Response));
    machine.restore().unwrap();
    prepare(&mut machine, &request(&[REPORT]));
    assert!(answer(&mut machine) == expected);
}

#[test]
fn a_fork_that_wrote_too_much_or_to_its_tables_is_discarded() {
    let world = World::new();
    let mut machine = world.fork(&request(&[FILL, PROGRAM_VA, (16 << 20) + 8192, 1]));
    answer(&mut machine);
    assert!(matches!(machine.restore(), Err(Discard::TooManyPages { .. })));
    assert!(matches!(machine.enter(), Err(MachineError::Order(_))));
    assert!(matches!(machine.run(), Err(MachineError::Order(_))));

    let code = kernel_area::IMAGE;
    for table in [kernel_area::GDT, kernel_area::TSS, kernel_area::IDT, kernel_area::PAGE_TABLES, code + 4096]
    {
        // The last bytes of each page are zero and unused, so the guest survives its own write.
        let mut machine = world.fork(&request(&[FILL, KERNEL_VA + table + 4090, 1, 0]));
        answer(&mut machine);
        machine.restore().unwrap();
        prepare(&mut machine, &request(&[FILL, KERNEL_VA + table + 4090, 1, 2]));
        answer(&mut machine);
        assert!(matches!(machine.restore(), Err(Discard::TablesTouched)), "{table:#x}");
    }
}

#[test]
fn entries_of_the_root_that_are_the_guest_kernels_are_put_back() {
    let world = World::with_start(&extended(0x3c));
    let (memory, report) = (parent_ram(&world), world.answer(&request(&[REPORT])));
    let own = SPARSE_VA / ROOT_ENTRY * 8;
    // Seen where the host put it, and through the root's own entry.
    let root = (0..3).fold(TABLES_VA, |at, _| TABLES_VA + at / PAGE * 8);
    for tables in [KERNEL_VA + kernel_area::PAGE_TABLES, root] {
        let mut machine = world.fork(&request(&[FILL, tables + own, 24, 2]));
        answer(&mut machine);
        for _ in 0..3 {
            machine.restore().unwrap();
            assert!(ram(&machine) == memory);
            prepare(&mut machine, &request(&[REPORT]));
            assert!(answer(&mut machine) == report);
            machine.mailbox().set_request(&request(&[FILL, tables + own + 8, 8, 4])).unwrap();
            answer(&mut machine);
        }
    }
}

#[test]
fn a_fork_that_cannot_be_restored_in_place_is_mapped_anew() {
    let world = World::with_start(&extended(0x3c));
    let (memory, report) = (parent_ram(&world), world.answer(&request(&[REPORT])));
    let mut machine = world.fork(&request(&[FILL, PROGRAM_VA, (16 << 20) + 8192, 1]));
    answer(&mut machine);
    assert!(matches!(machine.restore(), Err(Discard::TooManyPages { .. })));
    machine.remap().unwrap();
    assert!(ram(&machine) == memory);
    assert!(machine.usage().unwrap().private_bytes < 4 << 20, "what it wrote is given back");
    // From the doorbell of a program that ended, and of one that answered.
    for deed in [request(&[ILLEGAL]), scramble()] {
        prepare(&mut machine, &deed);
        assert_eq!(run(&mut machine), Exit::Doorbell);
        machine.remap().unwrap();
        assert!(ram(&machine) == memory);
        prepare(&mut machine, &request(&[REPORT]));
        assert!(answer(&mut machine) == report);
        machine.restore().unwrap();
    }
}

#[test]
fn only_a_fork_in_a_known_state_is_mapped_anew() {
    let world = World::new();
    let mut pristine = world.shell();
    assert!(matches!(pristine.remap(), Err(Discard::NotAtDoorbell)));
    let mut touched = world.fork(&request(&[FILL, KERNEL_VA + kernel_area::PAGE_TABLES + 4090, 1, 2]));
    answer(&mut touched);
    assert!(matches!(touched.remap(), Err(Discard::TablesTouched)));
    assert!(matches!(touched.remap(), Err(Discard::NotAtDoorbell)));
    let mut stray = world.fork(&request(&[FILL, KERNEL_VA + kernel_area::IDT, 4096, 0]));
    answer(&mut stray);
    stray.mailbox().set_request(&request(&[ILLEGAL])).unwrap();
    assert_eq!(run(&mut stray), Exit::TripleFault);
    assert!(matches!(stray.remap(), Err(Discard::NotAtDoorbell)));
    let mut kicked = world.fork(&request(&[COUNT]));
    kicked.kicker().kick();
    assert_eq!(kicked.run().unwrap(), Exit::Kicked);
    assert!(matches!(kicked.remap(), Err(Discard::NotAtDoorbell)));
}

#[test]
fn the_write_set_of_the_first_fork_is_ready_in_later_shells() {
    let world = World::new();
    let write = request(&[FILL, PROGRAM_VA, 64 * 4096, 1]);
    let mut first = world.fork(&write);
    answer(&mut first);
    let learnt = first.restore().unwrap().ram_pages as u64 * 4096;
    let shell = Machine::fork(&world.kvm, &world.parent, &world.images).unwrap();
    let usage = shell.usage().unwrap();
    assert!(usage.private_bytes >= learnt, "{usage:?}, learnt {learnt}");
    assert!(ram(&shell) == parent_ram(&world));
    assert_eq!(world.answer(&request(&[COUNT])), 1_u64.to_le_bytes());
}

#[test]
fn entry_states_are_plain_data() {
    let world = World::new();
    let text = serde_json::to_string(&world.parent.entry).unwrap();
    let entry: EntryState = serde_json::from_str(&text).unwrap();
    let fd = world.parent.memory.as_fd().try_clone_to_owned().unwrap();
    let parent = Parent::new(ParentMemory::from_fd(fd, None).unwrap(), entry.clone()).unwrap();
    let copy = World { kvm: crate::fixture::kvm(), images: world.images.clone(), parent: parent.into() };
    assert_eq!(copy.answer(&request(&[REPORT])), world.answer(&request(&[REPORT])));

    let mut other = ParentMemory::new(guest::RAM + HUGE).unwrap();
    other.seal().unwrap();
    assert!(matches!(Parent::new(other, entry.clone()), Err(MachineError::Spec(_))));
    let unsealed = ParentMemory::new(guest::RAM).unwrap();
    assert!(matches!(Parent::new(unsealed, entry), Err(MachineError::Spec(_))));
}

#[test]
fn protection_keys_are_the_parents_again_or_out_of_reach() {
    let world = World::new();
    let read = request(&[READ_KEYS]);
    let mut machine = world.fork(&read);
    assert_eq!(run(&mut machine), Exit::Doorbell);
    if machine.mailbox().doorbell() == Some(Doorbell::Signal) {
        const UNDEFINED: u64 = 6;
        assert_eq!(machine.mailbox().header().args[0], UNDEFINED);
        return;
    }
    let pristine = number(&machine.mailbox().response(8).unwrap());
    machine.restore().unwrap();
    // Deny everything of key 5, then of key 0, which is every page.
    for keys in [0xc00, 0x3] {
        let mut machine = world.fork(&request(&[WRITE_KEYS, pristine ^ keys]));
        let exit = run(&mut machine);
        if exit == Exit::Doorbell && machine.restore().is_ok() {
            prepare(&mut machine, &read);
            assert_eq!(number(&answer(&mut machine)), pristine, "{keys:#x}");
        }
        assert_eq!(number(&world.answer(&read)), pristine, "{keys:#x}");
    }
}

/// Where the guest sees the entry of the root that shows its memory a second time.
const SECOND_VIEW: u64 = KERNEL_VA + kernel_area::PAGE_TABLES + DIRECT_VA / ROOT_ENTRY * 8;

#[test]
fn a_fork_that_made_a_second_address_space_is_discarded() {
    let world = World::new();
    for remap in [false, true] {
        let mut machine = world.fork(&request(&[FILL, SECOND_VIEW, 8, 0x67]));
        answer(&mut machine);
        let discarded = if remap { machine.remap() } else { machine.restore().map(drop) };
        assert!(matches!(discarded, Err(Discard::TablesTouched)), "remap: {remap}");
    }
}
