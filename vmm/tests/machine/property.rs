//! Whatever a guest did, a fork that could be restored or mapped anew cannot be told from a new one.

use crate::fixture::{COUNT, FILL, REPORT, SCRAMBLE, SUPERVISOR, World, answer, prepare, request, run};
use crate::recycle::{extended, parent_ram, ram};
use abi::layout::{HUGE, KERNEL_VA, MAILBOX_VA, PAGE, PROGRAM_VA, kernel_area};
use abi::mailbox::{Doorbell, LOG, LOG_SIZE, RESPONSE};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use vmm::{Exit, Machine};

/// Sequences tried, and how many of them must end in a recycled fork for the test to mean anything.
const SEQUENCES: u32 = 96;
const RECYCLED_LEAST: u32 = SEQUENCES / 3;

/// One thing a guest does.
#[derive(Clone, Debug)]
enum Deed {
    Count,
    /// Overwrites memory: its own, the mailbox, the kernel's data or the tables.
    Fill {
        address: u64,
        len: u64,
        byte: u8,
    },
    /// Loads all extended registers, general registers and segment bases.
    Scramble {
        fill: u8,
        image: Box<[u8; 256]>,
    },
    /// Runs the ring 0 code with this number: MSRs, debug registers, halt, CR3, XCR0, swapgs.
    Supervisor {
        hook: u64,
    },
    /// An operation of the test guest that takes one argument: exceptions, ports, protection keys.
    Other {
        operation: u64,
        argument: u64,
    },
}

impl Deed {
    fn request(&self) -> Vec<u8> {
        match self {
            Deed::Count => request(&[COUNT]),
            Deed::Fill { address, len, byte } => request(&[FILL, *address, *len, (*byte).into()]),
            Deed::Supervisor { hook } => request(&[SUPERVISOR, *hook]),
            Deed::Other { operation, argument } => request(&[*operation, *argument]),
            Deed::Scramble { fill, image } => {
                let mut bytes = request(&[SCRAMBLE]);
                bytes.resize(64, 0);
                let mut registers = extended(*fill);
                // The 16 XMM registers, each with bytes of its own.
                registers[160..416].copy_from_slice(&image[..]);
                bytes.extend(registers);
                bytes
            }
        }
    }
}

fn fill() -> impl Strategy<Value = Deed> {
    let program = (PROGRAM_VA..PROGRAM_VA + 6 * HUGE, 1..3 * HUGE);
    let mailbox = (MAILBOX_VA + LOG..MAILBOX_VA + RESPONSE + HUGE, 1..8 * PAGE);
    let tables = prop::sample::select(vec![
        kernel_area::GDT,
        kernel_area::TSS,
        kernel_area::IDT,
        kernel_area::PAGE_TABLES,
        kernel_area::IMAGE,
    ]);
    let kernel = (tables, 0..2 * PAGE, 1..64_u64).prop_map(|(area, at, len)| (KERNEL_VA + area + at, len));
    prop_oneof![6 => program, 2 => mailbox, 1 => kernel]
        .prop_flat_map(|(address, len)| (Just(address), Just(len), any::<u8>()))
        .prop_map(|(address, len, byte)| Deed::Fill { address, len, byte })
}

fn scramble() -> impl Strategy<Value = Deed> {
    (any::<u8>(), prop::collection::vec(any::<u8>(), 256))
        .prop_map(|(fill, image)| Deed::Scramble { fill, image: image.try_into().unwrap() })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => Just(Deed::Count),
        6 => fill(),
        4 => scramble(),
        2 => (0..8_u64).prop_map(|hook| Deed::Supervisor { hook }),
        1 => (3..16_u64, any::<u32>())
            .prop_filter("an endless loop never stops, REPORT and SCRAMBLE are apart", |(operation, _)| {
                !matches!(operation, 4 | 7 | 8 | 9)
            })
            .prop_map(|(operation, argument)| Deed::Other { operation, argument: argument.into() }),
    ]
}

/// Does everything in one fork, as far as it gets; whether it stopped at the doorbell with an answer.
fn misbehave(machine: &mut Machine, deeds: &[Deed]) -> bool {
    deeds.iter().all(|deed| {
        machine.mailbox().set_request(&deed.request()).unwrap();
        run(machine) == Exit::Doorbell && machine.mailbox().doorbell() == Some(Doorbell::Response)
    })
}

/// What a guest can see of its registers, and all of its memory.
fn compare(machine: &mut Machine, world: &World, memory: &[u8], report: &[u8]) -> Result<(), TestCaseError> {
    prop_assert!(ram(machine) == memory, "RAM differs from the parent's");
    let header = machine.mailbox().header();
    prop_assert_eq!((header.doorbell, header.request_len, header.response_len), (0, 0, 0));
    let zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    prop_assert!(zero(&machine.mailbox().log(LOG_SIZE).unwrap()), "the log is not empty");
    prop_assert!(zero(&machine.mailbox().response(2 * HUGE).unwrap()), "the last response is there");
    prepare(machine, &request(&[REPORT]));
    prop_assert!(answer(machine) == report, "registers differ from a new fork's");
    const GET_DEBUG: u64 = 3;
    let debug = request(&[SUPERVISOR, GET_DEBUG]);
    machine.mailbox().set_request(&debug).unwrap();
    prop_assert_eq!(answer(machine), world.answer(&debug));
    Ok(())
}

/// How a fork is made pristine again.
#[derive(Clone, Copy, Debug)]
enum How {
    Restore,
    Remap,
    RemapAndTouch,
}

fn recycle(machine: &mut Machine, how: How) -> bool {
    match how {
        How::Restore => machine.restore().is_ok(),
        How::Remap => machine.remap().is_ok(),
        How::RemapAndTouch => machine.remap().is_ok() && machine.prefault().is_ok(),
    }
}

#[test]
fn a_recycled_fork_is_a_new_fork() {
    let world = World::with_start(&extended(0x3c));
    let (memory, report) = (parent_ram(&world), world.answer(&request(&[REPORT])));
    let recycled = std::cell::Cell::new(0);
    let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
    let how = prop::sample::select(vec![How::Restore, How::Restore, How::Remap, How::RemapAndTouch]);
    let deeds = prop::collection::vec(deed(), 1..6);
    let outcome = TestRunner::new(config).run(&(deeds, how), |(deeds, how)| {
        let mut machine = world.fork(&[]);
        // What went wrong inside is no matter: either it is refused, or nothing of it is left.
        misbehave(&mut machine, &deeds);
        if !recycle(&mut machine, how) {
            return Ok(());
        }
        recycled.set(recycled.get() + 1);
        compare(&mut machine, &world, &memory, &report)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(recycled.get() >= RECYCLED_LEAST, "only {} of {SEQUENCES} could be recycled", recycled.get());
}
