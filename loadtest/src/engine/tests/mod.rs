mod hostile;
mod hostile_http2;
mod kept;
mod proof;
mod protocols;

use super::*;
use crate::call::Call;
use crate::expect::Expect;
use crate::failure::Failure;
use crate::tally::{Start, Tally};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;

/// A server whose `answer` gets the number of the request and writes what it wants; false closes the connection.
fn serve(answer: impl Fn(u64, &mut TcpStream) -> bool + Send + Sync + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answer = Arc::new(answer);
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer, count) = (stream.unwrap(), Arc::clone(&answer), Arc::clone(&count));
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() && !answer(count.fetch_add(1, Ordering::SeqCst), &mut stream) {
                        break;
                    }
                }
            });
        }
    });
    target
}

fn plan(target: Target, load: Load) -> Plan {
    Plan {
        target,
        mix: Mix::of(Call::get("/")),
        load,
        connections: 8,
        queue: 1000,
        duration: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        timeout: Duration::from_secs(30),
        threads: 2,
        seed: 42,
        protocol: Protocol::Http1,
    }
}

fn total(plan: Plan) -> Tally {
    plan.start(&Stop::default()).unwrap().watch(|_, _| {}).unwrap().total
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nx-spore-start: recycled\r\ncontent-length: 5\r\n\r\nhello";

#[test]
fn an_open_loop_sends_what_is_due_and_no_more() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let sum = total(plan(target, Load::Open(Arrivals::Constant { rate: 200.0 })));
    assert_eq!((sum.answers(), sum.failures(), sum.dropped), (200, 0, 0));
    assert_eq!(sum.body_bytes, 1000);
    assert_eq!(sum.answered.keys().collect::<Vec<_>>(), [&(0, Start::Recycled)]);
}

#[test]
fn a_stalled_server_makes_all_late_that_were_due_meanwhile() {
    // One connection; the first answer takes 500 ms, the others none. 100 requests a second for a second: those of the first
    // half waited 490, 480, ... ms though each was answered at once.
    let target = serve(|number, stream| {
        if number == 0 {
            thread::sleep(Duration::from_millis(500));
        }
        stream.write_all(HELLO).is_ok()
    });
    let load = Load::Open(Arrivals::Constant { rate: 100.0 });
    let sum = total(Plan { connections: 1, threads: 1, ..plan(target, load) });
    assert_eq!((sum.answers(), sum.dropped), (100, 0));
    let latencies = &sum.answered[&(0, Start::Recycled)];
    let waited = |ns| {
        latencies
            .response
            .iter_recorded()
            .filter(|at| at.value_iterated_to() > ns)
            .map(|at| at.count_at_value())
            .sum::<u64>()
    };
    assert!(waited(100_000_000) >= 30, "{}", waited(100_000_000));
    assert!(latencies.service.value_at_quantile(0.95) < 400_000_000);
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    // Nothing is answered before all have been sent.
    let target = serve(|_, stream| {
        thread::sleep(Duration::from_secs(8));
        stream.write_all(HELLO).is_ok()
    });
    let load = Load::Open(Arrivals::Constant { rate: 100.0 });
    let sum = total(Plan { connections: 2, queue: 3, ..plan(target, load) });
    // 2 under way, 3 (of two threads: 2 and 1) in queues, the rest has no place.
    assert_eq!((sum.answers(), sum.dropped), (5, 95));
}

#[test]
fn a_closed_loop_waits_for_each_answer() {
    let target = serve(|_, stream| {
        thread::sleep(Duration::from_millis(50));
        stream.write_all(HELLO).is_ok()
    });
    let sum = total(Plan { connections: 4, ..plan(target, Load::Closed) });
    assert!((4..=80).contains(&sum.answers()), "{}", sum.answers());
    assert!(sum.response().min() >= 49_000_000);
}

#[test]
fn every_kind_of_failure_is_told_apart() {
    let expect = Expect { body: Some("hello".into()), ..Expect::default() };
    let call = Call { expect, ..Call::get("/") };
    let kinds: [(&'static [u8], Failure); 6] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", Failure::Truncated),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhello", Failure::Excess),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhallo",
            Failure::Unexpected(crate::expect::Mismatch::Body),
        ),
        (
            b"HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nhello",
            Failure::Unexpected(crate::expect::Mismatch::Status(500)),
        ),
        (b"what?", Failure::Protocol),
        (b"", Failure::Truncated),
    ];
    for (bytes, failure) in kinds {
        let target = serve(move |_, stream| {
            let _ = stream.write_all(bytes);
            false
        });
        let load = Load::Open(Arrivals::Constant { rate: 10.0 });
        let sum = total(Plan { mix: Mix::of(call.clone()), ..plan(target, load) });
        assert_eq!(sum.failed, [((0, failure), 10)].into(), "{}", bytes.escape_ascii());
    }
    let nobody = Target::parse("http://127.0.0.1:1").unwrap();
    let sum = total(plan(nobody, Load::Open(Arrivals::Constant { rate: 10.0 })));
    assert_eq!(sum.failed, [((0, Failure::Connect), 10)].into());
}

#[test]
fn what_does_not_answer_in_time_has_failed() {
    let target = serve(|_, _| {
        thread::park();
        false
    });
    let load = Load::Open(Arrivals::Constant { rate: 20.0 });
    // A connection for each: what waits for one is not sent when the end comes first.
    let timeout = Duration::from_millis(100);
    let sum = total(Plan { timeout, connections: 20, ..plan(target, load) });
    assert_eq!(sum.failed, [((0, Failure::Timeout), 20)].into());
}

#[test]
fn the_warm_up_is_not_counted_and_a_stop_ends_the_run() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let load = Load::Open(Arrivals::Constant { rate: 100.0 });
    let warm_up = Duration::from_millis(600);
    assert_eq!(total(Plan { warm_up, ..plan(target.clone(), load.clone()) }).answers(), 40);
    let stop = Stop::default();
    let run = Plan { duration: Duration::from_secs(3600), ..plan(target, load) }.start(&stop).unwrap();
    let outcome = run
        .watch(|_, total| {
            if total.answered > 0 {
                stop.stop()
            }
        })
        .unwrap();
    assert!(!outcome.complete && outcome.seconds < 1000.0);
    assert_eq!(outcome.timeline.iter().map(|second| second.answered).sum::<u64>(), outcome.total.answers());
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let error = |plan: Plan| plan.start(&Stop::default()).unwrap_err().to_string();
    let sound = plan(target, Load::Closed);
    assert!(error(Plan { connections: 0, ..sound.clone() }).contains("connections"));
    assert!(error(Plan { threads: 9, ..sound.clone() }).contains("threads"));
    assert!(error(Plan { warm_up: sound.duration, ..sound.clone() }).contains("warm-up"));
    assert!(error(Plan { load: Load::Open(Arrivals::Poisson { rate: 0.0 }), ..sound }).contains("rate"));
}

#[test]
fn given_arrivals_are_sent_at_their_times_and_recorded_one_by_one() {
    let target = serve(|_, stream| stream.write_all(HELLO).is_ok());
    let arrivals: Vec<Arrival> =
        (0..300_u32).map(|index| Arrival { at_ns: u64::from(index) * 1_000_000, call: index % 3 }).collect();
    let calls = ["/a", "/b", "/c"].map(Call::get).into();
    let load = Load::Given(arrivals.clone().into());
    let sound = Plan { mix: Mix::listed(calls).unwrap(), ..plan(target, load) };
    let outcome = sound.clone().start(&Stop::default()).unwrap().watch(|_, _| {}).unwrap();
    assert_eq!((outcome.total.answers(), outcome.total.failures(), outcome.total.dropped), (300, 0, 0));
    assert_eq!((outcome.calls, outcome.total.answered.len()), (vec!["all".to_owned()], 1));
    let mut seen: Vec<(u64, u32)> = outcome
        .records
        .iter()
        .map(|record| (record.intended_ns, u32::try_from(record.call).unwrap()))
        .collect();
    seen.sort_unstable();
    let meant: Vec<(u64, u32)> = arrivals.iter().map(|arrival| (arrival.at_ns, arrival.call)).collect();
    assert_eq!(seen, meant);
    for wrong in [[(5, 0), (4, 0)], [(5, 0), (6, 3)]] {
        let wrong = wrong.map(|(at_ns, call)| Arrival { at_ns, call });
        let error = Plan { load: Load::Given(wrong.into()), ..sound.clone() }.start(&Stop::default());
        assert!(error.unwrap_err().to_string().starts_with("arrival 1 "));
    }
}
