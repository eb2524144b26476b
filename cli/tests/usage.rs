//! The command line by itself: wrong usage, wrong machine, no platform.

mod common;

use common::{code, run, spore, stderr, stdout};
use serde_json::Value;

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["invoke"],
        &["deploy", ".", "--env", "NOVALUE"],
        &["deploy", ".", "--port", "70000"],
        &["deploy", ".", "--port", "0"],
        &["invoke", "f", "--method", "two words"],
        &["up", "--listen", "nowhere"],
        &["ls", "--output", "yaml"],
        &["ls", "--url", "https://127.0.0.1:1"],
        &["ls", "--url", "127.0.0.1:8080"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn https_is_refused_with_the_reason() {
    let output = run(&["ls", "--url", "https://example.org"]);
    assert!(stderr(&output).contains("https is not supported"), "{}", stderr(&output));
}

#[test]
fn no_platform_is_a_failure_that_says_what_to_do() {
    let output = run(&["ls", "--url", "http://127.0.0.1:1"]);
    assert_eq!(code(&output), 1);
    let text = stderr(&output);
    assert!(text.contains("cannot reach the platform at http://127.0.0.1:1"), "{text}");
    assert!(text.contains("Connection refused") && text.contains("spore up"), "{text}");
}

#[test]
fn the_url_can_come_from_the_environment() {
    let output = spore(&["ls"]).env("SPORE_URL", "http://127.0.0.1:2").output().expect("starts");
    assert!(stderr(&output).contains("http://127.0.0.1:2"), "{}", stderr(&output));
}

#[test]
fn what_is_not_there_is_exit_code_3() {
    for arguments in [&["deploy", "/nonexistent/app.py"][..], &["invoke", "f", "--data", "@/nonexistent"]] {
        let output = run(arguments);
        assert_eq!(code(&output), 3, "{}", stderr(&output));
        assert!(stderr(&output).contains("/nonexistent"), "{}", stderr(&output));
    }
}

#[test]
fn a_bad_manifest_is_named_before_anything_is_sent() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join("spore.toml"), "memroy = \"1GiB\"\n").expect("write");
    let output = run(&["deploy", dir.path().to_str().expect("UTF-8"), "--url", "http://127.0.0.1:1"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("memroy"), "{}", stderr(&output));
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = run(&["--help"]);
    assert_eq!(code(&help), 0);
    assert!(stdout(&help).contains("deploy") && !stdout(&help).contains("cell"), "{}", stdout(&help));
    let version = run(&["version", "--output", "json"]);
    assert_eq!(code(&version), 0);
    let version: Value = serde_json::from_slice(&version.stdout).expect("JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["abi"].is_u64());
}

#[test]
fn doctor_fails_and_names_the_remedy_without_kvm() {
    let output = run(&["doctor", "--kvm", "/nonexistent/kvm", "--output", "json"]);
    assert_eq!(code(&output), 1);
    let checks: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(checks[0]["name"], "KVM");
    assert_eq!(checks[0]["status"], "fail");
    let remedy = checks[0]["remedy"].as_str().expect("text");
    assert!(remedy.contains("modprobe"), "{remedy}");
    let table = run(&["doctor", "--kvm", "/nonexistent/kvm"]);
    assert_eq!(code(&table), 1);
    assert!(stdout(&table).contains(remedy), "{}", stdout(&table));
}

#[test]
fn up_says_the_same_as_doctor_without_kvm() {
    for device in ["/nonexistent/kvm", "/dev/null"] {
        let doctor = run(&["doctor", "--kvm", device, "--output", "json"]);
        let checks: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
        let up = run(&["up", "--kvm", device, "--listen", "127.0.0.1:0"]);
        assert_eq!(code(&up), 1);
        assert!(stdout(&up).is_empty());
        for field in ["found", "remedy"] {
            let text = checks[0][field].as_str().expect("text");
            assert!(stderr(&up).contains(text), "{device}: {text} is not in {}", stderr(&up));
        }
    }
}
