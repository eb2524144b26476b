//! State survives: after `kill -9` and `up`, every deployed function answers again.

use crate::platform::Platform;
use crate::process::signal;
use crate::wait_for;
use rustix::process::Signal;

#[test]
fn functions_survive_kill_dash_nine() {
    let platform = Platform::start().with_python_probe(&["--env", "GREETING=hi"]).with_native_probe(&[]);
    let data = platform.kill();
    let platform = Platform::start_in(data);
    assert_eq!(platform.get("/function/probe?do=count").text(), r#"{"count":1}"#);
    assert_eq!(platform.get("/function/native/").text(), "hello 1");
    platform.spore_ok(&["rm", "native"]);
    let platform = Platform::start_in(platform.kill());
    assert_eq!(platform.get("/function/native/").status, 404);
    assert_eq!(platform.get("/function/probe?do=count").text(), r#"{"count":1}"#);
}

#[test]
fn a_cell_that_dies_is_replaced() {
    let platform = Platform::start().with_python_probe(&[]);
    assert_eq!(platform.get("/function/probe?do=count").status, 200);
    signal(platform.cell(), Signal::KILL);
    // Requests that were on their way when it died may fail; soon they succeed again.
    wait_for("the function never came back", || platform.get("/function/probe?do=count").status == 200);
    assert_eq!(platform.metric("spore_cell_starts_total", "probe"), 2.0);
}
