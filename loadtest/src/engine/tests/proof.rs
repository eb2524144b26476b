//! What is reported is what happened.

use super::*;
use crate::engine::worker::arrivals;
use crate::report::{RunReport, Second};

#[test]
fn a_server_with_a_known_distribution_is_reported_with_it() {
    // Of ten requests six take 20 ms, three 100 ms, one 300 ms, in turn.
    const SCRIPT: [u64; 10] = [20, 100, 20, 20, 300, 20, 100, 20, 100, 20];
    let target = serve(|number, stream| {
        let place = usize::try_from(number % 10).unwrap();
        thread::sleep(Duration::from_millis(SCRIPT[place]));
        stream.write_all(HELLO).is_ok()
    });
    let load = Load::Open(Arrivals::Constant { rate: 100.0 });
    let sum = total(Plan { connections: 200, duration: Duration::from_secs(3), ..plan(target, load) });
    assert_eq!((sum.answers(), sum.failures()), (300, 0));
    let service = &sum.answered[&(0, Start::Recycled)].service;
    // None is faster than its delay; on a quiet machine none is much slower, on a loaded one some are. So many at least took so
    // long, and the rest was not as long as the next delay, as far as the machine lets them.
    for (quantile, delay_ms) in [(0.05, 20), (0.55, 20), (0.65, 100), (0.85, 100), (0.95, 300), (1.0, 300)] {
        let reported = service.value_at_quantile(quantile);
        assert!(reported >= delay_ms * 1_000_000 - 128, "{quantile}: {reported}");
    }
    let slower = |ms: u64| 300 - service.count_between(0, ms * 1_000_000);
    assert!(slower(99) >= 120 && slower(299) >= 30, "{} {}", slower(99), slower(299));
}

#[test]
fn a_microsecond_makes_a_difference() {
    let mut histogram = crate::tally::histogram();
    for us in [20, 21, 150, 151, 500, 501] {
        crate::tally::record(&mut histogram, us * 1000);
    }
    assert_eq!(histogram.iter_recorded().count(), 6);
    assert!(histogram.buckets() < 5, "it grows only as far as it must");
}

#[test]
fn the_same_seed_sends_the_same_calls_at_the_same_times() {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let mix = || Mix::weighted((1..9).map(|weight| (weight, Call::get("/"))).collect()).unwrap();
    let load = Load::Open(Arrivals::Poisson { rate: 1000.0 });
    let sent = |seed, threads: usize| {
        let plan = Plan { mix: mix(), seed, threads, ..plan(target.clone(), load.clone()) };
        arrivals(&plan).unwrap().take(5000).map(|due| (due.intended_ns, due.call)).collect::<Vec<_>>()
    };
    assert_eq!(sent(7, 1), sent(7, 2));
    assert_ne!(sent(7, 1), sent(8, 1));
    let mut counts = [0_i32; 8];
    sent(7, 1).iter().for_each(|(_, call)| counts[*call] += 1);
    assert!(counts.is_sorted_by(|a, b| a < b), "weights 1 to 8: {counts:?}");
}

#[test]
fn a_closed_loop_reports_what_the_server_took() {
    let target = serve(|_, stream| {
        thread::sleep(Duration::from_millis(20));
        stream.write_all(HELLO).is_ok()
    });
    let sum = total(Plan { connections: 2, ..plan(target, Load::Closed) });
    let latencies = &sum.answered[&(0, Start::Recycled)];
    // Nothing waits in a closed loop: both are the same.
    assert_eq!(latencies.response, latencies.service);
    assert!(latencies.service.min() >= 19_999_000 && sum.answers() <= 102);
}

#[test]
fn the_offered_rate_and_the_generators_own_time_are_reported() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let load = Load::Open(Arrivals::Constant { rate: 200.0 });
    let warm_up = Duration::from_millis(500);
    let run = Plan { warm_up, ..plan(target, load) }.start(&Stop::default()).unwrap();
    let mut last = Progress::default();
    let outcome = run.watch(|_, progress| last = *progress).unwrap();
    let report = RunReport::new("server", 0, &outcome);
    assert_eq!(report.offered_rate, Some(200.0));
    assert_eq!((report.answered, report.warm_up, last.answered), (100, 100, 200));
    assert!(report.generator.cpu_seconds > 0.0);
    assert!(report.complete && (report.seconds - 0.5).abs() < 1e-9);
}

#[test]
fn a_stop_does_not_wait_for_a_server_that_never_answers() {
    let target = serve(|_, _| {
        thread::park();
        false
    });
    for protocol in [Protocol::Http1, Protocol::Http2 { streams: 9 }] {
        let stop = Stop::default();
        let load = Load::Open(Arrivals::Constant { rate: 100.0 });
        let (duration, timeout) = (Duration::from_secs(3600), Duration::from_secs(3600));
        let plan = Plan { duration, timeout, protocol, ..plan(target.clone(), load) };
        let outcome = plan.start(&stop).unwrap().watch(|_, _| stop.stop()).unwrap();
        assert!(!outcome.complete && outcome.seconds < 1800.0, "{}", outcome.seconds);
        assert_eq!(outcome.total.answers() + outcome.total.failures(), 0);
        // What was sent and what waited for a connection.
        assert_eq!(accounted(&outcome), outcome.total.unfinished);
        assert!(outcome.total.unfinished > 0);
    }
}

/// Everything that was counted. It is all that was meant to be sent.
fn accounted(outcome: &Outcome) -> u64 {
    let Tally { dropped, unfinished, .. } = outcome.total;
    let sum = outcome.total.answers() + outcome.total.failures() + dropped + unfinished;
    let meant = outcome.offered_rate.unwrap() * outcome.seconds;
    assert!((sum as f64 - meant).abs() < 1e-3, "{sum} of {meant}");
    sum
}

#[test]
fn a_stop_ends_the_wait_for_answers_after_the_end_too() {
    let target = serve(|_, _| {
        thread::park();
        false
    });
    for protocol in [Protocol::Http1, Protocol::Http2 { streams: 9 }] {
        let stop = Stop::default();
        let load = Load::Open(Arrivals::Constant { rate: 100.0 });
        let plan = Plan { timeout: Duration::from_secs(3600), protocol, ..plan(target.clone(), load) };
        let after_the_end = |second: &Second, _: &Progress| {
            if second.second > 0 {
                stop.stop();
            }
        };
        let outcome = plan.start(&stop).unwrap().watch(after_the_end).unwrap();
        assert!((outcome.seconds - 1.0).abs() < 1e-9, "{}", outcome.seconds);
        assert_eq!((accounted(&outcome), outcome.total.unfinished), (100, 100));
    }
}

#[test]
fn nothing_is_lost_when_nothing_is_answered_in_time() {
    let target = serve(|_, _| {
        thread::park();
        false
    });
    for protocol in [Protocol::Http1, Protocol::Http2 { streams: 1 }] {
        let load = Load::Open(Arrivals::Constant { rate: 100.0 });
        let timeout = Duration::from_millis(150);
        let slow = Plan { timeout, protocol, connections: 2, queue: 20, ..plan(target.clone(), load) };
        let outcome = slow.start(&Stop::default()).unwrap().watch(|_, _| {}).unwrap();
        assert_eq!(accounted(&outcome), 100);
        assert!(outcome.total.failures() > 0 && outcome.total.dropped > 0, "{:?}", outcome.total);
    }
}

#[test]
fn answers_after_the_end_are_no_throughput() {
    // One connection, and 20 ms for each answer: 50 a second at most, when 100 are asked for.
    let target = serve(|_, stream| {
        thread::sleep(Duration::from_millis(20));
        stream.write_all(HELLO).is_ok()
    });
    let load = Load::Open(Arrivals::Constant { rate: 100.0 });
    let run = Plan { connections: 1, threads: 1, ..plan(target, load) }.start(&Stop::default()).unwrap();
    let report = RunReport::new("server", 0, &run.watch(|_, _| {}).unwrap());
    assert_eq!((report.answered, report.offered_rate), (100, Some(100.0)));
    assert!((1..=50).contains(&report.answered_in_time), "{}", report.answered_in_time);
    assert!(report.goodput() < 51.0);
}

#[test]
fn what_was_asked_for_in_the_warm_up_and_is_answered_later_is_throughput() {
    // The server answers nothing for 300 ms: all of the warm-up waits.
    let target = serve(|number, stream| {
        if number == 0 {
            thread::sleep(Duration::from_millis(300));
        }
        stream.write_all(HELLO).is_ok()
    });
    let (warm_up, duration) = (Duration::from_millis(200), Duration::from_secs(3600));
    let total = total(Plan { warm_up, duration, connections: 1, threads: 1, ..plan(target, first(100)) });
    assert_eq!((total.answers(), total.in_time), (80, 100));
}

/// Requests every 10 ms.
fn first(count: u64) -> Load {
    Load::Given((0..count).map(|index| Arrival { at_ns: index * 10_000_000, call: 0 }).collect())
}

#[test]
fn a_burst_alone_has_no_rates() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let load = Load::Open(Arrivals::Burst { size: 10, every_s: 60.0 });
    let burst = Plan { duration: Duration::from_millis(1), ..plan(target, load) };
    let outcome = burst.start(&Stop::default()).unwrap().watch(|_, _| {}).unwrap();
    let report = RunReport::new("server", 0, &outcome);
    assert_eq!((report.answered, report.offered_rate, report.has_rates()), (10, None, false));
}
