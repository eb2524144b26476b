//! `spore load generate` and `spore load trace`: what of them needs no VM.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::counting::{Counting, Fault};
use common::{code, run, spore, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Replays these lines on a platform: `app,func,end_timestamp,duration`.
fn replay(platform: &Counting, directory: &Path, lines: &str) -> Command {
    let file = path(directory, "trace.csv");
    std::fs::write(&file, format!("app,func,end_timestamp,duration\n{lines}")).unwrap();
    let mut command =
        spore(&["--url", &platform.url, "load", "trace", "--format", "azure2021", "--file", &file]);
    command.args(["--memory-cap", "1", "--json", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const TWO_CALLS: &str = "a,f,0.2,0.1\na,f,0.3,0.1\n";

/// The second field of the row of a table.
fn figure<'a>(document: &'a Value, title: &str, row: &str) -> Option<&'a str> {
    let table = document["tables"].as_array().unwrap().iter().find(|table| table["title"] == title).unwrap();
    let found = table["rows"].as_array().unwrap().iter().find(|cells| cells[0] == row);
    found.map(|cells| cells[1].as_str().unwrap())
}

/// The names of measures that have a value.
fn measured(document: &Value) -> Vec<&str> {
    let all = document["measures"].as_array().unwrap().iter();
    let known = all.filter(|measure| !measure["values"].as_array().unwrap().is_empty());
    known.map(|measure| measure["name"].as_str().unwrap()).collect()
}

const ANSWERS: &str = "How calls were answered";
const SLOWDOWN: &str = "Slowdown: response time over run time";

fn has_plot(document: &Value, title: &str) -> bool {
    document["plots"].as_array().unwrap().iter().any(|plot| plot["title"] == title)
}

#[test]
fn calls_that_waited_for_a_parent_from_disk_are_forks_of_a_warm_one() {
    let (platform, directory) = (Counting::start(Fault::None), tempfile::tempdir().unwrap());
    let output = replay(&platform, directory.path(), TWO_CALLS).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let parents = ["hot", "warm", "cold"].map(|kind| format!("calls: {kind} parent"));
    assert_eq!(
        parents.map(|row| figure(&document, ANSWERS, &row).map(str::to_owned)),
        ["0", "2", "0"].map(|count| Some(count.to_owned()))
    );
    let names = measured(&document);
    for name in ["slowdown p50", "VMs made anew", "machines"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(has_plot(&document, SLOWDOWN));
    let titles: Vec<&Value> =
        document["plots"].as_array().unwrap().iter().map(|plot| &plot["title"]).collect();
    assert!(
        titles.iter().all(|title| titles.iter().filter(|other| other == &title).count() == 1),
        "{titles:?}"
    );
    assert_eq!(platform.functions(), (1, 1));
}

#[test]
fn a_platform_that_dies_costs_no_report() {
    let (platform, directory) = (Counting::start(Fault::Dies), tempfile::tempdir().unwrap());
    let output = replay(&platform, directory.path(), TWO_CALLS).output().unwrap();
    let told = stderr(&output);
    assert_eq!(code(&output), 1, "{told}");
    assert!(told.contains("the platform could not be asked after the replay"), "{told}");
    assert!(told.contains("1 of 1 functions") && told.contains("could not be removed"), "{told}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["answered"], 1);
    assert!(document["notes"].to_string().contains("what the platform counted is unknown"));
    assert_eq!(figure(&document, ANSWERS, "calls: parent unknown"), Some("1"));
    assert_eq!(figure(&document, ANSWERS, "parents built"), Some("-"));
}

#[test]
fn a_replay_without_answers_has_no_slowdown() {
    let (platform, directory) = (Counting::start(Fault::Fails), tempfile::tempdir().unwrap());
    let output = replay(&platform, directory.path(), TWO_CALLS).output().unwrap();
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = measured(&document);
    assert!(!names.iter().any(|name| name.starts_with("slowdown") || name.starts_with("VMs")), "{names:?}");
    assert!(!has_plot(&document, SLOWDOWN));
    assert_eq!(platform.functions(), (1, 1));
}

#[test]
fn a_stopped_replay_has_no_measures_and_says_what_it_leaves_behind() {
    let (platform, directory) = (Counting::start(Fault::Keeps), tempfile::tempdir().unwrap());
    let child = replay(&platform, directory.path(), "a,f,0.2,0.1\na,f,3000,0.1\n").spawn().unwrap();
    platform.called();
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = stderr(&output);
    assert_eq!(code(&output), 130, "{told}");
    assert!(told.contains("1 of 1 functions (load-trace-") && told.contains("it is kept"), "{told}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["complete"], false);
    assert_eq!(measured(&document), [""; 0]);
    assert!(figure(&document, "The tenant, at the speed of the trace", "calls").is_some());
}
