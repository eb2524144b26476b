//! Bad functions and bad requests: each has its status and code, and the next request is fine.

use crate::http::Response;
use crate::platform::{Platform, compile, function, spore};
use crate::wait_for;
use std::io::Write;
use std::net::Shutdown;
use std::path::PathBuf;

fn assert_error(response: &Response, status: u16, code: &str) -> serde_json::Value {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{}", response.text());
    let error = response.json()["error"].clone();
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    error
}

fn assert_fine(platform: &Platform) {
    let response = platform.get("/function/probe?do=count");
    assert_eq!((response.status, response.text().as_str()), (200, r#"{"count":1}"#));
}

#[test]
fn a_handler_that_fails_is_502_with_its_reason_and_a_traceback_only_in_the_log() {
    let platform = Platform::start().with_python_probe(&[]);
    let response = platform.get("/function/probe?do=raise");
    let error = assert_error(&response, 502, "FunctionError");
    assert_eq!(error["error_type"], "ValueError");
    assert!(error["message"].as_str().unwrap().contains("no such luck: \u{2603}"), "{error}");
    assert!(!response.text().contains("Traceback"));
    assert!(platform.spore_ok(&["logs", "probe"]).contains("Traceback"));
    assert_fine(&platform);
    assert_error(&platform.get("/function/probe?do=unmappable"), 502, "InvalidResponse");
    assert_error(&platform.get("/function/probe?do=unserialisable"), 502, "FunctionError");
    assert_fine(&platform);
}

#[test]
fn a_handler_that_exits_or_dies_is_502() {
    let platform = Platform::start().with_python_probe(&[]);
    let error = assert_error(&platform.get("/function/probe?do=hard_exit"), 502, "FunctionExited");
    assert!(error["message"].as_str().unwrap().contains("status 4"), "{error}");
    let response = platform.get("/function/probe?do=exit");
    assert!(response.status == 502 && response.text().contains('3'), "{}", response.text());
    let error = assert_error(&platform.get("/function/probe?do=abort"), 502, "FunctionKilled");
    assert!(error["message"].as_str().unwrap().contains("SIGABRT"), "{error}");
    assert_fine(&platform);
}

#[test]
fn endless_loops_and_sleeps_end_at_the_timeout() {
    let platform = Platform::start().with_python_probe(&["--timeout", "10s"]);
    for what in ["loop", "sleep&seconds=600"] {
        let response = platform.get(&format!("/function/probe?do={what}"));
        assert_error(&response, 504, "FunctionTimeout");
        let total = response.timing("total").unwrap();
        assert!((10_000.0..120_000.0).contains(&total), "{what} took {total} ms");
        assert_fine(&platform);
    }
    let discarded = platform.spore_ok(&["--output", "json", "describe", "probe"]);
    let detail: serde_json::Value = serde_json::from_str(&discarded).unwrap();
    assert!(detail["stats"]["shells_discarded"].as_u64().unwrap() >= 2, "{detail}");
}

#[test]
fn memory_beyond_the_limit_is_named() {
    let platform = Platform::start()
        .with_python_probe(&["--memory", "96MiB", "--timeout", "60s"])
        .with_native_probe(&["--memory", "32MiB"]);
    assert_error(&platform.get("/function/probe?do=memory"), 502, "FunctionOutOfMemory");
    assert_fine(&platform);
    assert_error(&platform.get("/function/native/memory"), 502, "FunctionOutOfMemory");
    assert_eq!(platform.get("/function/native/").text(), "hello 1");
}

#[test]
fn responses_at_and_over_the_limit() {
    let platform = Platform::start().with_python_probe(&["--memory", "512MiB", "--timeout", "30s"]);
    let fits = platform.get("/function/probe?do=big&bytes=6000000");
    assert_eq!((fits.status, fits.body.len()), (200, 6_000_000));
    assert!(fits.body.iter().all(|byte| *byte == b'b'));
    let too_large = platform.get("/function/probe?do=big&bytes=17000000");
    assert_error(&too_large, 502, "ResponseTooLarge");
    assert_fine(&platform);
}

#[test]
fn requests_that_cannot_be_served() {
    let platform = Platform::start().with_python_probe(&[]);
    assert_error(&platform.get("/function/nobody"), 404, "FunctionNotFound");
    let body = vec![b'x'; 6 * 1024 * 1024 + 1];
    let too_large = platform.connect().request("POST", "/function/probe", &[], &body);
    assert_error(&too_large, 413, "RequestTooLarge");
    let fits =
        platform.connect().request("POST", "/function/probe", &[("content-type", "text/plain")], &body[1..]);
    assert_eq!(fits.status, 200, "{}", fits.text());
    assert_eq!(fits.json()["event"]["body"].as_str().unwrap().len(), 6 * 1024 * 1024);
    let mut socket = std::net::TcpStream::connect(&platform.address).unwrap();
    socket.write_all(b"this is not HTTP\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert_fine(&platform);
}

#[test]
fn a_client_that_leaves_has_its_vm_destroyed() {
    let platform = Platform::start().with_python_probe(&["--timeout", "60s"]);
    let discarded = || {
        let text = platform.spore_ok(&["--output", "json", "describe", "probe"]);
        let detail: serde_json::Value = serde_json::from_str(&text).unwrap();
        detail["stats"]["shells_discarded"].as_u64().unwrap()
    };
    assert_fine(&platform);
    let before = discarded();
    let mut socket = std::net::TcpStream::connect(&platform.address).unwrap();
    socket.write_all(b"GET /function/probe?do=loop HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    // The request runs once it is counted in flight; only then does the client go away.
    wait_for("the request does not run", || platform.metric("spore_requests_in_flight", "") >= 1.0);
    socket.shutdown(Shutdown::Both).unwrap();
    drop(socket);
    wait_for("the VM is not destroyed", || discarded() > before);
    assert_fine(&platform);
}

fn refuse(platform: &Platform, args: &[&str]) -> String {
    let output = platform.spore(&[&["deploy"], args].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "deploy {args:?} succeeded");
    assert_eq!(
        platform.spore_ok(&["--output", "json", "ls"]).matches("\"name\"").count(),
        0,
        "half registered"
    );
    text
}

#[test]
fn deploys_that_cannot_work_are_refused_with_the_programs_own_output() {
    let platform = Platform::start();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = platform.data.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();

    assert!(refuse(&platform, &["/no/such/file.py"]).contains("/no/such/file.py"));

    let broken =
        write("broken.py", b"print('before the fall')\nimport no_such_module\ndef handler(e, c): pass\n");
    let said = refuse(&platform, &[&text(&broken), "--name", "broken", "--handler", "broken.handler"]);
    assert!(said.contains("No module named 'no_such_module'") && said.contains("before the fall"), "{said}");

    let lazy = write("lazy.c", b"#include <stdio.h>\nint main(void) { puts(\"not today\"); return 5; }\n");
    let program = platform.data.path().join("lazy");
    compile(&lazy, &program);
    let said = refuse(&platform, &[&text(&program)]);
    assert!(said.contains("not today") && said.contains("status 5"), "{said}");

    let deaf = write("deaf.c", b"#include <unistd.h>\nint main(void) { pause(); }\n");
    let program = platform.data.path().join("deaf");
    compile(&deaf, &program);
    refuse(&platform, &[&text(&program)]);

    let mut foreign = std::fs::read(&program).unwrap();
    foreign[18] = 183; // e_machine = EM_AARCH64
    let said = refuse(&platform, &[&text(&write("foreign", &foreign))]);
    assert!(said.contains("aarch64"), "{said}");
}

#[test]
fn a_failed_deploy_leaves_the_running_revision_alone() {
    let platform = Platform::start().with_python_probe(&[]);
    let broken = platform.data.path().join("broken.py");
    std::fs::write(&broken, "raise SystemExit(9)\n").unwrap();
    let args = ["deploy", broken.to_str().unwrap(), "--name", "probe", "--handler", "broken.handler"];
    assert!(!platform.spore(&args).status.success());
    assert_fine(&platform);
}

#[test]
fn two_deploys_of_one_name_at_once_leave_one_whole_function() {
    let platform = Platform::start();
    let source = function("probe.py");
    let mut args = vec!["deploy", source.to_str().unwrap(), "--name", "probe", "--handler", "probe.handler"];
    args.extend(["--timeout", "60s"]);
    let results: Vec<_> = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..4).map(|_| scope.spawn(|| platform.spore(&args))).collect();
        spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().any(|output| output.status.success()));
    for output in results.iter().filter(|output| !output.status.success()) {
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("DeployInProgress") || text.contains("in progress"), "{text}");
    }
    assert_fine(&platform);
}

#[test]
fn a_machine_without_kvm_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let unreadable = data.path().join("kvm");
    std::fs::write(&unreadable, b"").unwrap();
    for device in ["/no/such/device", unreadable.to_str().unwrap()] {
        for command in [&["up", "--listen", "127.0.0.1:0"][..], &["doctor"][..]] {
            let output =
                spore().args(command).args(["--kvm", device]).env("XDG_DATA_HOME", data.path()).output();
            let output = output.unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            assert!(!output.status.success() && text.contains(device), "{command:?}: {text}");
        }
    }
}
