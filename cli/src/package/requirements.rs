//! `requirements.txt`: what a Python function needs besides itself. pip fetches it, as wheels for the runtime's Python and
//! C library; it becomes a directory of the package that the runtime's bootstrap adds to the module path.

use crate::failure::Failure;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::Command;

/// The file that says what is needed.
const FILE: &str = "requirements.txt";
/// Where it lies in the package. One that the user fills is left as it is.
pub(super) const DIRECTORY: &str = ".python_packages";
/// The runtime's Python.
const VERSION: &str = "3.11";
/// The runtime's C library is glibc 2.36; wheels made for an older one run on it. 2.5 is the first that wheels know.
const GLIBC_MINOR: std::ops::RangeInclusive<u32> = 5..=36;
/// Interpreters to look for, best first: with the runtime's version, pip judges environment markers as the runtime would.
const INTERPRETERS: [&str; 3] = ["python3.11", "python3", "python"];
/// Most of pip's output that is shown, in bytes from its end.
const OUTPUT_MAX: usize = 4 << 10;

/// Installs what the function in `path` needs. Nothing, if it says nothing, is not for Python or brings it along.
pub(crate) async fn install(path: &Path, runtime: Option<&str>) -> Result<Option<TempDir>, Failure> {
    if !wanted(path, runtime) {
        return Ok(None);
    }
    let interpreter = interpreter().await?;
    let target =
        tempfile::tempdir().map_err(|e| Failure::new(format!("cannot make a temporary directory: {e}")))?;
    let mut pip = pip(interpreter);
    pip.args(arguments(target.path())).current_dir(path);
    let output =
        pip.output().await.map_err(|e| Failure::new(format!("cannot run {interpreter} -m pip: {e}")))?;
    if output.status.success() {
        return Ok(Some(target));
    }
    let failure = Failure::new(format!("pip could not install {}", path.join(FILE).display()))
        .hint("only wheels for CPython 3.11 on x86-64 Linux can be installed (--only-binary=:all:); see what pip says above");
    Err(Failure { output: tail(&output.stderr), ..failure })
}

fn wanted(path: &Path, runtime: Option<&str>) -> bool {
    let python = match runtime {
        Some(runtime) => runtime.starts_with("python"),
        None => has_python(path),
    };
    python && path.join(FILE).is_file() && !path.join(DIRECTORY).exists()
}

/// Whether there is a Python file at the top.
fn has_python(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|extension| extension == "py"))
}

/// An interpreter that has pip.
async fn interpreter() -> Result<&'static str, Failure> {
    for interpreter in INTERPRETERS {
        let version = pip(interpreter).arg("--version").output().await;
        if version.is_ok_and(|output| output.status.success()) {
            return Ok(interpreter);
        }
    }
    Err(Failure::new(format!("{FILE} needs pip, and no python3 here has it")).hint(
        "install it (`sudo apt install python3-pip`), or put the packages into .python_packages yourself",
    ))
}

fn pip(interpreter: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-m", "pip"]).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn arguments(target: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-compile",
        "--only-binary=:all:",
        "--implementation=cp",
        "--requirement",
        FILE,
    ]
    .map(OsString::from)
    .into();
    arguments.push(format!("--python-version={VERSION}").into());
    let glibc = GLIBC_MINOR.rev().map(|minor| format!("manylinux_2_{minor}_x86_64"));
    let legacy = ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"].map(str::to_owned);
    let own = ["linux_x86_64".to_owned()];
    arguments.extend(glibc.chain(legacy).chain(own).map(|platform| format!("--platform={platform}").into()));
    arguments.extend(["--target".into(), target.into()]);
    arguments
}

fn tail(output: &[u8]) -> String {
    String::from_utf8_lossy(&output[output.len().saturating_sub(OUTPUT_MAX)..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;
    use std::fs;

    fn function(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().expect("temporary directory");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("write");
        }
        dir
    }

    #[test]
    fn only_python_functions_have_requirements() {
        let python = function(&[("app.py", ""), (FILE, "")]);
        let other = function(&[("server", ""), (FILE, "")]);
        assert!(wanted(python.path(), None));
        assert!(!wanted(python.path(), Some("native")));
        assert!(!wanted(other.path(), None));
        assert!(wanted(other.path(), Some("python3.11")));
        assert!(!wanted(&python.path().join("app.py"), None));
        fs::create_dir(python.path().join(DIRECTORY)).expect("mkdir");
        assert!(!wanted(python.path(), None));
    }

    #[tokio::test]
    async fn what_pip_refuses_is_told() {
        let dir = function(&[("app.py", ""), (FILE, "--no-index\nno-such-package==1\n")]);
        let failure = install(dir.path(), None).await.expect_err("refused");
        assert!(failure.message.contains("pip could not install"), "{}", failure.message);
        assert!(failure.output.contains("no-such-package"), "{}", failure.output);
        assert_eq!(failure.exit, Exit::Failure);
    }
}
