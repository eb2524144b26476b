//! The workloads, as processes of this machine: they answer what the manifest says, and refuse what is wrong.

mod native;

use loadtest::workloads;
use native::Machine;
use serde_json::Value;

/// What no workload takes, and a word of the error that it must be.
const WRONG: &[(&str, &str)] = &[
    ("[]", "not a JSON object"),
    ("7", "not a JSON object"),
    ("nonsense", "JSON"),
    ("{", "not JSON"),
    ("{\"x\"", "not JSON"),
    ("{\"bogus\": 1}", "no parameter is named"),
];

#[test]
fn workloads_answer_natively_as_the_manifest_says() {
    let machine = Machine::new();
    for workload in workloads::all() {
        let name = &workload.name;
        let mut process = machine.start(workload);
        let answer = process.ask(&workload.request.body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(workload.expect.check(answer.status, &answer.body), Ok(()), "{name}: {text}");

        // Without parameters it has the defaults, and a process that lives on counts its calls.
        let again: Value = serde_json::from_slice(&process.ask("").body).expect("JSON");
        let first: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&again["result"], &again["calls"]), (&first["result"], &2.into()), "{name}");

        for (body, part) in WRONG.iter().copied() {
            refused(name, &process.ask(body), body, part);
        }
        let mut parameters: Vec<String> = Vec::new();
        for (parameter, value) in first["parameters"].as_object().expect("parameters") {
            let (values, part): (&[&str], _) = if value.is_string() {
                (&["1", "null", "[\"a\"]"], "must be a text")
            } else {
                (&["-1", "0.5", "\"5\"", "true", "null", "1e99", "99999999999999999999999"], "whole number")
            };
            for value in values {
                let body = format!("{{\"{parameter}\": {value}}}");
                refused(name, &process.ask(&body), &body, part);
            }
            parameters.push(parameter.clone());
        }
        let nested = format!("{{\"{}\": {}", parameters[0], "[".repeat(50_000));
        assert_eq!(process.ask(&nested).status, 400, "{name}: {}", nested.len());
        let long = format!("{{\"{}\": \"{}\"}}", parameters[0], "x".repeat(70_000));
        refused(name, &process.ask(&long), "a long body", "longer than");
        let other = process.ask(&workload.request.body);
        let result = &serde_json::from_slice::<Value>(&other.body).expect("JSON")["result"];
        assert_eq!((other.status, result), (200, &first["result"]), "{name}: after all that");
    }
}

fn refused(name: &str, answer: &native::Answer, body: &str, part: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    let error = serde_json::from_slice::<Value>(&answer.body).expect("JSON")["error"].clone();
    let told = error.as_str().is_some_and(|error| error.contains(part));
    assert!(answer.status == 400 && told, "{name}: {body}: {} {text}", answer.status);
}
