//! The shells of one cell: which are idle, which serve.

use super::totals::Totals;
use crate::protocol::Command;
use dashmap::DashMap;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;

/// How long a shell may be idle before its memory is given back.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// One shell, owned by whoever uses it. Dropping it ends its VM as soon as that is idle.
pub(super) struct Shell {
    pub(super) id: u32,
    pub(super) socket: UnixStream,
    pub(super) served: u64,
    idle_since: Instant,
    _listed: Listed,
}

impl Shell {
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
    pub(crate) serving: bool,
}

/// Keeps a shell listed while it exists.
struct Listed {
    id: u32,
    list: Arc<DashMap<u32, ShellState>>,
    totals: Arc<Totals>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.list.remove(&self.id);
        self.totals.shells.fetch_sub(1, Ordering::Relaxed);
        self.totals.shells_discarded.fetch_add(1, Ordering::Relaxed);
    }
}

/// All shells of a cell.
pub(crate) struct Shells {
    idle: Mutex<Vec<Shell>>,
    list: Arc<DashMap<u32, ShellState>>,
    next_id: AtomicU32,
    totals: Arc<Totals>,
}

impl Shells {
    pub(super) fn new(totals: Arc<Totals>) -> Self {
        Self { idle: Mutex::default(), list: Arc::default(), next_id: AtomicU32::new(1), totals }
    }

    /// The shell that was used last, if one is idle: its memory is most likely still in the caches.
    pub(super) fn take_idle(&self) -> Option<Shell> {
        let shell = loop {
            let shell = self.lock_idle().pop()?;
            if shell.is_silent() {
                break shell;
            }
        };
        self.list.alter(&shell.id, |_, state| ShellState { serving: true, ..state });
        Some(shell)
    }

    /// A new shell and the command that makes the cell run it.
    pub(super) fn add(&self) -> io::Result<(Shell, Command, OwnedFd)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let socket = UnixStream::from_std(ours)?;
        self.totals.shells.fetch_add(1, Ordering::Relaxed);
        self.list.insert(id, ShellState { created: now, served: 0, serving: true });
        let listed = Listed { id, list: self.list.clone(), totals: self.totals.clone() };
        let shell = Shell { id, socket, served: 0, idle_since: now, _listed: listed };
        Ok((shell, Command::AddShell { id }, OwnedFd::from(theirs)))
    }

    /// Takes back a shell after a good answer.
    pub(super) fn put_back(&self, mut shell: Shell) {
        shell.served += 1;
        shell.idle_since = Instant::now();
        let served = shell.served;
        self.list.alter(&shell.id, |_, state| ShellState { serving: false, served, ..state });
        self.lock_idle().push(shell);
    }

    /// Ends shells that have been idle for long, and forgets those that are gone.
    pub(crate) fn trim(&self) {
        // The pool is a stack, so the longest idle come first.
        let mut idle = self.lock_idle();
        let stale = idle.iter().take_while(|shell| shell.idle_since.elapsed() > IDLE_MAX).count();
        drop(idle.drain(..stale));
        idle.retain(Shell::is_silent);
    }

    /// All shells by id.
    pub(crate) fn states(&self) -> Vec<(u32, ShellState)> {
        self.list.iter().map(|entry| (*entry.key(), *entry.value())).collect()
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Shell>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
