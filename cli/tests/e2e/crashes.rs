//! The platform is killed at every step of a deploy. What was deployed before is there after; what was being deployed
//! is there as a whole or not at all, and nothing torn is ever used.

use crate::platform::{Platform, function};
use std::path::Path;
use std::process::Stdio;

const FINE: &str = r#"{"count":1}"#;

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

/// What has happened when the platform is killed, and how that is seen.
type Step = (&'static str, fn(&Platform) -> bool);

/// Steps of a deploy as the file system and the process table show them, in order.
const STEPS: [Step; 6] = [
    ("the package is being stored", |platform| entries(&platform.data.path().join("packages")) > 0),
    ("a cell builds", |platform| !platform.cell_processes().is_empty()),
    ("a snapshot is being written", |platform| entries(&platform.data.path().join("snapshots/packs")) > 0),
    ("the runtime is saved", |platform| entries(&platform.data.path().join("snapshots/manifests")) > 0),
    ("the function is saved", |platform| entries(&platform.data.path().join("snapshots/manifests")) > 1),
    ("it was never so far", |_| false),
];

#[test]
fn a_platform_that_is_killed_during_a_deploy_loses_nothing() {
    for (step, reached) in STEPS {
        let platform = Platform::start();
        let source = function("probe.py");
        let mut args = vec!["deploy", source.to_str().unwrap(), "--name", "probe"];
        args.extend(["--handler", "probe.handler", "--timeout", "60s"]);
        let mut deploy = platform.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut deployed = None;
        while deployed.is_none() && !reached(&platform) {
            deployed = deploy.try_wait().unwrap();
        }
        let platform = Platform::start_in(platform.kill());
        let deployed = deploy.wait().unwrap().success();
        let response = platform.get("/function/probe?do=count");
        match response.status {
            200 => assert_eq!(response.text(), FINE, "killed when {step}"),
            404 => assert!(!deployed, "killed when {step}: the deploy had succeeded"),
            status => panic!("killed when {step}: {status} {}", response.text()),
        }
        platform.deploy(&source, &args[2..]);
        assert_eq!(platform.get("/function/probe?do=count").text(), FINE, "killed when {step}");
    }
}

/// The same while functions leave memory and come back.
#[test]
fn a_platform_that_is_killed_during_an_eviction_loses_nothing() {
    let mut platform = Platform::start_with(&["--evict-after", "0"]).with_python_probe(&[]);
    for _ in 0..3 {
        assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
        platform = Platform::start_in_with(platform.kill(), &["--evict-after", "0"]);
    }
    assert_eq!(platform.get("/function/probe?do=count").text(), FINE);
}
