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
use crate::protocol::{Command, Refused, Setup, ShellUsage, Start};
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
        let setup = setup(spec, start)?;
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
        cell.command(Command::Setup(setup), descriptors);
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
    Ok(Setup { ram_bytes, contract, port: spec.port, args: spec.command.clone(), env, package, start })
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

async fn write_commands(control: Arc<Control>, mut queue: mpsc::UnboundedReceiver<(Command, Vec<OwnedFd>)>) {
    while let Some((command, descriptors)) = queue.recv().await {
        if control.send(&command, &descriptors).await.is_err() {
            return;
        }
    }
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
