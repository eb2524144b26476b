//! What the document of each experiment holds when it comes to its end.

use crate::document::{measure, notes, series, values};
use serde_json::Value;

#[test]
fn latency_has_every_start_and_what_it_is_made_up_of() {
    let document =
        measure(&["latency", "--repetitions", "1", "--rate", "10", "--calls", "1", "--duration", "500ms"]);
    for name in ["python-hello", "node-hello", "rust-hello"] {
        assert_eq!(values(&document, &format!("{name} open loop p50")).len(), 1);
    }
    let missing = notes(&document);
    for start in ["recycled", "remapped", "new", "spare", "cold"] {
        let name = format!("python-hello {start}");
        if missing.contains(&format!("of {name} could not be arranged")) {
            continue;
        }
        let parts = ["queue", "fork", "run", "rest of total", "outside"];
        let parts: Vec<f64> =
            parts.iter().map(|part| values(&document, &format!("{name} mean {part}"))[0]).collect();
        let whole = values(&document, &format!("{name} p50"))[0];
        assert!(parts.iter().all(|part| *part >= 0.0), "{parts:?}");
        assert!((parts.iter().sum::<f64>() - whole).abs() <= 0.02 * whole + 0.01, "{parts:?} of {whole}");
    }
    let plots = document["plots"].as_array().unwrap();
    assert!(plots.iter().any(|plot| plot["kind"] == "stacked-bars"));
    assert_eq!(document["settings"]["cold calls"], "1");
}

#[test]
fn a_knee_is_found_between_rates_that_were_tried() {
    let document = measure(&[
        "knee",
        "--functions",
        "rust",
        "--repetitions",
        "1",
        "--from",
        "40",
        "--precision",
        "0.6",
        "--limit",
        "20000",
        "--duration",
        "1s",
    ]);
    let tried: Vec<f64> = document["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["offered_rate"].as_f64().unwrap())
        .collect();
    assert!(tried.len() >= 2 && tried[0] == 40.0, "{tried:?}");
    // A machine this busy may keep up with nothing, and says so.
    if !notes(&document).contains("kept up with no rate") {
        let knee = values(&document, "rust-hello knee")[0];
        assert!(tried.contains(&knee), "{knee} of {tried:?}");
        assert!(!series(&document, "Response time at the knee").is_empty());
    }
}

#[test]
fn a_burst_is_answered_whole_and_in_order() {
    let document = measure(&["burst", "--repetitions", "1", "--sizes", "1,4", "--hold", "0.05"]);
    for (size, answers) in [("0001", 1), ("0004", 4)] {
        let at = |what: &str| values(&document, &format!("burst of {size} {what}"))[0];
        assert!([at("first"), at("half"), at("99 %"), at("last")].is_sorted());
        assert!(at("first") >= 50.0, "each keeps its VM for 50 ms");
        assert_eq!(at("failed"), 0.0);
        let runs = document["runs"].as_array().unwrap();
        assert!(runs.iter().any(|run| run["answered"] == answers), "{runs:?}");
    }
    assert_eq!(series(&document, "Time to the k-th answer").len(), 2);
    assert!(!series(&document, "Response time").is_empty());
}

#[test]
fn density_counts_functions_and_their_memory() {
    let document =
        measure(&["density", "--repetitions", "1", "--counts", "2,1", "--rate", "20", "--duration", "1s"]);
    for count in ["0001", "0002"] {
        let of = |what: &str| values(&document, &format!("{count} functions {what}"))[0];
        assert!(of("private by VM") > 0.0 && of("platform PSS by function") > 0.0);
        assert_eq!(of("failed"), 0.0);
    }
    assert!(values(&document, "0002 functions VMs")[0] >= 2.0);
    let lines: Vec<_> = series(&document, "Density: memory").iter().map(|line| &line["name"]).collect();
    assert_eq!(lines, ["private", "shared", "PSS"]);
    assert!(!series(&document, "Response time").is_empty());
}

#[test]
fn cold_calls_load_their_parent() {
    let document = measure(&["cold", "--repetitions", "1", "--calls", "2"]);
    let missing = notes(&document);
    for name in ["python-hello", "python-hello on disk", "rust-hello"] {
        if missing.contains(&format!("of {name} cold could not be arranged")) {
            continue;
        }
        // Loading a parent is waiting for it.
        assert!(values(&document, &format!("{name} cold mean queue"))[0] > 0.0);
    }
    let runs = document["runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["latencies"][0]["start"] == "cold"));
}

#[test]
fn every_answer_comes_from_pristine_state() {
    let document = measure(&["isolation", "--repetitions", "1", "--connections", "1,8", "--duration", "2s"]);
    for system in ["python-hello x 1", "python-hello x 8", "node-hello x 8"] {
        assert_eq!(values(&document, &format!("{system} leaks")), [0.0]);
    }
    assert!(notes(&document).contains("0 showed something of another request"), "{}", notes(&document));
    let answered: u64 =
        document["runs"].as_array().unwrap().iter().map(|run| run["answered"].as_u64().unwrap()).sum();
    assert!(answered > 20, "{answered}");
    assert!(!series(&document, "Response time").is_empty());
}

#[test]
fn a_soak_says_what_grows() {
    let results = tempfile::tempdir().unwrap();
    let out = results.path().to_str().unwrap();
    let document = measure(&["soak", "--duration", "4s", "--every", "100ms", "--rate", "20", "--out", out]);
    let kept = std::fs::read_to_string(results.path().join("result.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap()["measures"], document["measures"]);
    assert!(results.path().join("report.html").exists());
    for what in ["memory of its own", "PSS", "open descriptors", "threads", "VMs", "disk"] {
        assert!(values(&document, &format!("{what} at the end"))[0] >= 0.0);
    }
    assert!(values(&document, "threads at the end")[0] >= 1.0);
    assert!(notes(&document).contains("too short to judge growth"));
    assert_eq!(values(&document, "soak failed"), [0.0]);
}
