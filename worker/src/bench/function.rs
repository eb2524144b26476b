//! A function to measure: its parent, a request, and the answer every fork must give.

use super::BenchError;
use super::clock::{Clock, Step};
use crate::cell::fresh_identity;
use crate::host::images::in_memory;
use abi::layout::KERNEL_SIZE;
use runtimes::launch::{Launch, Wanted, default_memory, plan, root_image};
use snapshotter::drive::{Interrupt, Stop, drive};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vmm::{BootSpec, Image, Images, KernelImage, Kvm, Machine, Parent};

/// Port a native program listens on inside the VM.
const PORT: u16 = 8080;

/// What is measured, as files.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Name, for reports.
    pub name: &'a str,
    /// Its runtime.
    pub runtime: &'a str,
    /// Its entry point.
    pub handler: &'a str,
    /// Its files, a tar.
    pub package: &'a [u8],
    /// What is sent to it.
    pub request: &'a [u8],
    /// What it must answer, byte for byte.
    pub answer: &'a [u8],
}

/// A function whose parent is built.
pub struct Function {
    pub(super) name: String,
    pub(super) kvm: Kvm,
    pub(super) images: Images,
    pub(super) parent: Arc<Parent>,
    pub(super) request: Vec<u8>,
    pub(super) answer: Vec<u8>,
    /// The files behind `images`, for other processes.
    pub(super) root: File,
    pub(super) package: File,
    interrupt: Interrupt,
    forks: AtomicU64,
}

impl Function {
    /// Prepares the runtime's image below `cache` as `spore up` does (`progress` gets a line for what takes long),
    /// builds the package and the parent, and forks it once, so that the pages it writes are known.
    pub fn prepare(
        subject: &Subject<'_>,
        kvm: &Path,
        cache: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<Self, BenchError> {
        let kvm = Kvm::open(kvm).map_err(BenchError::host("opening KVM"))?;
        let root = runtimes::image::prepare(root_image(subject.runtime), cache, progress)
            .map_err(BenchError::host("preparing the runtime's image"))?;
        let root = in_memory(&root.path).map_err(BenchError::host("opening the runtime's image"))?;
        let (package, launch) = package(subject)?;
        let images = images(&root, &package)?;
        let parent = boot(subject, &kvm, &images, &launch)?;
        let parts = Parts {
            name: subject.name.to_owned(),
            kvm,
            root,
            package,
            parent: Arc::new(parent),
            request: subject.request.to_vec(),
            answer: subject.answer.to_vec(),
        };
        Function::join(parts)
    }

    /// Makes a function of a parent that is there.
    pub(super) fn join(parts: Parts) -> Result<Self, BenchError> {
        let Parts { name, kvm, root, package, parent, request, answer } = parts;
        let images = images(&root, &package)?;
        let (interrupt, forks) = (Interrupt::default(), AtomicU64::new(0));
        let function = Self { name, kvm, images, parent, request, answer, root, package, interrupt, forks };
        function.learn()?;
        Ok(function)
    }

    /// Restoring a fork teaches the parent which pages forks write.
    fn learn(&self) -> Result<(), BenchError> {
        let mut machine = self.fork()?;
        self.invoke(&mut machine, &mut Clock::new())?;
        machine.restore().map_err(BenchError::host("restoring a VM"))?;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new VM, not yet entered.
    pub(super) fn fork(&self) -> Result<Machine, BenchError> {
        Machine::fork(&self.kvm, &self.parent, &self.images).map_err(BenchError::host("making a VM"))
    }

    /// Lets a pristine VM answer one request, and checks the answer.
    pub(super) fn invoke(&self, machine: &mut Machine, clock: &mut Clock) -> Result<(), BenchError> {
        self.enter(machine, clock)?;
        self.run(machine, clock)
    }

    /// Puts a pristine VM into the parent's state, with an identity and the request.
    pub(super) fn enter(&self, machine: &mut Machine, clock: &mut Clock) -> Result<(), BenchError> {
        let mut identity = fresh_identity(1 + self.forks.fetch_add(1, Ordering::Relaxed));
        identity.tsc_khz = machine.tsc_khz();
        machine.mailbox().set_request(&self.request).map_err(BenchError::host("writing the request"))?;
        machine.mailbox().set_identity(&identity);
        machine.enter().map_err(BenchError::host("entering a VM"))?;
        clock.mark(Step::Enter);
        Ok(())
    }

    /// Runs an entered VM to its answer.
    pub(super) fn run(&self, machine: &mut Machine, clock: &mut Clock) -> Result<(), BenchError> {
        let stopped = drive(machine, &self.interrupt, false, &mut |_: Vec<u8>| ());
        let stopped = stopped.map_err(BenchError::host("running a VM"))?;
        clock.mark(Step::Run);
        let Stop::Response(len) = stopped.stop else {
            return Err(self.misbehaved(format!("did not answer: {:?}", stopped.stop)));
        };
        let answer = machine.mailbox().response(len).map_err(BenchError::host("reading the answer"))?;
        clock.mark(Step::Read);
        if answer != self.answer {
            let (got, expected) = (answer.escape_ascii(), self.answer.escape_ascii());
            return Err(self.misbehaved(format!("answered \"{got}\", not \"{expected}\"")));
        }
        Ok(())
    }

    fn misbehaved(&self, what: String) -> BenchError {
        BenchError::Function { function: self.name.clone(), what }
    }
}

/// What a [`Function`] is joined from.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) kvm: Kvm,
    pub(super) root: File,
    pub(super) package: File,
    pub(super) parent: Arc<Parent>,
    pub(super) request: Vec<u8>,
    pub(super) answer: Vec<u8>,
}

/// The package as an image, whose file has no name any more, and how it is started.
fn package(subject: &Subject<'_>) -> Result<(File, Launch), BenchError> {
    let directory = tempfile::tempdir().map_err(BenchError::host("making a temporary directory"))?;
    let path = directory.path().join("package");
    let built = runtimes::package::build_package(subject.package, &path)
        .map_err(BenchError::host("building the package"))?;
    let wanted = Wanted {
        name: subject.name,
        runtime: subject.runtime,
        handler: subject.handler,
        package: &built.view,
        port: PORT,
        memory_bytes: default_memory(subject.runtime),
        env: &BTreeMap::new(),
    };
    let launch = plan(&wanted).map_err(BenchError::host("planning the start"))?;
    let file = File::open(&path).map_err(BenchError::host("opening the package"))?;
    Ok((file, launch))
}

fn images(root: &File, package: &File) -> Result<Images, BenchError> {
    let map = |file| Image::map(file).map(Arc::new).map_err(BenchError::host("mapping an image"));
    Ok(Images { root: map(root)?, package: Some(map(package)?) })
}

fn boot(subject: &Subject<'_>, kvm: &Kvm, images: &Images, launch: &Launch) -> Result<Parent, BenchError> {
    let kernel = KernelImage::parse(runtimes::PICO).map_err(BenchError::host("reading the guest kernel"))?;
    let spec = BootSpec {
        ram_bytes: KERNEL_SIZE + default_memory(subject.runtime),
        contract: launch.contract,
        port: launch.port,
        args: launch.command.iter().map(|argument| argument.clone().into_bytes()).collect(),
        env: launch.env.iter().map(|(name, value)| format!("{name}={value}").into_bytes()).collect(),
        awaits_function: false,
    };
    let mut log = Vec::new();
    let built = snapshotter::parent::build(
        kvm,
        &kernel,
        images,
        &spec,
        fresh_identity(0),
        &Interrupt::default(),
        &mut |records| log.extend(records),
    );
    let built = built.map_err(|error| BenchError::Function {
        function: subject.name.to_owned(),
        what: format!("did not start: {}\n{}", crate::chain(&error), String::from_utf8_lossy(&log)),
    })?;
    Ok(built.parent)
}
