//! Native code that breaks everything it can reach: contained, named, and the next request is fine.

use crate::platform::Platform;

fn assert_contained(platform: &Platform, path: &str, status: u16, codes: &[&str]) -> String {
    let response = platform.get(&format!("/function/native{path}"));
    let code = response.code();
    assert!(
        response.status == status && codes.contains(&code.as_str()),
        "{path}: {} {}",
        response.status,
        response.text()
    );
    assert_eq!(platform.get("/function/native/").text(), "hello 1", "after {path}");
    response.json()["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn signals_are_named() {
    let platform = Platform::start().with_native_probe(&[]);
    let signals = [("/segv", "SIGSEGV"), ("/wild", "SIGSEGV"), ("/ill", "SIGILL"), ("/fpe", "SIGFPE")];
    for (path, name) in
        signals.into_iter().chain([("/abort", "SIGABRT"), ("/hlt", "SIGSEGV"), ("/port", "SIGSEGV")])
    {
        let message = assert_contained(&platform, path, 502, &["FunctionKilled"]);
        assert!(message.contains(name), "{path}: {message}");
    }
    assert!(assert_contained(&platform, "/exit", 502, &["FunctionExited"]).contains('7'));
}

#[test]
fn a_guest_that_destroys_its_own_kernel_is_contained() {
    let platform = Platform::start().with_native_probe(&["--timeout", "10s"]);
    for path in ["/pagetables", "/descriptors", "/kernel", "/everything", "/mailbox", "/lie"] {
        let response = platform.get(&format!("/function/native{path}"));
        assert!(matches!(response.status, 502 | 504), "{path}: {} {}", response.status, response.text());
        assert!(!response.code().is_empty());
        assert_eq!(platform.get("/function/native/").text(), "hello 1", "after {path}");
    }
    assert_eq!(platform.metric("spore_parent_boots_total", "native"), 1.0, "a cell died of it");
}

#[test]
fn a_guest_that_lies_about_parts_is_contained() {
    let platform = Platform::start().with_native_probe(&["--timeout", "10s"]);
    assert_contained(&platform, "/parts0", 504, &["FunctionTimeout"]);
    assert_contained(&platform, "/parts1", 502, &["InvalidResponse"]);
    assert_contained(&platform, "/parts0x1000000", 502, &["InvalidResponse"]);
    assert_contained(&platform, "/parts0x1000001", 502, &["ResponseTooLarge"]);
    assert_contained(&platform, "/parts-1", 502, &["ResponseTooLarge"]);
    assert_eq!(platform.metric("spore_parent_boots_total", "native"), 1.0, "a cell died of it");
}

#[test]
fn what_is_not_http_is_502() {
    let platform = Platform::start().with_native_probe(&["--timeout", "10s"]);
    assert_contained(&platform, "/garbage", 502, &["InvalidResponse"]);
    assert_contained(&platform, "/silent", 502, &["InvalidResponse"]);
    assert_contained(&platform, "/again", 502, &["FunctionFault"]);
    assert_contained(&platform, "/loop", 504, &["FunctionTimeout"]);
}

#[test]
fn what_is_refused_is_counted_by_name() {
    let platform = Platform::start().with_native_probe(&[]);
    assert_eq!(platform.get("/function/native/refused").text(), "-1 38");
    assert_eq!(platform.get("/function/native/refused").text(), "-1 38");
    let detail = platform.spore_ok(&["--output", "json", "describe", "native"]);
    let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
    let shown = platform.spore_ok(&["describe", "native"]);
    for name in ["ptrace", "prctl PR_SET_SECCOMP", "ioctl 0xdead"] {
        assert_eq!(detail["stats"]["unsupported"][name], 2, "{detail}");
        assert!(shown.lines().any(|line| line.trim().starts_with(name) && line.ends_with(" 2")), "{shown}");
    }
    assert_eq!(platform.metric("spore_unsupported_syscalls_total", "syscall=\"ioctl 0xdead\""), 2.0);
}
