//! How fast Debian's programs are in a VM, next to the same programs on this machine: `cargo bench -p cli --bench programs`.
//! The two take turns, on one processor. Only the ratios mean anything, and those of the median turn. It takes root.

#![allow(dead_code, reason = "a part of what the tests use")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/servers/packages.rs"]
mod packages;
#[path = "../tests/servers/rig.rs"]
mod rig;

use common::spore;
use loadtest::bench::{Bench, Turns};
use loadtest::report::Better;
use rig::{Contents, ENVIRONMENT, Rig, ended};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::process::Command;
use std::time::Instant;

/// Turns of each side.
const TURNS: usize = 5;

/// What is measured by itself: lines of a name and how often a second.
const REDIS: &str = include_str!("scripts/redis.sh");
const PYTHON: &str = include_str!("scripts/python.py");

/// This process, and what it starts, runs on one processor.
fn stay_on_one_processor() {
    let all = sched_getaffinity(None).expect("the processors of this process are known");
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).expect("it runs on one");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("fewer processors are always allowed");
}

/// What `script` says on this machine and in a VM.
fn both(rig: &Rig, script: &str) -> [String; 2] {
    [rig.native(script), rig.guest(script)].map(|output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

/// How often a second `program` could be started and end, on this machine and in a new VM each.
fn starts(rig: &Rig, program: &str, args: &[&str]) -> [f64; 2] {
    let rate = |command: &mut Command| {
        let start = Instant::now();
        let output = ended(command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        1.0 / start.elapsed().as_secs_f64()
    };
    let mut native = Command::new("chroot");
    native.arg(rig.root.path()).arg(program).args(args).env_clear().envs(ENVIRONMENT.iter().copied());
    let mut guest = spore(&["run", "--image"]);
    guest.arg(&rig.image).args(["--", program]).args(args);
    [rate(&mut native), rate(&mut guest)]
}

fn main() -> std::io::Result<()> {
    let mut bench = Bench::begin(
        "programs",
        "How fast are Debian's programs in a VM, next to the same programs on this machine?",
        "cargo bench -p cli --bench programs",
    )?;
    bench.set("turns", TURNS);
    stay_on_one_processor();
    let rig = Rig::new(&Contents { packages: packages::SERVERS, add: |_, _| {}, memory: "768MiB" });
    let python = format!("python3.11 - <<'END'\n{PYTHON}END\n");
    let mut turns =
        Turns::between(["native", "guest"], "Debian's programs on one processor", "1/s", Better::Higher);
    for _ in 0..TURNS {
        for script in [REDIS, &python] {
            let [native, guest] = both(&rig, script);
            turns.printed([&native, &guest], 1.0).unwrap_or_else(|error| panic!("{error}"));
        }
        turns.turn("start of python3.11 -c pass", starts(&rig, "python3.11", &["-c", "pass"]));
    }
    bench.turns(turns);
    bench.finish().map(drop)
}
