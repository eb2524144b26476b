//! Why something with a machine failed.

use std::io;

/// A machine cannot be made or go on. None of these is something a guest does while it runs: that is an
/// [`crate::Exit`].
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The caller asked for something impossible.
    #[error("the machine cannot be made as asked: {0}")]
    Spec(String),
    /// KVM refused.
    #[error("KVM refused {what}")]
    Kvm {
        /// The request.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel refused memory.
    #[error("memory for the machine could not be had: {what}")]
    Memory {
        /// What for.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The thread cannot have a timer.
    #[error(
        "there is no timer for the thread that runs the guest; the limit on pending signals (ulimit -i) must allow one a VM"
    )]
    Timer {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The guest changed what must not change before it was ready, so it cannot be forked.
    #[error("the guest cannot be forked, because it changed its {0} before it was ready")]
    Tampered(&'static str),
    /// The guest has several address spaces, but is to become a function of a runtime parent, or is one's.
    #[error(
        "the guest cannot be forked this way, because it started other processes or programs before it was ready"
    )]
    Spaces,
    /// Called at the wrong time.
    #[error("the machine cannot do that now: {0}")]
    Order(&'static str),
}

impl MachineError {
    pub(crate) fn kvm(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> MachineError {
        move |source| MachineError::Kvm { what, source: source.into() }
    }

    pub(crate) fn memory(what: &'static str) -> impl Fn(io::Error) -> MachineError {
        move |source| MachineError::Memory { what, source }
    }
}

/// Why a machine cannot be used for another request: drop it and fork a new one.
#[derive(Debug, thiserror::Error)]
pub enum Discard {
    /// It is not a fork.
    #[error("only forks are restored")]
    NotAFork,
    /// It did not stop at the doorbell.
    #[error("it did not stop at the doorbell")]
    NotAtDoorbell,
    /// It wrote to more pages than it is worth to restore.
    #[error("it wrote to {pages} pages")]
    TooManyPages {
        /// Pages written to, as far as counted.
        pages: usize,
    },
    /// It changed its descriptor tables, page tables or the code of its stubs.
    #[error("it changed its system tables")]
    TablesTouched,
    /// Its parent's guest kernel has several address spaces, whose page tables change with every request.
    #[error("its parent has several processes")]
    Spaces,
    /// Its guest kernel did not touch the pages it was told to.
    #[error("touching its pages ahead failed: {0}")]
    Prefault(String),
    /// The host failed.
    #[error("restoring failed: {what}")]
    Failed {
        /// The step.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
