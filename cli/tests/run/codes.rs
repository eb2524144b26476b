//! Exit codes, and what is said about them.

use crate::common::{code, run, spore, stderr, stdout};
use std::path::Path;
use std::process::Command;

#[test]
fn the_exit_code_is_the_programs() {
    for status in [0, 1, 42, 255] {
        let output = run(&["run", "--", "sh", "-c", &format!("exit {status}")]);
        assert_eq!((code(&output), stderr(&output)), (status, String::new()));
    }
}

#[test]
fn a_signal_is_128_and_its_number_and_a_crash_is_told() {
    let output = run(&["run", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!((code(&output), stderr(&output)), (143, String::new()));
    let output = run(&["run", "--", "sh", "-c", "kill -SEGV $$"]);
    assert_eq!(code(&output), 139);
    assert!(stderr(&output).contains("killed by SIGSEGV"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_started_has_codes_of_its_own() {
    for (arguments, expected, text) in [
        (&["no-such-program"][..], 127, "no program no-such-program"),
        (&["/etc/passwd"], 126, "not executable"),
        (&["-w", "/nowhere", "cat"], 127, "/nowhere: no such directory"),
        (&["-w", "/etc/passwd", "cat"], 127, "/etc/passwd: not a directory"),
        (&["--image", "/nowhere", "cat"], 125, "/nowhere"),
        (&["--image", "/etc/passwd", "cat"], 125, "neither a directory nor an EROFS image"),
        (&["--runtime", "cobol", "cat"], 125, "there is no runtime `cobol`"),
        (&["--copy", "/nowhere", "cat"], 125, "/nowhere"),
        (&["--memory", "lots", "cat"], 2, "not a size"),
        (&["--env", "=x", "cat"], 2, "no name"),
        (&[], 2, "PROGRAM"),
    ] {
        let output = spore(&["run"]).args(arguments).output().expect("it can be started");
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn programs_of_an_image_are_found_in_its_path_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("bin")).unwrap();
    let image = root.path().to_str().unwrap();
    let output = run(&["run", "--image", image, "--", "missing"]);
    assert_eq!((code(&output), stderr(&output)), (127, "spore: missing: not found\n".to_owned()));
    std::fs::write(root.path().join("bin/plain"), "no program").unwrap();
    let output = run(&["run", "--image", image, "--", "/bin/plain"]);
    assert_eq!(code(&output), 126, "{}", stderr(&output));
}

#[test]
fn too_long_is_124() {
    let output = run(&["run", "--timeout", "300ms", "--", "sleep", "100"]);
    assert_eq!(code(&output), 124);
    assert!(stderr(&output).contains("--timeout"), "{}", stderr(&output));
    let output = run(&["run", "--timeout", "300ms", "--", "sh", "-c", "while :; do :; done"]);
    assert_eq!(code(&output), 124);
}

#[test]
fn memory_that_was_refused_is_told_if_the_program_fails() {
    let hungry = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    let output = run(&["run", "--memory", "32MiB", "--", "sh", "-c", hungry]);
    assert_ne!(code(&output), 0);
    assert!(stderr(&output).contains("which has 32.0 MiB (--memory)"), "{}", stderr(&output));
}

#[test]
fn the_program_finds_what_it_was_given() {
    // Below /tmp wherever TMPDIR is: what lies there is moved to /usr/local/bin.
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let script = directory.path().join("script");
    std::fs::write(
        &script,
        "#!/bin/sh\necho \"$0|$1|$2|$A|$B|$PWD\"; read x < /var/task/data/file; echo $x\n",
    )
    .unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/file"), "contents\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (script, data) = (script.to_str().unwrap(), directory.path().join("data"));
    let mut command =
        spore(&["run", "-e", "A=1", "-e", "B", "-w", "/tmp", "--copy", data.to_str().unwrap(), script]);
    let output = command.args(["--flag", "two words"]).env("B", "from here").output().unwrap();
    assert_eq!(stdout(&output), "/usr/local/bin/script|--flag|two words|1|from here|/tmp\ncontents\n");
}

#[test]
fn what_a_run_took_is_written_as_json() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run(&["run", "--stats", file.path().to_str().unwrap(), "--", "sh", "-c", "echo x; exit 3"]);
    assert_eq!(code(&output), 3);
    let stats: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    assert_eq!(stats["exit_code"], 3);
    assert_eq!(stats["doorbells"], 2, "one for the line, one for the end: {stats}");
    assert!(stats["memory_used_bytes"].as_u64().unwrap() > 0 && stats["total_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_was_refused_is_told_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("refused");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/tests/guest/refused.c");
    let built = Command::new("gcc").args(["-static", "-O1", "-w", "-o"]).arg(&program).arg(source).status();
    assert!(built.expect("gcc is installed").success(), "gcc failed");
    let file = directory.path().join("stats");
    let output = run(&["run", "--stats", file.to_str().unwrap(), "--", program.to_str().unwrap()]);
    assert_eq!(stdout(&output), "done\n");
    let stats: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let refused = stats["refused"].as_array().unwrap();
    let count = |name: &str| {
        let entry = refused.iter().find(|entry| entry["name"] == name);
        entry.map_or(0, |entry| entry["count"].as_u64().unwrap())
    };
    let names = [
        "pipe2 O_DIRECT",
        "openat2 RESOLVE_IN_ROOT",
        "clone CLONE_NEWNS",
        "socket AF_PACKET",
        "socket SOCK_RAW",
        "setsockopt SOL_SOCKET/SO_MARK",
        "setsockopt 0x1234/0x5",
        "prctl PR_SET_SECCOMP",
        "madvise MADV_MERGEABLE",
        "fcntl F_SETLEASE",
        "ioctl 0xdead",
        "mmap MAP_HUGETLB",
        "ioctl 0x10000",
    ];
    for name in names {
        assert_eq!(count(name), 1, "{name}: {stats}");
    }
    assert_eq!(count("ptrace"), 2, "{stats}");
    assert_eq!(count("ioctl TIOCGWINSZ"), 0, "a socket is no terminal on Linux either: {stats}");
    assert!(count("others") >= 300 - 170, "the table has an end: {stats}");
    let all: u64 = refused.iter().map(|entry| entry["count"].as_u64().unwrap()).sum();
    assert!(all >= 300 + names.len() as u64, "nothing is lost: {stats}");
}
