//! What ordinary programs do works in a fork as it does on Linux.

use crate::platform::{Platform, function};
use std::fs;
use std::process::Command;

/// A package with the C program, linked dynamically, and a file it reads.
fn with_program() -> Platform {
    let platform = Platform::start();
    let package = platform.data.path().join("package");
    fs::create_dir(&package).unwrap();
    let program = package.join("server");
    let source = function("programs.c");
    // No optimisation: the stack must really be used up.
    let status = Command::new("gcc").args(["-O0", "-w", "-o"]).arg(&program).arg(source).status();
    assert!(status.expect("gcc is installed").success(), "gcc failed");
    fs::write(package.join("data.txt"), "data").unwrap();
    platform.deploy(&package, &["--name", "program", "--timeout", "60s"]);
    platform
}

#[test]
fn a_native_program_uses_signals_timers_and_files() {
    let platform = with_program();
    let mut connection = platform.connect();
    for (path, expected) in [
        ("faults", "caught 2"),
        ("alarms", "hits 1 ended 1 left 1"),
        ("masks", "1 -1 2 7"),
        ("files", "data mapped locale C.UTF-8"),
        ("timer", "later"),
    ] {
        let response = connection.get(&format!("/function/program/{path}"));
        assert_eq!((response.status, response.text().as_str()), (200, expected), "{path}");
    }
    let describe = platform.spore_ok(&["describe", "program", "--output", "json"]);
    for name in ["alarm", "setitimer", "rt_sigsuspend", "rt_sigqueueinfo"] {
        assert!(!describe.contains(&format!("\"{name}\"")), "{name} was refused: {describe}");
    }
}

#[test]
fn a_native_program_answers_in_every_shape() {
    let platform = with_program();
    let mut connection = platform.connect();
    for (path, expected) in
        [("chunked", "hellohellohello"), ("close", "until the end"), ("hints", "after the hints")]
    {
        let response = connection.get(&format!("/function/program/{path}"));
        assert_eq!((response.status, response.text().as_str()), (200, expected), "{path}");
    }
    let big = connection.get("/function/program/big");
    assert!(big.body.len() == 5_000_000 && big.body.iter().all(|&byte| byte == b'b'));
    let body = vec![3; 6 << 20];
    let sum = connection.request("POST", "/function/program/sum", &[], &body);
    assert_eq!(sum.text(), format!("{} {}", body.len(), 3 * body.len()));
    let head = platform.connect().head("/function/program/");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000")));
}

#[test]
fn a_python_package_uses_the_standard_library() {
    let platform = Platform::start();
    let options = ["--name", "package", "--handler", "library.entry.handler", "--timeout", "30s"];
    platform.deploy(&function("package"), &options);
    let mut connection = platform.connect();
    for (what, expected) in [
        ("package", r#"["A","Grüße aus der Datei","C.UTF-8"]"#),
        ("alarm", r#""rang""#),
        ("database", r#"["wal",499500]"#),
        ("shared", r#""hi""#),
        ("processes", r#"["from the child",7,"42\n","FileNotFoundError"]"#),
        ("processes", r#"["from the child",7,"42\n","FileNotFoundError"]"#),
        ("threads", "[[0,1,4,9,16],true,true]"),
        ("asyncio", r#"["a","b"]"#),
        ("recursion", r#""RecursionError""#),
        ("full", r#""No space left on device""#),
        ("imports", "[]"),
    ] {
        let response = connection.get(&format!("/function/package?do={what}"));
        assert_eq!(response.status, 200, "{what}: {}", response.text());
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(response.json(), expected, "{what}");
    }
}

#[test]
fn requests_that_start_processes_do_not_fail_those_beside_them() {
    let platform = Platform::start();
    let options = ["--name", "package", "--handler", "library.entry.handler", "--timeout", "60s"];
    platform.deploy(&function("package"), &options);
    // Each VM serves one of these. Nobody is offered one that is gone.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut connection = platform.connect();
                for _ in 0..4 {
                    let response = connection.get("/function/package?do=processes");
                    assert_eq!(response.status, 200, "{}", response.text());
                }
            });
        }
    });
}
