//! Programs from Debian's packages.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// apt-get with the machine's package lists, which are fetched once if they have to be.
#[derive(Default)]
pub(crate) struct Apt {
    updated: std::cell::Cell<bool>,
}

impl Apt {
    /// Runs an apt command; if it fails, once more with new package lists.
    pub(crate) fn run(&self, command: impl Fn() -> Command) -> Result<Vec<u8>, String> {
        match capture(&mut command()) {
            Err(_) if !self.updated.replace(true) => {
                eprintln!("xtask: fetching Debian's package lists (apt-get update)");
                capture(Command::new("apt-get").args(["update", "-qq"]))
                    .map_err(|e| format!("{e}; run `apt-get update` as root"))?;
                capture(&mut command())
            }
            result => result,
        }
    }
}

/// Programs of this machine that tests need, with the packages they are in.
const TOOLS: [(&str, &str); 1] = [("chromium", "chromium")];

/// `cargo xtask tools`: installs what tests need and is missing.
pub fn tools() -> Result<(), String> {
    let apt = Apt::default();
    TOOLS.iter().try_for_each(|(program, package)| provide(&apt, program, package).map(drop))
}

/// Where a program is; installs its package if it is not there.
pub(crate) fn provide(apt: &Apt, program: &str, package: &str) -> Result<PathBuf, String> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    eprintln!("xtask: installing {package} (apt-get install)");
    let install = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "-qq", "--no-install-recommends", package]);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    apt.run(install).map_err(|e| format!("{e}; run `apt-get install {package}` as root"))?;
    find(program).ok_or_else(|| format!("{program} is not in PATH although {package} is installed"))
}

/// Runs a command and gives what it prints.
pub(crate) fn capture(command: &mut Command) -> Result<Vec<u8>, String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|e| format!("{shown} cannot be started: {e}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{shown} failed: {}", output.status))
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|d| d.join(program)).find(|p| p.is_file())
}
