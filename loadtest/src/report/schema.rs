//! The schema of documents in `docs/schema` says what this program writes, and nothing else.

use super::{SCHEMA, samples};
use crate::expect::Mismatch;
use crate::failure::Failure;
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};
use std::sync::OnceLock;

const TEXT: &str = include_str!("../../../docs/schema/load-v1.json");

fn schema() -> (Schemas, SchemaIndex) {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("file:///load.json", serde_json::from_str(TEXT).unwrap()).unwrap();
    let index = compiler.compile("file:///load.json", &mut schemas).unwrap();
    (schemas, index)
}

/// A small document with something in every part.
fn sample() -> Value {
    static SAMPLE: OnceLock<Value> = OnceLock::new();
    let small = || {
        let mut document = samples::document();
        document.runs.truncate(1);
        document.plots.truncate(1);
        document.plots[0].series.truncate(1);
        document.plots[0].series[0].points.truncate(2);
        serde_json::to_value(document).unwrap()
    };
    SAMPLE.get_or_init(small).clone()
}

#[test]
fn documents_follow_the_schema() {
    let (schemas, index) = schema();
    for document in [samples::document(), samples::hostile()] {
        let value = serde_json::to_value(document).unwrap();
        schemas.validate(&value, index).unwrap_or_else(|error| panic!("{error:.300}"));
    }
    assert_eq!(sample()["schema"], SCHEMA);
}

#[test]
fn fields_that_are_unknown_missing_or_of_another_kind_are_refused() {
    let (schemas, index) = schema();
    // Every object of the document, at the first place where it stands.
    for path in [
        "",
        "/tool",
        "/machine",
        "/measures/0",
        "/tables/0",
        "/plots/0",
        "/plots/0/x",
        "/plots/0/series/0",
        "/runs/0",
        "/runs/0/failed/0",
        "/runs/0/latencies/0",
        "/runs/0/timeline/0",
        "/runs/0/generator",
    ] {
        let mut more = sample();
        more.pointer_mut(path).unwrap()["unknown"] = json!(1);
        assert!(schemas.validate(&more, index).is_err(), "more in {path:?}");
        let names: Vec<String> =
            sample().pointer(path).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names {
            let mut other = sample();
            other.pointer_mut(path).unwrap()[&name] = json!({"a": []});
            assert!(schemas.validate(&other, index).is_err(), "another {path}/{name}");
            let mut less = sample();
            less.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(&name);
            // Those are read as empty, or are not in documents of older programs.
            let optional =
                ["categories", "intervals", "answered_in_time", "unfinished"].contains(&name.as_str());
            assert_eq!(schemas.validate(&less, index).is_ok(), optional, "no {path}/{name}");
        }
    }
}

#[test]
fn every_word_for_a_failure_is_in_the_schema() {
    let (schemas, index) = schema();
    let value: Value = serde_json::from_str(TEXT).unwrap();
    let failures = [
        Failure::Connect,
        Failure::Exhausted,
        Failure::Broken,
        Failure::Truncated,
        Failure::Protocol,
        Failure::Excess,
        Failure::Timeout,
        Failure::Unexpected(Mismatch::Body),
        Failure::Unexpected(Mismatch::Status(429)),
    ];
    let starts = value["$defs"]["start"]["enum"].as_array().unwrap();
    for (words, place) in [
        (failures.map(|failure| json!(failure)).to_vec(), "/runs/0/failed/0/failure"),
        (starts.clone(), "/runs/0/latencies/0/start"),
    ] {
        for word in words {
            let mut document = sample();
            *document.pointer_mut(place).unwrap() = word.clone();
            assert!(schemas.validate(&document, index).is_ok(), "{word}");
        }
        let mut document = sample();
        *document.pointer_mut(place).unwrap() = json!("pie");
        assert!(schemas.validate(&document, index).is_err());
    }
}
