//! A platform that the experiment did not start.

use crate::common::process::signal;
use crate::common::{code, run, stderr, stdout};
use crate::document::{experiment, measure};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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
