//! Terminals: programs that run natively on Linux and in a guest must print the same.

mod common;

use common::{Guest, Programs, agrees_with_linux};

#[test]
fn pseudo_terminals_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("ptys", &["-static", "-O1"]), Guest::new());
}

#[test]
fn sessions_and_their_terminals_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("sessions", &["-static", "-O1"]), Guest::new());
}

#[test]
fn small_calls_behave_as_on_linux() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("calls", &["-static", "-pthread", "-O1"]), Guest::new());
}
