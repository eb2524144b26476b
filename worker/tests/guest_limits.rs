//! Programs that take all there is of pico's own memory: they get errors, and pico goes on.

mod common;

use common::{Guest, Programs};

const WHAT: [&str; 15] = [
    "texts",
    "long-texts",
    "copies",
    "paths",
    "sockets",
    "buffers",
    "names",
    "locks",
    "holes",
    "splices",
    "transfers",
    "polls",
    "reads",
    "writes",
    "messages",
];

#[test]
fn whatever_takes_picos_own_memory_has_a_limit() {
    let programs = Programs::new();
    let hoard = programs.compile("hoard", &["-static", "-pthread", "-O1"]);
    let guest = Guest::new().with_memory(96).with_file("/bin/hoard", &hoard);
    for what in WHAT {
        println!("{what}");
        let outcome = guest.run(&["/bin/hoard", what]);
        assert_eq!(outcome.exited(0).out(), format!("{what} are limited: 1\n"));
    }
}
