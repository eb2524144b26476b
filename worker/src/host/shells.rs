//! The shells of one cell: which are idle, which serve, and who waits for one.

use super::fleet::{Fleet, VmCount};
use super::totals::Totals;
use crate::api::StartKind;
use crate::protocol::Command;
use dashmap::DashMap;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// How long a shell may be idle before its memory is given back.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// One shell, owned by whoever uses it. Dropping it ends its VM as soon as that is idle.
pub(super) struct Shell {
    pub(super) id: u32,
    pub(super) socket: UnixStream,
    /// How its VM came to be, as far as is known here.
    pub(super) start: StartKind,
    served: u64,
    idle_since: Instant,
    _listed: Listed,
}

impl Shell {
    /// The same shell for a request that came before the parent was in memory.
    pub(super) fn waited_for_parent(self) -> Self {
        let start = match self.start {
            StartKind::Spare | StartKind::New => StartKind::Cold,
            other => other,
        };
        Self { start, ..self }
    }

    /// How its VM came to be, after what its cell says, which does not know for whom it was made.
    pub(super) fn start_of(&self, cell_says: StartKind) -> StartKind {
        if cell_says == StartKind::New { self.start } else { cell_says }
    }

    /// Whether an idle shell has nothing to say. It speaks unasked only to say that its VM cannot be used again,
    /// and closes its socket after that.
    fn is_silent(&self) -> bool {
        let peeked = recv(&self.socket, &mut [0_u8][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(Errno::AGAIN | Errno::INTR))
    }
}

/// What `spore ps` knows of a shell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShellState {
    pub(crate) created: Instant,
    pub(crate) served: u64,
    pub(crate) phase: Phase,
}

/// What a shell is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being made.
    Starting,
    /// It waits for a request.
    Idle,
    /// It has one, or is being put back after it.
    Serving,
}

impl Phase {
    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Idle => "idle",
            Phase::Serving => "serving",
        }
    }
}

/// Keeps a shell listed and counted while it exists.
struct Listed {
    id: u32,
    list: Arc<DashMap<u32, ShellState>>,
    totals: Arc<Totals>,
    _vm: VmCount,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.list.remove(&self.id);
        self.totals.shells.fetch_sub(1, Ordering::Relaxed);
        self.totals.shells_discarded.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why shells are trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trim {
    /// Nobody needed them for long.
    Idle,
    /// The machine is short of memory.
    Pressure,
    /// Another function needs the place.
    Room,
}

/// What a waiting request is given: a shell, or why the one being made for it came to nothing.
pub(super) type Offer = Result<Shell, String>;

/// Requests that wait, and shells that wait for them. There is never one of both.
#[derive(Default)]
struct Pool {
    idle: Vec<Shell>,
    waiting: VecDeque<oneshot::Sender<Offer>>,
    /// Shells being made for those who wait.
    making: usize,
}

/// A shell, or a place in the line for one.
pub(super) enum Take {
    Shell(Shell),
    /// `make`: whether one is to be made; whoever is told so calls [`Shells::made`] or [`Shells::not_made`] later.
    Wait {
        line: Line,
        make: bool,
    },
}

/// A place in the line for a shell. Dropping it leaves the line.
pub(super) struct Line {
    receiver: oneshot::Receiver<Offer>,
    shells: Arc<Shells>,
}

impl Line {
    /// Waits for a shell.
    pub(super) async fn shell(mut self) -> Offer {
        let offer = (&mut self.receiver).await;
        offer.unwrap_or_else(|_| Err("the function's cell is gone".to_owned()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.receiver.close();
        // It may have been given a shell just before it left.
        if let Ok(Ok(shell)) = self.receiver.try_recv() {
            self.shells.offer(shell);
        }
    }
}

/// All shells of a cell.
pub(crate) struct Shells {
    pool: Mutex<Pool>,
    list: Arc<DashMap<u32, ShellState>>,
    next_id: AtomicU32,
    totals: Arc<Totals>,
    fleet: Arc<Fleet>,
}

impl Shells {
    pub(super) fn new(totals: Arc<Totals>, fleet: Arc<Fleet>) -> Arc<Self> {
        let (pool, next_id) = (Mutex::default(), AtomicU32::new(1));
        let shells = Arc::new(Self { pool, list: Arc::default(), next_id, totals, fleet });
        shells.fleet.add_pool(&shells);
        shells
    }

    /// The shell that was used last, if one is idle: its memory is most likely still in the caches. Otherwise a place
    /// in the line for the next that is.
    pub(super) fn take(self: &Arc<Self>) -> Take {
        let mut pool = self.lock();
        while let Some(shell) = pool.idle.pop() {
            if shell.is_silent() {
                self.note_serving(shell.id);
                return Take::Shell(shell);
            }
        }
        let (sender, receiver) = oneshot::channel();
        pool.waiting.retain(|waiter| !waiter.is_closed());
        pool.waiting.push_back(sender);
        let make = pool.making < pool.waiting.len();
        pool.making += usize::from(make);
        Take::Wait { line: Line { receiver, shells: self.clone() }, make }
    }

    /// A new shell and the command that makes the cell run it.
    pub(super) fn add(&self, touched: bool) -> io::Result<(Shell, Command, OwnedFd)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let socket = UnixStream::from_std(ours)?;
        self.totals.shells.fetch_add(1, Ordering::Relaxed);
        self.list.insert(id, ShellState { created: now, served: 0, phase: Phase::Starting });
        let (list, totals, vm) = (self.list.clone(), self.totals.clone(), self.fleet.count_vm());
        let listed = Listed { id, list, totals, _vm: vm };
        let start = if touched { StartKind::Spare } else { StartKind::New };
        let shell = Shell { id, socket, start, served: 0, idle_since: now, _listed: listed };
        Ok((shell, Command::AddShell { id, touched }, OwnedFd::from(theirs)))
    }

    /// Takes back a shell after a good answer.
    pub(super) fn put_back(&self, mut shell: Shell) {
        shell.served += 1;
        shell.start = StartKind::Recycled;
        self.offer(shell);
    }

    /// Takes a shell that was made for those who wait.
    pub(super) fn made(&self, shell: Shell) {
        self.lock().making -= 1;
        self.offer(shell);
    }

    /// A shell that was to be made for those who wait came to nothing: the one who waits longest is told.
    pub(super) fn not_made(&self, why: &str) {
        let mut pool = self.lock();
        pool.making -= 1;
        while let Some(waiter) = pool.waiting.pop_front() {
            if waiter.send(Err(why.to_owned())).is_ok() {
                return;
            }
        }
    }

    /// Gives a shell to who waits longest, or keeps it.
    pub(super) fn offer(&self, mut shell: Shell) {
        let id = shell.id;
        let mut pool = self.lock();
        while let Some(waiter) = pool.waiting.pop_front() {
            match waiter.send(Ok(shell)) {
                Ok(()) => return self.note_serving(id),
                Err(Ok(back)) => shell = back,
                Err(Err(_)) => return,
            }
        }
        shell.idle_since = Instant::now();
        let served = shell.served;
        self.list.alter(&shell.id, |_, state| ShellState { phase: Phase::Idle, served, ..state });
        pool.idle.push(shell);
    }

    /// Called under the lock, so that who gets the shell cannot have put it back yet.
    fn note_serving(&self, id: u32) {
        self.list.alter(&id, |_, state| ShellState { phase: Phase::Serving, ..state });
    }

    /// Ends shells that have been idle for long, and forgets those that are gone.
    pub(crate) fn trim(&self) {
        // The pool is a stack, so the longest idle come first.
        let mut pool = self.lock();
        let stale = pool.idle.iter().take_while(|shell| shell.idle_since.elapsed() > IDLE_MAX).count();
        let stale: Vec<Shell> = pool.idle.drain(..stale).collect();
        pool.idle.retain(Shell::is_silent);
        drop(pool);
        self.totals.trimmed(Trim::Idle, stale.len());
    }

    /// Since when each idle shell is idle, the longest first.
    pub(crate) fn idle_since(&self) -> Vec<Instant> {
        self.lock().idle.iter().map(|shell| shell.idle_since).collect()
    }

    /// Ends the shell that has been idle for longest; whether there was one.
    pub(crate) fn trim_oldest(&self, why: Trim) -> bool {
        let mut pool = self.lock();
        let oldest = (!pool.idle.is_empty()).then(|| pool.idle.remove(0));
        drop(pool);
        self.totals.trimmed(why, usize::from(oldest.is_some()));
        oldest.is_some()
    }

    /// How many there are, those being made included.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// All shells by id.
    pub(crate) fn states(&self) -> Vec<(u32, ShellState)> {
        self.list.iter().map(|entry| (*entry.key(), *entry.value())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
