//! Signals to `spore run` are signals to the program.

use crate::common::spore;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

/// A program that has said `ready`; its input stays open as long as the second value.
fn started(script: &str) -> (Child, ChildStdin, BufReader<std::process::ChildStdout>) {
    let mut command = spore(&["run", "--timeout", "600s", "--", "sh", "-c", script]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let (input, mut output) = (
        child.stdin.take().expect("it is a pipe"),
        BufReader::new(child.stdout.take().expect("it is a pipe")),
    );
    assert_eq!(line(&mut output), "ready\n");
    (child, input, output)
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("it is a pipe");
    line
}

/// Asserts that the VM was killed. A signal that comes while `ready` is still being written ends the program itself.
#[track_caller]
fn ended_or_killed(child: &mut Child) {
    let code = child.wait().expect("it is a child").code();
    assert!(matches!(code, Some(130 | 137 | 143)), "{code:?}");
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is there");
}

#[test]
fn a_signal_ends_a_program_that_does_not_handle_it() {
    for (signal, code) in [
        (Signal::INT, 130),
        (Signal::TERM, 143),
        (Signal::HUP, 129),
        (Signal::USR1, 138),
        (Signal::USR2, 140),
    ] {
        let (mut child, _input, _output) = started("echo ready; read x");
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn a_handler_runs_as_often_as_it_is_sent() {
    let script =
        "n=0; trap 'n=$((n+1)); echo got $n' INT; echo ready; while [ $n -lt 3 ]; do read x; done; exit 5";
    let (mut child, _input, mut output) = started(script);
    for n in 1..=3 {
        send(&child, Signal::INT);
        assert_eq!(line(&mut output), format!("got {n}\n"));
    }
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_handler_runs_in_a_program_that_only_computes() {
    let (mut child, _input, mut output) =
        started("trap 'echo caught; exit 3' TERM; echo ready; while :; do :; done");
    send(&child, Signal::TERM);
    assert_eq!((line(&mut output).as_str(), child.wait().unwrap().code()), ("caught\n", Some(3)));
}

#[test]
fn users_signals_reach_their_handlers() {
    for (name, signal) in [("USR1", Signal::USR1), ("USR2", Signal::USR2)] {
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do read x; done");
        let (mut child, _input, mut output) = started(&script);
        send(&child, signal);
        assert_eq!(line(&mut output), format!("got {name}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
}

#[test]
fn a_stopped_program_is_continued_from_outside() {
    let (mut child, _input, mut output) = started("echo ready; kill -STOP $$; echo goes on; exit 6");
    let code = loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            break status.code();
        }
        // One that comes before the stop does nothing.
        send(&child, Signal::CONT);
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!((code, line(&mut output).as_str()), (Some(6), "goes on\n"));
}

#[test]
fn a_second_signal_kills_a_program_that_only_computes() {
    let (mut child, _input, _output) = started("echo ready; while :; do :; done");
    send(&child, Signal::INT);
    send(&child, Signal::TERM);
    ended_or_killed(&mut child);
}

#[test]
fn one_signal_is_enough_to_end_it_a_little_later() {
    let (mut child, _input, _output) = started("echo ready; while :; do :; done");
    send(&child, Signal::TERM);
    ended_or_killed(&mut child);
}

#[test]
fn a_program_that_waits_for_its_reader_can_be_ended() {
    let (mut child, _input, output) = started("echo ready; while :; do echo more and more; done");
    // Nobody reads: the pipe is full soon, and both signals reach a program that is stopped in a write.
    send(&child, Signal::TERM);
    send(&child, Signal::INT);
    ended_or_killed(&mut child);
    drop(output);
}
