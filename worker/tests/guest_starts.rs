//! What it costs to start processes in a request, in exits and faults.

mod common;

use abi::boot::Contract;
use common::{Guest, Programs, counts};

/// A guest whose handler starts processes; what it starts is `/bin/small`, dynamically linked.
fn starter(programs: &Programs, flags: &[&str]) -> Guest {
    let small = programs.compile_text("small", "int main(void) { return 7; }", &[]);
    let starts = programs.compile("starts", flags);
    let mut guest = Guest::new().with_libraries_of(&small).with_file("/bin/small", &small);
    guest = guest.with_file("/bin/starts", &starts);
    guest.contract = Contract::Handler;
    guest
}

#[test]
fn what_a_start_costs() {
    let programs = Programs::new();
    let guest = starter(&programs, &[]);
    let parent = guest.parent(&["/bin/starts"]);
    for request in ["fork 1", "fork 2", "fork 10", "spawn 1", "spawn 2", "spawn 10", "exec 1", "exec 2", "exec 10"] {
        let mut shell = parent.shell();
        let before = counts(&shell).expect("KVM counts");
        let begun = std::time::Instant::now();
        let outcome = parent.fork_in(&mut shell, 1, request.as_bytes());
        let took = begun.elapsed();
        let after = counts(&shell).expect("KVM counts");
        println!(
            "{request}: exits {} faults {} in {} us: {}",
            after.0 - before.0,
            after.1 - before.1,
            took.as_micros(),
            String::from_utf8_lossy(&outcome.response)
        );
    }
}
