//! Children share their parent's memory, and `spore ps` tells the truth about it.

use crate::platform::Platform;
use std::thread;

const CHILDREN: usize = 100;

#[test]
fn a_hundred_live_children_share_their_parents_memory() {
    let platform = Platform::start().with_python_probe(&["--timeout", "60s"]);
    thread::scope(|scope| {
        for _ in 0..CHILDREN {
            scope.spawn(|| assert_eq!(platform.get("/function/probe?do=sleep&seconds=4").status, 200));
        }
    });
    let vms: serde_json::Value =
        serde_json::from_str(&platform.spore_ok(&["--output", "json", "ps"])).unwrap();
    let vms = vms["vms"].as_array().or(vms.as_array()).expect("a list of VMs");
    assert!(vms.len() >= CHILDREN, "{} VMs are live", vms.len());
    let detail = platform.spore_ok(&["--output", "json", "describe", "probe"]);
    let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
    let parent = detail["stats"]["parent"]["resident_bytes"].as_u64().unwrap();
    for vm in vms {
        let (private, shared) = (vm["private_bytes"].as_u64().unwrap(), vm["shared_bytes"].as_u64().unwrap());
        assert!(private * 5 < parent, "private {private}, parent {parent}");
        assert!(shared > private, "shared {shared}, private {private}");
    }
    let vm = &vms[0];
    assert_eq!(
        smaps_copied_bytes(vm),
        vm["private_bytes"].as_u64().unwrap(),
        "`ps` and /proc disagree: {vm}"
    );
}

/// What a VM has copied of its parent: anonymous memory in its RAM mapping, from the kernel.
fn smaps_copied_bytes(vm: &serde_json::Value) -> u64 {
    let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", vm["pid"])).unwrap();
    let start = format!("{:x}-", vm["memory_address"].as_u64().unwrap());
    let mapping = smaps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let fields = mapping.take_while(|line| !line.split(' ').next().unwrap().contains('-'));
    fields
        .filter(|line| line.starts_with("Anonymous:"))
        .map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024)
        .sum()
}
