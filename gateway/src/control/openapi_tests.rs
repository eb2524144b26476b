//! The description and the router must say the same.

use super::ROUTES;
use super::operations::OPENAPI;
use crate::api::{FunctionDetail, FunctionSummary};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use worker::api::{Contract, FunctionStats, LogLine, ParentInfo, VmInfo};

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let described: BTreeSet<(String, String)> = document()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
        })
        .collect();
    let routes: BTreeSet<(String, String)> = ROUTES
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|method| ((*path).to_owned(), (*method).to_owned())))
        .collect();
    assert_eq!(described, routes);
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.insert(target.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_referred_to() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in &found {
        assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/{kind}/{name}")), "{name} is not used");
        }
    }
}

#[test]
fn operation_ids_are_unique_and_the_version_is_ours() {
    let document = document();
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    let ids: Vec<_> = operations
        .filter(|(key, _)| *key != "parameters")
        .map(|(_, one)| one["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
    assert_eq!(document["info"]["version"], json!(env!("CARGO_PKG_VERSION")));
}

/// The schema `name` has exactly the keys of `value`.
fn same_keys(name: &str, value: Value) {
    let document = document();
    let schema = document["components"]["schemas"][name]["properties"].as_object().unwrap();
    let described: BTreeSet<_> = schema.keys().collect();
    let real: BTreeSet<_> = value.as_object().unwrap().keys().collect();
    assert_eq!(described, real, "{name}");
}

fn summary() -> FunctionSummary {
    FunctionSummary {
        name: String::new(),
        path: String::new(),
        runtime: String::new(),
        revision: String::new(),
        state: String::new(),
        reason: String::new(),
        deployed_at: String::new(),
    }
}

fn detail() -> FunctionDetail {
    FunctionDetail {
        summary: summary(),
        contract: Contract::Handler,
        handler: String::new(),
        memory_bytes: 0,
        timeout_ms: 0,
        env: Vec::new(),
        port: 0,
        max_concurrency: 0,
        package_sha256: String::new(),
        stats: FunctionStats::default(),
    }
}

#[test]
fn schemas_have_the_fields_of_the_types() {
    same_keys("FunctionSummary", serde_json::to_value(summary()).unwrap());
    same_keys("FunctionDetail", serde_json::to_value(detail()).unwrap());
    same_keys("FunctionStats", serde_json::to_value(FunctionStats::default()).unwrap());
    same_keys("ParentInfo", serde_json::to_value(ParentInfo::default()).unwrap());
    same_keys("DeployConfig", serde_json::to_value(crate::api::DeployConfig::default()).unwrap());
    let vm = VmInfo {
        id: String::new(),
        function: String::new(),
        pid: 0,
        state: String::new(),
        age_seconds: 0.0,
        served: 0,
        memory_address: 0,
        shared_bytes: 0,
        private_bytes: 0,
        pss_bytes: 0,
    };
    same_keys("VmInfo", serde_json::to_value(vm).unwrap());
    let line = LogLine {
        seq: 0,
        ts: String::new(),
        stream: String::new(),
        request_id: String::new(),
        line: String::new(),
    };
    same_keys("LogLine", serde_json::to_value(line).unwrap());
}
