//! Stopping a running VM from another thread.
//!
//! Two things end `KVM_RUN`: the flag `immediate_exit`, which KVM looks at on the way in, and a signal to the
//! thread, which ends it at any later point. A kick sets the flag first and then signals, so that there is no
//! moment at which it is lost. The signal is a real-time one: the first run of a machine installs a handler for it that does
//! nothing.
#![expect(unsafe_code, reason = "the flag in the shared kvm_run page is written from other threads")]

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Shared {
    kicked: AtomicBool,
    target: Mutex<Target>,
}

#[derive(Default)]
struct Target {
    /// `kvm_run.immediate_exit`, while the machine lives.
    flag: Option<FlagPointer>,
    /// The thread inside `run`, if one is.
    thread: Option<i32>,
}

/// Address of one byte in a mapped `kvm_run`.
struct FlagPointer(*mut u8);

// SAFETY: the byte is only accessed atomically, under the lock of `Shared::target`, while its mapping exists.
unsafe impl Send for FlagPointer {}

impl FlagPointer {
    fn store(&self, value: bool) {
        // SAFETY: the pointer is valid while it is in `Target` (see `Registration`), one byte needs no
        // alignment, and every access by this process goes through here.
        unsafe { AtomicU8::from_ptr(self.0) }.store(value.into(), Ordering::SeqCst);
    }
}

impl Shared {
    fn target(&self) -> MutexGuard<'_, Target> {
        // The lock protects two plain values that are valid at any time, so a panic elsewhere does not matter.
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops one VM, from any thread. Outlives the VM without harm.
#[derive(Clone)]
pub struct Kicker(Arc<Shared>);

impl Kicker {
    /// Makes [`crate::Machine::run`] return [`crate::Exit::Kicked`], now if it is running and at once whenever it
    /// is called again, until [`Kicker::clear_kick`].
    pub fn kick(&self) {
        let target = self.0.target();
        self.0.kicked.store(true, Ordering::SeqCst);
        if let Some(flag) = &target.flag {
            flag.store(true);
        }
        if let Some(thread) = target.thread {
            crate::sys::kick_thread(thread);
        }
    }

    /// Takes a kick back.
    pub fn clear_kick(&self) {
        let target = self.0.target();
        self.0.kicked.store(false, Ordering::SeqCst);
        if let Some(flag) = &target.flag {
            flag.store(false);
        }
    }

    /// Whether the VM has been kicked and not cleared.
    pub fn is_kicked(&self) -> bool {
        self.0.kicked.load(Ordering::SeqCst)
    }
}

/// The machine's side. Dropped before the vCPU is.
pub(crate) struct Registration(Arc<Shared>);

impl Registration {
    /// Registers a vCPU.
    pub(crate) fn new(vcpu: &mut kvm_ioctls::VcpuFd) -> Registration {
        let flag = FlagPointer(&raw mut vcpu.get_kvm_run().immediate_exit);
        let target = Mutex::new(Target { flag: Some(flag), thread: None });
        Registration(Arc::new(Shared { kicked: AtomicBool::new(false), target }))
    }

    pub(crate) fn kicker(&self) -> Kicker {
        Kicker(Arc::clone(&self.0))
    }

    /// Notes that the calling thread is inside `run`, until the guard is dropped.
    pub(crate) fn enter(&self) -> Running<'_> {
        crate::sys::accept_kicks();
        self.0.target().thread = Some(crate::sys::thread_id());
        Running(&self.0)
    }

    /// Runs `step` with the flag set, so that `KVM_RUN` finishes pending work and returns without entering.
    pub(crate) fn with_immediate_exit<T>(&self, step: impl FnOnce() -> T) -> T {
        self.set_flag(true);
        let result = step();
        // A kick that came meanwhile must stay.
        let target = self.0.target();
        if let Some(flag) = target.flag.as_ref().filter(|_| !self.0.kicked.load(Ordering::SeqCst)) {
            flag.store(false);
        }
        result
    }

    fn set_flag(&self, value: bool) {
        if let Some(flag) = &self.0.target().flag {
            flag.store(value);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        *self.0.target() = Target::default();
    }
}

/// A thread is inside `run`.
pub(crate) struct Running<'a>(&'a Shared);

impl Running<'_> {
    /// Whether the VM has been kicked.
    pub(crate) fn is_kicked(&self) -> bool {
        self.0.kicked.load(Ordering::SeqCst)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.target().thread = None;
    }
}
