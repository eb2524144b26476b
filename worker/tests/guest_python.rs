//! Debian's unmodified CPython in a guest.

mod common;

use abi::boot::Contract;
use abi::mailbox::Doorbell;
use common::End;
use common::python::{PYTHON, python};
use std::process::Command;

#[test]
fn scripts_print_what_they_print_on_linux() {
    let script = "
import sys, os, json, hashlib, decimal, re, zlib, math, struct, datetime, email.message, asyncio, tempfile, collections
print(sys.version, sys.argv, sys.flags)
print(json.dumps({'a': [1, 2.5, None, 'ü']}), hashlib.sha256(b'x').hexdigest())
print(decimal.Decimal(1) / 3, re.findall(r'\\d+', 'a1b22'), zlib.crc32(b'abc'), math.pi, 2 ** 200)
async def work(n):
    await asyncio.sleep(0.001)
    return n * n
async def main():
    return await asyncio.gather(*(work(n) for n in range(5)))
print(asyncio.run(main()))
with tempfile.TemporaryDirectory() as d:
    p = os.path.join(d, 'f')
    open(p, 'w').write('text' * 1000)
    print(os.path.getsize(p), sorted(os.listdir(d)), open(p).read()[:4])
try:
    open('/nowhere')
except OSError as error:
    print(error)
print(collections.Counter('mississippi').most_common(2), sorted(os.environ))
sys.exit(3)
";
    let args = ["-c", script, "argument"];
    let mut native = Command::new(PYTHON);
    native.args(args).env_clear();
    for entry in &python().env {
        let (key, value) = entry.split_once('=').expect("an entry has a value");
        native.env(key, value);
    }
    let native = native.output().expect("it runs on the host");
    let outcome = python().run(&[PYTHON, args[0], args[1], args[2]]).exited(3);
    assert_eq!(outcome.out(), String::from_utf8_lossy(&native.stdout), "{}", outcome.err());
    println!("Python took {:?} in the guest, unsupported: {:?}", outcome.elapsed, outcome.unsupported);
}

#[test]
fn forks_of_a_python_answer_and_forget() {
    let mut guest = python();
    guest.contract = Contract::Handler;
    let script = "
import random, uuid, os
n = 0
with open('/dev/invocation', 'r+b', buffering=0) as invocation:
    while True:
        request = invocation.read(65536)
        n += 1
        invocation.write(f'{n} {uuid.uuid4()} {os.urandom(4).hex()} {request.decode()}\\n'.encode())
";
    let parent = guest.parent(&[PYTHON, "-c", script]);
    let mut shell = parent.shell();
    let mut seen = std::collections::HashSet::new();
    for generation in 1..=20 {
        let outcome = parent.fork_in(&mut shell, generation, b"hello");
        assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
        let text = String::from_utf8(outcome.response.clone()).expect("text");
        assert!(text.starts_with("1 ") && text.ends_with(" hello\n"), "{text}");
        assert!(seen.insert(text), "two forks drew the same random numbers");
        println!("fork {generation} took {:?}", outcome.elapsed);
        shell.restore().expect("nothing but memory and registers changed");
    }
}
