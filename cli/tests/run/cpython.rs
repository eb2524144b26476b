//! CPython's own regression tests, module by module, in a VM.

use crate::common::{code, spore};
use crate::rig::RIG;
use std::collections::BTreeMap;
use std::process::Output;

/// Modules that pass as a whole and have to go on doing so: the language, and what it asks of the system.
const PASSING: &[&str] = &[
    "test_array",
    "test_dict",
    "test_epoll",
    "test_file",
    "test_fileinput",
    "test_fileio",
    "test_float",
    "test_genericpath",
    "test_glob",
    "test_grammar",
    "test_int",
    "test_largefile",
    "test_math",
    "test_posixpath",
    "test_select",
    "test_stat",
    "test_struct",
    "test_threading_local",
    "test_zlib",
];

/// Time one module gets, unless the variable `SPORE_CPYTHON_TIMEOUT` says something else.
const TIMEOUT: &str = "150s";

/// Runs one module.
fn run(module: &str) -> Output {
    let timeout = std::env::var("SPORE_CPYTHON_TIMEOUT").unwrap_or_else(|_| TIMEOUT.to_owned());
    let mut command = spore(&["run", "--memory", "1GiB", "--timeout", &timeout, "-w", "/tmp", "--image"]);
    command.arg(RIG.image()).args(["--", "python3.11", "-m", "test", "-v", module]);
    crate::rig::fed(&mut command, b"")
}

#[test]
fn modules_that_passed_still_pass() {
    for module in PASSING {
        let mut output = run(module);
        if code(&output) == 2 {
            // Some say how many milliseconds a call may take. What is broken fails again.
            output = run(module);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 0, "{module}: {}\n{text}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Prints the table of docs/COMPATIBILITY.md for the modules in the variable `SPORE_CPYTHON_MODULES`, or all.
#[test]
#[ignore = "takes an hour; run it with --nocapture for its table"]
fn table_of_all_modules() {
    let wanted = std::env::var("SPORE_CPYTHON_MODULES").unwrap_or_default();
    let mut modules: Vec<String> = wanted.split_whitespace().map(str::to_owned).collect();
    if modules.is_empty() {
        modules = RIG.python_test_modules();
    }
    println!("| module | result | tests | errors seen |\n|---|---|---|---|");
    for module in modules {
        let output = run(&module);
        let text = [output.stdout.clone(), output.stderr.clone()].concat();
        let text = String::from_utf8_lossy(&text);
        println!("| `{module}` | {} | {} | {} |", verdict(&output), tests(&text), errors(&text));
    }
}

fn verdict(output: &Output) -> String {
    match code(output) {
        0 => "pass".to_owned(),
        2 => "fail".to_owned(),
        124 => "too long".to_owned(),
        other => format!("exit code {other}"),
    }
}

/// How many tests there were, and what became of them.
fn tests(text: &str) -> String {
    let count = text.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next());
    let end = text.lines().find_map(|line| line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("OK")));
    format!("{}{}", count.unwrap_or("?"), end.map(|end| format!(" {}", end.trim())).unwrap_or_default())
}

/// The kinds of errors, with how many there were of each, the most frequent first.
fn errors(text: &str) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let is_error = |line: &&str| {
        line.split(':').next().is_some_and(|kind| kind.ends_with("Error") && !kind.contains(' '))
    };
    for line in text.lines().filter(is_error) {
        *counts.entry(line).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let shown =
        |(line, count): &(&str, usize)| format!("{count} {}", line.chars().take(70).collect::<String>());
    counts.iter().take(3).map(shown).collect::<Vec<_>>().join("; ").replace('|', "/")
}
