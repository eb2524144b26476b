use super::*;
use crate::trace::{Function, Percentiles};

fn function(id: &str) -> Function {
    let run_ms = Percentiles::new(vec![(0.0, 1.0), (100.0, 3.0)]);
    Function { id: id.into(), app: id.into(), run_ms, memory_mb: None }
}

fn counted() -> Trace {
    let counts = vec![vec![600, 0, 6], vec![0, 0, 0], vec![1, 2, 3]];
    Trace { functions: ["a", "b", "c"].map(function).into(), calls: Calls::PerMinute(counts) }
}

fn options(functions: usize, minutes: Range<usize>) -> ReplayOptions {
    ReplayOptions { functions, minutes, speed: 1.0, rate: 1.0, within: Within::Uniform, seed: 7 }
}

#[test]
fn counts_become_times_in_their_minutes() {
    let trace = counted();
    let replay = Replay::new(&trace, options(2, 0..3)).unwrap();
    assert_eq!((replay.functions().len(), replay.length_ns()), (2, 3 * MINUTE_NS));
    let all: Vec<_> = replay.clone().collect();
    assert_eq!(all.len(), 612);
    assert!(all.windows(2).all(|pair| pair[0].at_ns <= pair[1].at_ns));
    assert!(all.iter().all(|call| (1.0..=3.0).contains(&call.run_ms)));
    let of_a = replay.functions().iter().position(|&function| function == 0).unwrap();
    let in_minute = |minute| {
        all.iter()
            .filter(|call| call.function == of_a && crate::trace::minute_of(call.at_ns) == minute)
            .count()
    };
    assert_eq!([0, 1, 2].map(in_minute), [600, 0, 6]);
    assert_eq!(all, replay.collect::<Vec<_>>());
}

#[test]
fn a_part_can_be_replayed_faster_and_evenly() {
    let trace = counted();
    let even = ReplayOptions { speed: 60.0, within: Within::Equidistant, ..options(2, 0..1) };
    let replay = Replay::new(&trace, even).unwrap();
    let of_a = replay.functions().iter().position(|&function| function == 0).unwrap();
    let times: Vec<_> = replay.filter(|call| call.function == of_a).map(|call| call.at_ns).collect();
    assert_eq!(times.len(), 600);
    assert!(times.last().unwrap() < &1_000_000_000);
    assert!(times.windows(2).all(|pair| (1_666_600..=1_666_700).contains(&(pair[1] - pair[0]))));
}

#[test]
fn a_minute_of_the_busiest_sample_has_all_its_calls() {
    let trace = Trace { functions: vec![function("a")], calls: Calls::PerMinute(vec![vec![45_514]]) };
    assert_eq!(Replay::new(&trace, options(1, 0..1)).unwrap().count(), 45_514);
    let tenth = ReplayOptions { rate: 0.1, ..options(1, 0..1) };
    let tenth = Replay::new(&trace, tenth).unwrap().count();
    assert!((4551..=4552).contains(&tenth), "{tenth}");
}

#[test]
fn single_invocations_come_as_recorded() {
    let call = |at_s: u64, function| Invocation { at_ns: at_s * 1_000_000_000, function, run_ms: 5.0 };
    let calls = Calls::Each(vec![call(1, 0), call(61, 1), call(62, 2), call(130, 0)]);
    let trace = Trace { functions: ["a", "b", "c"].map(function).into(), calls };
    let replay = Replay::new(&trace, options(2, 1..2)).unwrap();
    assert!(!replay.functions().contains(&0));
    assert_eq!(replay.map(|call| call.at_ns).collect::<Vec<_>>(), [1_000_000_000, 2_000_000_000]);
}

#[test]
fn what_the_trace_does_not_have_is_refused() {
    let trace = counted();
    let error = |options| Replay::new(&trace, options).unwrap_err();
    assert_eq!(error(options(3, 0..3)), ReplayError::Functions { wanted: 3, called: 2 });
    assert_eq!(error(options(0, 0..3)), ReplayError::Functions { wanted: 0, called: 2 });
    assert_eq!(error(options(1, 0..4)), ReplayError::Minutes { from: 0, to: 4, minutes: 3 });
    assert_eq!(error(options(1, 2..2)), ReplayError::Minutes { from: 2, to: 2, minutes: 3 });
    assert_eq!(error(ReplayOptions { speed: 0.0, ..options(1, 0..1) }), ReplayError::Speed(0.0));
    let rate = ReplayError::Rate { most: 1000.0, rate: 0.0 };
    assert_eq!(error(ReplayOptions { rate: 0.0, ..options(1, 0..1) }), rate);
    let full = Trace { calls: Calls::PerMinute(vec![vec![0, 30_000_000]]), ..counted() };
    assert_eq!(Replay::new(&full, options(1, 0..2)).unwrap_err(), ReplayError::Full(2));
}
