//! KVM machines for Spore: memory, entry and exit. No policy.
//!
//! A [`Machine`] is one VM with one vCPU. A parent is booted ([`Machine::boot`]) in memory of its own
//! ([`ParentMemory`]), runs until its guest is ready and is captured ([`Machine::capture`]); memory and state
//! together are a [`Parent`]. Forks ([`Machine::fork`]) share that memory copy-on-write, are put into the entry
//! state ([`Machine::enter`]), run, and are restored in place for the next request ([`Machine::restore`]), or mapped
//! anew ([`Machine::remap`]). A shell that waits can have its page faults behind it ([`Machine::prefault`]).
//!
//! | module | what it knows |
//! |---|---|
//! | `kvm`, `cpu`, `fingerprint` | the KVM device and what it must be able to do; the CPU model of guests |
//! | `kernel_image`, `image` | files a guest is made of |
//! | `boot_tables` | GDT, TSS, IDT, page tables, boot information, as bytes |
//! | `memory`, `space` | mappings, and the memory slots of a VM |
//! | `parent`, `parent_memory`, `entry` | what forks are made from: sealed memory, register state |
//! | `specialize` | a fork of a runtime parent that becomes a function's parent |
//! | `userfault`, `lazy`, `filler` | memory that is filled while it is used |
//! | `machine`, `exit`, `kick` | one VM: its life, why it stopped, stopping it from outside |
//! | `fork` | new shells for forks, and touching their pages ahead |
//! | `mailbox` | what host and guest tell each other |
//! | `restore`, `pagemap` | recycling, in place or by mapping anew; which pages are whose |
//! | `usage`, `stats` | figures: memory; what KVM counts |
//! | `sys`, `size` | system calls without a safe wrapper; sizes |
//!
//! Nothing a guest writes is trusted: whatever it does is an [`Exit`], never a hang (see [`Kicker`]) or a panic.
//! What the host relies on after a guest ran is checked or set anew; a machine in doubt is dropped ([`Discard`]).
#![deny(unsafe_code)]

mod boot_tables;
mod cpu;
mod entry;
mod error;
mod exit;
mod filler;
mod fingerprint;
mod fork;
mod image;
mod kernel_image;
mod kick;
mod kvm;
mod lazy;
mod machine;
mod mailbox;
mod memory;
mod pagemap;
mod parent;
mod parent_memory;
mod restore;
mod shown;
mod size;
mod space;
mod sparse_tables;
mod specialize;
mod splits;
mod stats;
mod sys;
mod ticks;
mod usage;
mod userfault;

pub use entry::EntryState;
pub use error::{Discard, MachineError};
pub use exit::Exit;
pub use filler::{FillError, Filler};
pub use fingerprint::{CpuFingerprint, CpuLeaf};
pub use image::{Image, MapError};
pub use kernel_image::{ImageError, KernelImage};
pub use kick::Kicker;
pub use kvm::{Kvm, OpenError};
pub use lazy::{LazyMapping, Paging, Registered};
pub use machine::{BootSpec, Machine};
pub use mailbox::{Mailbox, MailboxError};
pub use parent::{Parent, WorkingSet};
pub use parent_memory::{ParentError, ParentMemory};
pub use restore::RestoreStats;
pub use space::Images;
pub use stats::{ForkStep, Stats};
pub use sys::{Faults, thread_faults};
pub use usage::{MemoryUsage, usage_of};
pub use userfault::Userfault;

/// Machines move between threads; what they share is shared by threads.
const _: () = {
    const fn movable<T: Send>() {}
    const fn shared<T: Send + Sync>() {}
    movable::<Machine>();
    shared::<Kvm>();
    shared::<Parent>();
    shared::<Images>();
    shared::<Kicker>();
    shared::<KernelImage>();
};
