//! Programs that run natively on Linux and in a guest must print the same.

mod common;

use abi::refusal::{Kind, Refusal};
use common::{End, Guest, Programs, agrees_with_linux};

/// The three ways a C program is linked.
const LINKED: [&[&str]; 3] = [&["-static", "-lm"], &["-static-pie", "-lm"], &["-lm"]];

#[test]
fn memory_behaves_as_on_linux() {
    let programs = Programs::new();
    let outcome = agrees_with_linux(&programs.compile("memory", &["-static"]), Guest::new());
    assert!(outcome.memory_refused, "it asks for more than there is");
}

#[test]
fn reservations_and_guard_pages_behave_as_on_linux() {
    let programs = Programs::new();
    let outcome = agrees_with_linux(&programs.compile("reservations", &["-static", "-O1"]), Guest::new());
    assert!(!outcome.memory_refused, "it uses less than there is");
}

#[test]
fn protections_are_those_of_linux_however_the_program_is_linked() {
    let programs = Programs::new();
    for flags in LINKED {
        let program = programs.compile("protections", flags);
        let guest = if flags.len() == 1 { Guest::new().with_libraries_of(&program) } else { Guest::new() };
        agrees_with_linux(&program, guest);
    }
}

#[test]
fn memory_that_goes_away_while_a_call_uses_it_harms_nobody_else() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("unmapped_in_use", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn large_files_of_the_image_behave_as_on_linux_however_the_program_is_linked() {
    let programs = Programs::new();
    for flags in LINKED {
        let program = programs.compile("images", flags);
        let guest = if flags.len() == 1 { Guest::new().with_libraries_of(&program) } else { Guest::new() };
        agrees_with_linux(&program, guest.with_memory(96));
    }
}

#[test]
fn mappings_beyond_the_ends_of_files_behave_as_on_linux() {
    let programs = Programs::new();
    for flags in LINKED {
        let program = programs.compile("ends", flags);
        let guest = if flags.len() == 1 { Guest::new().with_libraries_of(&program) } else { Guest::new() };
        agrees_with_linux(&program, guest);
    }
}

#[test]
fn shared_mappings_that_change_their_size_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("regrown", &["-static"]), Guest::new());
}

#[test]
fn files_that_are_mapped_twice_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("double", &["-static"]), Guest::new());
}

#[test]
fn memory_that_is_not_to_be_inherited_behaves_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("inherited", &["-static"]), Guest::new());
}

#[test]
fn timers_and_queued_signals_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("timers", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn edges_of_sockets_are_told_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("edges", &["-static"]), Guest::new());
}

#[test]
fn signals_reach_whoever_waits() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("woken", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn signals_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("signals", &["-static", "-lm"]), Guest::new());
}

#[test]
fn handlers_start_with_a_fresh_floating_point_state_and_are_told_what_happened() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("fresh", &["-static", "-lm"]), Guest::new());
}

#[test]
fn identity_limits_clocks_and_futexes_behave_as_on_linux() {
    let programs = Programs::new();
    let outcome = agrees_with_linux(&programs.compile("process", &["-static"]), Guest::new());
    assert!(outcome.refusals.contains(&Refusal::new(Kind::Call, 5000, 0, 0)), "{outcome:?}");
}

#[test]
fn processes_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("processes", &["-static", "-pthread"]), Guest::new());
    let dynamic = programs.compile("processes", &["-pthread"]);
    agrees_with_linux(&dynamic, Guest::new().with_libraries_of(&dynamic));
}

#[test]
fn processes_that_wake_each_other_and_processes_that_never_wait_share_the_processor() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("fair", &["-static"]), Guest::new());
}

#[test]
fn fork_bombs_are_refused_and_leave_nothing_behind() {
    let programs = Programs::new();
    let bomb = programs.compile("bomb", &["-static", "-O1"]);
    let guest = Guest::new().with_memory(32).with_file("/bin/bomb", &bomb);
    let expected = "wide many\ndeep 0\nbomb over\nas many as at first: yes\n";
    assert_eq!(guest.run(&["/bin/bomb"]).exited(0).out(), expected);
}

#[test]
fn file_locks_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("locks", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn stopped_processes_behave_as_on_linux() {
    let programs = Programs::new();
    let program = programs.compile("stops", &["-static", "-pthread"]);
    agrees_with_linux(&program, Guest::new());
    let guest = Guest::new().with_file("/bin/stops", &program);
    let outcome = guest.run(&["/bin/stops", "for", "ever"]);
    assert_eq!(outcome.end, End::Stuck, "nobody can continue the first process: {outcome:?}");
}

#[test]
fn process_descriptors_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("pidfds", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn blocks_grow_in_a_program_that_forks() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("grow", &["-static", "-O1"]), Guest::new().with_memory(128));
}

#[test]
fn reading_a_directory_ends_despite_its_growth() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("growth", &["-static"]), Guest::new());
}

#[test]
fn full_pipes_and_connections_without_waiting_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("streams", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn resets_and_urgent_data_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("resets", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn heads_of_packets_and_the_loopback_interface_behave_as_on_linux() {
    let programs = Programs::new();
    let program = programs.compile("packets", &[]);
    agrees_with_linux(&program, Guest::new().with_libraries_of(&program));
}

#[test]
fn writes_to_pipes_and_sockets_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("whole_writes", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn splice_moves_bytes_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("splice", &["-static", "-pthread"]), Guest::new());
}

#[test]
fn users_groups_and_system_v_shared_memory_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("owners", &["-static"]), Guest::new());
}

#[test]
fn signalfd_behaves_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("signalfd", &["-static"]), Guest::new());
}

#[test]
fn watches_of_files_tell_what_linux_tells() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("watches", &["-static"]), Guest::new());
}

#[test]
fn the_vdso_is_found_and_tells_the_time_of_the_system_calls() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("vdso", &["-static"]), Guest::new());
    let dynamic = programs.compile("vdso", &["-lm"]);
    agrees_with_linux(&dynamic, Guest::new().with_libraries_of(&dynamic));
}

#[test]
fn registers_survive_system_calls_however_the_program_is_linked() {
    let programs = Programs::new();
    for flags in LINKED {
        let program = programs.compile("registers", flags);
        let guest = if flags.contains(&"-lm") && flags.len() == 1 {
            Guest::new().with_libraries_of(&program)
        } else {
            Guest::new()
        };
        agrees_with_linux(&program, guest);
    }
}

#[test]
fn a_rust_program_behaves_as_on_linux() {
    let programs = Programs::new();
    let source = r#"
        use std::collections::HashMap;
        use std::time::{Duration, Instant};
        fn main() {
            let text = "the quick brown fox jumps over the lazy dog the end";
            let mut counts: HashMap<&str, u32> = HashMap::new();
            text.split(' ').for_each(|word| *counts.entry(word).or_default() += 1);
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort();
            println!("{counts:?} {:?}", std::env::args().skip(1).collect::<Vec<_>>());
            let start = Instant::now();
            std::thread::sleep(Duration::from_millis(5));
            println!("{}", start.elapsed() >= Duration::from_millis(5));
            println!("{:?}", std::fs::read("/nowhere").map_err(|error| error.kind()));
            println!("{:?}", std::panic::catch_unwind(|| panic!("caught")).is_err());
            println!("{:?}", std::thread::available_parallelism().is_ok());
        }"#;
    let program = programs.compile_rust("words", source);
    agrees_with_linux(&program, Guest::new().with_libraries_of(&program));
}
