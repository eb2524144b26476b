//! Who there is, who runs, who is ready.

use super::{Futexes, THREADS_MAX, Waiting};
use crate::errno::{Errno, Result};
use crate::poll::earlier;
use crate::process::{FIRST, PID, ThreadSignals};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// The thread a program starts with.
const MAIN: u32 = FIRST;
const _: () = assert!(MAIN as u64 == PID);
/// Thread ids are below this, as on Linux with its default `pid_max` on large machines.
const TID_LIMIT: u32 = 1 << 22;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has the processor.
    Running,
    /// It could go on and is in the queue for the processor.
    Ready,
    /// It waits.
    Waiting(Waiting),
    /// The first thread of a process after exit(2), with its exit status: others live on, or nobody has asked yet.
    Exited(u32),
}

/// What is kept of the processor while a thread does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Where on the thread's own stack of pico the rest is.
    pub rsp: u64,
    /// The top of that stack; 0: the first thread's, which is part of pico's image.
    pub stack_top: u64,
    /// Thread pointer.
    pub fs_base: u64,
    /// Second thread pointer.
    pub gs_base: u64,
}

/// One thread.
pub struct Thread {
    /// What it is doing.
    pub state: State,
    /// Its process: the id of that one's first thread.
    pub process: u32,
    /// The last change it knew of when it began to wait.
    pub(super) seen: u64,
    /// Its state in the processor, while it does not run.
    pub context: Context,
    /// Its signals, while it does not run; those of the running thread are in [`crate::process::Signals`].
    pub signals: ThreadSignals,
    /// Name set with `PR_SET_NAME`, padded with NULs.
    pub name: [u8; 16],
    /// Where 0 is written, and a futex woken, when it ends; 0: nowhere.
    pub clear_child_tid: u64,
    /// Head of its list of robust futexes; 0: none.
    pub robust_list: u64,
}

impl Thread {
    /// A thread that runs: the first one.
    fn first() -> Self {
        Self {
            state: State::Running,
            process: FIRST,
            seen: 0,
            context: Context::default(),
            signals: ThreadSignals::default(),
            name: [0; 16],
            clear_child_tid: 0,
            robust_list: 0,
        }
    }
}

/// All threads.
pub struct Threads {
    by_tid: BTreeMap<u32, Thread>,
    current: u32,
    last_tid: u32,
    ready: VecDeque<u32>,
    /// Processes that are stopped: their threads do not get the processor.
    pub(super) frozen: BTreeSet<u32>,
    /// How many have not exited.
    alive: usize,
    /// Number of the last change that who waits for files may have waited for.
    change: u64,
    /// The last change that all of them were told of.
    told: u64,
    /// Not later than the first time at which a waiting thread wants to be woken.
    wake_at: Option<u64>,
    /// When the running thread's time slice is over.
    pub(super) slice_end: u64,
    /// When to look for what the host has for those who wait, if others compute.
    pub(super) look_at: u64,
    /// A thread that clone(2) has made; the end of the system call starts it.
    pub(super) beginning: Option<super::Beginning>,
    /// Whether the host knows that ticks are wanted.
    pub(crate) ticks: bool,
    /// Stacks of threads that ended.
    pub(super) spare_stacks: Vec<u64>,
    /// Who waits at which address.
    pub futexes: Futexes,
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            by_tid: BTreeMap::from([(MAIN, Thread::first())]),
            current: MAIN,
            last_tid: MAIN,
            ready: VecDeque::new(),
            frozen: BTreeSet::new(),
            alive: 1,
            change: 0,
            told: 0,
            wake_at: None,
            slice_end: 0,
            look_at: 0,
            beginning: None,
            ticks: false,
            spare_stacks: Vec::new(),
            futexes: Futexes::default(),
        }
    }
}

impl Threads {
    /// Id of the running thread.
    pub fn tid(&self) -> u32 {
        self.current
    }

    /// The running thread.
    pub fn current(&mut self) -> &mut Thread {
        self.by_tid.get_mut(&self.current).expect("the running thread is in the table")
    }

    /// Thread `tid`, unless there is none or it has exited.
    pub fn find(&mut self, tid: u32) -> Option<&mut Thread> {
        self.by_tid.get_mut(&tid).filter(|thread| !matches!(thread.state, State::Exited(_)))
    }

    /// Whether there is a thread `tid`.
    pub fn is_alive(&self, tid: u32) -> bool {
        self.by_tid.get(&tid).is_some_and(|thread| !matches!(thread.state, State::Exited(_)))
    }

    /// All threads that have not exited, with their ids.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Thread)> {
        let alive = |(_, thread): &(&u32, &mut Thread)| !matches!(thread.state, State::Exited(_));
        self.by_tid.iter_mut().filter(alive).map(|(&tid, thread)| (tid, thread))
    }

    /// The name of the first thread of process `pid`, which is that of the process.
    pub fn process_name(&self, pid: u32) -> [u8; 16] {
        self.by_tid.get(&pid).map_or([0; 16], |thread| thread.name)
    }

    /// The threads of process `pid` that have not exited.
    pub fn of_process(&self, pid: u32) -> impl Iterator<Item = u32> {
        self.by_tid.keys().copied().filter(move |&tid| self.process_of(tid) == Some(pid))
    }

    /// The process of thread `tid`, unless there is none or it has exited.
    pub fn process_of(&self, tid: u32) -> Option<u32> {
        let thread = self.by_tid.get(&tid)?;
        (!matches!(thread.state, State::Exited(_))).then_some(thread.process)
    }

    /// Whether thread `tid` waits.
    pub fn is_waiting(&self, tid: u32) -> bool {
        self.by_tid.get(&tid).is_some_and(|thread| matches!(thread.state, State::Waiting(_)))
    }

    /// How many threads have not exited.
    pub fn count(&self) -> usize {
        self.alive
    }

    /// Whether there is only the running thread.
    pub fn is_alone(&self) -> bool {
        self.alive == 1
    }

    /// Whether another thread is ready to run now, or may have to be woken in the middle of what the running one does.
    pub fn are_others_due(&self) -> bool {
        !self.is_alone() && (!self.ready.is_empty() || self.wake_at.is_some() || self.has_news())
    }

    /// The id of the next thread, which nothing has that `is_in_use` says; `EAGAIN` if there are too many threads.
    pub(super) fn next_tid(&self, is_in_use: impl Fn(u32) -> bool) -> Result<u32> {
        if self.by_tid.len() >= THREADS_MAX {
            return Err(Errno::EAGAIN);
        }
        let following = |tid: u32| if tid + 1 < TID_LIMIT { tid + 1 } else { MAIN + 1 };
        let mut tid = following(self.last_tid);
        while self.by_tid.contains_key(&tid) || is_in_use(tid) {
            tid = following(tid);
        }
        Ok(tid)
    }

    /// Adds a thread with the id [`Threads::next_tid`] gave.
    pub(super) fn add(&mut self, tid: u32, thread: Thread) {
        self.last_tid = tid;
        self.by_tid.insert(tid, thread);
        self.alive += 1;
    }

    /// Takes back [`Threads::add`]: the thread never began.
    pub(super) fn take_back(&mut self, tid: u32) -> Option<Thread> {
        self.alive -= 1;
        self.by_tid.remove(&tid)
    }

    /// The running thread ends with `status`. The entry of a first thread stays, so that its id is not used again.
    pub(super) fn retire(&mut self, status: u32) {
        self.alive -= 1;
        if self.current().process == self.current {
            self.current().state = State::Exited(status);
        } else {
            self.by_tid.remove(&self.current);
        }
    }

    /// The entry of the first thread of process `pid` goes.
    pub fn forget(&mut self, pid: u32) {
        if !self.is_alive(pid) {
            self.by_tid.remove(&pid);
        }
    }

    /// The running thread, the last one of process `pid`, takes the place of its first one.
    pub(super) fn become_first(&mut self, pid: u32) {
        if let Some(thread) = self.by_tid.remove(&self.current) {
            self.by_tid.insert(pid, thread);
            self.current = pid;
        }
    }

    /// Wakes the threads of process `pid` that wait for children.
    pub fn wake_parents(&mut self, pid: u32) {
        for (&tid, thread) in &mut self.by_tid {
            if let State::Waiting(Waiting { for_children: true, .. }) = thread.state
                && thread.process == pid
            {
                thread.state = State::Ready;
                self.ready.push_back(tid);
            }
        }
    }

    /// The status the first thread of process `pid` exited with, if it did.
    pub fn first_status(&self, pid: u32) -> Option<u32> {
        match self.by_tid.get(&pid)?.state {
            State::Exited(status) => Some(status),
            _ => None,
        }
    }

    /// Thread `tid` is in the queue for the processor from now on.
    pub(super) fn make_ready(&mut self, tid: u32) {
        if let Some(thread) = self.by_tid.get_mut(&tid) {
            thread.state = State::Ready;
            self.ready.push_back(tid);
        }
    }

    /// Wakes thread `tid` if it waits.
    pub fn wake(&mut self, tid: u32) {
        if matches!(self.by_tid.get(&tid), Some(Thread { state: State::Waiting(_), .. })) {
            self.make_ready(tid);
        }
    }

    /// The running thread waits from now on.
    pub(super) fn set_waiting(&mut self, waiting: Waiting) {
        self.wake_at = earlier(self.wake_at, waiting.until);
        let seen = self.change;
        let thread = self.current();
        thread.state = State::Waiting(waiting);
        thread.seen = seen;
    }

    /// Whether something changed that not all who wait were told of.
    pub(super) fn has_news(&self) -> bool {
        self.told != self.change
    }

    /// The number of the last change.
    pub fn change(&self) -> u64 {
        self.change
    }

    /// Something happened that who waits for files may have waited for.
    pub fn note_change(&mut self) {
        self.change += 1;
    }

    /// Wakes those whose time is over at `now`, and, if anything changed, those who wait for files.
    pub(super) fn wake_due(&mut self, now: u64) {
        let changed = self.told != self.change;
        self.told = self.change;
        if !changed && self.wake_at.is_none_or(|at| at > now) {
            return;
        }
        self.wake_at = None;
        for (&tid, thread) in &mut self.by_tid {
            let State::Waiting(waiting) = thread.state else { continue };
            if (waiting.for_files && thread.seen != self.change)
                || waiting.until.is_some_and(|until| until <= now)
            {
                thread.state = State::Ready;
                self.ready.push_back(tid);
            } else {
                self.wake_at = earlier(self.wake_at, waiting.until);
            }
        }
    }

    /// Takes the next thread out of the queue that may run.
    pub(super) fn take_ready(&mut self) -> Option<u32> {
        if self.frozen.is_empty() {
            return self.ready.pop_front();
        }
        let may_run =
            |tid: &u32| self.by_tid.get(tid).is_none_or(|thread| !self.frozen.contains(&thread.process));
        let place = self.ready.iter().position(may_run)?;
        self.ready.remove(place)
    }

    /// Thread `tid` has the processor from now on; returns who had it.
    pub(super) fn set_current(&mut self, tid: u32) -> u32 {
        let before = core::mem::replace(&mut self.current, tid);
        self.current().state = State::Running;
        before
    }

    /// When the first waiting thread wants to be woken, and whether one of them waits for a request. Those of stopped processes
    /// do not count.
    pub(super) fn all_wait_for(&self) -> (Option<u64>, bool) {
        let awake = self.by_tid.values().filter(|thread| !self.frozen.contains(&thread.process));
        awake.fold((None, false), |(until, takes_request), thread| match thread.state {
            State::Waiting(waiting) => {
                (earlier(until, waiting.until), takes_request || waiting.takes_request)
            }
            _ => (until, takes_request),
        })
    }

    /// The state of thread `tid` in the processor.
    pub fn context(&mut self, tid: u32) -> Option<&mut Context> {
        self.by_tid.get_mut(&tid).map(|thread| &mut thread.context)
    }
}
