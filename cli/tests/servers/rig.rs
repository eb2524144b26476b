//! A tree of Debian packages, and scripts that run in it natively and in a VM.

use crate::common::spore;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// What a script finds set.
pub(crate) const ENVIRONMENT: &[(&str, &str)] =
    &[("HOME", "/tmp"), ("LANG", "C"), ("PATH", "/usr/sbin:/usr/bin"), ("TZ", "UTC0")];
/// Ends a script that hangs.
const PATIENCE_SECONDS: &str = "600";

/// What a tree is made of.
pub(crate) struct Contents {
    /// Debian packages: what is run, with what it is linked against.
    pub(crate) packages: &'static [&'static str],
    /// Puts more into the tree. Its arguments: the tree, the cache.
    pub(crate) add: fn(&Path, &Path),
    /// Memory of the VM.
    pub(crate) memory: &'static str,
}

/// A tree, as a directory and as an image.
pub(crate) struct Rig {
    pub(crate) root: TempDir,
    pub(crate) image: PathBuf,
    memory: &'static str,
    _work: TempDir,
}

impl Rig {
    pub(crate) fn new(contents: &Contents) -> Self {
        let cache = runtimes::cache_dir();
        std::fs::create_dir_all(&cache).expect("the cache can be written to");
        let directory = || TempDir::new().expect("the temporary directory is ours");
        let (root, work) = (directory(), directory());
        runtimes::image::unpack_packages(contents.packages, root.path(), &cache, &|line| eprintln!("{line}"))
            .unwrap_or_else(|error| panic!("Debian packages are needed: {error}"));
        (contents.add)(root.path(), &cache);
        let image = work.path().join("image");
        let mut built = runtimes::image::local::of_directory(root.path()).expect("an image of the packages");
        std::io::Seek::rewind(&mut built).expect("the temporary directory is ours");
        let mut target = File::create(&image).expect("the temporary directory is ours");
        std::io::copy(&mut built, &mut target).expect("the temporary directory is ours");
        Self { root, image, memory: contents.memory, _work: work }
    }

    /// Runs `script` on this machine.
    pub(crate) fn native(&self, script: &str) -> Output {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", PATIENCE_SECONDS, "unshare"]);
        if !rustix::process::geteuid().is_root() {
            // It needs users of its own to become another one: `newuidmap` gives it some.
            command.args(["--map-root-user", "--map-auto"]);
        }
        command.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c"]);
        command.args([include_str!("scripts/native.sh"), "native"]).arg(self.root.path()).arg(script);
        ended(&mut command)
    }

    /// Runs `script` in a VM.
    pub(crate) fn guest(&self, script: &str) -> Output {
        self.guest_program(&["/bin/sh", "-c", script])
    }

    /// Runs `program` as the first of a VM.
    pub(crate) fn guest_program(&self, program: &[&str]) -> Output {
        let mut command =
            spore(&["run", "--memory", self.memory, "--timeout", &format!("{PATIENCE_SECONDS}s")]);
        for (name, value) in ENVIRONMENT {
            command.args(["-e", &format!("{name}={value}")]);
        }
        command.arg("--image").arg(&self.image).args(["-w", "/tmp", "--"]).args(program);
        ended(&mut command)
    }

    /// Asserts that `script` succeeds and says the same on this machine and in a VM.
    #[track_caller]
    pub(crate) fn agrees(&self, script: &str) {
        /// Servers and their clients need the processors: one script at a time.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let native = text(&self.native(script));
        assert!(native.ends_with("Some(0)\n"), "natively:\n{native}");
        pretty_equal(&native, &text(&self.guest(script)));
    }
}

/// All that a script said, and how it ended.
fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}--- errors:\n{err}--- {:?}\n", output.status.code())
}

/// Runs `command` to its end, without input.
pub(crate) fn ended(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it can be started")
}

#[track_caller]
fn pretty_equal(native: &str, guest: &str) {
    let different = native.lines().zip(guest.lines()).position(|(native, guest)| native != guest);
    let line = different.unwrap_or_else(|| native.lines().count().min(guest.lines().count()));
    assert!(
        native == guest,
        "they differ in line {}\n=== natively:\n{native}\n=== in a VM:\n{guest}",
        line + 1
    );
}
