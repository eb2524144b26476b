//! Programs from Debian packages, run natively and in a VM.

use crate::common::spore;
use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// What the programs come from, with what they are linked against.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "dash",
    "lua5.4",
    "perl-base",
    "sqlite3",
    "openssl",
    "gawk",
    "bc",
    "coreutils",
    "grep",
    "sed",
    "findutils",
    "tar",
    "gzip",
    "bzip2",
    "xz-utils",
    "jq",
    "diffutils",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libpython3.11-testsuite",
    "libc6",
    "libgcc-s1",
    "liblua5.4-0",
    "libsqlite3-0",
    "libssl3",
    "libreadline8",
    "libtinfo6",
    "libgmp10",
    "libmpfr6",
    "libsigsegv2",
    "libselinux1",
    "libpcre2-8-0",
    "libacl1",
    "libattr1",
    "zlib1g",
    "libbz2-1.0",
    "liblzma5",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libuuid1",
    "libjq1",
    "libonig5",
    "media-types",
    "netbase",
];
/// What the system's set-up writes, for programs that ask for names.
const NAMES: &[(&str, &str)] = &[
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("etc/nsswitch.conf", "hosts: files\nservices: files\nprotocols: files\n"),
];
/// Where C libraries of Debian are.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
/// What interpreters run.
const SCRIPTS: &[(&str, &str)] = &[
    ("work.sh", include_str!("scripts/work.sh")),
    ("work.lua", include_str!("scripts/work.lua")),
    ("work.pl", include_str!("scripts/work.pl")),
    ("work.py", include_str!("scripts/work.py")),
    ("sockets.py", include_str!("scripts/sockets.py")),
    ("watches.py", include_str!("scripts/watches.py")),
];
/// When everything in an image was changed last.
const IMAGE_TIME: u64 = 315_532_800;

/// The programs, as a directory and as an image; and files for them to work on.
pub(crate) struct Rig {
    root: TempDir,
    image: PathBuf,
    work: TempDir,
}

/// Made once for all tests.
pub(crate) static RIG: LazyLock<Rig> = LazyLock::new(Rig::new);

impl Rig {
    fn new() -> Self {
        let cache = runtimes::cache_dir();
        fs::create_dir_all(&cache).expect("the cache can be written to");
        let (root, work) = (
            TempDir::new().expect("the temporary directory is ours"),
            TempDir::new().expect("the temporary directory is ours"),
        );
        let unpacked =
            runtimes::image::unpack_packages(PACKAGES, root.path(), &cache, &|line| eprintln!("{line}"));
        unpacked.unwrap_or_else(|error| panic!("Debian packages are needed: {error}"));
        for (name, text) in NAMES {
            fs::write(root.path().join(name), text).expect("the temporary directory is ours");
        }
        let image = work.path().join("image");
        let mut built = runtimes::image::local::of_directory(root.path()).expect("an image of the packages");
        std::io::Seek::rewind(&mut built).expect("the temporary directory is ours");
        std::io::copy(&mut built, &mut File::create(&image).expect("the temporary directory is ours"))
            .expect("the temporary directory is ours");
        write_data(&work.path().join("data"));
        Self { root, image, work }
    }

    /// The programs as an image.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// The modules of CPython's regression tests.
    pub(crate) fn python_test_modules(&self) -> Vec<String> {
        let directory = self.root.path().join("usr/lib/python3.11/test");
        let entries = fs::read_dir(directory).expect("the package brings it").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names
            .filter(|name| name.starts_with("test_"))
            .map(|name| name.trim_end_matches(".py").to_owned())
            .collect();
        names.sort();
        names
    }

    /// Runs `program` on this machine.
    fn native(&self, program: &str, args: &[&str], stdin: &[u8]) -> Output {
        let writable = TempDir::new().expect("the temporary directory is ours");
        let place = writable.path().to_str().expect("it has a plain name");
        let path = self.root.path().join("usr/bin").join(program);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_static = runtimes::elf::inspect(&bytes).is_some_and(|elf| elf.interpreter.is_none());
        let mut command = if is_static {
            Command::new(path)
        } else {
            let mut command = Command::new(self.root.path().join(LOADER));
            command
                .args(["--argv0", program, "--library-path"])
                .arg(self.root.path().join(LIBRARIES))
                .arg(path);
            command
        };
        command
            .args(args.iter().map(|arg| arg.replace("{W}", place)))
            .current_dir(self.work.path())
            .env_clear();
        command.env("PYTHONHOME", self.root.path().join("usr"));
        command.env("PERL5LIB", self.root.path().join(LIBRARIES).join("perl-base"));
        command.envs(ENVIRONMENT.iter().copied());
        let output = fed(&mut command, stdin);
        // The place to write to has another name in a VM.
        let renamed = |text: Vec<u8>| replaced(&text, place.as_bytes(), b"/tmp");
        Output { stdout: renamed(output.stdout), stderr: renamed(output.stderr), ..output }
    }

    /// Runs `program` in a VM.
    fn guest(&self, program: &str, args: &[&str], stdin: &[u8]) -> Output {
        let mut command = spore(&["run", "--timeout", "120s", "--image"]);
        command.arg(&self.image).arg("--copy").arg(self.work.path().join("data"));
        for (name, value) in ENVIRONMENT {
            command.args(["-e", &format!("{name}={value}")]);
        }
        command.args(["--", program]).args(args.iter().map(|arg| arg.replace("{W}", "/tmp")));
        fed(&mut command, stdin)
    }

    /// Asserts that `program` does the same on this machine and in a VM.
    #[track_caller]
    pub(crate) fn agrees(&self, program: &str, args: &[&str], stdin: &[u8]) {
        let difference = self.difference(program, args, stdin);
        assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    }

    /// How what `program` does in a VM differs from what it does on this machine.
    pub(crate) fn difference(&self, program: &str, args: &[&str], stdin: &[u8]) -> Option<String> {
        let (native, guest) = (self.native(program, args, stdin), self.guest(program, args, stdin));
        let same = shell_code(&native) == shell_code(&guest)
            && native.stdout == guest.stdout
            && native.stderr == guest.stderr;
        let text = || {
            format!("{program} {args:?}\n--- natively: {}\n--- in a VM: {}\n", shown(&native), shown(&guest))
        };
        (!same).then(text)
    }
}

/// What programs find set in both places.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/bin:/bin"),
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC0"),
    ("OPENSSL_CONF", "/dev/null"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
];

/// The exit code as a shell has it.
fn shell_code(output: &Output) -> Option<i32> {
    output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal))
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        result.extend([&rest[..at], to].concat());
        rest = &rest[at + from.len()..];
    }
    result.extend(rest);
    result
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
    format!("{:?}\nstdout: {}\nstderr: {}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs `command` to its end with `stdin` as its input.
pub(crate) fn fed(command: &mut Command, stdin: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it can be started");
    let mut input = child.stdin.take().expect("it is a pipe");
    std::thread::scope(|scope| {
        // A program may end without reading everything.
        scope.spawn(move || input.write_all(stdin).or(Ok::<(), std::io::Error>(())));
        child.wait_with_output().expect("it ends")
    })
}

/// Lines of text that are always the same.
pub(crate) fn text(lines: u64) -> String {
    let words = ["fork", "parent", "page", "Mailbox", "doorbell", "shell", "été", "cell", "snapshot", "7"];
    let mut state = 12345_u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut line = |number: u64| {
        let chosen: Vec<&str> =
            (0..=next(7)).map(|_| words[usize::try_from(next(10)).expect("below 10")]).collect();
        format!("{number} {} {}\n", next(1000), chosen.join(" "))
    };
    (0..lines).map(&mut line).collect()
}

/// The files programs work on; all of one time and with the modes that an image has.
fn write_data(directory: &Path) {
    fs::create_dir_all(directory.join("deep/er")).expect("the temporary directory is ours");
    fs::create_dir_all(directory.join("scripts")).expect("the temporary directory is ours");
    fs::write(directory.join("words"), text(3000)).expect("the temporary directory is ours");
    fs::write(
        directory.join("numbers"),
        (0..2000).map(|n| format!("{}\n", n * 7919 % 2003)).collect::<String>(),
    )
    .expect("the temporary directory is ours");
    fs::write(directory.join("deep/er/binary"), (0..=255).cycle().take(70_000).collect::<Vec<u8>>())
        .expect("the temporary directory is ours");
    fs::write(directory.join("deep/empty"), "").expect("the temporary directory is ours");
    for (name, script) in SCRIPTS {
        fs::write(directory.join("scripts").join(name), script).expect("the temporary directory is ours");
    }
    std::os::unix::fs::symlink("words", directory.join("link")).expect("the temporary directory is ours");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(IMAGE_TIME);
    let scripts = SCRIPTS.iter().map(|(name, _)| format!("scripts/{name}"));
    let others = ["words", "numbers", "deep/er/binary", "deep/empty", "deep/er", "deep", "scripts", "."];
    for path in scripts.chain(others.map(str::to_owned)) {
        let file = File::open(directory.join(path)).expect("the temporary directory is ours");
        // As they are in an image, whatever the umask is.
        let mode = if file.metadata().is_ok_and(|data| data.is_dir()) { 0o755 } else { 0o644 };
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
            .expect("the temporary directory is ours");
        file.set_times(FileTimes::new().set_modified(time).set_accessed(time))
            .expect("the temporary directory is ours");
    }
}
