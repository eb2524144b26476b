//! `spore load run` against servers of this process.

mod common;

use common::{code, run, spore, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

/// A server that answers every request with its path.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
                let mut path = String::new();
                while let Some(Ok(line)) = lines.next() {
                    if let Some(rest) = line.strip_suffix(" HTTP/1.1") {
                        path = rest.split_once(' ').map(|(_, path)| path.to_owned()).expect("a path");
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
                    if line.is_empty() && stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

const SHORT: [&str; 6] = ["--rate", "100", "--duration", "1s", "--warm-up", "100ms"];

#[test]
fn a_run_prints_tables_and_keeps_the_document() {
    let (url, directory) = (server(), tempfile::tempdir().unwrap());
    let file = directory.path().join("r.json");
    let (target, file_name) = (format!("{url}/a?b"), file.to_str().unwrap());
    let mut arguments = vec!["load", "run", &target, "--expect-body", "/a?b", "--json", file_name];
    arguments.extend(SHORT);
    arguments.extend(["--arrivals", "constant", "--repetitions", "2"]);
    let output = run(&arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("P99.9 MS") && text.contains("ANSWERS/S"), "{text}");
    assert!(stderr(&output).contains("/a?b 2/2    1 s"), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&document["schema"], &document["experiment"]), (&1.into(), &"run".into()));
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!(
            (&run["answered"], &run["warm_up"], &run["offered_rate"]),
            (&90.into(), &10.into(), &100.0.into())
        );
    }
    assert_ne!(runs[0]["seed"], runs[1]["seed"]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_mix_from_a_file_is_checked_answer_by_answer() {
    let (url, directory) = (server(), tempfile::tempdir().unwrap());
    let file = directory.path().join("mix.json");
    let calls = r#"[{"name": "good", "path": "/a", "weight": 3, "expect": {"body": "/a"}},
                    {"name": "bad", "path": "/b", "expect": {"contains": "x"}}]"#;
    std::fs::write(&file, calls).unwrap();
    let mut arguments = vec!["load", "run", &url, "--mix", file.to_str().unwrap(), "--output", "json"];
    arguments.extend(SHORT);
    let output = run(&arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &document["runs"][0];
    assert_eq!(run["latencies"][0]["call"], "good");
    assert_eq!((&run["failed"][0]["call"], &run["failed"][0]["failure"]), (&"bad".into(), &"body".into()));
}

#[test]
fn a_burst_alone_has_no_rates() {
    let url = server();
    let burst = ["--arrivals", "burst", "--rate", "10", "--burst-every", "1s", "-d", "1ms", "--warm-up", "0"];
    let output = run(&[&["load", "run", &url, "--output", "json"][..], &burst].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["answered"], 10);
    let table = document["tables"].as_array().unwrap().iter().find(|table| table["title"] == "Runs").unwrap();
    assert_eq!(table["rows"][0].as_array().unwrap()[3..5], ["-", "-"]);
    assert_eq!(document["measures"].as_array().unwrap().len(), 2, "median and tail");
}

#[test]
fn a_full_disk_loses_nothing_that_is_shown() {
    let url = server();
    let mut arguments = vec!["load", "run", &url, "--json", "/dev/full"];
    arguments.extend(SHORT);
    let output = run(&arguments);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("P99.9 MS"), "{}", stdout(&output));
    assert!(stderr(&output).contains("cannot write /dev/full: No space left"), "{}", stderr(&output));
}

#[test]
fn all_files_that_cannot_be_written_are_named() {
    let (url, directory) = (server(), tempfile::tempdir().unwrap());
    // A directory cannot be replaced by a file; that shows only when the file is there.
    let out = directory.path().join("out");
    std::fs::create_dir_all(out.join("result.json")).unwrap();
    let files = ["--json", "/dev/full", "--requests", "/dev/full", "--out", out.to_str().unwrap()];
    let output = run(&[&["load", "run", &url][..], &SHORT, &files].concat());
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("P99.9 MS"), "{}", stdout(&output));
    let told = stderr(&output);
    assert_eq!(told.matches("cannot write /dev/full: No space left").count(), 2, "{told}");
    assert!(told.contains("result.json: ") && told.contains("--requests"), "{told}");
}

#[test]
fn requests_are_kept_one_by_one() {
    let (url, directory) = (server(), tempfile::tempdir().unwrap());
    let file = directory.path().join("r.csv");
    let calls = ["--call", "1=/b", "--expect-body", "/a", "--arrivals", "constant", "--repetitions", "2"];
    let target = format!("{url}/a");
    let to = ["load", "run", &target, "--requests", file.to_str().unwrap()];
    let output = run(&[&to[..], &SHORT, &calls].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines = text.lines();
    let head = "system,repetition,call,intended_ns,sent_ns,done_ns,start,outcome,body_bytes";
    assert_eq!(lines.next(), Some(head));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 180, "90 of each repetition");
    for row in &rows {
        let [system, _, call, intended, sent, done, ends @ ..] = &row[..] else { panic!("{row:?}") };
        let expected = if *call == "/a" { ["none", "answered", "2"] } else { ["", "body", "2"] };
        assert_eq!((*system, ends), (target.as_str(), &expected[..]), "{row:?}");
        let [intended, sent, done] = [intended, sent, done].map(|text| text.parse::<u64>().unwrap());
        assert!(100_000_000 <= intended && intended <= sent && sent <= done, "{row:?}");
    }
    assert_eq!(rows.iter().filter(|row| row[1] == "0").count(), 90);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn ctrl_c_gives_the_report_so_far() {
    let url = server();
    let mut command =
        spore(&["load", "run", &url, "--connections", "2", "--duration", "1h", "--warm-up", "0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // The first line comes when the first second is over.
    progress.read_line(&mut line).unwrap();
    assert!(line.contains("answers"), "{line}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let drain = thread::spawn(move || progress.read_to_string(&mut String::new()));
    let output = child.wait_with_output().unwrap();
    drain.join().unwrap().unwrap();
    assert_eq!(code(&output), 130);
    let text = stdout(&output);
    assert!(text.contains("was stopped before its end") && text.contains("P99.9 MS"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_sent() {
    for (arguments, status, why) in [
        (&["http://127.0.0.1:1"][..], 2, "--rate"),
        (&["http://127.0.0.1:1", "--rate", "0"], 2, "the rate must be"),
        (&["https://127.0.0.1:1", "--rate", "1"], 2, "only http"),
        (&["http://127.0.0.1:1", "--rate", "1", "--duration", "1w"], 2, "no unit of time"),
        (&["http://127.0.0.1:1", "--rate", "1", "--warm-up", "1m"], 2, "warm-up"),
        (&["http://127.0.0.1:1", "--rate", "1", "--call", "0=/a"], 2, "weights"),
        (&["http://127.0.0.1:1", "--rate", "1", "--call", "1=a"], 2, "not a path"),
        (&["http://127.0.0.1:1", "--rate", "1", "--repetitions", "0"], 2, "--repetitions"),
        (&["http://127.0.0.1:1", "--rate", "1", "--repetitions", "1001"], 2, "from 1 to 1000"),
        (&["http://127.0.0.1:1", "http://127.0.0.1:1/a b", "--rate", "1"], 2, "not a path"),
        (&["http://127.0.0.1:1", "--rate", "1", "-H", "Content-Length: 3"], 2, "set by this program"),
        (&["http://127.0.0.1:1", "--rate", "1", "--body-file", "/no/such/file"], 2, "cannot read"),
        (&["http://127.0.0.1:1", "--rate", "1", "--json", "/no/such/dir/x"], 1, "cannot write"),
        (&["http://127.0.0.1:1", "--rate", "1", "--out", "/dev/null"], 1, "cannot write to /dev/null"),
        (&["http://127.0.0.1:1", "--rate", "1", "--requests", "/no/such/dir/x"], 1, "cannot write"),
        (&["http://127.0.0.1:1", "--rate", "1", "--requests", "-"], 2, "--requests needs a file"),
    ] {
        let all: Vec<&str> = ["load", "run"].iter().chain(arguments).copied().collect();
        let output = run(&all);
        assert_eq!(code(&output), status, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn a_target_that_never_answers_is_a_failure_with_a_report() {
    let mut arguments = vec!["load", "run", "http://127.0.0.1:1"];
    arguments.extend(SHORT);
    let output = run(&arguments);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("the connection was refused"), "{}", stdout(&output));
    assert!(stderr(&output).contains("no request was answered"), "{}", stderr(&output));
}
