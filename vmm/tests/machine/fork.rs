//! Booting, capturing, forking.

use crate::fixture::{
    COUNT, LOAD, PROCESSOR, REPORT, ROOT_BYTES, SYSTEM_CALL, World, answer, number, prepare, request,
};
use abi::layout::{KERNEL_SIZE, ROOT_VA};
use vmm::Kvm;

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

#[test]
fn guests_see_the_masked_processor() {
    let world = World::new();
    let subleaf = |function, index| {
        let answer = world.answer(&request(&[PROCESSOR, function, index]));
        let register = |at| u32::from_le_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
        [0, 4, 8, 12].map(register)
    };
    let leaf = |function| subleaf(function, 0);
    let bit = |value: u32, bit: u32| value >> bit & 1 == 1;
    let [_, one_b, one_c, _] = leaf(1);
    assert!(bit(one_c, 26) && bit(one_c, 27), "XSAVE is there and switched on");
    assert_eq!(bit(one_c, 28), is_x86_feature_detected!("avx"));
    assert!(!bit(one_c, 5) && !bit(one_c, 21) && !bit(one_c, 24), "no VMX, x2APIC, TSC deadline");
    assert_eq!(one_b >> 16, 1, "one processor with APIC id 0");
    let [_, seven_b, seven_c, _] = leaf(7);
    assert!(bit(seven_b, 0), "FSGSBASE");
    assert_eq!(bit(seven_b, 5), is_x86_feature_detected!("avx2"));
    assert!(!bit(seven_c, 3) && !bit(seven_c, 4), "no protection keys");
    let [states, size, _, _] = leaf(0xd);
    let switched_on = number(&world.answer(&request(&[REPORT]))[152..]);
    // AMX's are given by permission only, but a KVM that runs ring 3 as code of the host cannot switch them off.
    let amx = if Kvm::kind() == "kvm_pvm" { 3 << 17 } else { 0 };
    assert_eq!(u64::from(states), switched_on & !amx, "what CPUID says is what XGETBV says");
    let component = |index| {
        let [bytes, offset, _, _] = subleaf(0xd, index);
        bytes + offset
    };
    let end = (2..63).filter(|index| switched_on >> index & 1 == 1).map(component).max().unwrap_or(576);
    assert!(size >= end, "XSAVE writes {end} bytes, CPUID says {size}");
    if Kvm::kind() != "kvm_pvm" {
        assert_eq!(states & !0xe7, 0, "no MPX, PKRU or AMX state");
    }
    assert_eq!(leaf(0x4000_0000), [0; 4], "no hypervisor interface");
}
