//! Random system calls with random arguments: whatever a program asks for, pico answers.

use super::{Args, dispatch, entries};
use crate::kernel::Kernel;
use crate::mm::{DATA, Mapping, Placement, areas::Kind};
use crate::poll::timerfd::Setting;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;

/// Calls that end a thread, and those whose memory the test process has not: the sparse area. The guest's own fuzzer
/// makes them (`worker/tests/guest/fuzz.c`).
const ELSEWHERE: [u32; 13] = [
    linux::__NR_exit,
    linux::__NR_exit_group,
    linux::__NR_clone,
    linux::__NR_clone3,
    linux::__NR_mmap,
    linux::__NR_munmap,
    linux::__NR_mprotect,
    linux::__NR_mremap,
    linux::__NR_madvise,
    linux::__NR_brk,
    linux::__NR_sched_yield,
    linux::__NR_futex,
    linux::__NR_mincore,
];

/// Ends of the fake machine that are not pico's fault: nothing will ever wake the program.
const EXPECTED: [&str; 2] = ["the program would sleep for ever", "a request to deliver at Ready"];

/// Bytes of the program's memory that arguments point to.
const SCRATCH: u64 = 64 << 10;

/// Calls to make.
const ROUNDS: u32 = 150_000;

/// Results from here on are errors.
const LOWEST_ERROR: u64 = 4095_u64.wrapping_neg();

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::try_from(self.next() % values.len() as u64).expect("small")]
    }

    /// An argument: a pointer, a descriptor, a length, flags, or anything.
    fn argument(&mut self, scratch: u64) -> u64 {
        let edge = scratch + SCRATCH;
        match self.below(9) {
            0..3 => scratch + self.below(SCRATCH / 8) * 8,
            3 => edge.wrapping_sub(self.below(64)),
            4 => self.below(24),
            5 => 1 << self.below(64),
            6 => self.of(&[
                0,
                u64::MAX,
                u64::MAX - 99,
                i64::MAX.cast_unsigned(),
                i64::MIN.cast_unsigned(),
                1 << 31,
            ]),
            7 => self.below(8192),
            _ => self.next(),
        }
    }
}

/// A program with some memory that holds paths, numbers and pointers into itself.
fn program(random: &mut Random) -> (Kernel, u64) {
    let (mut kernel, _) = Kernel::for_tests();
    let mapping = Mapping {
        placement: Placement::Hint(0),
        len: SCRATCH,
        prot: DATA,
        kind: Kind::Anonymous,
        file: None,
    };
    let scratch = kernel.mm.map(mapping).expect("4 MiB are enough");
    refill(&mut kernel, random, scratch);
    (kernel, scratch)
}

fn refill(kernel: &mut Kernel, random: &mut Random, scratch: u64) {
    let paths: [&[u8; 16]; 8] = [
        b"/tmp/a\0\0\0\0\0\0\0\0\0\0",
        b"/tmp/b/c\0\0\0\0\0\0\0\0",
        b"/proc/self/maps\0",
        b"/dev/null\0\0\0\0\0\0\0",
        b"../../tmp/a/../b",
        b"/dev/../tmp/./l\0",
        b"\xff\xfe/\0..../////\0..",
        b"/proc/self/fd/3\0",
    ];
    for at in (scratch..scratch + SCRATCH).step_by(16) {
        let words = [random.argument(scratch), random.argument(scratch)];
        if random.below(3) == 0 {
            kernel.mm.write(at, random.of(&paths)).expect("it is mapped");
        } else {
            kernel.mm.write(at, &words).expect("it is mapped");
        }
    }
}

/// What a panic said.
fn message(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into())).unwrap_or_default()
}

#[test]
fn random_calls_are_answered() {
    let numbers: Vec<u32> =
        entries().iter().map(|entry| entry.number).filter(|number| !ELSEWHERE.contains(number)).collect();
    let mut random = Random(0x5eed);
    let (mut kernel, mut scratch) = program(&mut random);
    let mut answered = BTreeSet::new();
    for round in 0..ROUNDS {
        if round % 500 == 0 {
            (kernel, scratch) = program(&mut random);
        }
        let number = random.of(&numbers);
        let args = Args(core::array::from_fn(|_| random.argument(scratch)));
        let next = Some(kernel.now() + 1_000);
        kernel.process.alarm = Setting { next, interval: 0 };
        kernel.process.signals.set_blocked(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| dispatch(&mut kernel, number.into(), &args)));
        match outcome {
            Ok(result) if result < LOWEST_ERROR => _ = answered.insert(number),
            Ok(_) => {}
            Err(panic) => {
                let said = message(&*panic);
                let expected = EXPECTED.iter().any(|text| said.contains(text));
                assert!(expected, "round {round}: call {number} with {args:x?}: {said}");
                (kernel, scratch) = program(&mut random);
            }
        }
    }
    assert!(answered.len() * 2 > numbers.len(), "only {} of {} calls", answered.len(), numbers.len());
}
