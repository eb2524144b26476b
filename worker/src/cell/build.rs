//! How a cell comes to its parent: by booting, from a runtime's parent, or ready-made.

use super::{Cell, fresh_identity};
use crate::chain;
use crate::protocol::{Event, LOG_CHUNK, Setup, Start};
use snapshotter::parent::{BuildError, Built, Specialization, build, specialize};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vmm::{BootSpec, MachineError, Parent, ParentMemory};

/// Makes the cell's parent and tells the worker how it went.
pub(super) fn run(cell: &Cell, setup: &Setup, memories: Vec<OwnedFd>) {
    let told = match make(cell, setup, memories) {
        Ok(built) => tell(cell, setup, built),
        Err(error) => {
            let program = matches!(error, BuildError::Program(_));
            cell.control.send(&Event::Failed { program, reason: chain(&error) })
        }
    };
    if let Err(error) = told {
        // Most likely the worker is gone; the main thread sees that too. If not, it is not to wait.
        let reason = format!("what became of the parent could not be told: {error}");
        eprintln!("cell: {reason}");
        let _ = cell.control.send(&Event::Failed { program: false, reason });
    }
}

/// The parent is there before the worker knows of it, and so sends requests.
fn tell(cell: &Cell, setup: &Setup, built: Built) -> std::io::Result<()> {
    let Built { parent, refusals } = built;
    let refusals = refusals.into_iter().map(Into::into).collect();
    let entry = postcard::to_stdvec(&parent.entry).map_err(std::io::Error::other)?;
    let parent = Arc::new(parent);
    // The cell makes one parent in its life; nobody can have set it.
    let _ = cell.parent.set(Arc::clone(&parent));
    let resident_bytes = parent.memory.resident_bytes();
    let runtime_resident_bytes = parent.memory.base().map_or(0, |base| base.resident_bytes());
    let event = Event::Built { entry, resident_bytes, runtime_resident_bytes, refusals };
    match setup.start {
        Start::Take { .. } => cell.control.send(&event),
        Start::Boot { .. } | Start::Specialize { .. } => {
            cell.control.send_with(&event, &[parent.memory.as_fd().as_fd()])
        }
    }
}

fn make(cell: &Cell, setup: &Setup, memories: Vec<OwnedFd>) -> Result<Built, BuildError> {
    let mut memories = memories.into_iter();
    let mut next = || memories.next().ok_or_else(|| bad("a memory is missing"));
    let mut log = |records: Vec<u8>| {
        for chunk in records.chunks(LOG_CHUNK) {
            // As for the outcome: a worker that is gone needs no log.
            let _ = cell.control.send(&Event::BootLog(chunk.to_vec()));
        }
    };
    let (identity, stop) = (fresh_identity(0), &cell.building);
    match &setup.start {
        Start::Boot { awaits_function } => {
            let spec = boot_spec(setup, *awaits_function);
            build(&cell.kvm, &cell.kernel, &cell.images, &spec, identity, stop, &mut log)
        }
        Start::Specialize { entry, document } => {
            let runtime = Arc::new(taken(entry, ParentMemory::from_fd(next()?, None)?)?);
            let (spec, images) = (boot_spec(setup, false), &cell.images);
            let what = Specialization { runtime: &runtime, document };
            specialize(&cell.kvm, what, images, &spec, identity, stop, &mut log)
        }
        Start::Take { entry, based, lazy, learnt } => {
            let base = if *based { Some(Arc::new(ParentMemory::from_fd(next()?, None)?)) } else { None };
            let (fd, base) = (next()?, base.as_ref());
            let memory = match lazy {
                None => ParentMemory::from_fd(fd, base)?,
                Some(chunks) => cell.paging.memory(&cell.control, fd, base, chunks)?,
            };
            let parent = taken(entry, memory)?;
            if let Some(learnt) = learnt {
                cell.told_learnt.store(true, Ordering::Relaxed);
                parent.expect(learnt.clone());
            }
            Ok(Built { parent, refusals: Vec::new() })
        }
    }
}

/// A parent that was made elsewhere.
fn taken(entry: &[u8], memory: ParentMemory) -> Result<Parent, BuildError> {
    let entry = postcard::from_bytes(entry).map_err(|error| bad(&format!("its entry state: {error}")))?;
    Ok(Parent::new(memory, entry)?)
}

fn bad(what: &str) -> BuildError {
    BuildError::Machine(MachineError::Spec(format!("a parent cannot be taken over: {what}")))
}

fn boot_spec(setup: &Setup, awaits_function: bool) -> BootSpec {
    let bytes = |list: &[String]| list.iter().map(|text| text.clone().into_bytes()).collect();
    BootSpec {
        ram_bytes: setup.ram_bytes,
        contract: setup.contract.into(),
        port: setup.port,
        args: bytes(&setup.args),
        env: bytes(&setup.env),
        awaits_function,
    }
}
