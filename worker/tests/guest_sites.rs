//! System-call sites that are rewritten must do what they do on Linux, and those that cannot be must keep working.

mod common;

use abi::boot::Contract;
use abi::mailbox::Doorbell;
use common::{End, Guest, Programs, agrees_with_linux};
use std::process::Command;
use vmm::Machine;

/// First byte of a near and of a short jump.
const NEAR: &str = "e9";
const SHORT: &str = "eb";

/// Pages of trampolines pico spends at most.
const PAGES_MAX: u64 = 32;

/// What the program says of its own text and of pico's figures: `name value` a line.
#[track_caller]
fn told(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[test]
fn rewritten_sites_behave_as_on_linux() {
    let programs = Programs::new();
    let linked = [("-static", Guest::new()), ("-static-pie", Guest::new()), ("-lm", Guest::new())];
    for (flag, guest) in linked {
        let program = programs.compile("sites", &[flag]);
        let guest = if flag == "-lm" { guest.with_libraries_of(&program) } else { guest };
        let told_by_guest = agrees_with_linux(&program, guest).err();
        let expected = [
            ("near", NEAR),
            ("short", SHORT),
            ("wide", NEAR),
            ("between", NEAR),
            ("disguised", NEAR),
            ("faulting", "b8"),
        ];
        for (name, byte) in expected {
            assert_eq!(told(&told_by_guest, name), byte, "{name}, linked with {flag}: {told_by_guest}");
        }
        assert_eq!(told(&told_by_guest, "crowded"), "0");
    }
}

fn exits_of(shell: &Machine) -> u64 {
    let stats = shell.vcpu_stats().expect("KVM tells");
    stats.read("exits").expect("KVM tells").expect("every KVM counts exits")
}

/// The least exits of a request to recycled forks, without the host's ticks: at most one a millisecond. Its other interrupts
/// add to some of them.
#[track_caller]
fn least_exits(guest: &Guest, args: &[&str], request: &[u8]) -> u64 {
    let parent = guest.parent(args);
    let mut shell = parent.shell();
    let exits = (1..=100).map(|generation| {
        let before = exits_of(&shell);
        let outcome = parent.fork_in(&mut shell, generation, request);
        assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
        let after = exits_of(&shell);
        shell.restore().expect("nothing but memory and registers changed");
        (after - before).saturating_sub(u64::try_from(outcome.elapsed.as_millis()).expect("not that long"))
    });
    exits.min().expect("a hundred requests")
}

#[test]
fn a_request_leaves_the_vm_once() {
    let programs = Programs::new();
    for flags in [&["-static"][..], &["-static-pie"], &["-lm"]] {
        let server = programs.compile("server", flags);
        let mut guest = Guest::new().with_file("/bin/server", &server);
        if flags == ["-lm"] {
            guest = guest.with_libraries_of(&server);
        }
        guest.contract = Contract::Http;
        let exits = least_exits(&guest, &["/bin/server"], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(exits <= 1, "a server linked with {flags:?}: accept, read, write: {exits}");
    }
}

#[test]
fn without_descriptions_of_functions_every_site_keeps_trapping() {
    let programs = Programs::new();
    let program = programs.compile("sites", &["-static"]);
    let removed = Command::new("objcopy").arg("--remove-section=.eh_frame").arg(&program).status();
    assert!(removed.expect("binutils come with the compiler").success());
    let told_by_guest = agrees_with_linux(&program, Guest::new()).err();
    let expected = [
        ("near", "b8"),
        ("short", "31"),
        ("wide", "48"),
        ("between", "b8"),
        ("disguised", "41"),
        ("rewritten", "0"),
    ];
    for (name, byte) in expected {
        assert_eq!(told(&told_by_guest, name), byte, "{name}: {told_by_guest}");
    }
}

#[test]
fn sites_beyond_the_limit_keep_trapping() {
    let programs = Programs::new();
    let source = r#"
        #include <fcntl.h>
        #include <stdio.h>
        #include <unistd.h>
        __asm__(".text\nmany:\n.cfi_startproc\nxor %r8d, %r8d\n.rept 6000\nmov $39, %eax\nsyscall\nadd %rax, %r8\n.endr\n"
                "mov %r8, %rax\nret\n.cfi_endproc\n");
        extern long many();
        int main(void) {
            char counts[200] = "";
            printf("%d %d\n", many() == 6000l * getpid(), many() == 6000l * getpid());
            int fd = open("/proc/spore/system_calls", O_RDONLY);
            if (fd >= 0) read(fd, counts, sizeof counts - 1);
            fputs(counts, stderr);
            return 0;
        }"#;
    let program = programs.compile_text("many", source, &["-static-pie"]);
    let told_by_guest = agrees_with_linux(&program, Guest::new()).err();
    let rewritten: u64 = told(&told_by_guest, "rewritten").parse().expect("a number");
    let crowded: u64 = told(&told_by_guest, "crowded").parse().expect("a number");
    assert_eq!(rewritten, 127 * PAGES_MAX, "{told_by_guest}");
    assert!(crowded > 1500, "{told_by_guest}");
}

#[test]
fn a_program_that_single_steps_itself_through_a_call_survives() {
    let programs = Programs::new();
    let source = r#"
        #define _GNU_SOURCE
        #include <signal.h>
        #include <stdio.h>
        #include <unistd.h>
        static volatile int steps;
        static void step(int s) { steps++; }
        __asm__(".text\nstepped:\n.cfi_startproc\npushf\norq $0x100, (%rsp)\npopf\nnop\nmov $39, %eax\nsyscall\nnop\n"
                "pushf\nandq $~0x100, (%rsp)\npopf\nret\n.cfi_endproc\n");
        extern long stepped();
        int main(void) {
            signal(SIGTRAP, step);
            for (int i = 0; i < 3; i++) {
                steps = 0;
                int same = stepped() == getpid();
                printf("%d %d\n", same, steps > 2);
            }
            return 0;
        }"#;
    agrees_with_linux(&programs.compile_text("steps", source, &["-static-pie"]), Guest::new());
}

#[test]
fn a_fork_finds_the_sites_its_parent_rewrote_and_changes_none() {
    let programs = Programs::new();
    let source = r#"
        #include <arpa/inet.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <sys/socket.h>
        #include <unistd.h>
        int main(void) {
            int server = socket(AF_INET, SOCK_STREAM, 0);
            struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
            if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 16)) return 3;
            for (;;) {
                int client = accept(server, 0, 0);
                char request[4096], counts[2][200] = {"", ""}, body[1000], reply[2000];
                for (int i = 0; i < 2; i++) {
                    int fd = open("/proc/spore/system_calls", O_RDONLY);
                    read(fd, counts[i], 199);
                    close(fd);
                    read(client, request, i ? 0 : sizeof request);
                }
                int length = sprintf(body, "%ssame %d\n", counts[0], !strcmp(counts[0], counts[1]));
                int total = sprintf(reply, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, body);
                write(client, reply, total);
                close(client);
            }
        }"#;
    let program = programs.compile_text("forked", source, &["-static-pie"]);
    let guest = Guest::new().with_file("/bin/forked", &program);
    let parent = guest.parent(&["/bin/forked"]);
    let mut shell = parent.shell();
    for generation in 1..=50 {
        let outcome = parent.fork_in(&mut shell, generation, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = String::from_utf8_lossy(&outcome.response).into_owned();
        assert_eq!(told(&response, "same"), "1", "{response}");
        shell.restore().expect("nothing but memory and registers changed");
    }
}
