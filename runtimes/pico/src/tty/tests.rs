//! Terminals without a VM. How they behave otherwise is compared with Linux by guest programs.

use super::input::INPUT_MAX;
use super::output::OUTPUT_MAX;
use super::settings::SANE;
use super::terminal::Output;
use super::*;
use crate::errno::Errno;
use crate::file::{File, Ready};
use abi::console::Settings;
use linux_raw_sys::general::{__NR_write, ECHO, ICANON, IUTF8, O_RDWR, OPOST, SIGINT};
use std::vec;

/// A terminal of bytes, without echo or any change of them.
fn raw() -> End {
    let master = Terminals::default().open(0).expect("the first");
    let settings =
        Settings { input: 0, output: SANE.output & !OPOST, local: SANE.local & !(ICANON | ECHO), ..SANE };
    master.terminal.set(settings, false);
    master
}

#[test]
fn there_are_as_many_terminals_as_are_allowed_and_numbers_are_used_again() {
    let mut terminals = Terminals::default();
    let mut masters: Vec<End> = (0..TERMINALS_MAX).map(|_| terminals.open(0).expect("room")).collect();
    assert_eq!(terminals.open(0).err(), Some(Errno::ENOSPC));
    drop(masters.remove(7));
    assert_eq!(terminals.numbers().len(), TERMINALS_MAX as usize - 1);
    assert_eq!(terminals.open(0).expect("room again").terminal.number, 7);
}

#[test]
fn a_number_is_taken_until_the_last_slave_is_closed() {
    let mut terminals = Terminals::default();
    let master = terminals.open(0).expect("room");
    master.terminal.locked.set(false);
    let stat = master.stat().expect("a device");
    let slave = End::slave(master.terminal.clone(), stat).expect("it is not locked");
    drop(master);
    assert_eq!((terminals.get(0).is_none(), slave.ready().contains(Ready::HUP)), (true, true));
    assert_eq!(terminals.open(0).expect("room").terminal.number, 1);
    drop(slave);
    assert_eq!(terminals.open(0).expect("room").terminal.number, 0);
}

#[test]
fn what_nobody_reads_ends_at_the_limits() {
    let master = raw();
    let typed = vec![b'x'; 3 * INPUT_MAX];
    assert_eq!(master.write(0, &typed), Ok(INPUT_MAX - 1));
    assert_eq!(master.write(0, &typed), Err(Errno::EAGAIN));
    assert!(!master.ready().contains(Ready::OUT));
    let printed = vec![b'y'; 3 * OUTPUT_MAX];
    assert_eq!(master.terminal.print(&printed), Ok(OUTPUT_MAX));
    assert_eq!(master.terminal.print(&printed), Err(Errno::EAGAIN));
    assert!(!master.terminal.prints());
    let mut buf = vec![0; 3 * OUTPUT_MAX];
    assert!(matches!(master.terminal.take_output(&mut buf), Output::Bytes(OUTPUT_MAX)));
    assert!(master.terminal.prints());
}

#[test]
fn keys_are_noted_once_for_each_terminal_however_often_they_are_pressed() {
    let mut terminals = Terminals::default();
    let masters: Vec<End> = (0..3).map(|_| terminals.open(0).expect("room")).collect();
    for master in &masters {
        assert_eq!(master.write(0, &[3; 1000]), Ok(1000));
    }
    assert_eq!(terminals.due.count(), 3);
    terminals.due.signal(&masters[0].terminal.jobs, SIGINT);
    assert_eq!(terminals.due.count(), 3);
}

#[test]
fn echo_that_finds_no_room_is_lost_and_input_is_not() {
    let master = Terminals::default().open(0).expect("the first");
    assert_eq!(master.terminal.print(&vec![b'y'; 2 * OUTPUT_MAX]), Ok(OUTPUT_MAX));
    assert_eq!(master.write(0, b"line\n"), Ok(5));
    assert_eq!((master.terminal.printed(), master.terminal.readable()), (OUTPUT_MAX, 5));
}

#[test]
fn keys_that_go_over_a_long_line_are_taken_in_parts() {
    const REPRINT: u8 = 0x12;
    const ERASE: u8 = 0x7f;
    let line = INPUT_MAX - 2;
    for (typed, key) in [(b'x', REPRINT), (0x80, ERASE)] {
        let master = Terminals::default().open(0).expect("the first");
        master.terminal.set(Settings { input: SANE.input | IUTF8, ..SANE }, false);
        assert_eq!(master.write(0, &vec![typed; line]), Ok(line));
        let taken = master.write(0, &vec![key; 1 << 20]).expect("there is room");
        assert!((1..100).contains(&taken), "{taken}");
        assert_eq!((master.wakes_at(), master.wakes_at()), (Some(0), None), "the rest is taken at once");
        assert_eq!(master.write(0, b"\n"), Ok(1));
        assert_eq!((master.wakes_at(), master.terminal.readable()), (None, line + 1));
    }
}

#[test]
fn who_writes_many_such_keys_goes_on_by_itself() {
    let mut rig = crate::fs::rig::Rig::new();
    let fd = u64::try_from(rig.open("/dev/ptmx", O_RDWR)).expect("it opens");
    rig.bytes(4000).fill(b'x');
    assert_eq!(rig.call(__NR_write, &[fd, rig.buffer, 4000]), 4000);
    rig.bytes(10_000).fill(0x12);
    assert_eq!(rig.call(__NR_write, &[fd, rig.buffer, 10_000]), 10_000);
}

#[test]
fn a_terminal_without_a_master_is_not_opened_again() {
    let mut terminals = Terminals::default();
    let master = terminals.open(0).expect("room");
    let (terminal, stat) = (master.terminal.clone(), master.stat().expect("a device"));
    terminal.locked.set(false);
    drop(master);
    assert_eq!(End::slave(terminal, stat).err(), Some(Errno::EIO));
}
