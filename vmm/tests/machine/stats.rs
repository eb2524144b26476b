//! KVM's counters of a real VM.

use crate::fixture::{COUNT, World, prepare, request};
use vmm::Exit;

#[test]
fn a_recycled_run_counts_few_exits_and_no_page_faults() {
    let world = World::new();
    let mut machine = world.fork(&request(&[COUNT]));
    let stats = machine.vcpu_stats().unwrap();
    let read = |name| stats.read(name).unwrap().expect("every KVM counts this");
    assert_eq!(machine.run().unwrap(), Exit::Doorbell);
    assert!(read("exits") > 0 && read("pf_taken") > 0);
    // The host may interrupt any one of them, or take a page away.
    let mut rounds = (0..5).map(|_| {
        machine.restore().unwrap();
        prepare(&mut machine, &request(&[COUNT]));
        let before = (read("exits"), read("pf_taken"));
        assert_eq!(machine.run().unwrap(), Exit::Doorbell);
        (read("exits") - before.0, read("pf_taken") - before.1)
    });
    assert!(rounds.any(|(exits, faults)| (1..=10).contains(&exits) && faults == 0));
}

#[test]
fn counters_nobody_has_are_unknown() {
    let world = World::new();
    let machine = world.fork(&request(&[COUNT]));
    let (vcpu, vm) = (machine.vcpu_stats().unwrap(), machine.vm_stats().unwrap());
    assert!(vcpu.names().any(|name| name == "exits") && vm.names().any(|name| name == "pages_4k"));
    assert_eq!(vcpu.read("pages_4k").unwrap(), None);
    assert_eq!(vm.read("").unwrap(), None);
}
