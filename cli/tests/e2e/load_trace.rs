//! A generated trace, replayed on a real platform.

use crate::platform::Platform;
use crate::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

const TABLES: [(&str, &str); 3] =
    [("--invocations", "invocations.csv"), ("--durations", "durations.csv"), ("--memory", "memory.csv")];

/// Generates a trace of 20 functions and 3 minutes; options that name its files.
fn generated(platform: &Platform, directory: &Path) -> Vec<String> {
    let out = directory.to_str().unwrap();
    platform.spore_ok(&[
        "load",
        "generate",
        "--functions",
        "20",
        "--minutes",
        "3",
        "--seed",
        "1",
        "--out",
        out,
    ]);
    TABLES.iter().flat_map(|(option, name)| [(*option).to_owned(), format!("{out}/{name}")]).collect()
}

/// Calls of the table.
fn calls(directory: &Path) -> u64 {
    let text = std::fs::read_to_string(directory.join("invocations.csv")).unwrap();
    let counts = text.lines().skip(1).flat_map(|line| line.split(',').skip(4));
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

fn functions(platform: &Platform) -> usize {
    let list: Value = serde_json::from_str(&platform.spore_ok(&["--output", "json", "ls"])).unwrap();
    list["functions"].as_array().unwrap().len()
}

fn rows<'a>(document: &'a Value, title: &str) -> &'a Vec<Value> {
    let tables = document["tables"].as_array().unwrap();
    let table = tables.iter().find(|table| table["title"].as_str().unwrap().starts_with(title));
    table.unwrap_or_else(|| panic!("no table {title}"))["rows"].as_array().unwrap()
}

fn number(cell: &Value) -> f64 {
    cell.as_str().unwrap().parse().unwrap_or_else(|_| panic!("{cell} is no number"))
}

#[test]
fn every_call_of_a_trace_is_answered_and_what_was_deployed_is_removed() {
    let platform = Platform::start();
    let directory = tempfile::tempdir().unwrap();
    let trace = generated(&platform, directory.path());
    let out = directory.path().join("out");
    let mut args = vec!["load", "trace", "--scale", "6", "--run-scale", "0.001", "--duration-cap", "3ms"];
    args.extend(["--memory-cap", "1", "--connections", "8", "--deployed", "3", "--timeout", "10m"]);
    args.extend(["--json", "-", "--out", out.to_str().unwrap()]);
    args.extend(trace.iter().map(String::as_str));
    let document: Value = serde_json::from_str(&platform.spore_ok(&args)).unwrap();
    let meant = calls(directory.path());
    let run = &document["runs"][0];
    assert!(meant > 100, "{meant}");
    assert_eq!((&run["answered"], &run["dropped"]), (&meant.into(), &0.into()), "{run}");
    assert_eq!(run["failed"], Value::Array(Vec::new()));

    // The functions' calls, all starts, and the bill are of the same calls.
    let busiest = rows(&document, "The busiest");
    let sum = |column: usize| busiest.iter().map(|row| number(&row[column])).sum::<f64>();
    assert_eq!((sum(1), sum(2), sum(3)), (meant as f64, meant as f64, 0.0));
    let starts = rows(&document, "How calls were answered");
    for kind in ["calls: ", "start: "] {
        let all = starts.iter().filter(|row| row[0].as_str().unwrap().starts_with(kind));
        assert_eq!(all.map(|row| number(&row[1])).sum::<f64>(), meant as f64, "{kind}");
    }
    assert!(!starts.iter().any(|row| row[0] == "calls: parent unknown"), "{starts:?}");
    let tenant = rows(&document, "The tenant");
    assert!(tenant.iter().any(|row| row[0] == "calls" && number(&row[1]) == meant as f64), "{tenant:?}");
    let bill = rows(&document, "What the replay used");
    assert!(bill.iter().any(|row| row[0] == "calls" && number(&row[1]) == meant as f64), "{bill:?}");
    let machines =
        document["measures"].as_array().unwrap().iter().find(|measure| measure["name"] == "machines");
    assert!(machines.unwrap()["values"][0].as_f64().unwrap() >= 1.0);
    let written: Value = serde_json::from_slice(&std::fs::read(out.join("result.json")).unwrap()).unwrap();
    let titles: Vec<&str> =
        written["plots"].as_array().unwrap().iter().map(|plot| plot["title"].as_str().unwrap()).collect();
    assert!(titles.iter().any(|title| title.starts_with("Slowdown")), "{titles:?}");
    assert_eq!(functions(&platform), 0);
}

#[test]
fn an_interrupted_replay_reports_what_it_has_and_removes_its_functions() {
    let platform = Platform::start();
    let directory = tempfile::tempdir().unwrap();
    let trace = generated(&platform, directory.path());
    let mut command =
        platform.command(&["load", "trace", "--json", "-", "--deployed", "1", "--work", "sleep"]);
    command.args(["--run-scale", "0.001", "--memory-cap", "1", "--duration-cap", "3ms", "--timeout", "10m"]);
    let child = command.args(&trace).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("an answer", || platform.metric("spore_invocations_total", "load-trace-") > 0.0);
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["complete"], false);
    assert!(document["runs"][0]["answered"].as_u64().unwrap() < calls(directory.path()));
    assert_eq!(functions(&platform), 0);
}
