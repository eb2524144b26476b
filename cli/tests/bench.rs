//! `spore bench`: the real command with small counts, on real VMs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{code, run, spore, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

/// Runs a measurement that succeeds and gives its JSON, after checking what is common to all.
fn measure(arguments: &[&str]) -> Value {
    let output = run(&[&["bench"], arguments, &["--json", "-"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    check_frame(&document, arguments[0]);
    document["result"].clone()
}

fn check_frame(document: &Value, command: &str) {
    assert_eq!(document["schema"], 1);
    assert_eq!(document["command"], command);
    assert_eq!(document["spore"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(document["spore"]["optimised"].is_boolean());
    let date = document["date"].as_str().unwrap();
    assert!(date.len() == 20 && date.ends_with('Z'), "{date}");
    let machine = &document["machine"];
    for field in ["cpu", "kernel", "kvm"] {
        assert!(!machine[field].as_str().unwrap().is_empty(), "{field}");
    }
    assert!(number(&machine["cores"]) > 0 && number(&machine["memory_bytes"]) > 0);
    assert!(machine["load"].as_f64().unwrap() >= 0.0);
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count"))
}

#[test]
fn a_recycled_fork_takes_few_exits_and_no_page_faults() {
    let result = measure(&["fork", "--count", "30"]);
    let functions = result["functions"].as_array().unwrap();
    let names: Vec<_> = functions.iter().map(|function| function["function"].as_str().unwrap()).collect();
    assert_eq!(names, ["python-hello", "rust-hello"]);
    for function in functions {
        assert!(number(&function["parent_bytes"]) > 1 << 20);
        let kinds = function["kinds"].as_array().unwrap();
        for kind in kinds {
            check_kind(kind);
        }
        let names: Vec<_> = kinds.iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
        assert_eq!(names, ["recycled", "spare", "remapped", "new", "cold"]);
        let (recycled, spare, new) = (&kinds[0], &kinds[1], &kinds[3]);
        if recycled["exits"].is_object() {
            let exits = number(&recycled["exits"]["p50"]);
            assert!((1..=100).contains(&exits), "{exits} exits");
            assert!(number(&new["exits"]["p50"]) > exits);
            assert!(number(&spare["kvm_page_faults"]["p50"]) < number(&new["kvm_page_faults"]["p50"]));
            assert_eq!(number(&recycled["kvm_page_faults"]["p50"]), 0);
        }
        assert_eq!(number(&recycled["host_page_faults"]["p50"]), 0);
        assert!(number(&recycled["pages_restored"]["p50"]) > 0);
        assert!(new["pages_restored"].is_null());
    }
}

/// Counts and times of one kind of start are there and fit each other.
fn check_kind(kind: &Value) {
    assert_eq!(number(&kind["count"]), 30);
    assert_eq!(number(&kind["total"]["n"]), 30);
    assert!(number(&kind["warm_up"]) > 0);
    let times = |value: &Value| ["p50_ns", "p99_ns", "max_ns"].map(|field| number(&value[field]));
    let mut slowest_on_path = 0;
    for step in kind["steps"].as_array().unwrap() {
        assert!(times(step).is_sorted(), "{step}");
        if step["on_path"].as_bool().unwrap() {
            slowest_on_path = slowest_on_path.max(number(&step["max_ns"]));
        }
    }
    let total = times(&kind["total"]);
    assert!(total.is_sorted() && total[0] > 0 && total[2] >= slowest_on_path, "{kind}");
}

#[test]
fn children_live_in_several_processes_and_share_their_parent() {
    let result = measure(&["density", "--count", "7", "--per-process", "4"]);
    let report = &result["functions"][0];
    assert_eq!(report["function"], "python-hello");
    assert_eq!((number(&report["children"]), number(&report["processes"])), (7, 2));
    assert!(report["stopped"].is_null(), "{report}");
    // A thread and two descriptors each, at least.
    assert!(number(&report["threads"]) >= 7 + 2 && number(&report["open_files"]) >= 14);
    assert_eq!(report["deciles_p50_ns"].as_array().unwrap().len(), 7);
    assert!(report["last_against_first"].as_f64().unwrap() > 0.0);
    let (child, parent) = (&report["child"], number(&report["parent_bytes"]));
    let private = number(&child["private_bytes"]);
    assert!(private > 0 && private * 5 < parent, "{report}");
    assert!(number(&child["shared_mapped_bytes"]) > private);
    assert!(report["host"]["kernel_by_child_bytes"].is_i64());
}

#[test]
fn the_baseline_compares_everything_in_one_run() {
    let result = measure(&["baseline", "--count", "2"]);
    let contenders = result["contenders"].as_array().unwrap();
    let find = |text: &str| {
        let found = contenders.iter().find(|contender| contender["what"].as_str().unwrap().contains(text));
        found.unwrap_or_else(|| panic!("no {text} in {contenders:?}"))
    };
    for text in ["-c pass", "print(1)", "os.fork", "thread", "new fork of rust-hello"] {
        assert!(number(&find(text)["p50_ns"]) > 0 && find(text)["ratio"].as_f64().unwrap() > 0.0);
    }
    let reference = find(result["reference"].as_str().unwrap());
    assert_eq!(reference["what"], "recycled fork of python-hello");
    assert_eq!(reference["ratio"].as_f64(), Some(1.0));
    assert_eq!(number(&reference["n"]), 2 * number(&reference["in_a_row"]));
    assert!(find("-c pass")["ratio"].as_f64().unwrap() > 1.0, "starting Python is slower than forking a VM");
}

#[test]
fn two_thousand_forks_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("soak.json");
    let output = run(&["bench", "soak", "--forks", "2000", "--vms", "2", "--json", file.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("no wrong byte, no leak"), "{}", stdout(&output));
    let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    check_frame(&document, "soak");
    let result = &document["result"];
    assert_eq!((number(&result["forks"]), number(&result["vms"])), (2000, 4));
    assert_eq!(result["functions"], serde_json::json!([["python-hello", 1000], ["rust-hello", 1000]]));
    assert_eq!((&result["failure"], &result["leaks"]), (&Value::Null, &serde_json::json!([])));
    let of = |when: &str| ["open_files", "threads"].map(|field| number(&result[when][field]));
    assert_eq!(of("start"), of("end"));
}

#[test]
fn an_interrupted_soak_reports_what_it_did() {
    let mut child = spore(&["bench", "soak", "--function", "native", "--json", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("forking") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended early");
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{rest}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let result = &document["result"];
    assert_eq!(result["interrupted"], true);
    assert!(number(&result["forks"]) < number(&result["asked"]));
    assert_eq!(result["leaks"], serde_json::json!([]));
}

#[test]
fn impossible_arguments_are_exit_code_2() {
    for arguments in [
        &[][..],
        &["sprint"],
        &["fork", "--count", "0"],
        &["fork", "--count", "many"],
        &["fork", "--function", "cobol"],
        &["density", "--per-process", "0"],
        &["density", "--count", "1000001"],
        &["baseline", "--count", "-1"],
        &["soak", "--forks", "0"],
        &["soak", "--vms", "0"],
    ] {
        let output = run(&[&["bench"], arguments].concat());
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn without_kvm_it_says_what_doctor_says() {
    let output = run(&["bench", "fork", "--kvm", "/nonexistent/kvm"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("/nonexistent/kvm does not exist"), "{}", stderr(&output));
    assert!(stderr(&output).contains("modprobe"), "{}", stderr(&output));
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let output = run(&["bench", "fork", "--json", "/nonexistent/results.json"]);
    assert_eq!(code(&output), 1);
    let text = stderr(&output);
    assert!(text.contains("cannot write /nonexistent/results.json: No such file"), "{text}");
    assert!(!text.contains("building"), "nothing was measured before: {text}");
    let full = run(&["bench", "fork", "--function", "native", "--count", "1", "--json", "/dev/full"]);
    assert_eq!(code(&full), 1);
    assert!(stderr(&full).contains("cannot write /dev/full: No space left"), "{}", stderr(&full));
    assert!(stdout(&full).contains("rust-hello"), "the table is not lost");
}
