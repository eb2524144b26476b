//! `spore load generate` and `spore load trace --dry-run`: nothing of them needs a platform.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{code, run, stderr, stdout};
use serde_json::Value;
use std::path::Path;

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_generated_trace_is_sized_without_a_platform() {
    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "made/here");
    for format in ["azure2019", "azure2021"] {
        let line =
            ["load", "generate", "--functions", "40", "--minutes", "20", "--out", &out, "--format", format];
        let output = run(&line);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).lines().all(|line| Path::new(line).is_file()));
    }
    let table = |name: &str| path(directory.path(), &format!("made/here/{name}"));
    let (calls, single) = (table("invocations.csv"), table("invocations-2021.csv"));
    let (durations, memory) = (table("durations.csv"), table("memory.csv"));
    let dry = [
        "load",
        "trace",
        "--dry-run",
        "--json",
        "-",
        "--functions",
        "5",
        "--cores",
        "4",
        "--machine-memory",
        "8",
    ];
    let mut machines = Vec::new();
    for trace in [
        vec!["--invocations", &calls, "--durations", &durations, "--memory", &memory],
        vec!["--format", "azure2021", "--file", &single],
        vec!["--invocations", &calls],
    ] {
        let line: Vec<&str> = dry.iter().chain(&trace).copied().collect();
        let output = run(&line);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&document["experiment"], &document["runs"]),
            (&"trace".into(), &Value::Array(Vec::new()))
        );
        machines.push(document["measures"][0]["values"][0].as_f64().unwrap());
        let notes = document["notes"].to_string();
        assert_eq!(notes.contains("have no run times"), trace.len() == 2, "{notes}");
    }
    assert!(machines.iter().all(|&count| count >= 1.0), "{machines:?}");
}

#[test]
fn what_is_wrong_with_a_trace_or_an_option_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = path(directory.path(), "calls.csv");
    std::fs::write(&file, "HashApp,HashFunction,1,2\na,f,3,-4\n").unwrap();
    let trace = ["load", "trace", "--dry-run", "--invocations", &file];
    let output = run(&trace);
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    assert!(stderr(&output).contains("line 2, column 4: `-4` is not a count"), "{}", stderr(&output));
    let none = path(directory.path(), "none.csv");
    assert_eq!(code(&run(&["load", "trace", "--dry-run", "--invocations", &none])), 3);
    std::fs::write(&file, "HashApp,HashFunction,1,2\na,f,3,4\n").unwrap();
    for wrong in [
        ["--functions", "2"],
        ["--minutes", "3"],
        ["--from-minute", "2"],
        ["--rate-scale", "0"],
        ["--run-scale", "-1"],
        ["--cores", "0"],
        ["--cpu-share", "NaN"],
        ["--core-second-price", "-1"],
    ] {
        let line: Vec<&str> = trace.iter().chain(&wrong).copied().collect();
        let output = run(&line);
        assert_eq!(code(&output), 2, "{wrong:?}: {}", stderr(&output));
    }
    assert_eq!(code(&run(&["load", "trace", "--dry-run"])), 2);
    let output = run(&["load", "generate", "--out", "/dev/full/x"]);
    assert!(code(&output) != 0 && stderr(&output).contains("cannot write the trace into /dev/full/x"));
}
