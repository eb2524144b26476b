//! Children share their parent's memory, and `spore ps` tells the truth about it.

use crate::platform::Platform;
use crate::wait_for;

const CHILDREN: usize = 100;

#[test]
fn a_hundred_live_children_share_their_parents_memory() {
    let platform = Platform::start().with_python_probe(&["--timeout", "15m"]);
    // Requests that end with the platform.
    let mut clients: Vec<_> = (0..CHILDREN).map(|_| platform.connect()).collect();
    for client in &mut clients {
        client.send("GET", "/function/probe?do=sleep&seconds=800", &[], b"");
    }
    let mut vms = Vec::new();
    wait_for("not all of them are live and share more than they copied", || {
        vms = platform.vms();
        vms.retain(|vm| vm["state"] == "serving");
        vms.len() >= CHILDREN && vms.iter().all(|vm| bytes(vm, "shared_bytes") > bytes(vm, "private_bytes"))
    });
    let detail = platform.spore_ok(&["--output", "json", "describe", "probe"]);
    let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
    let parent = &detail["stats"]["parent"];
    let [own, runtime] =
        ["resident_bytes", "runtime_resident_bytes"].map(|key| parent[key].as_u64().unwrap());
    assert!(own < runtime, "a function has {own} bytes of its own, its runtime {runtime}");
    let parent = own + runtime;
    for vm in &vms {
        let private = bytes(vm, "private_bytes");
        assert!(private * 5 < parent, "private {private}, parent {parent}");
    }
    // One that does not sleep yet may copy more between the two looks.
    wait_for("`ps` and /proc disagree", || {
        let vm = &platform.live_vms()[0];
        smaps_copied_bytes(vm) == bytes(vm, "private_bytes")
    });
}

fn bytes(vm: &serde_json::Value, key: &str) -> u64 {
    vm[key].as_u64().unwrap()
}

/// What a VM has copied of its parent: anonymous memory in its RAM, from the kernel. RAM is one or more areas with
/// an inaccessible one behind them.
fn smaps_copied_bytes(vm: &serde_json::Value) -> u64 {
    let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", vm["pid"])).unwrap();
    let start = format!("{:x}-", vm["memory_address"].as_u64().unwrap());
    let ram = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let is_guard = |line: &str| line.split(' ').nth(1) == Some("---p");
    ram.take_while(|line| !is_guard(line))
        .filter(|line| line.starts_with("Anonymous:"))
        .map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024)
        .sum()
}

const FUNCTIONS: usize = 50;

/// Fifty different functions cost what they changed, and the runtime's memory once.
#[test]
fn fifty_functions_of_a_runtime_share_its_memory() {
    let platform = Platform::start();
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FUNCTIONS {
        let source =
            format!("import json\nNUMBER = {number}\ndef handler(event, context): return str(NUMBER)\n");
        std::fs::write(folder.path().join("app.py"), source).unwrap();
        platform.deploy(folder.path(), &["--name", &format!("f{number}"), "--handler", "app.handler"]);
        assert_eq!(platform.get(&format!("/function/f{number}")).text(), format!("\"{number}\""));
    }
    let mut vms = Vec::new();
    wait_for("not every function has a VM", || {
        // On a slow machine the first have been idle for so long that they gave up their VMs.
        for number in 0..FUNCTIONS {
            assert_eq!(platform.get(&format!("/function/f{number}")).text(), format!("\"{number}\""));
        }
        vms = platform.vms();
        vms.len() >= FUNCTIONS
    });
    let sum = |key: &str| vms.iter().map(|vm| bytes(vm, key)).sum::<u64>();
    let (shared, private, pss) = (sum("shared_bytes"), sum("private_bytes"), sum("pss_bytes"));
    // Of a page that n VMs map, each counts the n-th part. Without sharing between functions it would be all of it,
    // or half where a function has a spare.
    let own_part = pss - private;
    assert!(own_part * 5 < shared, "50 functions: {shared} bytes shared, {own_part} of them in proportion");
}
