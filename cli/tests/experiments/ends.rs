//! What ends a soak before its time: a signal, or the platform's end.

use crate::common::code;
use crate::common::process::{signal, wait_until_gone};
use crate::document::{measures, notes, series};
use crate::soaking::soaking;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn an_interrupted_soak_reports_and_leaves_nothing() {
    end_a_soak(Signal::INT);
}

#[test]
fn a_terminal_that_closes_ends_a_soak_with_a_report() {
    // Under nohup it is ignored, here as there.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    if u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 0 {
        end_a_soak(Signal::HUP);
    }
}

/// Ends a soak by a signal; it reports.
fn end_a_soak(by: Signal) {
    let temporary = tempfile::tempdir().unwrap();
    let (child, platform) = soaking(temporary.path(), "1h", "100ms");
    signal(child.id(), by);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["complete"], false);
    assert!(document["runs"][0]["answered"].as_u64().unwrap() > 0);
    assert_eq!(measures(&document).count(), 0, "it did not come to its end");
    assert!(!series(&document, "Platform: PSS")[0]["points"].as_array().unwrap().is_empty());
    wait_until_gone(platform);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_platform_that_dies_fails_the_soak_with_a_report() {
    let temporary = tempfile::tempdir().unwrap();
    // Its end is noticed between two looks.
    let (child, platform) = soaking(temporary.path(), "10m", "10m");
    signal(platform, Signal::KILL);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(notes(&document).contains("the platform of the experiment ended (signal: 9"));
    let run = &document["runs"][0];
    assert!(run["answered"].as_u64().unwrap() > 0);
    assert_eq!(run["complete"], false);
    let seconds = run["seconds"].as_f64().unwrap();
    assert!(seconds < 300.0, "{seconds} s: the load went on without its platform");
    assert_eq!(measures(&document).count(), 0, "nothing is measured of a platform that is gone");
    assert!(!series(&document, "Platform: PSS")[0]["points"].as_array().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_platform_ends_with_an_experiment_that_is_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut child, platform) = soaking(temporary.path(), "1h", "100ms");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_gone(platform);
}
