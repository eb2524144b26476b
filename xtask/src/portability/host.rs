//! Running the hosts of the second kind.

use super::debian::Debian;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A host is stopped after so many seconds.
const TIMEOUT_SECONDS: u32 = 2400;
/// Memory of a host, in MiB.
const MEMORY_MIB: &str = "4096";
/// Its kernel says what happens to it and stops when it no longer can run, instead of hanging until the timeout. It does not
/// check the timer when it boots: on a busy machine the emulated one is late, and that would be a panic.
const KERNEL_LINE: &str =
    "console=ttyS0 loglevel=5 panic=-1 oops=panic softlockup_panic=1 mitigations=off no_timer_check";

/// Boots every image and checks that every step of it reported success.
pub(super) fn run_all(debian: &Debian, hosts: &[(PathBuf, Vec<&str>)]) -> Result<(), String> {
    let results: Vec<_> = std::thread::scope(|scope| {
        let numbered = hosts.iter().enumerate();
        let running: Vec<_> = numbered
            .map(|(number, (image, steps))| scope.spawn(move || run(debian, number, image, steps)))
            .collect();
        running.into_iter().map(|host| host.join().expect("running a host does not panic")).collect()
    });
    let problems: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Boots the image and checks that every step reported success. What the host prints is shown as it comes.
fn run(debian: &Debian, number: usize, image: &Path, steps: &[&str]) -> Result<(), String> {
    let report = image.with_extension("report");
    let mut command = Command::new("timeout");
    command.arg(TIMEOUT_SECONDS.to_string()).arg(&debian.qemu);
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max,+svm,-x2apic", "-smp", "1", "-m", MEMORY_MIB]);
    command.args(["-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none"]);
    command.args(["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]);
    command.args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    command.args(["-serial", "stdio", "-serial", &format!("file:{}", report.display())]);
    command.arg("-kernel").arg(&debian.kernel).arg("-initrd").arg(image);
    command.args(["-append", KERNEL_LINE]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|e| format!("the emulator cannot be started: {e}"))?;
    show(number, child.stdout.take().expect("it is piped"));
    let status = child.wait().map_err(|e| format!("the emulator was lost: {e}"))?;
    if status.code() == Some(124) {
        eprintln!("portability: host {number} did not finish within {TIMEOUT_SECONDS} s");
    }
    let report = fs::read_to_string(&report).map_err(|e| format!("host {number} left no report: {e}"))?;
    judge(&report, steps)
}

/// Shows what host `number` prints until it ends, line by line.
fn show(number: usize, output: impl Read) {
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { return };
        println!("{number}| {}", String::from_utf8_lossy(&line).trim_end());
    }
}

/// Every step must have reported exit code 0. The report has a line `NAME CODE` for each.
fn judge(report: &str, steps: &[&str]) -> Result<(), String> {
    let mut problems = Vec::new();
    for step in steps {
        let code = report.lines().find_map(|l| l.trim().strip_prefix(step)?.strip_prefix(' '));
        match code {
            Some("0") => eprintln!("portability: {step}: ok"),
            Some(code) => problems.push(format!("{step} failed with exit code {code}")),
            None => problems.push(format!("{step} did not finish")),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(format!("portability: {}", problems.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_must_report_success() {
        assert_eq!(judge("a 0\r\nb 0\r\n", &["a", "b"]), Ok(()));
        let error = judge("a 101\r\nab 0\r\n", &["a", "ab", "c"]).expect_err("failed steps");
        assert_eq!(error, "portability: a failed with exit code 101; c did not finish");
    }
}
