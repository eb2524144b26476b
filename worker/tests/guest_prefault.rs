//! What the first request of a shell costs in page faults, by how the shell came to be.

mod common;

use abi::boot::Contract;
use abi::mailbox::Doorbell;
use common::{End, Guest, GuestParent, Programs};
use std::path::Path;
use vmm::Machine;

const PYTHON: &str = "/usr/bin/python3.11";
const REQUEST: &[u8] = b"hello";

fn python() -> Guest {
    let mut guest = Guest::new().with_memory(128).with_file(PYTHON, Path::new(PYTHON));
    guest = guest.with_libraries_of(Path::new(PYTHON));
    let library = Path::new("/usr/lib/python3.11");
    guest.tree.add_host_dir("usr/lib/python3.11", library).expect("a readable tree");
    guest.env =
        vec!["PATH=/usr/bin".into(), "LANG=C.UTF-8".into(), "PYTHONHASHSEED=0".into(), "PYTHONUTF8=1".into()];
    guest.contract = Contract::Handler;
    guest
}

/// A handler as the bootstrap's: decodes, calls, encodes.
const SCRIPT: &str = "
import json, io
with open('/dev/invocation', 'r+b', buffering=0) as invocation:
    while True:
        request = invocation.read(65536)
        event = {'body': request.decode(), 'list': [str(n) for n in range(100)]}
        text = json.dumps({'statusCode': 200, 'body': event['body']})
        invocation.write(text.encode() + b'\\n')
";

/// What one request cost by KVM's counts.
#[derive(Debug)]
struct Counters {
    exits: u64,
    faults: u64,
}

impl Counters {
    fn of(shell: &Machine) -> Self {
        let stats = shell.vcpu_stats().expect("KVM counts");
        let read = |name| stats.read(name).expect("KVM counts").expect("every KVM counts this");
        Self { exits: read("exits"), faults: read("pf_taken") }
    }
}

/// One request: what it cost.
fn cost(parent: &GuestParent<'_>, shell: &mut Machine, what: &str) -> Counters {
    let before = Counters::of(shell);
    let outcome = parent.fork_in(shell, 1, REQUEST);
    assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
    let after = Counters::of(shell);
    let cost = Counters { exits: after.exits - before.exits, faults: after.faults - before.faults };
    println!("{what:<36} {:>5} exits {:>5} faults {:>9.3?}", cost.exits, cost.faults, outcome.elapsed);
    cost
}

/// The least faults of a few requests in a recycled shell: the host may take a page away during any one of them.
fn least_faults(parent: &GuestParent<'_>, shell: &mut Machine, what: &str) -> u64 {
    let mut least = cost(parent, shell, what).faults;
    for _ in 0..4 {
        if least == 0 {
            break;
        }
        shell.restore().expect("an answer");
        least = least.min(cost(parent, shell, what).faults);
    }
    least
}

/// Most faults of a request whose pages were touched: what differs between two requests of one program.
const FAULTS_LEFT_MAX: u64 = 16;

fn costs(parent: &GuestParent<'_>) {
    let mut first = parent.shell();
    let touched = first.prefault().expect("a pristine shell");
    println!("touched {touched} pages, nothing known");
    let first_of_all = cost(parent, &mut first, "first request of a parent, touched");
    let written = first.restore().expect("an answer").ram_pages as u64;
    // A page that is copied faults twice, and again for each time KVM finds the copy not finished, as on a busy machine.
    let most = 8 * written + FAULTS_LEFT_MAX;
    assert!(first_of_all.faults <= most, "only copies are left: {written} pages, {first_of_all:?}");
    assert_eq!(least_faults(parent, &mut first, "recycled"), 0);

    let mut watched = parent.shell();
    cost(parent, &mut watched, "new, watched");
    watched.restore().expect("an answer");
    assert_eq!(least_faults(parent, &mut watched, "recycled after it"), 0);

    let mut shell = parent.shell();
    let new = cost(parent, &mut shell, "new");
    shell.remap().expect("an answer");
    cost(parent, &mut shell, "remapped");
    shell.remap().expect("an answer");
    shell.prefault().expect("a pristine shell");
    assert!(cost(parent, &mut shell, "remapped, touched").faults <= FAULTS_LEFT_MAX);

    let mut shell = parent.shell();
    let learnt = shell.prefault().expect("a pristine shell");
    let faults = Counters::of(&shell).faults;
    println!("touched {learnt} pages in {faults} faults, all known");
    assert!(learnt < touched, "less than everything");
    let touched = cost(parent, &mut shell, "new, touched");
    assert!(touched.faults <= FAULTS_LEFT_MAX, "{touched:?} {new:?}");
    shell.restore().expect("an answer");
    assert_eq!(least_faults(parent, &mut shell, "recycled"), 0);
}

#[test]
fn a_touched_shell_answers_python_without_faults() {
    let guest = python();
    costs(&guest.parent(&[PYTHON, "-c", SCRIPT]));
}

#[test]
fn a_touched_shell_answers_a_native_program_without_faults() {
    let programs = Programs::new();
    let mut guest = Guest::new().with_file("/bin/handler", &programs.compile("handler", &["-static"]));
    guest.contract = Contract::Handler;
    costs(&guest.parent(&["/bin/handler"]));
}
