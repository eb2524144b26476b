//! A tree of Debian packages, and scripts that run in it natively and in a VM.

use crate::common::spore;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use tempfile::TempDir;

/// What is run, with what it is linked against.
const PACKAGES: &[&str] = &[
    // Shells and tools.
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "grep",
    "lua5.4",
    "perl-base",
    "sed",
    "sqlite3",
    // Servers.
    "nginx",
    "nginx-common",
    "openssl",
    "php8.2-cli",
    "postgresql-15",
    "postgresql-client-15",
    "redis-server",
    "redis-tools",
    // Libraries.
    "libacl1",
    "libargon2-1",
    "libattr1",
    "libaudit1",
    "libatomic1",
    "libbsd0",
    "libbz2-1.0",
    "libc6",
    "libcap-ng0",
    "libcap2",
    "libcom-err2",
    "libcrypt1",
    "libedit2",
    "libffi8",
    "libgcc-s1",
    "libgcrypt20",
    "libgmp10",
    "libgnutls30",
    "libgpg-error0",
    "libgssapi-krb5-2",
    "libhiredis0.14",
    "libhogweed6",
    "libicu72",
    "libidn2-0",
    "libjemalloc2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libldap-2.5-0",
    "liblua5.1-0",
    "liblua5.4-0",
    "liblz4-1",
    "liblzf1",
    "liblzma5",
    "libmagic1",
    "libmd0",
    "libnettle8",
    "libp11-kit0",
    "libpam0g",
    "libpcre2-8-0",
    "libpq5",
    "libreadline8",
    "libsasl2-2",
    "libselinux1",
    "libsodium23",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libsystemd0",
    "libtasn1-6",
    "libtinfo6",
    "libunistring2",
    "libuuid1",
    "libxml2",
    "libxslt1.1",
    "libzstd1",
    "lua-bitop",
    "lua-cjson",
    "php8.2-common",
    "tzdata",
    "zlib1g",
];
/// What a script finds set.
const ENVIRONMENT: &[(&str, &str)] =
    &[("HOME", "/tmp"), ("LANG", "C"), ("PATH", "/usr/sbin:/usr/bin"), ("TZ", "UTC0")];
/// Ends a script that hangs.
const PATIENCE_SECONDS: &str = "600";

/// The packages, as a directory and as an image.
struct Rig {
    root: TempDir,
    image: PathBuf,
    _work: TempDir,
}

/// Made once for all tests.
static RIG: LazyLock<Rig> = LazyLock::new(Rig::new);

impl Rig {
    fn new() -> Self {
        let cache = runtimes::cache_dir();
        std::fs::create_dir_all(&cache).expect("the cache can be written to");
        let directory = || TempDir::new().expect("the temporary directory is ours");
        let (root, work) = (directory(), directory());
        runtimes::image::unpack_packages(PACKAGES, root.path(), &cache, &|line| eprintln!("{line}"))
            .unwrap_or_else(|error| panic!("Debian packages are needed: {error}"));
        let image = work.path().join("image");
        let mut built = runtimes::image::local::of_directory(root.path()).expect("an image of the packages");
        std::io::Seek::rewind(&mut built).expect("the temporary directory is ours");
        let mut target = File::create(&image).expect("the temporary directory is ours");
        std::io::copy(&mut built, &mut target).expect("the temporary directory is ours");
        Self { root, image, _work: work }
    }

    /// Runs `script` on this machine.
    fn native(&self, script: &str) -> Output {
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
    fn guest(&self, script: &str) -> Output {
        let mut command = spore(&["run", "--memory", "768MiB", "--timeout", &format!("{PATIENCE_SECONDS}s")]);
        for (name, value) in ENVIRONMENT {
            command.args(["-e", &format!("{name}={value}")]);
        }
        command.arg("--image").arg(&self.image).args(["-w", "/tmp", "--", "/bin/sh", "-c", script]);
        ended(&mut command)
    }
}

/// Runs `command` to its end, without input.
fn ended(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it can be started")
}

/// Asserts that `script` succeeds and says the same on this machine and in a VM.
#[track_caller]
pub(crate) fn agrees(script: &str) {
    /// Servers and their clients need the processors: one script at a time.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = |output: &Output| {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{out}--- errors:\n{err}--- {:?}\n", output.status.code())
    };
    let native = text(&RIG.native(script));
    assert!(native.ends_with("Some(0)\n"), "natively:\n{native}");
    pretty_equal(&native, &text(&RIG.guest(script)));
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
