//! Runs unmodified Linux programs in a VM, without worker or cell: the guest kernel alone.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod node;
pub(crate) mod python;

use abi::boot::Contract;
use abi::identity::Identity;
use abi::mailbox::Doorbell;
use snapshotter::erofs::{Options, Tree, build};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use vmm::{
    BootSpec, EntryState, Exit, Image, Images, KernelImage, Kvm, Machine, Mailbox, Parent, ParentMemory,
};

/// What the C library loads, and cannot do without, when a thread ends with pthread_exit(3) or is cancelled.
const UNWINDER: &str = "/lib/x86_64-linux-gnu/libgcc_s.so.1";
/// No guest of a test runs longer, unless the test says so.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// The host's monotonic time when guests start, forks as well: for them, the host was started anew.
const START: u64 = 1_000_000_000;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A doorbell other than `Log`, `Part` and `Sleep`, with its first argument and the text of a panic.
    Doorbell(Doorbell, u64, String),
    /// It would have slept for ever.
    Stuck,
    /// It wrote into its mailbox what the contract does not know.
    Nonsense,
    /// The VM stopped otherwise.
    Exit(Exit),
}

/// What a guest left behind.
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// What pico logged.
    pub(crate) pico: String,
    /// What was refused.
    pub(crate) refusals: Vec<abi::refusal::Refusal>,
    pub(crate) memory_refused: bool,
    /// Bytes the program's mappings add up to.
    pub(crate) memory_used: u64,
    pub(crate) response: Vec<u8>,
    /// Parts of the response that came before its end, `response`.
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) elapsed: Duration,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("end", &self.end)
            .field("stdout", &self.out())
            .field("stderr", &self.err())
            .field("pico", &self.pico)
            .field("refusals", &self.refusals)
            .field("memory_refused", &self.memory_refused)
            .field("memory_used", &self.memory_used)
            .field("response", &String::from_utf8_lossy(&self.response))
            .field("elapsed", &self.elapsed)
            .finish()
    }
}

impl Outcome {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Asserts that the program ended with `status`.
    #[track_caller]
    pub(crate) fn exited(self, status: u64) -> Self {
        assert_eq!(self.end, End::Doorbell(Doorbell::Exit, status, String::new()), "{self:#?}");
        self
    }

    /// Asserts that signal `number` killed the program.
    #[track_caller]
    pub(crate) fn killed(self, number: u64) -> Self {
        assert_eq!(self.end, End::Doorbell(Doorbell::Signal, number, String::new()), "{self:#?}");
        self
    }
}

/// A program and its surroundings.
pub(crate) struct Guest {
    pub(crate) tree: Tree,
    /// A root image; the tree is the function's package then.
    pub(crate) root: Option<PathBuf>,
    pub(crate) memory_mib: u64,
    pub(crate) contract: Contract,
    pub(crate) awaits_function: bool,
    pub(crate) env: Vec<String>,
    pub(crate) time_limit: Duration,
    kvm: Kvm,
    kernel: KernelImage,
}

impl Guest {
    /// A guest with an empty root file system and 64 MiB for the program.
    pub(crate) fn new() -> Self {
        let kvm = Kvm::open(Path::new("/dev/kvm"));
        let kvm = kvm.unwrap_or_else(|error| panic!("the VM tests need a usable /dev/kvm: {error}"));
        let kernel = KernelImage::parse(runtimes::PICO).expect("the guest kernel is well formed");
        let mut tree = Tree::new();
        for dir in ["tmp", "dev", "proc", "run", "var/tmp"] {
            tree.add_dir(dir, 0o755).expect("an empty tree takes any name");
        }
        let env = vec!["PATH=/bin".into()];
        let (contract, awaits_function) = (Contract::Http, false);
        let (root, time_limit) = (None, TIME_LIMIT);
        Self { tree, root, memory_mib: 64, contract, awaits_function, env, time_limit, kvm, kernel }
    }

    /// Adds the host's file `from` as `to`.
    pub(crate) fn with_file(mut self, to: &str, from: &Path) -> Self {
        let bytes = std::fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.tree.add_file(to.trim_start_matches('/'), bytes, 0o755).expect("a free name");
        self
    }

    /// Adds the libraries (and `ld.so`) the host's program `program` needs.
    pub(crate) fn with_libraries_of(mut self, program: &Path) -> Self {
        let output = Command::new("ldd").arg(program).output().expect("ldd comes with libc");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for path in text.split_whitespace().filter(|word| word.starts_with('/')) {
            self = self.with_file(path, Path::new(path));
        }
        self.with_file(UNWINDER, Path::new(UNWINDER))
    }

    pub(crate) fn with_memory(mut self, mib: u64) -> Self {
        self.memory_mib = mib;
        self
    }

    fn images(&self) -> Images {
        let mut file = tempfile::tempfile().expect("a temporary file");
        build(&self.tree, &mut file, &Options::default()).expect("an image of the tree");
        let map = |file: &File| Arc::new(Image::map(file).expect("a regular file"));
        match &self.root {
            None => Images { root: map(&file), package: None },
            Some(root) => {
                let root = File::open(root).expect("a prepared image");
                Images { root: map(&root), package: Some(map(&file)) }
            }
        }
    }

    /// Boots the program and returns the machine before its first instruction.
    fn boot(&self, memory: &mut ParentMemory, images: &Images, args: &[&str]) -> Machine {
        let spec = self.spec(memory.len(), args);
        let mut machine =
            Machine::boot(&self.kvm, &self.kernel, memory, images, &spec).expect("the VM boots");
        let identity = identity(0, &machine);
        machine.mailbox().set_identity(&identity);
        machine
    }

    fn spec(&self, ram_bytes: u64, args: &[&str]) -> BootSpec {
        BootSpec {
            ram_bytes,
            contract: self.contract,
            port: 8080,
            args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            env: self.env.iter().map(|entry| entry.clone().into_bytes()).collect(),
            awaits_function: self.awaits_function,
        }
    }

    fn memory(&self) -> ParentMemory {
        ParentMemory::new((self.memory_mib << 20) + abi::layout::KERNEL_SIZE).expect("memory for a parent")
    }

    /// Runs `args` until it ends.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let mut memory = self.memory();
        self.drive(&mut self.boot(&mut memory, &self.images(), args))
    }

    /// Runs `args` until it waits for a request and captures it.
    #[track_caller]
    pub(crate) fn parent(&self, args: &[&str]) -> GuestParent<'_> {
        let mut memory = self.memory();
        let images = self.images();
        let mut machine = self.boot(&mut memory, &images, args);
        let outcome = self.drive(&mut machine);
        assert!(matches!(outcome.end, End::Doorbell(Doorbell::Ready, ..)), "{outcome:#?}");
        let entry: EntryState = machine.capture().expect("a machine at Ready can be captured");
        drop(machine);
        memory.seal().expect("nobody writes any more");
        let parent = Arc::new(Parent::new(memory, entry).expect("memory and state belong together"));
        GuestParent { guest: self, images, parent }
    }

    /// Runs a machine to its next doorbell other than `Log`, `Part` and `Sleep`.
    fn drive(&self, machine: &mut Machine) -> Outcome {
        let _watch = watch(machine, self.time_limit);
        let start = Instant::now();
        let (mut stdout, mut stderr, mut pico, mut parts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let end = loop {
            let exit = machine.run().expect("KVM works");
            let header = machine.mailbox().header();
            let Ok(log) = machine.mailbox().log(header.log_len) else { break End::Nonsense };
            for (stream, text) in records(&log) {
                match stream {
                    1 => stdout.extend(text),
                    2 => stderr.extend(text),
                    _ => pico.extend(text),
                }
            }
            machine.mailbox().clear_log();
            if exit != Exit::Doorbell {
                break End::Exit(exit);
            }
            let Some(doorbell) = Doorbell::from_u32(header.doorbell) else { break End::Nonsense };
            match doorbell {
                Doorbell::Log => {}
                Doorbell::Part => {
                    parts.push(machine.mailbox().response(header.response_len).expect("a part"))
                }
                Doorbell::Sleep if header.args[0] == u64::MAX => break End::Stuck,
                Doorbell::Sleep => {
                    let until = Duration::from_nanos(header.args[0].saturating_sub(START));
                    std::thread::sleep(until.saturating_sub(start.elapsed()));
                }
                doorbell => break End::Doorbell(doorbell, header.args[0], Mailbox::detail(&header)),
            }
            machine.mailbox().clear_doorbell();
        };
        let header = machine.mailbox().header();
        Outcome {
            end,
            stdout,
            stderr,
            pico: String::from_utf8_lossy(&pico).into_owned(),
            refusals: machine.mailbox().refusals(),
            memory_refused: header.memory_refused != 0,
            memory_used: header.memory_used,
            response: machine.mailbox().response(header.response_len).unwrap_or_default(),
            parts,
            elapsed: start.elapsed(),
        }
    }
}

/// Exits and page faults of a shell so far, by KVM's count, if it counts.
pub(crate) fn counts(shell: &Machine) -> Option<(u64, u64)> {
    let stats = shell.vcpu_stats().ok()?;
    let read = |name| stats.read(name).expect("KVM counts").expect("every KVM counts this");
    Some((read("exits"), read("pf_taken")))
}

/// A captured guest.
pub(crate) struct GuestParent<'a> {
    guest: &'a Guest,
    images: Images,
    parent: Arc<Parent>,
}

impl GuestParent<'_> {
    /// A shell for forks.
    pub(crate) fn shell(&self) -> Machine {
        Machine::fork(&self.guest.kvm, &self.parent, &self.images).expect("a fork of a good parent")
    }

    /// Bytes of memory it takes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.parent.memory.resident_bytes()
    }

    /// Makes this parent of a program that awaits its function the parent of one with `more_mib` more memory.
    #[track_caller]
    pub(crate) fn function(&self, request: &[u8], more_mib: u64) -> Self {
        let GuestParent { guest, images, parent } = self;
        let spec = guest.spec(parent.memory.len() + (more_mib << 20), &["/bin/x"]);
        let made = Machine::specialize(&guest.kvm, parent, images, &spec);
        let mut machine = made.expect("a runtime's parent");
        let outcome = self.fork_in(&mut machine, 1, request);
        assert!(matches!(outcome.end, End::Doorbell(Doorbell::Ready, ..)), "{outcome:#?}");
        let (memory, entry) = machine.capture_function().expect("a machine at Ready can be captured");
        let parent = Arc::new(Parent::new(memory, entry).expect("memory and state belong together"));
        GuestParent { guest, images: images.clone(), parent }
    }

    /// Runs one fork in a new shell.
    pub(crate) fn fork(&self, generation: u64, request: &[u8]) -> Outcome {
        self.fork_in(&mut self.shell(), generation, request)
    }

    /// Runs one fork in a pristine shell.
    pub(crate) fn fork_in(&self, machine: &mut Machine, generation: u64, request: &[u8]) -> Outcome {
        machine.enter().expect("a pristine shell");
        let identity = identity(generation, machine);
        machine.mailbox().set_identity(&identity);
        machine.mailbox().set_request(request).expect("the request fits");
        self.guest.drive(machine)
    }
}

fn identity(generation: u64, machine: &Machine) -> Identity {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let mut seed = [0; 32];
    let mut random = File::open("/dev/urandom").expect("Linux has it");
    Read::read_exact(&mut random, &mut seed).expect("it never ends");
    let instance = std::array::from_fn(|i| seed[i] ^ seed[i + 16]);
    Identity {
        generation,
        wall_ns: u64::try_from(wall.as_nanos()).expect("before 2554"),
        monotonic_ns: START,
        tsc_khz: machine.tsc_khz(),
        seed,
        instance,
    }
}

/// Stops a machine that runs too long. Dropping the sender ends the watch.
fn watch(machine: &Machine, limit: Duration) -> Sender<()> {
    let kicker = machine.kicker();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            kicker.kick();
        }
    });
    sender
}

/// The records of a log area: stream and text.
fn records(mut log: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut records = Vec::new();
    while log.len() >= 8 {
        let word = |at: usize| u32::from_le_bytes([log[at], log[at + 1], log[at + 2], log[at + 3]]);
        let (stream, len) = (word(0), word(4) as usize);
        let Some(text) = log.get(8..8 + len) else { break };
        records.push((stream, text.to_vec()));
        log = log.get((8 + len).next_multiple_of(4)..).unwrap_or_default();
    }
    records
}

/// Programs compiled for a test; they live as long as this.
pub(crate) struct Programs(TempDir);

impl Programs {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    /// Compiles `tests/guest/NAME.c` with `flags`.
    pub(crate) fn compile(&self, name: &str, flags: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest").join(name).with_extension("c");
        self.compile_file(&source, name, flags)
    }

    /// Compiles `text` with `flags`.
    pub(crate) fn compile_text(&self, name: &str, text: &str, flags: &[&str]) -> PathBuf {
        let source = self.0.path().join(name).with_extension("c");
        std::fs::write(&source, text).expect("the directory is ours");
        self.compile_file(&source, name, flags)
    }

    /// Compiles Rust `text`, with the standard library, dynamically linked to libc.
    pub(crate) fn compile_rust(&self, name: &str, text: &str) -> PathBuf {
        let (source, program) = (self.0.path().join(name).with_extension("rs"), self.0.path().join(name));
        std::fs::write(&source, text).expect("the directory is ours");
        let output =
            Command::new("rustc").args(["-O", "--edition=2024", "-o"]).arg(&program).arg(&source).output();
        let output = output.expect("rustc built this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    }

    fn compile_file(&self, source: &Path, name: &str, flags: &[&str]) -> PathBuf {
        let program = self.0.path().join(name);
        let output =
            Command::new("gcc").args(["-O2", "-w", "-o"]).arg(&program).arg(source).args(flags).output();
        let output = output.expect("the VM tests need gcc");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    }
}

/// Runs `program` on the host for at most `limit`, asserts that it succeeds and returns what it prints.
#[track_caller]
fn on_linux(program: &Path, limit: Duration) -> String {
    // Who runs the tests may ignore signals (nohup, a job of a script), and children would inherit that. The program
    // stays in the process group of the tests.
    let mut native = Command::new("timeout");
    native.args(["--foreground", "-s", "KILL", &limit.as_secs().to_string(), "env", "--default-signal"]);
    native.arg(program).arg("x").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut native = native.spawn().expect("it runs on the host");
    let outputs: [Box<dyn Read + Send>; 2] = [
        Box::new(native.stdout.take().expect("a pipe of ours")),
        Box::new(native.stderr.take().expect("a pipe of ours")),
    ];
    let (sender, receiver) = channel();
    for (number, mut output) in outputs.into_iter().enumerate() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut bytes) {
                let _ = sender.send((number, bytes[..len].to_vec()));
            }
        });
    }
    drop(sender);
    // Children of a killed program may live on and keep its outputs open.
    let (end, mut printed) = (Instant::now() + limit, [Vec::new(), Vec::new()]);
    let in_time = loop {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((number, bytes)) => printed[number].extend(bytes),
            Err(error) => break error == RecvTimeoutError::Disconnected,
        }
    };
    let status = native.wait().expect("a child of ours");
    let [stdout, stderr] = printed.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(in_time && status.success(), "on Linux: {status}, in time: {in_time}\n{stdout}\n{stderr}");
    stdout
}

/// Runs `program` on the host and in a guest and asserts that it prints the same and succeeds on both.
#[track_caller]
pub(crate) fn agrees_with_linux(program: &Path, guest: Guest) -> Outcome {
    let native = on_linux(program, guest.time_limit);
    let outcome = guest.with_file("/bin/program", program).run(&["/bin/program", "x"]).exited(0);
    assert_eq!(outcome.out(), native, "stderr: {}", outcome.err());
    outcome
}
