//! Forks of a captured guest: same state, own identity, no traces.

mod common;

use abi::boot::Contract;
use abi::mailbox::Doorbell;
use common::{End, Guest, Outcome, Programs};
use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

const REQUEST: &[u8] = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n";

fn handler() -> Guest {
    let mut guest = Guest::new().with_file("/bin/handler", &Programs::new().compile("handler", &["-static"]));
    guest.contract = Contract::Handler;
    guest
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The words of a handler's response.
#[track_caller]
fn words(outcome: &Outcome) -> Vec<String> {
    assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
    String::from_utf8(outcome.response.clone())
        .expect("text")
        .trim_end()
        .split(' ')
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_fork_starts_where_the_parent_stopped_and_is_itself() {
    let guest = handler();
    let parent = guest.parent(&["/bin/handler"]);
    let (mut randoms, mut ids) = (HashSet::new(), HashSet::new());
    for generation in 1..=20 {
        let request = format!("request-{generation}");
        let before = seconds_now();
        let outcome = parent.fork(generation, request.as_bytes());
        let answer = words(&outcome);
        assert_eq!((&answer[0][..], &answer[1][..]), ("1", "0"), "no state of an earlier fork: {answer:?}");
        assert_eq!(answer[5], request);
        assert!(randoms.insert(answer[2].clone()), "random numbers repeat: {answer:?}");
        assert!(ids.insert(answer[3].clone()), "instance ids repeat: {answer:?}");
        let told: u64 = answer[4].parse().expect("seconds");
        assert!(before <= told + 1 && told <= seconds_now() + 1, "the clock is the snapshot's");
        assert_eq!(outcome.err(), "call 1\n");
    }
}

#[test]
fn a_recycled_shell_is_as_good_as_a_new_one() {
    let guest = handler();
    let parent = guest.parent(&["/bin/handler"]);
    let mut shell = parent.shell();
    for generation in 1..=200 {
        let request = "x".repeat(generation * 100);
        let outcome = parent.fork_in(&mut shell, generation as u64, request.as_bytes());
        let answer = words(&outcome);
        assert_eq!((&answer[0][..], &answer[1][..], &answer[5][..]), ("1", "0", &request[..]));
        shell.restore().expect("nothing but memory and registers changed");
    }
}

#[test]
fn what_a_parent_holds_every_fork_holds_whatever_the_one_before_did_with_it() {
    let mut guest = Guest::new().with_file("/bin/keeper", &Programs::new().compile("keeper", &["-static"]));
    guest.contract = Contract::Handler;
    let parent = guest.parent(&["/bin/keeper"]);
    let mut shell = parent.shell();
    for generation in 1..=20 {
        let outcome = parent.fork_in(&mut shell, generation, b"x");
        let expected = "process open nobody flock 11 at 3 events -1 segment 0 5000 signals 0 1";
        assert_eq!(words(&outcome).join(" "), expected);
        shell.restore().expect("nothing but memory and registers changed");
    }
}

#[test]
fn a_fork_with_the_identity_of_its_parent_fails() {
    let guest = handler();
    let outcome = guest.parent(&["/bin/handler"]).fork(0, b"x");
    match &outcome.end {
        End::Doorbell(Doorbell::Panic, _, text) => assert!(text.contains("generation"), "{text}"),
        end => panic!("{end:?}"),
    }
}

#[test]
fn an_http_server_answers_from_its_accept() {
    let mut guest = Guest::new().with_file("/bin/server", &Programs::new().compile("server", &["-static"]));
    guest.contract = Contract::Http;
    let parent = guest.parent(&["/bin/server"]);
    for generation in 1..=5 {
        let outcome = parent.fork(generation, REQUEST);
        assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
        let text = String::from_utf8(outcome.response).expect("text");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n1 GET /one HTTP/1.1"),
            "{text}"
        );
    }
}

/// What `sparse.c` answers; `runtime` and `function`: how often pages were counted up before, 0 for never.
fn counted(runtime: u32, function: u32, full: u32) -> String {
    format!(
        "runtime={} function={} new=1 far=1 closed=fault opened=1 open=2 closing=fault full={} empty=1 mapped=2 \
         unmapped=fault moved=2 away=fault",
        runtime + 1,
        function + 1,
        full + 1
    )
}

/// Forks in one shell answer as a fork in a shell of its own does, whatever they do to their page tables.
#[track_caller]
fn forks_are_alike(parent: &common::GuestParent<'_>, expected: &str) {
    let answer = |outcome: &Outcome| words(outcome).join(" ");
    assert_eq!(answer(&parent.fork(5, b"work\n")), expected);
    let mut shell = parent.shell();
    for generation in 10..40 {
        assert_eq!(answer(&parent.fork_in(&mut shell, generation, b"work\n")), expected);
        shell.restore().expect("page tables of pico's own are put back");
        if generation % 10 == 0 {
            shell.prefault().expect("its pages can be touched");
        }
    }
    assert_eq!(answer(&parent.fork(50, b"work\n")), expected);
}

fn sparse() -> Guest {
    let mut guest = Guest::new().with_file("/bin/sparse", &Programs::new().compile("sparse", &["-static"]));
    guest.contract = Contract::Handler;
    guest
}

#[test]
fn what_forks_map_in_a_reservation_is_their_own() {
    let guest = sparse();
    forks_are_alike(&guest.parent(&["/bin/sparse"]), &counted(1, 0, 1));
}

fn closed() -> Guest {
    let mut guest = Guest::new().with_file("/bin/closed", &Programs::new().compile("closed", &["-static"]));
    guest.contract = Contract::Handler;
    guest
}

/// What `closed.c` answers; `function` and `again`: pages that a function may have protected.
fn protected(function: &str, again: &str) -> String {
    format!(
        "open=2 closed=fault read-only=only-1 function={function} again={again} opened=2 closing=fault kept=only-1 \
         far=2 far-closed=only-2 anew=1"
    )
}

#[test]
fn what_forks_protect_in_their_memory_is_their_own() {
    let guest = closed();
    forks_are_alike(&guest.parent(&["/bin/closed"]), &protected("2", "2"));
}

#[test]
fn forks_that_protect_more_than_one_list_of_entries_are_put_back() {
    let guest = closed().with_memory(64);
    let expected = format!("{} much=only-0", protected("2", "2"));
    // 512 entries each.
    for pieces in ["3", "9"] {
        forks_are_alike(&guest.parent(&["/bin/closed", pieces]), &expected);
    }
}

#[test]
fn a_function_keeps_what_its_runtime_and_itself_protected() {
    let mut guest = closed();
    guest.awaits_function = true;
    let runtime = guest.parent(&["/bin/closed"]);
    let function = runtime.function(b"become\n", 32);
    let expected = protected("only-2", "fault");
    forks_are_alike(&function, &expected);
    let other = runtime.function(b"become\n", 0);
    forks_are_alike(&other, &expected);
    forks_are_alike(&function, &expected);
}

#[test]
fn a_function_keeps_what_its_runtime_and_itself_mapped_in_a_reservation() {
    let mut guest = sparse();
    guest.awaits_function = true;
    let runtime = guest.parent(&["/bin/sparse"]);
    let function = runtime.function(b"become\n", 32);
    forks_are_alike(&function, &counted(2, 1, 2));
    let other = runtime.function(b"become\n", 0);
    forks_are_alike(&other, &counted(2, 1, 2));
    forks_are_alike(&function, &counted(2, 1, 2));
}
