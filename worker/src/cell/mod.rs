//! The cell: the process that holds all VMs of one function.
//!
//! Its standard input is the control socket to the worker. The main thread obeys commands; one thread builds the
//! parent; every shell has a thread of its own, because `KVM_RUN` blocks. When the worker goes away, for
//! whatever reason, the control socket ends and so does the cell.

mod build;
mod control;
mod downstream;
mod paging;
mod shell;
mod upstream;

use crate::protocol::{Command, Event, Frame, Setup, ShellUsage, USAGE_CHUNK, write_frame};
use abi::identity::Identity;
use control::Control;
use paging::Paging;
use snapshotter::drive::Interrupt;
use snapshotter::parent::SPECIALIZED_GENERATION;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use vmm::{Image, Images, KernelImage, Kvm, Parent};

/// Stack of a shell's thread. It runs shallow code; this leaves room for debug builds.
pub(crate) const SHELL_STACK_BYTES: usize = 512 << 10;

/// Runs a cell until its worker is gone. The binary calls this for its hidden subcommand `cell`.
pub fn main() -> ExitCode {
    let control = match Control::from_stdin() {
        Ok(control) => Arc::new(control),
        Err(error) => {
            eprintln!("cell: standard input is not a control socket: {error}; cells are started by a worker");
            return ExitCode::FAILURE;
        }
    };
    match run(&control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let event = Event::Failed { program: false, reason: format!("cell: {error}") };
            // The worker may be gone already; then nobody wants to know.
            let _ = control.send(&event);
            ExitCode::FAILURE
        }
    }
}

fn run(control: &Arc<Control>) -> io::Result<()> {
    let Some((Command::Setup(setup), descriptors)) = control.receive()? else {
        return Err(io::Error::other("the first command was not Setup"));
    };
    let (cell, memories) = Cell::new(control.clone(), &setup, descriptors).map_err(io::Error::other)?;
    let cell = Arc::new(cell);
    let builder = cell.clone();
    thread::Builder::new().name("build".to_owned()).spawn(move || build::run(&builder, &setup, memories))?;
    while let Some((command, descriptors)) = control.receive()? {
        match command {
            Command::Setup(_) => return Err(io::Error::other("a second Setup")),
            Command::AbortBuild => cell.building.fire(),
            Command::AddShell { id, touched } => cell.add_shell(id, touched, descriptors),
            Command::Kill { id } => cell.kill(id),
            Command::Usage => cell.report_usage()?,
            Command::Paged { chunk, failed } => cell.paging.paged(chunk, failed.as_deref()),
            Command::AllPaged => cell.paging.all_paged(),
        }
    }
    Ok(())
}

/// What all threads of a cell share.
struct Cell {
    control: Arc<Control>,
    kvm: Kvm,
    kernel: KernelImage,
    images: Images,
    building: Interrupt,
    paging: Paging,
    parent: OnceLock<Arc<Parent>>,
    /// Whether the worker has been told what a fork touches, or knew.
    told_learnt: AtomicBool,
    shells: Mutex<HashMap<u32, ShellHandle>>,
    /// Generation of the last fork.
    forks: AtomicU64,
}

/// A shell as other threads see it.
#[derive(Clone, Default)]
struct ShellHandle {
    interrupt: Interrupt,
    /// Where its RAM is mapped; 0 while there is none.
    address: Arc<AtomicU64>,
}

impl Cell {
    /// Also returns the descriptors that are left: memories.
    fn new(
        control: Arc<Control>,
        setup: &Setup,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(Self, Vec<OwnedFd>), Box<dyn std::error::Error + Send + Sync>> {
        let mut descriptors = descriptors.into_iter();
        let (Some(kvm), Some(root)) = (descriptors.next(), descriptors.next()) else {
            return Err("Setup came without its descriptors".into());
        };
        let package = if setup.package { descriptors.next() } else { None };
        let package = package.map(|fd| Image::map(&File::from(fd))).transpose()?;
        let cell = Self {
            control,
            kvm: Kvm::from_fd(kvm)?,
            kernel: KernelImage::parse(runtimes::PICO)?,
            images: Images { root: Arc::new(Image::map(&File::from(root))?), package: package.map(Arc::new) },
            building: Interrupt::default(),
            paging: Paging::default(),
            parent: OnceLock::new(),
            told_learnt: AtomicBool::new(false),
            shells: Mutex::default(),
            forks: AtomicU64::new(SPECIALIZED_GENERATION),
        };
        Ok((cell, descriptors.collect()))
    }

    /// Starts a shell. What cannot be started costs one request, not the cell.
    fn add_shell(self: &Arc<Self>, id: u32, touched: bool, descriptors: Vec<OwnedFd>) {
        let Some(socket) = descriptors.into_iter().next() else {
            eprintln!("cell: a VM could not be made: this process has too many open files (`ulimit -n`)");
            return;
        };
        let socket = Arc::new(UnixStream::from(socket));
        let handle = ShellHandle::default();
        self.lock_shells().insert(id, handle.clone());
        let (cell, served) = (self.clone(), socket.clone());
        let thread = thread::Builder::new().name(format!("shell-{id}")).stack_size(SHELL_STACK_BYTES);
        let spawned = thread.spawn(move || {
            shell::serve(&cell, &served, &handle, touched);
            cell.lock_shells().remove(&id);
        });
        if let Err(error) = spawned {
            self.lock_shells().remove(&id);
            let reason = format!("no thread could be made: {error}");
            // A worker that does not listen has given up on it already.
            let _ = write_frame(&mut &*socket, &Frame::Gone(reason), &[], &[]);
        }
    }

    fn report_usage(&self) -> io::Result<()> {
        for part in self.usage().chunks(USAGE_CHUNK) {
            self.control.send(&Event::Usage(part.to_vec()))?;
        }
        self.control.send(&Event::UsageEnd)
    }

    /// Tells the worker, once, what a fork touches.
    fn tell_learnt(&self, parent: &Parent) {
        if self.told_learnt.load(Ordering::Relaxed) {
            return;
        }
        let learnt = parent.working_set();
        if learnt.touched.is_some() && !self.told_learnt.swap(true, Ordering::Relaxed) {
            // It only saves time, so the cell goes on without.
            if let Err(error) = self.control.send(&Event::Learnt(learnt)) {
                eprintln!("cell: what a request touched could not be told: {error}");
            }
        }
    }

    fn kill(&self, id: u32) {
        if let Some(shell) = self.lock_shells().get(&id) {
            shell.interrupt.fire();
        }
    }

    fn usage(&self) -> Vec<ShellUsage> {
        let shells: Vec<(u32, u64)> = self
            .lock_shells()
            .iter()
            .map(|(id, shell)| (*id, shell.address.load(Ordering::Acquire)))
            .collect();
        let addresses: Vec<u64> = shells.iter().map(|(_, address)| *address).collect();
        let bytes = self.parent.get().map_or(0, |parent| parent.memory.len());
        let usages = vmm::usage_of(&addresses, bytes).unwrap_or_default();
        shells
            .into_iter()
            .zip(usages)
            .filter_map(|((id, address), usage)| Some((id, address, usage?)))
            .map(|(id, address, usage)| ShellUsage {
                id,
                address,
                shared_bytes: usage.shared_bytes,
                private_bytes: usage.private_bytes,
                pss_bytes: usage.pss_bytes,
            })
            .collect()
    }

    fn lock_shells(&self) -> std::sync::MutexGuard<'_, HashMap<u32, ShellHandle>> {
        self.shells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An identity nobody had before. The VM fills in its own counter frequency.
pub(crate) fn fresh_identity(generation: u64) -> Identity {
    let mut random = [0; 48];
    fill_random(&mut random);
    let (seed, instance) = random.split_at(32);
    let mut instance: [u8; 16] = instance.try_into().expect("16 of 48 bytes");
    // A random UUID (RFC 9562, version 4), so that the guest can show it as its boot id unchanged.
    instance[6] = instance[6] & 0x0f | 0x40;
    instance[8] = instance[8] & 0x3f | 0x80;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    Identity {
        generation,
        wall_ns: now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs(),
        monotonic_ns: snapshotter::drive::monotonic_ns(),
        tsc_khz: 0,
        seed: seed.try_into().expect("32 of 48 bytes"),
        instance,
    }
}

/// Fills `bytes` from getrandom(2), which on a running system neither fails nor gives less than asked for up to
/// 256 bytes.
fn fill_random(bytes: &mut [u8; 48]) {
    let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    assert_eq!(got, Ok(bytes.len()), "getrandom(2) gave no random bytes; a fork without a seed must not run");
}
