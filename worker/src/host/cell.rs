//! One cell process, seen from the worker: started, built, watched, ended.

use super::archive::Label;
use super::control::Control;
use super::fleet::Fleet;
use super::listener::{Listener, UsageWaiters};
use super::paging::{Asked, Paged};
use super::parents::{HeldParent, Memory, Origin};
use super::shells::Shells;
use super::totals::Totals;
use crate::api::{FunctionSpec, ParentInfo, PrepareError};
use crate::logs::LogWriter;
use crate::protocol::{Command, Refused, Setup, ShellUsage, Start, packet};
use abi::layout::{KERNEL_SIZE, PROGRAM_MIN, RAM_MAX};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use vmm::{ParentMemory, WorkingSet};

/// How long a cell has to exit after its control socket closed.
const EXIT_GRACE: Duration = Duration::from_secs(5);
/// How long a cell has to report its memory.
const USAGE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a cell that lost a shell is waited for to be seen ending.
const ENDING_PATIENCE: Duration = Duration::from_secs(1);
/// How long a cell has to wind up a build it was told to abort.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// What a cell is started with, besides the function.
#[derive(Clone)]
pub(crate) struct CellConfig {
    pub(crate) command: Vec<PathBuf>,
    pub(crate) kvm: PathBuf,
    pub(crate) root_image: Arc<File>,
    /// SHA-256 of the root image, in hexadecimal.
    pub(crate) root_sha256: String,
    pub(crate) boot_timeout: Duration,
}

/// Commands that are to be sent.
type Queue = mpsc::UnboundedReceiver<(Command, Vec<OwnedFd>)>;

/// A running cell whose parent is built.
pub(crate) struct Cell {
    pub(crate) pid: u32,
    pub(crate) shells: Arc<Shells>,
    commands: mpsc::UnboundedSender<(Command, Vec<OwnedFd>)>,
    control: Arc<Control>,
    usage_waiters: UsageWaiters,
    paged: Option<Arc<Paged>>,
    learnt: watch::Receiver<Option<WorkingSet>>,
    gone: watch::Receiver<bool>,
    kill: mpsc::Sender<()>,
}

pub(super) enum Build {
    /// With memory and entry state, unless the cell was given them.
    Built {
        parent: Option<(OwnedFd, Vec<u8>, ParentInfo)>,
        refusals: Vec<Refused>,
    },
    Failed {
        program: bool,
        reason: String,
    },
}

impl Cell {
    /// Starts a cell and makes the function's parent in it, as `origin` says.
    pub(crate) async fn start(
        config: &CellConfig,
        spec: &FunctionSpec,
        label: &Label,
        origin: &Origin,
        totals: &Arc<Totals>,
        fleet: &Arc<Fleet>,
    ) -> Result<(Self, Arc<HeldParent>), PrepareError> {
        let begun = Instant::now();
        let (start, memories) = origin.start().map_err(|error| platform("pass on a parent", &error))?;
        let setup = fitting(setup(spec, start)?)?;
        let mut descriptors = open_all(config, spec)?;
        descriptors.extend(memories);
        let (control, theirs) = Control::pair().map_err(|error| platform("make a control socket", &error))?;
        let child = spawn(config, theirs).map_err(|error| platform("start a cell process", &error))?;
        let pid = child.id().unwrap_or_default();
        let control = Arc::new(control);
        let (commands, queue) = mpsc::unbounded_channel();
        let (built_tx, built_rx) = oneshot::channel();
        let (gone_tx, gone) = watch::channel(false);
        let (kill, killed) = mpsc::channel(1);
        let usage_waiters = UsageWaiters::default();
        tokio::spawn(write_commands(control.clone(), queue));
        let paged = origin.paged();
        paged.iter().for_each(|paged| paged.announce(&commands));
        let (learnt_tx, learnt) = watch::channel(None);
        let listener = Listener {
            control: control.clone(),
            usage_waiters: Arc::clone(&usage_waiters),
            asked: Asked::new(paged.clone(), commands.clone()),
            learnt: learnt_tx,
            gone: gone_tx,
            log: LogWriter::new(totals.clone(), String::new()),
            built: Some(built_tx),
        };
        tokio::spawn(listener.listen());
        tokio::spawn(reap(child, gone.clone(), killed));
        let shells = Shells::new(totals.clone(), fleet.clone());
        let cell = Self { pid, shells, commands, control, usage_waiters, paged, learnt, gone, kill };
        cell.command(setup, descriptors);
        match cell.wait_for_build(built_rx, config.boot_timeout).await? {
            Build::Built { parent, refusals } => {
                totals.refused(&refusals);
                totals.cell_starts.fetch_add(1, Ordering::Relaxed);
                if let Origin::Held(held) = origin {
                    return Ok((cell, held.clone()));
                }
                let (memory, entry, info) = parent.ok_or_else(|| {
                    PrepareError::Platform("the cell process kept the parent to itself".to_owned())
                })?;
                let runtime = origin.runtime().cloned();
                let memory = Memory::Whole(Arc::new(sealed(memory, runtime.as_deref())?));
                totals.built(ParentInfo { build: begun.elapsed(), ..info });
                Ok((cell, Arc::new(HeldParent::new(memory, entry, runtime, label.clone()))))
            }
            Build::Failed { program: false, reason } => Err(PrepareError::Platform(reason)),
            Build::Failed { program: true, reason } => {
                Err(PrepareError::Function { reason, output: totals.log.boot_output() })
            }
        }
    }

    async fn wait_for_build(
        &self,
        mut built: oneshot::Receiver<Build>,
        patience: Duration,
    ) -> Result<Build, PrepareError> {
        let lost = || PrepareError::Platform("the cell process died while it built the parent".to_owned());
        if let Ok(build) = timeout(patience, &mut built).await {
            return build.map_err(|_| lost());
        }
        self.command(Command::AbortBuild, Vec::new());
        if let Ok(build) = timeout(ABORT_PATIENCE, built).await {
            return build.map_err(|_| lost());
        }
        self.kill_process();
        Err(PrepareError::Platform("the cell process hung while it built the parent".to_owned()))
    }

    /// Sends a command. One sent to a cell that is gone is lost, which [`Cell::is_gone`] tells.
    pub(super) fn command(&self, command: Command, descriptors: Vec<OwnedFd>) {
        let _ = self.commands.send((command, descriptors));
    }

    /// Waits until a fork has shown what it touches; `None` if that never happens.
    pub(super) fn learnt(&self) -> impl Future<Output = Option<WorkingSet>> + use<> {
        let mut learnt = self.learnt.clone();
        async move { learnt.wait_for(Option::is_some).await.ok()?.clone() }
    }

    /// Whether the process has ended or is about to.
    pub(crate) fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }

    /// Whether forks can be made here: the process lives, and its parent is whole or can still be read.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_gone() && !self.paged.as_ref().is_some_and(|paged| paged.is_broken())
    }

    /// Waits until the process has ended, if it is about to.
    pub(super) async fn ending(&self) {
        let mut gone = self.gone.clone();
        // If it does not end, it was not about to.
        let _ = timeout(ENDING_PATIENCE, gone.wait_for(|gone| *gone)).await;
    }

    /// Ends the process without ceremony; for a cell that does not obey.
    pub(super) fn kill_process(&self) {
        // A full channel means that it is being killed already.
        let _ = self.kill.try_send(());
    }

    /// Closes the control socket: the cell exits by itself.
    pub(crate) fn close(&self) {
        self.control.close();
    }

    /// Memory of all shells; empty if the cell does not answer in time.
    pub(crate) async fn usage(&self) -> Vec<ShellUsage> {
        if self.is_gone() {
            return Vec::new();
        }
        let (answer, answered) = oneshot::channel();
        self.usage_waiters.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        self.command(Command::Usage, Vec::new());
        match timeout(USAGE_PATIENCE, answered).await {
            Ok(Ok(usage)) => usage,
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
impl Cell {
    /// One without a process, the commands it is sent, and what keeps it from being gone.
    pub(super) fn without_process(shells: Arc<Shells>) -> (Cell, Queue, watch::Sender<bool>) {
        let (commands, queue) = mpsc::unbounded_channel();
        let (gone_tx, gone) = watch::channel(false);
        let control = Arc::new(Control::pair().expect("a socket").0);
        let ((_, learnt), (kill, _)) = (watch::channel(None), mpsc::channel(1));
        let usage_waiters = UsageWaiters::default();
        let cell = Cell { pid: 0, shells, commands, control, usage_waiters, paged: None, learnt, gone, kill };
        (cell, queue, gone_tx)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.close();
    }
}

/// Memory a cell has sent: nothing can change it any more.
fn sealed(memory: OwnedFd, runtime: Option<&HeldParent>) -> Result<ParentMemory, PrepareError> {
    let memory = ParentMemory::from_fd(memory, runtime.and_then(HeldParent::whole));
    let memory = memory.map_err(|error| platform("take over a parent's memory", &error))?;
    if memory.is_sealed() {
        Ok(memory)
    } else {
        Err(platform("take over a parent's memory", &"it is not sealed"))
    }
}

fn platform(what: &str, error: &dyn std::fmt::Display) -> PrepareError {
    PrepareError::Platform(format!("could not {what}: {error}"))
}

fn setup(spec: &FunctionSpec, start: Start) -> Result<Setup, PrepareError> {
    let ram_bytes = KERNEL_SIZE + spec.memory_bytes.next_multiple_of(abi::layout::HUGE);
    if spec.memory_bytes < PROGRAM_MIN || ram_bytes > RAM_MAX {
        let most = RAM_MAX - KERNEL_SIZE;
        return Err(PrepareError::Invalid(format!(
            "memory of {} bytes is not between {PROGRAM_MIN} and {most} bytes",
            spec.memory_bytes
        )));
    }
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let strings: usize = spec.command.iter().chain(&env).map(|text| text.len() + 1).sum();
    let most = abi::boot::STRINGS_MAX.min(crate::protocol::PACKET_MAX / 2);
    if strings > most {
        return Err(PrepareError::Invalid(format!(
            "command and environment take {strings} bytes; at most {most} are possible"
        )));
    }
    let contract = spec.contract;
    let package = spec.package.is_some();
    let (args, env) = match start {
        Start::Boot { .. } | Start::Specialize { .. } => (spec.command.clone(), env),
        // The program has been started. There may be no room for them.
        Start::Take { .. } => (Vec::new(), Vec::new()),
    };
    Ok(Setup { ram_bytes, contract, port: spec.port, args, env, package, start })
}

/// The command that sets a cell up; if it is too large for a packet, without what the cell can do without.
fn fitting(setup: Setup) -> Result<Command, PrepareError> {
    let mut command = Command::Setup(setup);
    let Err(error) = packet(&command) else { return Ok(command) };
    if let Command::Setup(Setup { start: Start::Take { learnt, .. }, .. }) = &mut command {
        tracing::debug!(%error, "a cell is not told what forks of its parent touch");
        *learnt = None;
    }
    match packet(&command) {
        Ok(_) => Ok(command),
        Err(error) => Err(PrepareError::Platform(format!("a cell cannot be told what to run: {error}"))),
    }
}

fn open_all(config: &CellConfig, spec: &FunctionSpec) -> Result<Vec<OwnedFd>, PrepareError> {
    let kvm = vmm::Kvm::open(&config.kvm).map_err(|error| PrepareError::Platform(crate::chain(&error)))?;
    let kvm = rustix::io::fcntl_dupfd_cloexec(kvm.as_fd(), 3)
        .map_err(|error| platform("pass on /dev/kvm", &error))?;
    let open = |what: &str, path: &PathBuf| {
        File::open(path).map(OwnedFd::from).map_err(|error| {
            PrepareError::Platform(format!("could not open the {what} {}: {error}", path.display()))
        })
    };
    let root = config.root_image.try_clone().map_err(|error| platform("pass on the root image", &error))?;
    let mut descriptors = vec![kvm, root.into()];
    if let Some(package) = &spec.package {
        descriptors.push(open("package", &package.path)?);
    }
    Ok(descriptors)
}

fn spawn(config: &CellConfig, control: OwnedFd) -> io::Result<Child> {
    let (program, args) = config.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    tokio::process::Command::new(program)
        .args(args)
        // Otherwise glibc learns from the first large responses to keep such memory, for every thread, for ever.
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
}

/// Sends commands. A cell that misses one would wait for it, so that ends the cell.
async fn write_commands(control: Arc<Control>, mut queue: Queue) {
    while let Some((command, descriptors)) = queue.recv().await {
        if let Err(error) = control.send(&command, &descriptors).await {
            if !is_end(&error) {
                tracing::error!(%error, "a cell could not be sent a command; it is ended");
            }
            control.close();
            return;
        }
    }
}

/// Whether an error says that the cell is gone.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Waits for the process to end, and sees to it that it does.
async fn reap(mut child: Child, mut gone: watch::Receiver<bool>, mut killed: mpsc::Receiver<()>) {
    let patience = tokio::select! {
        _ = child.wait() => return,
        _ = gone.wait_for(|gone| *gone) => EXIT_GRACE,
        Some(()) = killed.recv() => Duration::ZERO,
    };
    if timeout(patience, child.wait()).await.is_err() {
        tracing::error!(pid = child.id(), "a cell did not exit in time; it is killed");
        // It may have ended just now.
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Contract;
    use crate::protocol::PACKET_MAX;
    use vmm::WorkingSet;

    fn setup(start: Start) -> Setup {
        let (args, env) = (Vec::new(), Vec::new());
        Setup { ram_bytes: RAM_MAX, contract: Contract::Handler, port: 0, args, env, package: false, start }
    }

    /// A parent's entry state and number of chunks, with the largest working set.
    fn take(entry: usize, chunks: u64) -> Start {
        let page = usize::try_from(abi::layout::PAGE).unwrap();
        let far = 8 << 30;
        let touched = (0..WorkingSet::RANGES_MAX).map(|at| far + 2 * at * page..far + (2 * at + 1) * page);
        let learnt = WorkingSet { written: None, touched: Some(touched.collect()) };
        let lazy = (0..chunks).map(|at| (2 * (RAM_MAX / abi::layout::PAGE) - 32 * at, 16)).collect();
        Start::Take { entry: vec![1; entry], based: true, lazy: Some(lazy), learnt: Some(learnt) }
    }

    fn is_told(command: &Command) -> bool {
        matches!(command, Command::Setup(Setup { start: Start::Take { learnt: Some(_), .. }, .. }))
    }

    #[test]
    fn a_cell_is_told_what_forks_touch_if_there_is_room() {
        assert!(is_told(&fitting(setup(take(6 << 10, 1 << 10))).unwrap()));
        // The largest of what a snapshot has that is paged in.
        let largest = take(snapshotter::snapshot::ENTRY_BYTES_MAX, super::super::paging::CHUNKS_MAX as u64);
        let command = fitting(setup(largest)).unwrap();
        assert!(!is_told(&command) && packet(&command).is_ok());
    }

    #[test]
    fn what_a_cell_cannot_be_told_is_refused_at_once() {
        let document = vec![b' '; PACKET_MAX];
        let error = fitting(setup(Start::Specialize { entry: Vec::new(), document })).unwrap_err();
        assert!(error.to_string().contains("a cell cannot be told what to run"), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_sent_ends_the_cell() {
        let (control, theirs) = Control::pair().unwrap();
        let (commands, queue) = mpsc::unbounded_channel();
        let failed = Some("x".repeat(PACKET_MAX));
        commands.send((Command::Paged { chunk: 0, failed }, Vec::new())).unwrap();
        let control = Arc::new(control);
        // The queue is still open: only an error ends this.
        timeout(Duration::from_secs(60), write_commands(control.clone(), queue)).await.unwrap();
        let mut byte = [0];
        let end = rustix::net::recv(&theirs, &mut byte[..], rustix::net::RecvFlags::DONTWAIT);
        assert_eq!(end.map(|(_, bytes)| bytes), Ok(0), "the cell sees the end");
        assert!(matches!(control.receive().await, Ok(None)), "and the worker too");
    }
}
