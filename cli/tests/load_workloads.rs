//! `spore load workloads`, as far as it needs no platform.

mod common;

use common::{code, run, spore, stderr, stdout};
use serde_json::Value;

#[test]
fn workloads_are_listed_and_shown() {
    let listed = run(&["load", "workloads"]);
    assert_eq!(code(&listed), 0, "{}", stderr(&listed));
    assert_eq!(stdout(&listed), stdout(&run(&["load", "workloads", "list"])));
    for part in ["NAME", "pyaes-python", "110.dynamic-html", "ssr-node", "hashing-rust"] {
        assert!(stdout(&listed).contains(part), "{part}");
    }
    let listed: Value =
        serde_json::from_str(&stdout(&run(&["load", "workloads", "--output", "json"]))).expect("JSON");
    assert_eq!(listed["workloads"].as_array().map(Vec::len), Some(19));

    let one: Value =
        serde_json::from_str(&stdout(&run(&["load", "workloads", "show", "fibonacci"]))).expect("JSON");
    let one = &one[0];
    assert_eq!((&one["method"], &one["path"]), (&"POST".into(), &"/function/fibonacci-rust/".into()));
    assert_eq!(one["expect"]["json"][1]["result"]["fibonacci"], 196_418);
    let several: Value =
        serde_json::from_str(&stdout(&run(&["load", "workloads", "show", "hello"]))).expect("JSON");
    assert_eq!(several.as_array().map(Vec::len), Some(3));
}

#[test]
fn what_cannot_be_is_told() {
    let unknown = run(&["load", "workloads", "deploy", "hello", "nonsense"]);
    assert_eq!(code(&unknown), 3);
    assert!(stderr(&unknown).contains("no workload is named `nonsense`"), "{}", stderr(&unknown));
    for arguments in [&["deploy"][..], &["deploy", "--all", "hello"], &["show"]] {
        assert_eq!(code(&run(&[&["load", "workloads"], arguments].concat())), 2, "{arguments:?}");
    }
}

#[test]
fn without_cargo_the_workloads_in_rust_are_refused_with_the_remedy() {
    let mut deploy = spore(&["load", "workloads", "deploy", "fibonacci"]);
    let output = deploy.env_remove("CARGO").env("PATH", "/nowhere").output().expect("the binary starts");
    let said = stderr(&output);
    assert_eq!(code(&output), 1, "{said}");
    assert!(said.contains("there is no cargo") && said.contains("install Rust"), "{said}");
    assert!(said.contains("1 of 1 workloads could not be deployed"), "{said}");
}
