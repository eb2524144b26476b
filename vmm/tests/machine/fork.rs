//! Booting, capturing, forking.

use crate::fixture::{COUNT, LOAD, ROOT_BYTES, SYSTEM_CALL, World, answer, number, prepare, request};
use abi::layout::{KERNEL_SIZE, ROOT_VA};

#[test]
fn forks_start_where_the_parent_stopped_and_share_nothing_they_write() {
    let world = World::new();
    let mut first = world.fork(&request(&[COUNT]));
    let mut second = world.fork(&request(&[COUNT]));
    assert_eq!(number(&answer(&mut first)), 1);
    assert_eq!(number(&answer(&mut first)), 2);
    assert_eq!(number(&answer(&mut second)), 1);
    assert_eq!(number(&world.answer(&request(&[COUNT]))), 1);
    let mut counter = [0; 8];
    first.read_ram(KERNEL_SIZE, &mut counter).unwrap();
    assert_eq!(counter, 2_u64.to_le_bytes());
}

#[test]
fn a_restored_fork_answers_like_a_new_one() {
    let world = World::new();
    let mut machine = world.fork(&request(&[COUNT]));
    for round in 0..50 {
        assert_eq!(number(&answer(&mut machine)), 1, "round {round}");
        let stats = machine.restore().unwrap();
        assert!(stats.ram_pages > 0);
        prepare(&mut machine, &request(&[COUNT]));
    }
}

#[test]
fn the_root_image_is_there() {
    let world = World::new();
    let answer = world.answer(&request(&[LOAD, ROOT_VA]));
    assert_eq!(answer, ROOT_BYTES);
}

#[test]
fn system_calls_reach_the_guest_kernel() {
    assert_eq!(number(&World::new().answer(&request(&[SYSTEM_CALL]))), 0x5ca11);
}
