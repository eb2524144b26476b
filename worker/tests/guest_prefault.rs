//! What the first request of a shell costs in page faults, by how the shell came to be.

mod common;

use abi::boot::Contract;
use abi::mailbox::Doorbell;
use common::{End, Guest, GuestParent};
use std::path::Path;
use vmm::{Counters, Machine};

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

/// One request: what it cost.
fn cost(parent: &GuestParent<'_>, shell: &mut Machine) -> Counters {
    let before = shell.counters().expect("KVM counts");
    let outcome = parent.fork_in(shell, 1, REQUEST);
    assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
    let after = shell.counters().expect("KVM counts");
    println!("   {:?}", outcome.elapsed);
    Counters { exits: after.exits - before.exits, faults: after.faults - before.faults }
}

#[test]
fn measure() {
    let guest = python();
    let parent = guest.parent(&[PYTHON, "-c", SCRIPT]);
    let mut first = parent.shell();
    let begin = std::time::Instant::now();
    println!("prefault {:?} {:?} {:?}", first.prefault(), begin.elapsed(), first.counters());
    println!("first, prefaulted without a write set: {:?}", cost(&parent, &mut first));
    println!("{:?}", first.restore());
    println!("recycled: {:?}", cost(&parent, &mut first));
    first.restore().unwrap();
    let mut new = parent.shell();
    println!("new, learning: {:?}", cost(&parent, &mut new));
    new.restore().unwrap();
    println!("recycled: {:?}", cost(&parent, &mut new));
    let mut new = parent.shell();
    println!("new: {:?}", cost(&parent, &mut new));
    new.remap().unwrap();
    println!("remapped: {:?}", cost(&parent, &mut new));
    new.remap().unwrap();
    let begin = std::time::Instant::now();
    println!("remap prefault {:?} {:?}", new.prefault(), begin.elapsed());
    println!("remapped, prefaulted: {:?}", cost(&parent, &mut new));
    let mut new = parent.shell();
    let begin = std::time::Instant::now();
    println!("prefault {:?}", new.prefault());
    println!("prefault took {:?} {:?}", begin.elapsed(), new.counters());
    println!("new, prefaulted: {:?}", cost(&parent, &mut new));
    new.restore().unwrap();
    println!("recycled: {:?}", cost(&parent, &mut new));
}
