use super::*;
use crate::mm::{DATA, Mapping, Placement, areas};
use crate::platform::fake::Fake;
use crate::syscall::dispatch;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// Results from here on are errors.
const LOWEST_ERROR: u64 = 4095_u64.wrapping_neg();
const CWD: u64 = (linux::AT_FDCWD as i64).cast_unsigned();

/// A program with a page of memory that begins with a path.
fn program() -> (Kernel, Rc<Fake>, u64) {
    let (mut kernel, fake) = Kernel::for_tests();
    let mapping = Mapping {
        placement: Placement::Hint(0),
        len: 4096,
        prot: DATA,
        kind: areas::Kind::Anonymous,
        file: None,
    };
    let page = kernel.mm.map(mapping).expect("4 MiB are enough");
    kernel.mm.write(page, b"/tmp\0").expect("it is mapped");
    (kernel, fake, page)
}

fn counted(number: u32, args: [u64; 6]) -> (u64, Option<Refusal>) {
    let (mut kernel, fake, _) = program();
    let result = dispatch(&mut kernel, number.into(), &Args(args));
    let counted = fake.refusals.borrow().last().copied();
    (result, counted)
}

#[test]
fn no_unknown_flag_succeeds_silently() {
    for rule in RULES {
        let Known::Flags(known) = rule.known else { continue };
        // Linux ignores those that open(2), openat(2), clone(2) and mmap(2) do not know.
        if matches!(rule.number, linux::__NR_open | linux::__NR_openat | linux::__NR_clone | linux::__NR_mmap)
        {
            continue;
        }
        for bit in (0..32).map(|shift| 1_u32 << shift).filter(|bit| bit & known == 0) {
            for first in [0, CWD, 1] {
                let (mut kernel, _, page) = program();
                let mut args = Args([first, page, page, page, page, 0]);
                args.0[rule.argument as usize] = bit.into();
                let result = dispatch(&mut kernel, rule.number.into(), &args);
                assert!(result >= LOWEST_ERROR, "call {} with {:x?}: {result}", rule.number, args);
            }
        }
    }
}

#[test]
fn what_is_unknown_of_a_call_is_told_without_what_is_known() {
    let einval = Errno::EINVAL.as_return_value();
    let flags = u64::from(linux::O_CLOEXEC | linux::O_DIRECT);
    let direct = Refusal::new(Kind::Flags, linux::__NR_pipe2, 1, linux::O_DIRECT.into());
    assert_eq!(counted(linux::__NR_pipe2, [0, flags, 0, 0, 0, 0]), (einval, Some(direct)));
    let seccomp = Refusal::new(Kind::Value, linux::__NR_prctl, 0, 22);
    assert_eq!(counted(linux::__NR_prctl, [22, 2, 0, 0, 0, 0]), (einval, Some(seccomp)));
    let known = counted(linux::__NR_prctl, [linux_raw_sys::prctl::PR_SET_DUMPABLE.into(), 9, 0, 0, 0, 0]);
    assert_eq!(known, (einval, None), "the option is known, its value is wrong on Linux, too");
    let timer = Refusal::new(Kind::Value, linux::__NR_setitimer, 0, 7);
    assert_eq!(counted(linux::__NR_setitimer, [7, 0, 0, 0, 0, 0]).1, Some(timer), "not the call as a whole");
}

#[test]
fn flags_in_memory_are_read_and_bad_addresses_are_not() {
    let (mut kernel, fake, page) = program();
    kernel.mm.write(page + 64, &[u64::from(linux::CLONE_NEWNS), 0, 0, 0, 0, 0, 0, 0]).expect("mapped");
    let number = u64::from(linux::__NR_clone3);
    dispatch(&mut kernel, number, &Args([page + 64, 64, 0, 0, 0, 0]));
    let spaces = Refusal::new(Kind::Flags, linux::__NR_clone3, 0, linux::CLONE_NEWNS.into());
    assert_eq!(*fake.refusals.borrow(), [spaces]);
    for bad in [0, u64::MAX, u64::MAX - 20] {
        dispatch(&mut kernel, linux::__NR_openat2.into(), &Args([CWD, page, bad, 3, 0, 0]));
    }
    assert_eq!(fake.refusals.borrow().len(), 1);
}

#[test]
fn errors_of_the_program_are_not_counted() {
    for args in [[99, 0x5401, 0, 0, 0, 0], [99, 0xdead, 0, 0, 0, 0]] {
        assert_eq!(counted(linux::__NR_ioctl, args), (Errno::EBADF.as_return_value(), None));
    }
}
