//! Runs an experiment, and finds what its document holds.

use crate::common::{code, spore, stderr};
use serde_json::Value;
use std::process::Output;

/// Runs an experiment; its output, and that it has left no file behind.
pub(crate) fn experiment(arguments: &[&str]) -> Output {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = spore(&["load", "experiment"]);
    // An answer that comes late, as the machine stood still, is none that failed.
    command
        .args(arguments)
        .args(["--quick", "--timeout", "10m", "--json", "-"])
        // Its platform keeps idle VMs whatever else the machine does.
        .env("SPORE_IGNORE_MEMORY_PRESSURE", "true")
        .env("TMPDIR", temporary.path());
    let output = command.output().unwrap();
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "something is left in TMPDIR");
    output
}

/// The document of an experiment that succeeds, after checking what is common to all.
pub(crate) fn measure(arguments: &[&str]) -> Value {
    let output = experiment(arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["schema"], &document["experiment"]), (&1.into(), &arguments[0].into()));
    assert!(document["question"].as_str().unwrap().ends_with('?'));
    assert!(document["command"].as_str().unwrap().starts_with("spore load experiment "));
    for setting in ["seed", "processors", "platform", "quick"] {
        assert!(document["settings"][setting].is_string(), "{setting}");
    }
    let names: Vec<&str> = measures(&document).map(|measure| measure["name"].as_str().unwrap()).collect();
    assert!(!names.is_empty() && names.is_sorted(), "{names:?}");
    for measure in measures(&document) {
        assert!(measure["values"].as_array().unwrap().iter().all(Value::is_f64), "{measure}");
    }
    document
}

/// All measures.
pub(crate) fn measures(document: &Value) -> impl Iterator<Item = &Value> {
    document["measures"].as_array().unwrap().iter()
}

/// The values of a measure.
pub(crate) fn values(document: &Value, name: &str) -> Vec<f64> {
    let found = measures(document).find(|measure| measure["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no `{name}` in {}", document["measures"]));
    found["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// All notes, as one text.
pub(crate) fn notes(document: &Value) -> String {
    document["notes"].to_string()
}

/// The series of a plot.
pub(crate) fn series<'a>(document: &'a Value, title: &str) -> &'a Vec<Value> {
    let plot = document["plots"].as_array().unwrap().iter().find(|plot| plot["title"] == title);
    plot.unwrap_or_else(|| panic!("no plot `{title}`"))["series"].as_array().unwrap()
}
