//! What must differ between two forks does.

use crate::platform::Platform;
use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn two_forks_differ_in_everything_that_must() {
    let platform = Platform::start().with_python_probe(&[]);
    let mut connection = platform.connect();
    let answers: Vec<_> = (0..50)
        .map(|_| {
            let response = connection.get("/function/probe?do=identity");
            assert_eq!(response.status, 200, "{}", response.text());
            (response.header("x-spore-instance").unwrap().to_owned(), response.json())
        })
        .collect();
    for field in ["urandom", "random", "uuid1", "uuid4", "boot_id", "monotonic"] {
        let distinct: HashSet<String> = answers.iter().map(|(_, answer)| answer[field].to_string()).collect();
        assert_eq!(distinct.len(), answers.len(), "{field} repeats");
    }
    for (instance, answer) in &answers {
        assert_eq!(
            &answer["boot_id"].as_str().unwrap().replace('-', ""),
            instance,
            "host and guest disagree"
        );
    }
    let instances: HashSet<&String> = answers.iter().map(|(instance, _)| instance).collect();
    assert_eq!(instances.len(), answers.len(), "an instance id repeats");
}

#[test]
fn the_clock_is_that_of_now() {
    let platform = Platform::start().with_python_probe(&[]);
    for _ in 0..3 {
        let before = now();
        let inside = platform.get("/function/probe?do=identity").json()["time"].as_f64().unwrap();
        let after = now();
        // A millisecond of slack: the guest reads its clock by counter ticks since it was entered.
        assert!(before - 0.001 <= inside && inside <= after + 0.001, "{before} {inside} {after}");
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
