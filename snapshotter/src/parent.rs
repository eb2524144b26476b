//! Builds parents. [`build`] boots a VM in a memory of its own, lets the program come up, and captures it at the
//! moment it waits for its first request. [`specialize`] forks a runtime parent, tells it which function it is, and
//! captures what it has become.

use crate::drive::{Interrupt, Stop, drive, monotonic_ns};
use abi::identity::Identity;
use abi::refusal::Refusal;
use std::sync::Arc;
use vmm::{BootSpec, Images, KernelImage, Kvm, Machine, MachineError, Parent, ParentError, ParentMemory};

/// Why there is no parent.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The program ended, failed or never became ready.
    #[error("the program {}", describe(.0))]
    Program(Stop),
    /// The host side failed.
    #[error("the VM could not be run")]
    Machine(#[from] MachineError),
    /// Its memory could not be made or sealed.
    #[error("the parent's memory failed")]
    Memory(#[from] ParentError),
}

/// What a build gives besides the parent.
pub struct Built {
    /// The parent, captured and sealed.
    pub parent: Parent,
    /// What was refused while it came up.
    pub refusals: Vec<Refusal>,
}

/// Boots `spec` and captures it when it waits for a request. `log` gets raw log records.
/// `identity` is used while it boots; forks get their own.
pub fn build(
    kvm: &Kvm,
    kernel: &KernelImage,
    images: &Images,
    spec: &BootSpec,
    mut identity: Identity,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(Vec<u8>),
) -> Result<Built, BuildError> {
    let mut memory = ParentMemory::new(spec.ram_bytes)?;
    let mut machine = Machine::boot(kvm, kernel, &mut memory, images, spec)?;
    identity.generation = 0;
    run_until_ready(&mut machine, identity, interrupt, log)?;
    let entry = machine.capture()?;
    let refusals = machine.mailbox().refusals();
    drop(machine);
    memory.seal()?;
    Ok(Built { parent: Parent::new(memory, entry)?, refusals })
}

/// Generation of a fork that becomes a function; the function's own forks come after it.
pub const SPECIALIZED_GENERATION: u64 = 1;

/// A function as a fork of its runtime's parent.
#[derive(Clone, Copy, Debug)]
pub struct Specialization<'a> {
    /// The runtime's parent.
    pub runtime: &'a Arc<Parent>,
    /// What its fork is told.
    pub document: &'a [u8],
}

/// Forks a runtime's parent, gives it a document, which says what function it is, and captures it when it waits for a request.
/// `identity` is used until then.
pub fn specialize(
    kvm: &Kvm,
    what: Specialization<'_>,
    images: &Images,
    spec: &BootSpec,
    mut identity: Identity,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(Vec<u8>),
) -> Result<Built, BuildError> {
    let mut machine = Machine::specialize(kvm, what.runtime, images, spec)?;
    let fits = machine.mailbox().set_request(what.document);
    fits.map_err(|error| MachineError::Spec(format!("what the function is told: {error}")))?;
    machine.enter()?;
    identity.generation = SPECIALIZED_GENERATION;
    run_until_ready(&mut machine, identity, interrupt, log)?;
    let refusals = machine.mailbox().refusals();
    let (memory, entry) = machine.capture_function()?;
    Ok(Built { parent: Parent::new(memory, entry)?, refusals })
}

fn run_until_ready(
    machine: &mut Machine,
    mut identity: Identity,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(Vec<u8>),
) -> Result<(), BuildError> {
    interrupt.attach(machine.kicker());
    identity.tsc_khz = machine.tsc_khz();
    identity.monotonic_ns = monotonic_ns();
    machine.mailbox().set_identity(&identity);
    match drive(machine, interrupt, false, &mut |records: Vec<u8>| log(records))?.stop {
        Stop::Ready => Ok(()),
        stop => Err(BuildError::Program(stop)),
    }
}

/// What a program that did not become ready did, as the end of a sentence that starts with "the program".
pub fn describe(stop: &Stop) -> String {
    match stop {
        Stop::Exit(status) => format!("exited with status {status} before it waited for a request"),
        Stop::Signal { number, address, instruction } => format!(
            "was killed by signal {number} (address {address:#x}, instruction {instruction:#x}) before it waited for a request"
        ),
        Stop::Interrupted => "did not wait for a request in time".to_owned(),
        Stop::Response(_) | Stop::ResponseTooLarge => "answered a request that was never sent".to_owned(),
        Stop::Ready => "is ready".to_owned(),
        Stop::PageLost(what) | Stop::Fault(what) => format!("failed before it waited for a request: {what}"),
    }
}
