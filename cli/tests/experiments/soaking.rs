//! A soak under way, for what ends it.

use crate::common::spore;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

/// A soak under way that takes so long and looks so often, and the process of its platform.
pub(crate) fn soaking(temporary: &Path, duration: &str, every: &str) -> (Child, u32) {
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
        every,
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
    while !has_answers(&line) {
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

/// Whether a line of progress tells of answers.
fn has_answers(line: &str) -> bool {
    let answers = line.strip_prefix("soak").and_then(|rest| rest.split_once("answers "));
    answers.is_some_and(|(_, count)| count.trim() != "0")
}
