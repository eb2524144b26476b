//! What is kept of a run: requests one by one, and what there is when a thread fails.

use super::*;

#[test]
fn requests_are_recorded_with_their_calls_up_to_a_limit() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let calls = vec![(1, Call::get("/a")), (1, Call::get("/b"))];
    let load = Load::Open(Arrivals::Constant { rate: 100.0 });
    let warm_up = Duration::from_millis(200);
    let sound = Plan { mix: Mix::weighted(calls).unwrap(), warm_up, ..plan(target, load) };
    let recorded = |most| {
        let run = sound.clone().start_recorded(&Stop::default(), most).unwrap();
        run.watch(|_, _| {}).unwrap()
    };
    let all = recorded(1000);
    assert_eq!((all.records.len(), all.unrecorded, all.total.answers()), (80, 0, 80));
    assert!(all.records.iter().all(|record| record.intended_ns >= nanoseconds(warm_up)));
    // They count by their calls, as ever.
    let of_first = all.records.iter().filter(|record| record.call == 0).count();
    assert_eq!(all.total.answered[&(0, Start::Recycled)].response.len(), of_first as u64);
    let some = recorded(30);
    assert_eq!((some.records.len(), some.unrecorded, some.total.answers()), (30, 50, 80));
    let none = sound.clone().start(&Stop::default()).unwrap().watch(|_, _| {}).unwrap();
    assert_eq!((none.records.len(), none.unrecorded), (0, 0));
}

#[test]
fn a_thread_that_fails_takes_only_its_own_counts_with_it() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let load = Load::Open(Arrivals::Constant { rate: 100.0 });
    let mut run = plan(target, load).start(&Stop::default()).unwrap();
    run.threads.push(thread::spawn(|| Err(io::Error::other("no descriptor"))));
    run.threads.insert(0, thread::spawn(|| panic!("this thread fails in a test")));
    let outcome = run.watch(|_, _| {}).unwrap();
    assert_eq!((outcome.total.answers(), outcome.complete), (100, false));
    assert_eq!(outcome.timeline.iter().map(|second| second.answered).sum::<u64>(), 100);
    let why = outcome.generator.limited.unwrap();
    assert!(why.starts_with("2 of 4 sending threads failed") && why.ends_with("it panicked"), "{why}");
}

#[test]
fn a_run_whose_threads_all_fail_is_an_error() {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let stop = Stop::default();
    stop.stop();
    let mut run = plan(target, Load::Closed).start(&stop).unwrap();
    for thread in std::mem::take(&mut run.threads) {
        thread.join().unwrap().unwrap();
    }
    run.threads.push(thread::spawn(|| Err(io::Error::other("no descriptor"))));
    assert_eq!(run.watch(|_, _| {}).unwrap_err().to_string(), "no descriptor");
}

#[test]
fn a_thread_that_cannot_be_started_is_an_error_and_stops_only_its_own_run() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let stop = Stop::default();
    // The first thread would send for an hour.
    let long = Plan { duration: Duration::from_secs(3600), ..plan(target, Load::Closed) };
    let (run, sender) = long.prepare(&stop, None).unwrap();
    let mut started = 0;
    let refused = run.start(&sender, |builder, worker| {
        started += 1;
        let too_many = || io::Error::from(io::ErrorKind::WouldBlock);
        if started == 1 { builder.spawn(|| worker.run()) } else { Err(too_many()) }
    });
    assert!(matches!(refused, Err(PlanError::Thread(why)) if why.kind() == io::ErrorKind::WouldBlock));
    assert!(!stop.is_set(), "nobody pressed Ctrl-C");
}
