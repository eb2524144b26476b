//! Ticks: a running guest that asks for it is interrupted every [`PERIOD`], so that a thread of the program that
//! computes for ever does not starve the others.
//!
//! A timer of the vCPU's thread ends `KVM_RUN` with a signal. If the guest wants ticks and was running the program, its
//! instruction pointer goes to [`abi::mailbox::Header::tick_rip`] and it goes on at the guest kernel's own code for it.
//! That needs no interrupt controller and no interrupt flag, which ring 3 could not set again after an exception.
//!
//! The timer is periodic, so that a signal that comes just before `KVM_RUN` is made up for by the next one. It is set only
//! while a guest runs: other system calls of the thread would be interrupted by it, `KVM_CREATE_VM` among them. A guest
//! that wants no ticks is looked at as often, and goes on at once.
#![expect(unsafe_code, reason = "POSIX timers and signals")]

use crate::mailbox::Mailbox;
use crate::sys::tick_signal;
use abi::layout::{KERNEL_SIZE, KERNEL_VA};
use kvm_ioctls::VcpuFd;
use std::cell::Cell;
use std::ffi::c_long;
use std::io;
use std::marker::PhantomData;
use std::sync::Once;

/// Time between two ticks, in ns. A guest that wants none is looked at as often: its second thread has to wait that long if the first
/// one computes (Node's compiler, for one, whose program is interpreted meanwhile).
const PERIOD: c_long = 10_000_000;

thread_local! {
    /// What the timer is set to.
    static PACE: Cell<c_long> = const { Cell::new(0) };
    /// The thread's timer. (The first one of a process can be number 0, which is a null pointer.)
    static TIMER: Cell<Option<libc::timer_t>> = const { Cell::new(None) };
    static OWNED: Owned = const { Owned };
}

/// Gives the thread's timer back when the thread ends.
struct Owned;

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(timer) = TIMER.take() {
            // SAFETY: made by `create`, and nobody uses it any more.
            unsafe { libc::timer_delete(timer) };
        }
    }
}

/// That it exists makes the signal end `KVM_RUN` with `EINTR`.
extern "C" fn on_signal(_: i32) {}

/// Sets the thread's timer, unless that is what it is set to; 0 stops it.
fn set(period: c_long) {
    if PACE.replace(period) == period {
        return;
    }
    let time = libc::timespec { tv_sec: 0, tv_nsec: period };
    let setting = libc::itimerspec { it_interval: time, it_value: time };
    if let Some(timer) = TIMER.get() {
        // SAFETY: the timer is the thread's own, and the setting lives on this stack. It cannot fail.
        unsafe { libc::timer_settime(timer, 0, &raw const setting, std::ptr::null_mut()) };
    }
}

/// Makes the thread's timer, unless there is one.
fn create() -> io::Result<()> {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        // SAFETY: an all-zero sigaction is valid; the handler is async-signal-safe because it does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(i32) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(tick_signal(), &raw const action, std::ptr::null_mut());
        }
    });
    if TIMER.get().is_some() {
        return Ok(());
    }
    OWNED.with(|_| ());
    let mut timer = std::ptr::null_mut();
    // SAFETY: an all-zero sigevent is valid; the structures live on this stack; the signal set is initialised before
    // it is used.
    let made = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, tick_signal());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = tick_signal();
        event.sigev_notify_thread_id = crate::sys::thread_id();
        libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) == 0
    };
    if !made {
        return Err(io::Error::last_os_error());
    }
    TIMER.set(Some(timer));
    Ok(())
}

/// The calling thread gets ticks while it has this.
pub(crate) struct Ticking(PhantomData<*const ()>);

impl Ticking {
    /// Fails if there can be no more timers: they count as pending signals (`RLIMIT_SIGPENDING`).
    pub(crate) fn start() -> io::Result<Self> {
        create()?;
        set(PERIOD);
        Ok(Self(PhantomData))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        set(0);
    }
}

/// A signal ended `KVM_RUN`: makes the guest take a tick, if it wants one and runs its program.
pub(crate) fn tick(vcpu: &VcpuFd, mailbox: &mut Mailbox) -> Result<(), kvm_ioctls::Error> {
    let kernel = KERNEL_VA..KERNEL_VA + KERNEL_SIZE;
    let entry = mailbox.tick_entry();
    if !kernel.contains(&entry) {
        return Ok(());
    }
    let events = vcpu.get_vcpu_events()?;
    if events.exception.injected != 0 || events.exception.pending != 0 || events.interrupt.injected != 0 {
        // The exception belongs to the instruction it was about to take place at.
        return Ok(());
    }
    let mut regs = vcpu.get_regs()?;
    if kernel.contains(&regs.rip) {
        return Ok(());
    }
    mailbox.set_tick_rip(regs.rip);
    regs.rip = entry;
    vcpu.set_regs(&regs)
}
