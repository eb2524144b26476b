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
    println!("Python took {:?} in the guest, refused: {:?}", outcome.elapsed, outcome.refusals);
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

#[test]
fn threads_queues_and_executors_print_what_they_print_on_linux() {
    let script = "
import threading, queue, concurrent.futures, time, asyncio, signal, os, multiprocessing.pool
print(threading.current_thread().name, threading.active_count())
work, results = queue.Queue(3), queue.Queue()
def worker():
    while (item := work.get()) is not None:
        results.put(item * item)
        work.task_done()
threads = [threading.Thread(target=worker) for _ in range(4)]
for thread in threads: thread.start()
for i in range(200): work.put(i)
work.join()
for _ in threads: work.put(None)
for thread in threads: thread.join()
print(sum(results.get() for _ in range(200)), threading.active_count())
with concurrent.futures.ThreadPoolExecutor(5) as pool:
    print(list(pool.map(lambda n: sum(range(n)), range(0, 50000, 10000))))
    futures = [pool.submit(time.sleep, 0.02) for _ in range(5)]
    start = time.monotonic()
    print(len(concurrent.futures.wait(futures).done), time.monotonic() - start < 5)
local, lock, total = threading.local(), threading.Lock(), 0
barrier, event, once = threading.Barrier(3), threading.Event(), threading.Semaphore(2)
def mixed(number):
    global total
    local.value = number
    for _ in range(300):
        with lock: total += 1
    barrier.wait()
    event.wait(10)
    with once: return local.value == number
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    futures = [pool.submit(mixed, n) for n in range(3)]
    time.sleep(0.01)
    event.set()
    print([f.result() for f in futures], total, hasattr(local, 'value'))
# The interpreter's own switching between threads that compute.
counts = [0, 0]
def count(index):
    until = time.monotonic() + 0.2
    while not counts[index] or time.monotonic() < until: counts[index] += 1
threads = [threading.Thread(target=count, args=(i,)) for i in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(all(counts))
timer_ran = threading.Event()
threading.Timer(0.01, timer_ran.set).start()
print(timer_ran.wait(5), threading.Event().wait(0.01))
async def main():
    return await asyncio.gather(*(asyncio.to_thread(pow, n, 2) for n in range(5)))
print(asyncio.run(main()))
signal.signal(signal.SIGUSR1, lambda *_: print('signal in', threading.current_thread().name))
thread = threading.Thread(target=lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1))
thread.start()
thread.join()
with multiprocessing.pool.ThreadPool(3) as pool: print(pool.map(str, range(5)))
daemon = threading.Thread(target=time.sleep, args=(1000,), daemon=True)
daemon.start()
print(daemon.is_alive(), threading.get_native_id() == os.getpid())
";
    let mut native = Command::new(PYTHON);
    native.args(["-c", script]).env_clear();
    let native = native.output().expect("it runs on the host");
    assert!(native.status.success(), "{}", String::from_utf8_lossy(&native.stderr));
    let outcome = python().with_memory(256).run(&[PYTHON, "-c", script]).exited(0);
    assert_eq!(outcome.out(), String::from_utf8_lossy(&native.stdout), "{}", outcome.err());
}

#[test]
fn forks_of_a_python_with_an_idle_executor_use_it() {
    let mut guest = python().with_memory(256);
    guest.contract = Contract::Handler;
    let script = "
import concurrent.futures
pool = concurrent.futures.ThreadPoolExecutor(4)
list(pool.map(str, range(16)))
n = 0
with open('/dev/invocation', 'r+b', buffering=0) as invocation:
    while True:
        request = invocation.read(65536)
        n += 1
        answer = sum(pool.map(lambda part: len(part) ** 2, request.decode().split()))
        invocation.write(f'{n} {answer}\\n'.encode())
";
    let parent = guest.parent(&[PYTHON, "-c", script]);
    let mut shell = parent.shell();
    for generation in 1..=20 {
        let outcome = parent.fork_in(&mut shell, generation, b"a bb ccc dddd\n");
        assert_eq!(outcome.end, End::Doorbell(Doorbell::Response, 0, String::new()), "{outcome:#?}");
        assert_eq!(outcome.response, b"1 30\n");
        shell.restore().expect("nothing but memory and registers changed");
    }
}
