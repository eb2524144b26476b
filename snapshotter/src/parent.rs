//! Builds a parent: boots a VM in a memory of its own, lets the program come up, and captures it at the moment
//! it waits for its first request.

use crate::drive::{Interrupt, Stop, drive, monotonic_ns};
use abi::identity::Identity;
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
    /// System calls that were refused while it came up: number and count.
    pub unsupported: Vec<(u32, u32)>,
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
    interrupt.attach(machine.kicker());
    identity.generation = 0;
    identity.tsc_khz = machine.tsc_khz();
    identity.monotonic_ns = monotonic_ns();
    machine.mailbox().set_identity(&identity);
    let stopped = drive(&mut machine, interrupt, false, log)?;
    if stopped.stop != Stop::Ready {
        return Err(BuildError::Program(stopped.stop));
    }
    let entry = machine.capture()?;
    let unsupported = machine.mailbox().unsupported();
    drop(machine);
    memory.seal()?;
    Ok(Built { parent: Parent::new(memory, entry)?, unsupported })
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
        Stop::Fault(what) => format!("failed before it waited for a request: {what}"),
    }
}
