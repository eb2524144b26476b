//! The time of the steps of one invocation.

use std::time::{Duration, Instant};

/// A step of an invocation. A kind of start has those that it really takes, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Reading the manifest and beginning to page the parent in.
    Load,
    /// Mapping the parent's memory.
    Map,
    /// Populating the pages a fork is known to write.
    Populate,
    /// Making mailbox, VM and vCPU.
    Create,
    /// Registers, identity and request.
    Enter,
    /// In the VM, entry and exit included, until the response is in the mailbox.
    Run,
    /// Copying the response out.
    Read,
    /// Putting the VM back to the parent's state.
    Restore,
    /// The same by mapping its memory anew.
    Remap,
    /// Touching the pages a request will touch, from inside.
    Prefault,
    /// Giving the VM back to the kernel.
    Drop,
}

impl Step {
    /// In the order they are shown.
    pub(super) const ALL: [Step; 11] = [
        Step::Load,
        Step::Map,
        Step::Populate,
        Step::Create,
        Step::Enter,
        Step::Run,
        Step::Read,
        Step::Restore,
        Step::Remap,
        Step::Prefault,
        Step::Drop,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Step::Load => "load",
            Step::Map => "map",
            Step::Populate => "populate",
            Step::Create => "create",
            Step::Enter => "enter",
            Step::Run => "run",
            Step::Read => "read",
            Step::Restore => "restore",
            Step::Remap => "remap",
            Step::Prefault => "prefault",
            Step::Drop => "drop",
        }
    }

    /// Whether a request waits for it.
    pub(super) fn on_path(self) -> bool {
        !matches!(self, Step::Restore | Step::Remap | Step::Prefault | Step::Drop)
    }
}

/// Measures steps that follow each other. It never allocates: page faults are counted meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    last: Instant,
    steps: [Option<Duration>; Step::ALL.len()],
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { last: Instant::now(), steps: [None; Step::ALL.len()] }
    }

    /// What happened since the last step belongs to none.
    pub(super) fn resume(&mut self) {
        self.last = Instant::now();
    }

    /// The time since the last step was this one.
    pub(super) fn mark(&mut self, step: Step) {
        let now = Instant::now();
        *self.steps[step as usize].get_or_insert_default() += now - self.last;
        self.last = now;
    }

    /// Time of a step; `None` if it was not taken.
    pub(super) fn step(&self, step: Step) -> Option<Duration> {
        self.steps[step as usize]
    }

    /// Time of all steps that a request waits for.
    pub(super) fn total(&self) -> Duration {
        Step::ALL.into_iter().filter(|step| step.on_path()).filter_map(|step| self.step(step)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_off_the_path_are_not_in_the_total() {
        let mut clock = Clock::new();
        for (step, nanoseconds) in [(Step::Enter, 1), (Step::Run, 20), (Step::Restore, 4000)] {
            clock.steps[step as usize] = Some(Duration::from_nanos(nanoseconds));
        }
        assert_eq!(clock.total(), Duration::from_nanos(21));
        assert_eq!(clock.step(Step::Run), Some(Duration::from_nanos(20)));
        assert_eq!(clock.step(Step::Restore), Some(Duration::from_nanos(4000)));
        assert_eq!(clock.step(Step::Map), None);
    }

    #[test]
    fn a_step_taken_twice_counts_twice_and_a_pause_not_at_all() {
        let mut clock = Clock::new();
        clock.mark(Step::Map);
        let once = clock.step(Step::Map).unwrap();
        clock.last -= Duration::from_secs(5);
        clock.resume();
        clock.mark(Step::Map);
        let twice = clock.step(Step::Map).unwrap();
        assert!(twice >= once && twice < Duration::from_secs(5), "{once:?} {twice:?}");
    }

    #[test]
    fn steps_have_a_place_each() {
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index);
        }
    }
}
