//! What acts on a running VM from outside: signals, and its end.

use super::End;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vmm::Kicker;

const SIGINT: u32 = 2;
const SIGTERM: u32 = 15;
const SIGWINCH: u32 = 28;
/// Signals that are to end a program.
const ENDING: u64 = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1);

/// The outside of one run; clones are the same.
#[derive(Clone)]
pub struct Control(Arc<State>);

struct State {
    /// Signals the VM has not been given yet: bit `n - 1` is signal `n`.
    signals: AtomicU64,
    /// How many signals that should end the program were sent.
    sent: AtomicU64,
    /// How many of them it has not taken.
    ignored: AtomicU32,
    /// The VM has been given one.
    given: AtomicBool,
    /// Whoever runs the VM is to look whether the program has taken what it was given, and to kill it if not.
    overdue: AtomicBool,
    killed: AtomicBool,
    timed_out: AtomicBool,
    /// Can be read when something happened.
    wake: OwnedFd,
    kicker: Mutex<Option<Kicker>>,
}

impl Control {
    /// For one run.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(State {
            signals: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ignored: AtomicU32::new(0),
            given: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            kicker: Mutex::new(None),
        })))
    }

    /// Sends signal `number` to the program. It takes it at its next system call. One that should end it kills the VM if
    /// the program has not even taken the one before. Returns which of those it is, for [`Control::insist`].
    pub fn signal(&self, number: u32) -> Option<u64> {
        let bit = 1 << (number - 1);
        let ends = ENDING & bit != 0;
        if ends && self.0.ignored.fetch_add(1, Ordering::SeqCst) > 0 {
            self.0.killed.store(true, Ordering::SeqCst);
        }
        let sent = ends.then(|| self.0.sent.fetch_add(1, Ordering::SeqCst) + 1);
        self.0.signals.fetch_or(bit, Ordering::SeqCst);
        self.interrupt();
        sent
    }

    /// Signal `which` was sent a while ago. If no other came since and the program has not even taken it, the VM is
    /// killed.
    pub fn insist(&self, which: u64) {
        if self.0.sent.load(Ordering::SeqCst) != which {
            return;
        }
        let unseen = self.0.signals.load(Ordering::SeqCst) & ENDING != 0;
        let flag = if unseen { &self.0.killed } else { &self.0.overdue };
        flag.store(true, Ordering::SeqCst);
        self.interrupt();
    }

    /// Ends the VM because its time is over.
    pub fn time_out(&self) {
        self.0.timed_out.store(true, Ordering::SeqCst);
        self.interrupt();
    }

    fn interrupt(&self) {
        // It fails only if nobody has looked for 2^64 times.
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
        if let Some(kicker) = &*self.0.kicker.lock().unwrap_or_else(PoisonError::into_inner) {
            kicker.kick();
        }
    }

    /// Connects this to the VM.
    pub(super) fn attach(&self, kicker: Kicker) {
        *self.0.kicker.lock().unwrap_or_else(PoisonError::into_inner) = Some(kicker);
        if self.0.signals.load(Ordering::SeqCst) != 0 || self.end().is_some() {
            self.interrupt();
        }
    }

    /// Whether the VM is to end, and why.
    pub(super) fn end(&self) -> Option<End> {
        if self.0.killed.load(Ordering::SeqCst) {
            return Some(End::Killed);
        }
        self.0.timed_out.load(Ordering::SeqCst).then_some(End::TimedOut)
    }

    /// Notes that what happened has been seen, when it can be acted on only later.
    pub(super) fn acknowledge(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.0.wake, &mut count);
    }

    /// Notes which of the signals it was given the program has not taken yet. Before anything the program did since is
    /// passed on: whoever sees that may send the next one.
    pub(super) fn untaken(&self, signals: u64) {
        if self.0.overdue.swap(false, Ordering::SeqCst) && signals & ENDING != 0 {
            self.0.killed.store(true, Ordering::SeqCst);
        }
        if signals & ENDING == 0 && self.0.given.swap(false, Ordering::SeqCst) {
            self.0.ignored.store(0, Ordering::SeqCst);
        }
    }

    /// Takes the signals for the program, and whether its terminal has another size.
    pub(super) fn take(&self) -> (u64, bool) {
        if let Some(kicker) = &*self.0.kicker.lock().unwrap_or_else(PoisonError::into_inner) {
            kicker.clear_kick();
        }
        // Whoever sends a signal notes it first and kicks then: a kick that was just cleared is seen here.
        self.acknowledge();
        let signals = self.0.signals.swap(0, Ordering::SeqCst);
        if signals & ENDING != 0 {
            self.0.given.store(true, Ordering::SeqCst);
        }
        (signals, signals & 1 << (SIGWINCH - 1) != 0)
    }

    /// Waits until something happens, at most for `left`, or `file` is ready. Says whether `file` is.
    pub(super) fn wait(&self, left: Option<Duration>, file: Option<PollFd<'_>>) -> bool {
        let deadline = left.and_then(|left| Instant::now().checked_add(left));
        let mut fds = vec![PollFd::from_borrowed_fd(self.0.wake.as_fd(), PollFlags::IN)];
        fds.extend(file);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => {}
                // Nothing else can go wrong with two open descriptors; who waits looks again.
                Ok(_) | Err(_) => return fds.get(1).is_some_and(|file| !file.revents().is_empty()),
            }
        }
    }
}
