//! The runtime node24 as a guest.

use super::{End, Guest, GuestParent, Outcome};
use abi::boot::Contract;
use abi::mailbox::Doorbell;
use snapshotter::erofs::Tree;

/// What a function is started with, as `runtimes::launch` does it, without the handler.
const COMMAND: [&str; 7] = [
    "/usr/bin/node",
    "--single-threaded",
    "--expose-gc",
    "--no-flush-bytecode",
    "--disable-sigusr1",
    "--max-old-space-size=112",
    "/opt/spore/bootstrap.cjs",
];

/// A guest with the image of the runtime and these files as its function.
pub(crate) fn node(files: &[(&str, &str)]) -> Guest {
    let image = runtimes::image::prepare("node24", &runtimes::cache_dir(), &|line| eprintln!("{line}"));
    let image = image.unwrap_or_else(|error| panic!("the image of node24 is needed: {error}"));
    let mut guest = Guest::new().with_memory(192);
    guest.root = Some(image.path);
    guest.contract = Contract::Handler;
    guest.tree = Tree::new();
    for (name, text) in files {
        guest.tree.add_file(*name, text.as_bytes(), 0o644).expect("a free name");
    }
    guest.env = vec!["PATH=/usr/bin".into(), "LANG=C.UTF-8".into(), "LAMBDA_TASK_ROOT=/var/task".into()];
    guest
}

/// The command of a function, or of the runtime's parent.
pub(crate) fn command(handler: &'static str) -> Vec<&'static str> {
    COMMAND.into_iter().chain([handler]).collect()
}

/// An invocation with `event`.
pub(crate) fn invocation(event: &str) -> Vec<u8> {
    let context = r#"{"request_id":"r-1","deadline_ms":4102444800000,"function_name":"f","memory_mb":256}"#;
    format!("{{\"event\":{event},\"context\":{context}}}\n").into_bytes()
}

/// What the runtime's parent is told, to become a function.
pub(crate) fn document(handler: &str) -> Vec<u8> {
    let env = r#"{"LAMBDA_TASK_ROOT":"/var/task","COLOUR":"green","TZ":"Europe/Berlin"}"#;
    format!("{{\"handler\":\"{handler}\",\"env\":{env}}}\n").into_bytes()
}

/// What a fork answered.
#[track_caller]
pub(crate) fn answer(outcome: &Outcome) -> String {
    let answered = matches!(outcome.end, End::Doorbell(Doorbell::Response, ..));
    assert!(answered, "{:?}: {}{}", outcome.end, outcome.err(), outcome.pico);
    String::from_utf8(outcome.response.clone()).expect("text").trim_end().to_owned()
}

/// Asks a new fork. (Of generation 1 was its parent, if that is a fork itself.)
#[track_caller]
pub(crate) fn ask(parent: &GuestParent<'_>, event: &str) -> String {
    answer(&parent.fork(2, &invocation(event)))
}
