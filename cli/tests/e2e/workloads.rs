//! The workloads of `spore load`, in real VMs.

use crate::native::{self, Machine};
use crate::platform::Platform;
use loadtest::workloads::{self, Workload};
use serde_json::Value;
use std::fmt::Write as _;

/// Calls of which the fastest counts.
const ROUNDS: usize = 25;

fn path(workload: &Workload) -> String {
    format!("/function/{}/", workload.name)
}

/// Deploys all, with packages out of the cache; what it prints.
fn deploy_all(platform: &Platform) -> String {
    let mut deploy = platform.command(&["load", "workloads", "deploy", "--all"]);
    let output = deploy.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", native::wheels()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `show` prints is a file for `--mix`.
fn the_shown_requests_are_load(platform: &Platform) {
    let mix = platform.data.path().join("mix.json");
    std::fs::write(&mix, platform.spore_ok(&["load", "workloads", "show", "json"])).unwrap();
    let url = format!("http://{}", platform.address);
    let mut args = vec!["load", "run", &url, "--mix", mix.to_str().unwrap(), "--output", "json"];
    args.extend(["--connections", "1", "--duration", "1s", "--warm-up", "0"]);
    let document: Value = serde_json::from_str(&platform.spore_ok(&args)).expect("JSON");
    let run = &document["runs"][0];
    assert!(run["answered"].as_u64() > Some(0) && run["failed"] == serde_json::json!([]), "{run}");
}

#[test]
fn all_workloads_are_deployed_and_answer_as_they_must() {
    let platform = Platform::start();
    let spore = |args: &[&str]| platform.spore(&[&["load", "workloads"], args].concat());
    let nothing = spore(&["check"]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no workload is deployed"));
    let deployed = deploy_all(&platform);
    assert_eq!(deployed.lines().count(), workloads::all().len(), "{deployed}");
    for _ in 0..2 {
        let checked = platform.spore_ok(&["load", "workloads", "check", "--output", "json"]);
        let checked: Vec<Value> = serde_json::from_str(&checked).expect("JSON");
        assert!(checked.len() == workloads::all().len() && checked.iter().all(|one| one["ok"] == true));
    }
    the_shown_requests_are_load(&platform);
    let mut connection = platform.connect();
    for workload in workloads::all() {
        // Whatever came before, the next request finds memory that has seen none.
        for body in
            ["{", "{\"size\": -1, \"n\": -1, \"ms\": -1, \"kib\": 1e9}", "[1]", "\0\u{7f}", "{\"a\":1}"]
        {
            let answer = connection.request("POST", &path(workload), &[], body.as_bytes());
            let text = answer.text();
            assert_eq!(answer.status, 400, "{}: {body}: {text}", workload.name);
            assert_eq!(answer.json()["calls"], 1, "{}: {text}", workload.name);
        }
        let binary = connection.request("POST", &path(workload), &[], b"\xff\xfe{}");
        assert_eq!((binary.status, &binary.json()["calls"]), (400, &1.into()), "{}", workload.name);
    }
    // A wrong answer is told: this function greets, but not as the workload does.
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python-hello");
    platform.deploy(&example, &["--name", "sleep-python"]);
    let output = spore(&["check", "sleep"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("another answer than expected: 200"), "{said}");
}

#[test]
#[ignore = "takes minutes and a quiet machine; prints what loadtest/workloads/README.md tells of"]
fn table_of_workloads() {
    let platform = Platform::start();
    deploy_all(&platform);
    let machine = Machine::new();
    let mut table = String::from(
        "| workload | native, first | native, then | in a VM | ratio |\n|---|---|---|---|---|\n",
    );
    for workload in workloads::all() {
        let (mut process, mut connection) = (machine.start(workload), platform.connect());
        let mut fork = || {
            let headers = [("content-type", "application/json")];
            let body = workload.request.body.as_bytes();
            let answer = connection.request("POST", &path(workload), &headers, body);
            assert_eq!(workload.expect.check(answer.status, &answer.body), Ok(()), "{}", workload.name);
            answer.timing("run").expect("a time")
        };
        let first = process.ask(&workload.request.body).milliseconds;
        // The first calls after a deploy teach the platform what a request touches.
        (0..3).map(|_| fork()).for_each(|_| {});
        // In turn, so that both meet the same machine.
        let times = (0..ROUNDS).map(|_| (process.ask(&workload.request.body).milliseconds, fork()));
        let (native, forked): (Vec<_>, Vec<_>) = times.unzip();
        let (native, forked) = (fastest(native), fastest(forked));
        let name = &workload.name;
        writeln!(table, "| {name} | {first:.2} | {native:.2} | {forked:.2} | {:.2} |", forked / native)
            .expect("writing to a String cannot fail");
    }
    println!("{table}");
}

/// What others do on the machine makes a call slower, never faster.
fn fastest(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}
