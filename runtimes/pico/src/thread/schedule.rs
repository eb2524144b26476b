//! Giving the processor away: to another thread, or to the host if nobody can proceed.

use super::State;
use crate::kernel::Kernel;
use crate::poll::earlier;

/// What a thread waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Monotonic time in ns at which it goes on at the latest.
    pub until: Option<u64>,
    /// Whether a request can end it.
    pub takes_request: bool,
    /// Whether what other threads do with files can end it.
    pub for_files: bool,
    /// Whether the end of a child, or of another thread of the process, can end it.
    pub for_children: bool,
}

/// How long a thread runs while others are ready.
pub const SLICE: u64 = 10_000_000;

impl Kernel {
    /// The running thread waits. Returns when `waiting` may be over: the caller looks again.
    pub(crate) fn suspend(&mut self, waiting: Waiting) {
        if self.threads.is_alone() {
            self.idle(waiting.until, waiting.takes_request);
        } else {
            self.threads.set_waiting(waiting);
            self.run_next();
        }
    }

    /// Lets other threads run that are ready: sched_yield(2).
    pub(crate) fn yield_now(&mut self) {
        if self.threads.is_alone() {
            return;
        }
        self.wake_due();
        let tid = self.threads.tid();
        self.threads.make_ready(tid);
        self.run_next();
    }

    /// The running thread, whose process is frozen, does not run until it is thawed.
    pub(crate) fn rest(&mut self) {
        let tid = self.threads.tid();
        self.threads.make_ready(tid);
        self.run_next();
    }

    /// Lets other threads run if the running one has had its share.
    pub(crate) fn share(&mut self) {
        if self.threads.is_alone() {
            return;
        }
        if self.is_time_to_look() {
            self.threads.look_at = self.now().saturating_add(SLICE);
            self.look_for_input();
        }
        if self.threads.are_others_due() && self.is_slice_over() {
            self.yield_now();
        }
    }

    /// Whether nobody has looked for a slice whether the host has something for a thread that waits.
    pub(crate) fn is_time_to_look(&self) -> bool {
        self.now() >= self.threads.look_at
    }

    /// Tells the host whether the program is to be interrupted now and then: while there are several threads, or an alarm, or signals
    /// may come from outside.
    pub(crate) fn announce_ticks(&mut self) {
        let wanted = !self.threads.is_alone()
            || self.console.is_some()
            || self.process.next_alarm().is_some()
            || self.process.has_cpu_alarm();
        if wanted != self.threads.ticks {
            self.threads.ticks = wanted;
            self.platform.set_ticks(wanted);
        }
    }

    /// Whether the running thread has had its share.
    pub(crate) fn is_slice_over(&self) -> bool {
        self.now() >= self.threads.slice_end
    }

    /// Goes on with the next thread. Returns when it is the turn of the one that called this, which has been made ready
    /// or waits; never if it has exited.
    pub(super) fn run_next(&mut self) {
        loop {
            self.wake_due();
            if let Some(next) = self.threads.take_ready() {
                return self.switch_to(next);
            }
            let (until, takes_request) = self.threads.all_wait_for();
            self.idle(until, takes_request);
            self.threads.note_change();
        }
    }

    /// Makes ready what time, signals and changes have made ready.
    fn wake_due(&mut self) {
        self.expire_alarm();
        if self.threads.has_news() && !self.signal_driven.is_empty() {
            self.signal_owners();
        }
        let now = self.now();
        self.threads.wake_due(now);
    }

    /// Gives the processor to thread `next`. Returns when the thread that called this has it again.
    fn switch_to(&mut self, next: u32) {
        self.threads.slice_end = self.now().saturating_add(SLICE);
        let before = self.threads.tid();
        self.check_stack();
        if next == before {
            self.threads.current().state = State::Running;
            return;
        }
        let found =
            self.threads.find(next).map(|thread| (thread.process, core::mem::take(&mut thread.signals)));
        let Some((process, signals)) = found else {
            return self.fail("a thread that is gone was ready to run");
        };
        let own = core::mem::replace(&mut self.process.signals.own, signals);
        let (fs_base, gs_base) = (self.platform.fs_base(), self.platform.gs_base());
        self.threads.set_current(next);
        let context = self.threads.current().context;
        match self.threads.find(before) {
            Some(thread) => {
                thread.signals = own;
                (thread.context.fs_base, thread.context.gs_base) = (fs_base, gs_base);
            }
            // It has exited: nothing of this call is dropped after the switch.
            None => drop(own),
        }
        if process != self.pid() {
            let own = core::mem::take(&mut self.process.signals.own);
            self.enter_process(process);
            self.process.signals.own = own;
        }
        self.platform.set_fs_base(context.fs_base);
        self.platform.set_gs_base(context.gs_base);
        let switch = self.platform.switcher();
        switch(self, before, next);
    }

    /// Gives the CPU to the host because no thread can proceed.
    ///
    /// `until`: monotonic time in ns at which to come back at the latest. `takes_request`: what is waited for is
    /// satisfied by a request (a listening socket on the declared port, or the invocation device). If so, and no
    /// request has been delivered yet, this is where the parent is captured (`Doorbell::Ready`); on return the
    /// fork's identity has been adopted and the request is in `inbound`. Otherwise `Doorbell::Sleep`, after what there is of
    /// a response was handed over.
    /// Everybody then looks again at what they wait for. With `until` and a request to come, the request wins: time
    /// stands still in a parent. A fork that waits for a second request, and for nothing else, can wait for ever:
    /// it rings `Ready` once more, which tells the host. More of a request that goes on is something else to wait for.
    fn idle(&mut self, until: Option<u64>, takes_request: bool) {
        use abi::mailbox::Doorbell;
        let until = earlier(until, self.next_alarm());
        if takes_request && !self.request_taken {
            self.rewrite_all();
            let captured = self.now();
            self.ring(Doorbell::Ready, [0; 4]);
            self.become_fork(captured);
        } else if takes_request && until.is_none() && !self.inbound.borrow().wants_input() {
            self.end_upgraded();
            self.ring(Doorbell::Ready, [0; 4]);
            self.fail("the host resumed a fork that waits for a second request");
        } else {
            self.hand_over_part();
            let wants_input = self.console.as_ref().is_some_and(|console| console.takes_note())
                || self.inbound.borrow_mut().prepare_input();
            let start = self.platform.tsc();
            let host = until.map_or(u64::MAX, |until| self.clock.of_host(until));
            self.ring(Doorbell::Sleep, [host, wants_input.into(), 0, 0]);
            self.clock.rest(start, self.platform.tsc());
            let woken = match &self.console {
                Some(console) => console.has_news(),
                None => wants_input && self.accept_input(),
            };
            if let Some(until) = until.filter(|_| !woken) {
                // It is the host's clock that ended the sleep.
                self.clock.catch_up(self.platform.tsc(), until);
            }
        }
    }

    /// An upgraded connection whose client has nothing more to say, and whose program waits for nothing, is over.
    fn end_upgraded(&mut self) {
        let is_upgraded = self.inbound.borrow().is_upgraded();
        if is_upgraded {
            self.inbound.borrow_mut().end_http();
            self.settle();
        }
    }
}
