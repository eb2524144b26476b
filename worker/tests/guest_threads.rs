//! Programs with threads run natively on Linux and in a guest and must print the same.

mod common;

use common::{End, Guest, GuestParent, Outcome, Programs, agrees_with_linux};

/// A guest with room for many threads' stacks.
fn roomy() -> Guest {
    Guest::new().with_memory(256)
}

#[test]
fn posix_threads_behave_as_on_linux_statically_linked() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("threads", &["-static", "-pthread"]), roomy());
}

#[test]
fn posix_threads_behave_as_on_linux_dynamically_linked() {
    let programs = Programs::new();
    let program = programs.compile("threads", &["-pthread"]);
    agrees_with_linux(&program, roomy().with_libraries_of(&program));
}

/// Runs `thread_ends` with `way` in a guest.
fn ends(way: &str) -> Outcome {
    let programs = Programs::new();
    let program = programs.compile("thread_ends", &["-static", "-pthread"]);
    roomy().with_file("/bin/ends", &program).run(&["/bin/ends", way])
}

#[test]
fn any_thread_can_end_the_process() {
    assert_eq!(ends("group").exited(7).out(), "thread\n");
    ends("return").exited(4);
    ends("fault").killed(11);
    ends("kill").killed(15);
}

#[test]
fn a_process_without_its_first_thread_lives_on_and_ends_as_that_one_did() {
    assert_eq!(ends("main").exited(5).out(), "main is gone\n");
}

#[test]
fn who_waits_for_nobody_is_found_out() {
    assert_eq!(ends("deadlock").end, End::Stuck);
}

#[test]
fn too_many_threads_are_refused_and_all_of_them_can_end() {
    let outcome = ends("limit").exited(0);
    assert_eq!(outcome.out(), "1023 threads, again 1023, then Resource temporarily unavailable\n");
}

#[test]
fn rust_threads_behave_as_on_linux() {
    let source = r#"
        use std::collections::BTreeMap;
        use std::sync::atomic::{AtomicU64, Ordering};
        use std::sync::mpsc::{channel, sync_channel};
        use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
        use std::thread;
        use std::time::Duration;
        fn main() {
            let (sender, receiver) = channel();
            let workers: Vec<_> = (0..8u64).map(|number| {
                let sender = sender.clone();
                thread::spawn(move || (0..100).for_each(|i| sender.send(number * 1000 + i).unwrap()))
            }).collect();
            drop(sender);
            let mut by_worker = BTreeMap::<u64, Vec<u64>>::new();
            receiver.iter().for_each(|n| by_worker.entry(n / 1000).or_default().push(n % 1000));
            println!("{} {}", by_worker.len(), by_worker.values().all(|list| list.iter().copied().eq(0..100)));
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            let (sender, receiver) = sync_channel(0);
            let total = thread::scope(|scope| {
                scope.spawn(move || (0..200).for_each(|i| sender.send(i).unwrap()));
                scope.spawn(move || receiver.iter().sum::<i32>()).join().unwrap()
            });
            println!("{total}");
            let (count, map) = (Arc::new(AtomicU64::new(0)), Arc::new(RwLock::new(Vec::new())));
            let barrier = Arc::new(Barrier::new(5));
            let threads: Vec<_> = (0..5).map(|number| {
                let (count, map, barrier) = (count.clone(), map.clone(), barrier.clone());
                thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    map.write().unwrap().push(thread::current().name().unwrap().to_owned());
                    let leads = barrier.wait().is_leader();
                    (leads, count.load(Ordering::SeqCst))
                }).unwrap()
            }).collect();
            let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            println!("{} {}", results.iter().filter(|r| r.0).count(), results.iter().all(|r| r.1 == 5));
            let mut names = map.read().unwrap().clone();
            names.sort();
            println!("{names:?}");
            let pair = Arc::new((Mutex::new(false), Condvar::new()));
            let other = pair.clone();
            let waiter = thread::spawn(move || {
                let mut ready = other.0.lock().unwrap();
                while !*ready { ready = other.1.wait(ready).unwrap(); }
                true
            });
            let timed = pair.1.wait_timeout(pair.0.lock().unwrap(), Duration::from_millis(5)).unwrap().1;
            *pair.0.lock().unwrap() = true;
            pair.1.notify_all();
            println!("{} {}", timed.timed_out(), waiter.join().unwrap());
            let parked = thread::spawn(|| { thread::park(); 5 });
            parked.thread().unpark();
            println!("{} {}", parked.join().unwrap(), thread::spawn(|| panic!("caught")).join().is_err());
        }"#;
    let programs = Programs::new();
    let program = programs.compile_rust("channels", source);
    agrees_with_linux(&program, roomy().with_libraries_of(&program));
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[track_caller]
fn answers(parent: &GuestParent<'_>, generation: u64, body: &str) {
    let outcome = parent.fork(generation, REQUEST);
    let text = String::from_utf8_lossy(&outcome.response).into_owned();
    assert!(text.ends_with(body), "{outcome:#?}");
}

#[test]
fn forks_of_a_parent_with_waiting_threads_use_them() {
    let programs = Programs::new();
    let guest = Guest::new().with_file("/bin/pool", &programs.compile("pool", &["-static", "-pthread"]));
    let parent = guest.parent(&["/bin/pool"]);
    (1..=20).for_each(|generation| answers(&parent, generation, "36 of 8"));
}

#[test]
fn a_recycled_shell_has_its_threads_back() {
    let programs = Programs::new();
    let guest = Guest::new().with_file("/bin/pool", &programs.compile("pool", &["-static", "-pthread"]));
    let parent = guest.parent(&["/bin/pool"]);
    let mut shell = parent.shell();
    for generation in 1..=50 {
        let outcome = parent.fork_in(&mut shell, generation, REQUEST);
        assert!(outcome.response.ends_with(b"36 of 8"), "{outcome:#?}");
        shell.restore().expect("nothing but memory and registers changed");
    }
}

#[test]
fn threads_that_compute_for_ever_do_not_starve_the_others() {
    let programs = Programs::new();
    agrees_with_linux(&programs.compile("preempt", &["-static", "-pthread", "-lm"]), roomy());
}
