//! VMs made ahead of demand, mapped anew instead of made again, and given up for others.

use crate::platform::{Platform, function};
use crate::wait_for;
use std::collections::BTreeSet;

const FINE: &str = r#"{"count":1}"#;

fn wait_until_idle(platform: &Platform) {
    wait_for("not all VMs are idle", || platform.live_vms().iter().all(|vm| vm["state"] == "idle"));
}

/// The answer of one request and how its VM came to be.
fn start_of(platform: &Platform, path: &str) -> (u16, String) {
    let response = platform.get(path);
    let start = response.header("x-spore-start").unwrap_or_default().to_owned();
    if response.status == 200 && path.ends_with("count") {
        assert_eq!(response.text(), FINE);
    }
    (response.status, start)
}

#[test]
fn there_is_a_vm_before_the_first_request_and_after_a_lost_one() {
    let platform = Platform::start().with_python_probe(&["--timeout", "10s"]);
    let spares = || platform.metric("spore_spares_prepared_total", "probe");
    wait_for("there is no first spare", || spares() == 1.0);
    assert_eq!(start_of(&platform, "/function/probe?do=count"), (200, "spare".to_owned()));
    assert_eq!(start_of(&platform, "/function/probe?do=count"), (200, "recycled".to_owned()));
    assert_eq!(spares(), 1.0, "one is enough for one request at a time");
    assert_eq!(platform.get("/function/probe?do=loop").status, 504);
    wait_for("there is no other", || {
        // What is missing is seen when a request ends.
        platform.get("/function/probe?do=count").status == 200 && spares() + forks_new(&platform) >= 2.0
    });
}

fn forks_new(platform: &Platform) -> f64 {
    platform.metric("spore_forks_total", "function=\"probe\",start=\"new\"")
}

/// Sends `count` requests at once; all must have this status.
fn at_once(platform: &Platform, count: usize, path: &str, status: u16) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| assert_eq!(platform.get(path).status, status, "{path}"));
        }
    });
}

#[test]
fn a_burst_that_was_seen_before_finds_its_vms() {
    const BURST: usize = 5;
    let platform = Platform::start().with_python_probe(&["--timeout", "10s"]);
    // All run at the same time, and all lose their VMs.
    at_once(&platform, BURST, "/function/probe?do=loop", 504);
    wait_for("there are not enough spares", || {
        platform.get("/function/probe?do=count").status == 200
            && platform.vms().iter().filter(|vm| vm["state"] == "idle").count() >= BURST
    });
    let vms = || -> BTreeSet<String> { platform.live_vms().iter().map(|vm| vm["id"].to_string()).collect() };
    let before = vms();
    at_once(&platform, BURST, "/function/probe?do=sleep&seconds=0.5", 200);
    assert_eq!(vms(), before, "nothing was made for the burst");
    // The first, and what the sequential requests above did not make themselves.
    assert!(platform.metric("spore_spares_prepared_total", "probe") >= 3.0);
}

#[test]
fn a_program_that_ends_or_writes_much_does_not_cost_its_vm() {
    let platform = Platform::start().with_python_probe(&["--timeout", "60s"]);
    wait_until_idle(&platform);
    for path in ["do=hard_exit&status=3", "do=abort", "do=write&megabytes=20"] {
        let response = platform.get(&format!("/function/probe?{path}"));
        assert!(matches!(response.status, 200 | 502), "{path}: {}", response.text());
        wait_until_idle(&platform);
        let next = start_of(&platform, "/function/probe?do=count");
        assert_eq!(next, (200, "remapped".to_owned()), "after {path}");
        assert_eq!(start_of(&platform, "/function/probe?do=count").1, "recycled");
    }
    assert_eq!(platform.metric("spore_shells_discarded_total", "probe"), 0.0);
    assert_eq!(platform.metric("spore_forks_total", "start=\"remapped\""), 3.0);
}

#[test]
fn functions_share_the_vms_of_a_worker() {
    let platform = Platform::start_with(&["--max-vms", "1"]).with_python_probe(&["--timeout", "300s"]);
    let args = ["--name", "other", "--handler", "probe.handler", "--timeout", "10s"];
    platform.deploy(&function("probe.py"), &args);
    // Each takes the one VM from the other, which has it idle.
    for name in ["probe", "other", "probe", "other"] {
        let (status, start) = start_of(&platform, &format!("/function/{name}?do=count"));
        assert!(status == 200 && ["spare", "new"].contains(&start.as_str()), "{name}: {status} {start}");
        assert_eq!(start_of(&platform, &format!("/function/{name}?do=count")).1, "recycled");
    }
    assert!(platform.metric("spore_shells_trimmed_total", "reason=\"room\"") >= 3.0);

    let mut running = platform.connect();
    running.send("GET", "/function/probe?do=loop", &[], b"");
    wait_for("the loop does not run", || platform.serving() == 1);
    let refused = platform.get("/function/other?do=count");
    assert_eq!((refused.status, refused.code().as_str()), (429, "Overloaded"), "{}", refused.text());
    assert!(refused.text().contains("the platform is at its limit of 1 VMs"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    drop(running);
    wait_for("the place is never free", || start_of(&platform, "/function/other?do=count").0 == 200);
}
