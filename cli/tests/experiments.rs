//! `spore load experiment`: the real command with tiny settings, on real VMs. What a result holds is checked, never how fast
//! anything was.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{code, run, spore, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs an experiment; its output, and that it has left no file behind.
fn experiment(arguments: &[&str]) -> Output {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = spore(&["load", "experiment"]);
    command.args(arguments).args(["--quick", "--json", "-"]).env("TMPDIR", temporary.path());
    let output = command.output().unwrap();
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "something is left in TMPDIR");
    output
}

/// The document of an experiment that succeeds, after checking what is common to all.
fn measure(arguments: &[&str]) -> Value {
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

fn measures(document: &Value) -> impl Iterator<Item = &Value> {
    document["measures"].as_array().unwrap().iter()
}

/// The values of a measure.
fn values(document: &Value, name: &str) -> Vec<f64> {
    let found = measures(document).find(|measure| measure["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no `{name}` in {}", document["measures"]));
    found["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn notes(document: &Value) -> String {
    document["notes"].to_string()
}

/// The series of a plot.
fn series<'a>(document: &'a Value, title: &str) -> &'a Vec<Value> {
    let plot = document["plots"].as_array().unwrap().iter().find(|plot| plot["title"] == title);
    plot.unwrap_or_else(|| panic!("no plot `{title}`"))["series"].as_array().unwrap()
}

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
    let document =
        measure(&["burst", "--repetitions", "1", "--sizes", "1,4", "--hold", "0.05", "--timeout", "60s"]);
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
    for name in ["python-hello", "python-hello on disk", "rust-hello"] {
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
fn peers_are_measured_beside_the_baselines() {
    let other = common::fake::Fake::answering("200 OK", &[], "hello, I am another");
    let peer = format!("other={}/path", other.url);
    let document = measure(&[
        "peers",
        "--repetitions",
        "2",
        "--connections",
        "2",
        "--duration",
        "300ms",
        "--peer",
        &peer,
        "--contains",
        "another",
    ]);
    for name in [
        "spore python-hello",
        "spore node-hello",
        "spore rust-hello",
        "python warm-server",
        "python os-fork",
        "python exec",
        "other",
    ] {
        assert_eq!(values(&document, &format!("{name} x 2 answers")).len(), 2, "{name}");
        assert_eq!(values(&document, &format!("{name} x 2 failed")), [0.0, 0.0], "{name}");
    }
    assert!(other.request().line.starts_with("GET /path "));
}

#[test]
fn a_peer_that_does_not_answer_as_expected_is_named_before_anything_is_measured() {
    let other = common::fake::Fake::answering("200 OK", &[], "hello, I am another");
    let peer = format!("wrong={}/path", other.url);
    for (arguments, why) in [
        (
            &["peers", "--peer", "dead=http://127.0.0.1:1/x"][..],
            "`dead` cannot be measured: http://127.0.0.1:1/x: ",
        ),
        (&["peers", "--peer", &peer, "--contains", "nothing of it"], "the body is not the one expected"),
    ] {
        let output = experiment(arguments);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert!(stdout(&output).is_empty() && stderr(&output).contains(why), "{}", stderr(&output));
        assert!(!stderr(&output).contains("starting a platform"), "{}", stderr(&output));
    }
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

/// A soak under way that takes so long, and the process of its platform.
fn soaking(temporary: &Path, duration: &str) -> (Child, u32) {
    let mut child = spore(&[
        "load",
        "experiment",
        "soak",
        "--rate",
        "5",
        "--warm-up",
        "0s",
        "--duration",
        duration,
        "--every",
        "100ms",
        "--json",
        "-",
    ])
    .env("TMPDIR", temporary)
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // A second of load is over.
    while !line.starts_with("soak") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended early");
    }
    // Nobody reads what else it says, but the pipe must not fill up.
    std::thread::spawn(move || errors.read_to_end(&mut Vec::new()));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().flatten();
    let mut children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let platform = children.find_map(|line| line.split_whitespace().next()?.parse().ok()).unwrap();
    (child, platform)
}

fn signal(pid: u32, signal: Signal) {
    kill_process(i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap(), signal).unwrap();
}

/// Waits until a process is gone, or a zombie that somebody else has to wait for.
fn wait_until_gone(pid: u32) {
    let begun = Instant::now();
    loop {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z")) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interrupted_soak_reports_and_leaves_nothing() {
    end_a_soak(Signal::INT);
}

#[test]
fn a_terminal_that_closes_ends_a_soak_with_a_report() {
    // Under nohup it is ignored, here as there.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    if u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 0 {
        end_a_soak(Signal::HUP);
    }
}

/// Ends a soak by a signal; it reports.
fn end_a_soak(by: Signal) {
    let temporary = tempfile::tempdir().unwrap();
    let (child, platform) = soaking(temporary.path(), "1h");
    signal(child.id(), by);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["complete"], false);
    assert!(document["runs"][0]["answered"].as_u64().unwrap() > 0);
    assert_eq!(measures(&document).count(), 0, "it did not come to its end");
    assert!(!series(&document, "Platform: PSS")[0]["points"].as_array().unwrap().is_empty());
    wait_until_gone(platform);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_platform_that_dies_fails_the_soak_with_a_report() {
    let temporary = tempfile::tempdir().unwrap();
    let (child, platform) = soaking(temporary.path(), "15s");
    signal(platform, Signal::KILL);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(notes(&document).contains("the platform of the experiment ended (signal: 9"));
    assert!(document["runs"][0]["answered"].as_u64().unwrap() > 0);
    assert_eq!(measures(&document).count(), 0, "nothing is measured of a platform that is gone");
    assert!(!series(&document, "Platform: PSS")[0]["points"].as_array().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_platform_ends_with_an_experiment_that_is_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut child, platform) = soaking(temporary.path(), "1h");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_gone(platform);
}

#[test]
fn a_platform_at_a_url_is_used_and_left_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_spore"))
        .args(["up", "--listen", "127.0.0.1:0", "--with-parent", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let url = lines
        .map_while(Result::ok)
        .find_map(|line| Some(format!("http://{}", line.split_once("http://")?.1.trim())));
    let url = url.unwrap();
    let arguments = [
        "peers",
        "--url",
        &url,
        "--repetitions",
        "1",
        "--connections",
        "1",
        "--duration",
        "300ms",
        "--no-baselines",
    ];
    let document = measure(&arguments);
    assert_eq!(document["settings"]["platform"], url.as_str());
    let functions = run(&["--url", &url, "--output", "json", "ls"]);
    assert!(!stdout(&functions).contains("experiment-"), "{}", stdout(&functions));
    let refused = experiment(&["cold", "--url", &url]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    signal(up.id(), Signal::TERM);
    up.wait().unwrap();
}

#[test]
fn impossible_arguments_are_exit_code_2() {
    for arguments in [
        &[][..],
        &["sprint"],
        &["knee", "--from", "0"],
        &["knee", "--functions", "cobol"],
        &["latency", "--repetitions", "0"],
        &["latency", "--repetitions", "1001"],
        &["soak", "--duration", "soon"],
        &["peers", "--peer", "nameless"],
        &["peers", "--peer", "a=ftp://b"],
        &["burst", "--sizes", "many"],
    ] {
        let output = run(&[&["load", "experiment"], arguments].concat());
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{arguments:?}");
    }
}
