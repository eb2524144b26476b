//! `spore load report` and `spore load compare`, as a user or a CI job runs them.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SPORE: &str = env!("CARGO_BIN_EXE_spore");

/// A result with one measure.
fn document(p99: [f64; 5]) -> Value {
    json!({
        "schema": 1, "experiment": "run", "question": "How fast?", "command": "spore load run", "date": "2026-01-02T03:04:05Z",
        "tool": {"version": "0.1.0", "commit": null, "optimised": true},
        "machine": {"cpu": "c", "cores": 2, "memory_bytes": 1, "kernel": "k", "kvm": "", "hypervisor": "", "governor": "",
                    "mitigations": {}, "huge_pages": "", "open_files_max": 1024, "load": 0.0},
        "settings": {}, "measures": [{"name": "p99", "unit": "ms", "better": "lower", "values": p99}],
        "tables": [], "plots": [], "notes": [], "runs": [],
    })
}

fn write(directory: &Path, name: &str, value: &Value) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, value.to_string()).expect("the file is written");
    path
}

fn spore(arguments: &[&str]) -> Output {
    Command::new(SPORE).arg("load").args(arguments).output().expect("spore starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_comparison_ends_with_1_only_if_something_is_worse() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name, p99| write(directory.path(), name, &document(p99)).display().to_string();
    let fast = path("fast.json", [1.0, 1.1, 1.2, 1.05, 1.15]);
    let slow = path("slow.json", [2.0, 2.1, 2.2, 2.05, 2.15]);
    let few = path("few.json", [1.0; 5]);
    for (first, second, code, verdict) in
        [(&fast, &fast, 0, "same"), (&fast, &slow, 1, "WORSE"), (&slow, &fast, 0, "better")]
    {
        let output = spore(&["compare", first, second]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(text(&output.stdout).contains(verdict), "{output:?}");
    }
    assert_eq!(spore(&["compare", &fast, &slow, "--threshold", "200%"]).status.code(), Some(0));
    // Five repetitions cannot tell so surely; only in the direction that would be worse does that matter.
    let unsure = spore(&["compare", &fast, &slow, "--alpha", "0.001"]);
    assert_eq!(unsure.status.code(), Some(2), "{unsure:?}");
    assert!(text(&unsure.stderr).contains("cannot tell from chance"), "{unsure:?}");
    assert_eq!(spore(&["compare", &slow, &fast, "--alpha", "0.001"]).status.code(), Some(0));
    let none = spore(&["compare", &fast, &slow, "--measure", "no such measure"]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    let output = spore(&["compare", &fast, &slow, "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &value["changes"][0]["verdict"]), (Some(1), &json!("worse")));
    assert_eq!(spore(&["compare", &fast, &few]).status.code(), Some(0));
}

#[test]
fn a_result_that_lacks_values_of_the_other_is_no_success() {
    let directory = tempfile::tempdir().unwrap();
    let with = |name: &str, p99: &[f64], rate: &[f64]| {
        let mut value = document([1.0; 5]);
        value["measures"][0]["values"] = json!(p99);
        let rate = json!({"name": "rate", "unit": "1/s", "better": "higher", "values": rate});
        value["measures"].as_array_mut().unwrap().push(rate);
        write(directory.path(), name, &value).display().to_string()
    };
    let five = [1.0; 5];
    let (alive, dead) = (with("alive.json", &five, &five), with("dead.json", &[], &five));
    for (first, second, code) in [(&alive, &dead, 2), (&dead, &alive, 2), (&dead, &dead, 0)] {
        let output = spore(&["compare", first, second]);
        assert_eq!(output.status.code(), Some(code), "{first} {second}: {output:?}");
    }
    let output = spore(&["compare", &alive, &dead]);
    assert!(text(&output.stderr).contains("the measure \"p99\" cannot be compared"), "{output:?}");
    assert_eq!(spore(&["compare", &alive, &dead, "--measure", "rate"]).status.code(), Some(0));
    assert_eq!(spore(&["compare", &alive, &dead, "--measure", "p99"]).status.code(), Some(2));
    // What only the second result has is new, and what is worse comes first.
    let old = write(directory.path(), "old.json", &document(five)).display().to_string();
    assert_eq!(spore(&["compare", &old, &alive]).status.code(), Some(0));
    assert_eq!(spore(&["compare", &alive, &old]).status.code(), Some(2));
    let worse = with("worse.json", &[], &[0.5, 0.51, 0.52, 0.53, 0.54]);
    assert_eq!(spore(&["compare", &alive, &worse]).status.code(), Some(1));
    let output = spore(&["compare", &alive, &dead, "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["missing"], json!(["p99"]));
}

#[test]
fn what_cannot_be_compared_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let good = write(directory.path(), "good.json", &document([1.0; 5])).display().to_string();
    let mut other = document([1.0; 5]);
    other["measures"][0]["name"] = json!("another");
    let other = write(directory.path(), "other.json", &other).display().to_string();
    let version = write(directory.path(), "version.json", &json!({"schema": 7})).display().to_string();
    let page = directory.path().join("page.json").display().to_string();
    fs::write(&page, "<html>").unwrap();
    for (second, why) in [
        (other.as_str(), "no measure in common"),
        (version.as_str(), "schema is version 7"),
        ("/nonexistent", "No such file"),
        (page.as_str(), "not JSON"),
    ] {
        let output = spore(&["compare", &good, second]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(why), "{output:?}");
    }
    for option in ["--threshold=5", "--alpha=2"] {
        assert_eq!(spore(&["compare", &good, &good, option]).status.code(), Some(2));
    }
}

#[test]
fn a_report_is_made_of_a_result() {
    let directory = tempfile::tempdir().unwrap();
    let result = write(directory.path(), "result.json", &document([1.0; 5])).display().to_string();
    let out = directory.path().join("out");
    let output = spore(&["report", &result, "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("<h1>How fast?</h1>"));
    assert!(
        fs::read_to_string(out.join("measures.csv")).unwrap().ends_with("p99,ms,lower,5,1,1,1,1 1 1 1 1\n")
    );
    assert_eq!(text(&output.stdout).lines().count(), 3, "{output:?}");
    assert_eq!(spore(&["report", "/nonexistent"]).status.code(), Some(3));
    assert_eq!(spore(&["report", "/proc/self/exe"]).status.code(), Some(1));
}

#[test]
fn a_full_disk_loses_nothing_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let result = write(directory.path(), "result.json", &document([1.0; 5]));
    fs::write(directory.path().join("report.html"), "the old one").unwrap();
    // No file may grow beyond 2 KiB: write(2) fails as it does on a full disk, once SIGXFSZ is ignored.
    let script = "trap '' XFSZ; ulimit -f 4; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", SPORE, "load", "report"]).arg(&result);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = text(&output.stderr);
    assert!(message.contains("cannot write") && message.contains("report.html: File too large"), "{message}");
    assert_eq!(fs::read_to_string(directory.path().join("report.html")).unwrap(), "the old one");
    assert_eq!(fs::read_to_string(&result).unwrap(), document([1.0; 5]).to_string());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left over");
}
