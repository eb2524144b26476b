//! What it costs to start processes, in exits of the VM, and that nothing of it stays.

mod common;

use abi::boot::Contract;
use common::{Guest, GuestParent, Programs, counts};

/// A guest whose program starts processes; what it starts is `/bin/small`, dynamically linked.
fn starter(programs: &Programs) -> Guest {
    let small = programs.compile_text("small", "int main(void) { return 7; }", &[]);
    let starts = programs.compile("starts", &[]);
    Guest::new().with_libraries_of(&small).with_file("/bin/small", &small).with_file("/bin/starts", &starts)
}

/// Exits of a request that starts `count` processes.
#[track_caller]
fn exits(parent: &GuestParent<'_>, way: &str, count: u32) -> u64 {
    let mut shell = parent.shell();
    let outcome = parent.fork_in(&mut shell, 1, format!("{way} {count}").as_bytes());
    let response = String::from_utf8_lossy(&outcome.response).into_owned();
    assert!(response.starts_with(&format!("{way} {count} ")), "{response} {outcome:#?}");
    let (exits, faults) = counts(&shell).expect("KVM counts");
    println!("{response}in {exits} exits, of these {faults} page faults");
    exits
}

#[test]
fn a_request_starts_one_process_after_another_in_few_exits() {
    let programs = Programs::new();
    let mut guest = starter(&programs);
    guest.contract = Contract::Handler;
    let parent = guest.parent(&["/bin/starts"]);
    // Without hardware to help, each page fault and each flush is an exit, too. What the first process needs once is left
    // out of account.
    for (way, most) in [("fork", 100), ("spawn", 320), ("exec", 400)] {
        let (few, many) = (exits(&parent, way, 5), exits(&parent, way, 25));
        let each = many.saturating_sub(few) / 20;
        println!("{way}: {each} exits each");
        assert!(each <= most, "{way}: {each} exits each");
    }
}

#[test]
fn two_hundred_commands_leave_no_memory_behind() {
    let programs = Programs::new();
    let outcome = starter(&programs).run(&["/bin/starts", "leak", "100"]).exited(0);
    assert_eq!(outcome.out(), "lost 0 KiB\n");
}

#[test]
fn a_program_started_in_a_request_has_its_hot_sites_rewritten() {
    let calls = r#"
        #define _GNU_SOURCE
        #include <stdio.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(void) {
            char line[64];
            int rewritten = 0;
            for (int i = 0; i < 1000; i++) getppid();
            FILE *file = fopen("/proc/spore/system_calls", "r");
            while (fgets(line, sizeof line, file)) sscanf(line, "rewritten %d", &rewritten);
            return rewritten > 0 && rewritten < 100 ? 7 : 1;
        }"#;
    let programs = Programs::new();
    let small = programs.compile_text("small", calls, &[]);
    let mut guest = Guest::new().with_libraries_of(&small).with_file("/bin/small", &small);
    guest = guest.with_file("/bin/starts", &programs.compile("starts", &[]));
    guest.contract = Contract::Handler;
    let parent = guest.parent(&["/bin/starts"]);
    exits(&parent, "exec", 3);
}
